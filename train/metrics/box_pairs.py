"""Pairs of boxes that are in one image, of many images at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_PAIRS_AT_A_TIME = 1 << 18


def pairs_of_ranges(first: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns each place from 0, int64 [P], with each number from its `first` to before its `end`, int64 [P]."""
    counts = end - first
    place = np.repeat(np.arange(len(counts)), counts)
    before = np.cumsum(counts) - counts
    return place, np.arange(len(place)) - before[place] + first[place]


def image_pairs(
    images: np.ndarray, other_images: np.ndarray, *, at_a_time: int = _PAIRS_AT_A_TIME
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields all pairs of two boxes in one image, in parts, so that memory does not grow with their number.

    Args:
        images: int [N], the image that each box is in.
        other_images: int [M], and each of the others.
        at_a_time: About so many pairs are in a part.

    Yields:
        The places of the boxes, int64 [P], and of the others, int64 [P]. A box has all its pairs in one part, one after
        the other, by the places of the others.
    """
    order = np.argsort(images, kind="stable")
    other_order = np.argsort(other_images, kind="stable")
    first, end = (np.searchsorted(other_images[other_order], images[order], side) for side in ("left", "right"))
    done = np.cumsum(end - first)
    start = 0
    while start < len(order):
        before = int(done[start - 1]) if start else 0
        stop = max(int(np.searchsorted(done, before + at_a_time, "right")), start + 1)
        place, other = pairs_of_ranges(first[start:stop], end[start:stop])
        if place.size:
            yield order[place + start], other_order[other]
        start = stop


def iou_of_pairs(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Returns the IoU, float64 [P], of each box, float [P, 4], ymin xmin ymax xmax, with the other in its row.

    As `data_prep.images.boxes.iou` has it: two boxes without area have an IoU of 0.
    """
    ymin, xmin, ymax, xmax = boxes.T.astype(np.float64)
    other_ymin, other_xmin, other_ymax, other_xmax = others.T.astype(np.float64)
    heights = np.maximum(np.minimum(ymax, other_ymax) - np.maximum(ymin, other_ymin), 0)
    shared = heights * np.maximum(np.minimum(xmax, other_xmax) - np.maximum(xmin, other_xmin), 0)
    area = np.maximum(ymax - ymin, 0) * np.maximum(xmax - xmin, 0)
    other_area = np.maximum(other_ymax - other_ymin, 0) * np.maximum(other_xmax - other_xmin, 0)
    union = area + other_area - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
