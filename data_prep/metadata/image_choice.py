"""Choice of at most so many images a class, by a seed and whatever their order."""

from __future__ import annotations

import hashlib

import numpy as np
import polars as pl
from numpy.typing import NDArray


def choose_images(
    image_of_box: NDArray[np.uint32],
    label_of_box: NDArray[np.uint32],
    image_ids: pl.Series,
    labels: pl.Series,
    *,
    max_images_per_class: int,
    seed: int,
) -> NDArray[np.bool_]:
    """Chooses images so that each class has `max_images_per_class` of them, or all it has where it has fewer.

    The rarest class chooses first; an image chosen for one class counts for all that are on it, so that a common class
    chooses only what it still lacks. It has more than its number only where rarer classes chose that many with it.

    Each image has its own place in the draw, from its id and the seed alone: images that join later, or leave, change
    nothing about the others' places.

    Args:
        image_of_box: The number of each box's image.
        label_of_box: The number of its label.
        image_ids: The ids by number.
        labels: The labels by number; of two equally rare classes the one whose label sorts first chooses first.
        max_images_per_class: From 1.
        seed: 0..2**63 - 1.

    Returns:
        For each image number whether it is chosen.
    """
    pairs = np.unique((label_of_box.astype(np.uint64) << np.uint64(32)) | image_of_box)
    pair_label, pair_image = (pairs >> np.uint64(32)).astype(np.int64), (pairs & np.uint64(2**32 - 1)).astype(np.int64)
    counts = np.bincount(pair_label, minlength=len(labels))
    starts = np.cumsum(counts) - counts
    places = np.zeros(len(image_ids), np.uint64)
    drawn = np.unique(pair_image)
    places[drawn] = [_place(image_ids[int(number)], seed) for number in drawn]
    chosen = np.zeros(len(image_ids), np.bool_)
    names = labels.to_list()
    for label in sorted(np.flatnonzero(counts).tolist(), key=lambda number: (counts[number], names[number])):
        images = pair_image[starts[label] : starts[label] + counts[label]]
        lacking = max_images_per_class - int(np.count_nonzero(chosen[images]))
        if lacking > 0:
            candidates = images[~chosen[images]]
            chosen[candidates[np.argsort(places[candidates], kind="stable")[:lacking]]] = True
    return chosen


def _place(image_id: str, seed: int) -> int:
    """Returns the place of an image in the draw; the same on every machine and with every library's version."""
    digest = hashlib.blake2b(image_id.encode(), digest_size=8, key=seed.to_bytes(8, "little")).digest()
    return int.from_bytes(digest, "little")
