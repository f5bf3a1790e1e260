"""The images of a split that are, by id or likeness, in a smaller split as well."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.splitting.image_hash import near_duplicate_groups, near_pairs

SAME_ID = "the same image id"


@dataclass(frozen=True)
class SplitHashes:
    """A split's N images and their perceptual hashes.

    Attributes:
        name: As it is printed.
        image_ids: N ids.
        paths: N files; None where there is none.
        hashes: [N] uint64.
        has_hash: [N] bool; where it is false, the image could not be read.
    """

    name: str
    image_ids: Sequence[str]
    paths: Sequence[Path | None]
    hashes: np.ndarray
    has_hash: np.ndarray


@dataclass(frozen=True)
class Duplicate:
    """An image that a smaller split has as well.

    Attributes:
        split, image: Indices of the larger split and of its image.
        of_split, of_image: Those of the most alike image in a smaller split.
        distance: In how many of 64 bits their hashes differ; None where the ids are the same.
    """

    split: int
    image: int
    of_split: int
    of_image: int
    distance: int | None


def copies_across_splits(
    splits: Sequence[SplitHashes], max_distance: int, *, likeness_only: bool = False
) -> list[Duplicate]:
    """Returns what to drop so that no two splits have an image in common.

    From the smallest split up, an image is dropped when an image that a smaller split keeps has the same id or a hash
    within `max_distance` bits. What is left has no such pair.

    Args:
        splits: Of equally large ones, the earlier counts as the smaller.
        max_distance: In bits, 0..64.
        likeness_only: Whether images of the same id are copies only if they look alike.

    Returns:
        At most one duplicate an image, in the order of splits and their images.
    """
    order = sorted(range(len(splits)), key=lambda number: (len(splits[number].image_ids), number))
    unique, number_of_hash = _numbered_hashes(splits)
    neighbours = _neighbours(unique, number_of_hash, max_distance)
    kept_with_id: dict[str, tuple[int, int]] = {}
    kept_with_hash: dict[int, tuple[int, int]] = {}  # both of smaller splits
    found: list[Duplicate] = []
    for split in order:
        kept_here: list[tuple[int, int]] = []
        images = zip(splits[split].image_ids, number_of_hash[split].tolist(), strict=True)
        for image, (image_id, number) in enumerate(images):
            match, distance = None if likeness_only else kept_with_id.get(image_id), None
            if match is None and number >= 0:
                near = [(bits, kept_with_hash[other]) for other, bits in neighbours(number) if other in kept_with_hash]
                if near:
                    distance, match = min(near)
            if match is None:
                kept_here.append((image, number))
            else:
                found.append(Duplicate(split, image, *match, distance))
        for image, number in kept_here:
            kept_with_id[splits[split].image_ids[image]] = (split, image)
            if number >= 0:
                kept_with_hash.setdefault(number, (split, image))
    return sorted(found, key=lambda copy: (copy.split, copy.image))


def copies_within(split: SplitHashes, max_distance: int) -> tuple[int, int]:
    """Returns how many groups of several near-duplicates a split has, and how many images these have in all."""
    sizes = np.bincount(near_duplicate_groups(split.hashes[split.has_hash], max_distance))
    return int((sizes > 1).sum()), int(sizes[sizes > 1].sum())


def _numbered_hashes(splits: Sequence[SplitHashes]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Returns the U different hashes ([U] uint64), and of each split which of them an image has ([N] int64; or -1)."""
    unique = np.unique(np.concatenate([split.hashes[split.has_hash] for split in splits]))
    numbers = []
    for split in splits:
        places = np.searchsorted(unique, split.hashes)
        numbers.append(np.where(split.has_hash, places, -1).astype(np.int64))
    return unique, numbers


def _neighbours(
    unique: np.ndarray, number_of_hash: Sequence[np.ndarray], max_distance: int
) -> Callable[[int], Iterable[tuple[int, int]]]:
    """Returns a function that gives the hashes of other splits near a hash, itself first, with their distances."""
    splits_of_hash = np.zeros(len(unique), np.int64)  # a bit a split
    for split, numbers in enumerate(number_of_hash):
        splits_of_hash[numbers[numbers >= 0]] |= np.int64(1) << split
    near: dict[int, dict[int, int]] = {}
    for left, right, distances in near_pairs(unique, max_distance):
        across = np.bitwise_count(splits_of_hash[left] | splits_of_hash[right]) > 1
        for a, b, bits in zip(left[across].tolist(), right[across].tolist(), distances[across].tolist(), strict=True):
            near.setdefault(a, {})[b] = bits
            near.setdefault(b, {})[a] = bits
    return lambda number: [(number, 0), *near.get(number, {}).items()]
