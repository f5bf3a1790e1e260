"""Checks for suspicious boxes and images, which a person should see before training does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data_prep.images import boxes as box_geometry
from data_prep.inspection import data_set
from data_prep.inspection.data_set import DataSet

_OVERSHOOT = 1e-3  # of a box beyond its image, relative to it; less is printing and rounding
_ROWS_AT_A_TIME = 512  # of the comparison of an image's boxes with each other
_MAX_COUNTED = 3  # boxes of one kind that make an image more suspicious

# How much more suspicious an image is for a box of each kind, and for itself.
_BOX_WEIGHTS = {
    data_set.UNUSABLE: 8,
    data_set.DUPLICATE: 5,
    data_set.TWO_CLASSES: 4,
    data_set.TINY: 3,
    data_set.EXTREME_RATIO: 3,
    data_set.HUGE: 1,
}
_IMAGE_WEIGHTS = {
    data_set.BAD_RECORD: 8,
    data_set.NO_IMAGE: 6,
    data_set.REPEATED_ID: 6,
    data_set.SMALL_IMAGE: 3,
    data_set.MANY_BOXES: 2,
    data_set.NO_BOXES: 2,
}


@dataclass(frozen=True)
class Limits:
    """From where on something is suspicious.

    Attributes:
        tiny_pixels: A box whose shorter side is below this is tiny; in pixels of its image.
        tiny_share: The same where an image's size is not known, relative to its side.
        huge_share: A box that covers this share of its image or more is huge.
        extreme_ratio: A box this many times as long as wide, or more, is extreme.
        duplicate_iou: Two boxes with this intersection over union or more are one box drawn twice.
        many_boxes: An image with more boxes is suspicious.
        small_pixels: An image whose shorter side is below this is small.
    """

    tiny_pixels: float = 8.0
    tiny_share: float = 0.01
    huge_share: float = 0.95
    extreme_ratio: float = 8.0
    duplicate_iou: float = 0.9
    many_boxes: int = 100
    small_pixels: int = 64


def mark_suspicious(found: DataSet, limits: Limits) -> None:
    """Sets the flags of boxes and images that look wrong."""
    _mark_boxes(found, limits)
    _mark_duplicates(found, limits)
    counts = np.diff(found.box_offsets)
    _set(found.image_flags, counts == 0, data_set.NO_BOXES)
    _set(found.image_flags, counts > limits.many_boxes, data_set.MANY_BOXES)
    shorter = np.minimum(found.widths, found.heights)
    _set(found.image_flags, (shorter > 0) & (shorter < limits.small_pixels), data_set.SMALL_IMAGE)


def suspicion_scores(found: DataSet) -> npt.NDArray[np.int32]:
    """Returns how suspicious each image is, int32 [P] from 0; comparable, and meaning nothing else."""
    scores = np.zeros(found.num_images, np.int32)
    for bit, weight in _BOX_WEIGHTS.items():
        counts = np.bincount(found.box_images[(found.box_flags & bit) != 0], minlength=found.num_images)
        scores += weight * np.minimum(counts, _MAX_COUNTED).astype(np.int32)
    for bit, weight in _IMAGE_WEIGHTS.items():
        scores += weight * ((found.image_flags & bit) != 0).astype(np.int32)
    return scores


def _mark_boxes(found: DataSet, limits: Limits) -> None:
    raw, clipped = found.boxes, found.clipped_boxes()
    with np.errstate(invalid="ignore"):
        outside = (raw.min(axis=1, initial=0.0) < -_OVERSHOOT) | (raw.max(axis=1, initial=0.0) > 1 + _OVERSHOOT)
    unusable = ~box_geometry.is_valid(raw) | outside
    _set(found.box_flags, unusable, data_set.UNUSABLE)
    relative_sides = clipped[:, 2:] - clipped[:, :2]
    sides = found.box_sides()
    known = ~np.isnan(sides).any(axis=1)
    shorter = np.where(known, sides.min(axis=1, initial=np.inf), np.inf)
    tiny = np.where(known, shorter < limits.tiny_pixels, relative_sides.min(axis=1, initial=1.0) < limits.tiny_share)
    _set(found.box_flags, tiny, data_set.TINY)
    _set(found.box_flags, relative_sides.prod(axis=1) >= limits.huge_share, data_set.HUGE)
    # Without an image's size its own ratio is not known, and with it no box's.
    longer = np.where(known, sides.max(axis=1, initial=0.0), 0.0)
    extreme = known & (shorter > 0) & (longer >= limits.extreme_ratio * shorter)
    _set(found.box_flags, extreme, data_set.EXTREME_RATIO)


def _mark_duplicates(found: DataSet, limits: Limits) -> None:
    boxes = found.clipped_boxes()
    offsets = found.box_offsets
    for image in np.flatnonzero(np.diff(offsets) > 1):
        start, end = int(offsets[image]), int(offsets[image + 1])
        for first in range(start, end, _ROWS_AT_A_TIME):
            last = min(first + _ROWS_AT_A_TIME, end)
            overlaps = box_geometry.iou(boxes[first:last], boxes[start:end]) >= limits.duplicate_iou
            overlaps[np.arange(last - first), np.arange(first - start, last - start)] = False
            if not overlaps.any():
                continue
            is_same = found.box_classes[first:last, np.newaxis] == found.box_classes[np.newaxis, start:end]
            _set(found.box_flags[first:last], (overlaps & is_same).any(axis=1), data_set.DUPLICATE)
            _set(found.box_flags[first:last], (overlaps & ~is_same).any(axis=1), data_set.TWO_CLASSES)


def _set(flags: npt.NDArray[np.uint8] | npt.NDArray[np.uint16], where: npt.NDArray[np.bool_], bit: int) -> None:
    flags[where] |= flags.dtype.type(bit)
