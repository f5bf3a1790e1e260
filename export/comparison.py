"""Comparing two lists of detections, and two networks' raw predictions, image by image."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from data_prep.images.boxes import iou

# Folding batch norm rounds differently; anything beyond this is another model.
MAX_SCORE_DIFFERENCE = 1e-3
MAX_BOX_DIFFERENCE = 2e-3  # of the image's side
# Where two boxes of a class overlap at least so much and score the same, NMS may keep either: a near-tie.
_NEAR_TIE_IOU = 0.5
# Raw boxes of what scores less are as far off as the network has not learnt to put them; no detection comes of them.
_LEAST_RAW_SCORE = 0.01

_Own = TypeVar("_Own", bound="Totals")


class Totals:
    """Base of dataclasses that count over images; fields named `max_...` are maxima, and all others sums."""

    def __add__(self: _Own, other: _Own) -> _Own:
        """Both together."""
        fields = vars(self).keys()
        together = {name: max if name.startswith("max_") else operator.add for name in fields}
        return type(self)(**{name: together[name](vars(self)[name], vars(other)[name]) for name in fields})


@dataclasses.dataclass(frozen=True)
class Differences(Totals):
    """Differences of two lists of detections, over some images.

    Attributes:
        num_images: How many images were compared.
        num_compared: How many rows of the checkpoint's.
        max_box_pixels: The largest difference of a coordinate, in pixels of the image as it was sent, over rows that
            both have.
        max_score: The largest difference of a score, over rows that both have.
        num_other_classes: Rows to which the other gives another class.
        num_near_ties: Detections for which the other kept an overlapping box of the same class and score.
        unmatched: In words, rows that only one of the two has.
    """

    num_images: int = 0
    num_compared: int = 0
    max_box_pixels: float = 0.0
    max_score: float = 0.0
    num_other_classes: int = 0
    num_near_ties: int = 0
    unmatched: tuple[str, ...] = ()


Outputs = Mapping[str, np.ndarray]


def compare_raw(name: str, size: tuple[int, int], expected: Outputs, exported: Outputs) -> Differences:
    """Compares what two networks predict before the NMS, row by row.

    A row of Faster R-CNN is a proposal, and near-ties of the first stage change their order; where a row differs, the
    nearest one is taken.

    Args:
        name: Of the image, for words.
        size: Its height and width in pixels.
        expected: The checkpoint's `raw_detection_boxes` [A, 4] (ymin xmin ymax xmax) and `raw_detection_scores` [A, K].
        exported: The same of the SavedModel.
    """
    pixels = np.array([*size, *size], np.float32)
    boxes, others = expected["raw_detection_boxes"], exported["raw_detection_boxes"]
    scores, other_scores = expected["raw_detection_scores"], exported["raw_detection_scores"]
    partners = np.arange(len(boxes))
    limit = np.maximum(1.0, np.abs(boxes).max(axis=1)) * MAX_BOX_DIFFERENCE
    differ = np.abs(boxes - others).max(axis=1) > limit
    differ |= np.abs(scores - other_scores).max(axis=1) > MAX_SCORE_DIFFERENCE
    for row in np.flatnonzero(differ):
        distance = np.abs(others - boxes[row]).max(axis=1) + np.abs(other_scores - scores[row]).max(axis=1)
        partners[row] = distance.argmin()
    box_difference = np.abs(boxes - others[partners]).max(axis=1)
    score_difference = np.abs(scores - other_scores[partners]).max(axis=1)
    missing = (box_difference > limit) | (score_difference > MAX_SCORE_DIFFERENCE)
    matters = ~missing & (scores.max(axis=1) >= _LEAST_RAW_SCORE)
    in_pixels = np.abs((boxes - others[partners]) * pixels).max(axis=1)
    # Two classes that score the same may change places without anything having changed.
    best = np.take_along_axis(other_scores[partners], scores.argmax(axis=1)[:, np.newaxis], axis=1)[:, 0]
    other_class = matters & (other_scores[partners].max(axis=1) - best > MAX_SCORE_DIFFERENCE)
    return Differences(
        num_images=1,
        num_compared=len(boxes),
        max_box_pixels=float(in_pixels[matters].max(initial=0.0)),
        max_score=float(score_difference[~missing].max(initial=0.0)),
        num_other_classes=int(other_class.sum()),
        unmatched=tuple(f"{name}: only the checkpoint predicts row {row}" for row in np.flatnonzero(missing)),
    )


def compare_detections(
    name: str, size: tuple[int, int], expected: Outputs, exported: Outputs, *, exported_name: str = "SavedModel"
) -> Differences:
    """Compares two lists of detections, from both sides.

    Args:
        name: Of the image, for words.
        size: Its height and width in pixels.
        expected: The checkpoint's `detection_boxes` [D, 4] (ymin xmin ymax xmax in 0..1), `detection_scores` [D],
            `detection_classes` [D] and `num_detections`.
        exported: The SavedModel's.
        exported_name: What to call it, where it is no SavedModel.
    """
    found = _compare_ranks(name, expected, exported, exported_name)
    for owner, ours, others in (("checkpoint", expected, exported), (exported_name, exported, expected)):
        for row in range(int(ours["num_detections"])):
            found += _find(f"{name}: only the {owner} has", row, size, ours, others)
    return dataclasses.replace(found, num_images=1, num_compared=int(expected["num_detections"]))


def _compare_ranks(name: str, expected: Outputs, exported: Outputs, exported_name: str) -> Differences:
    """Compares scores by rank, which no near-tie excuses: a network whose scores are all alike has only ties."""
    difference = np.abs(expected["detection_scores"] - exported["detection_scores"])
    if difference.max(initial=0.0) <= MAX_SCORE_DIFFERENCE:
        return Differences()
    rank = int(difference.argmax())
    scores = expected["detection_scores"][rank], exported["detection_scores"][rank]
    words = f"{name}: score {scores[0]:.4f} at rank {rank}, {scores[1]:.4f} in the {exported_name}"
    return Differences(max_score=float(difference.max()), unmatched=(words,))


def _find(words: str, row: int, size: tuple[int, int], ours: Outputs, others: Outputs) -> Differences:
    box, score, class_id = (ours[f"detection_{key}"][row] for key in ("boxes", "scores", "classes"))
    count = int(others["num_detections"])
    score_difference = np.abs(others["detection_scores"][:count] - score)
    is_class = others["detection_classes"][:count] == class_id
    is_score = score_difference <= MAX_SCORE_DIFFERENCE
    candidates = np.flatnonzero(is_class & is_score)
    if candidates.size:
        difference = np.abs(others["detection_boxes"][candidates] - box)
        nearest = difference.max(axis=1).argmin()
        if difference[nearest].max() <= MAX_BOX_DIFFERENCE:
            pixels = float((difference[nearest] * np.array([*size, *size])).max())
            return Differences(max_box_pixels=pixels, max_score=float(score_difference[candidates[nearest]]))
        if iou([box], others["detection_boxes"][candidates]).max() >= _NEAR_TIE_IOU:
            return Differences(num_near_ties=1)
    if _is_cut(score, ours, others):
        return Differences()
    is_box = np.abs(others["detection_boxes"][:count] - box).max(axis=1) <= MAX_BOX_DIFFERENCE
    words = f"{words} class {class_id:.0f}, score {score:.4f}, box {np.round(box, 4).tolist()}"
    return Differences(num_other_classes=int((is_box & is_score & ~is_class).any()), unmatched=(words,))


def _is_cut(score: float, *sides: Outputs) -> bool:
    """Whether a score is so near the last one kept that the other list may have ended before it."""
    last = max(
        side["detection_scores"][int(side["num_detections"]) - 1] if side["num_detections"] else 0.0 for side in sides
    )
    return bool(score <= last + MAX_SCORE_DIFFERENCE)
