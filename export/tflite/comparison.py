"""Comparison of a TensorFlow Lite model with its checkpoint, before and after the NMS."""

from __future__ import annotations

import dataclasses

import numpy as np

from data_prep.images.boxes import iou
from export.comparison import MAX_BOX_DIFFERENCE, MAX_SCORE_DIFFERENCE, Outputs, Totals

# Two boxes of one class that overlap so much are one detection.
_SAME_OBJECT_IOU = 0.5


@dataclasses.dataclass(frozen=True)
class RawDifferences:
    """Differences of the inputs of the NMS from the checkpoint's, over some images.

    Attributes:
        num_rows: How many anchors were compared.
        num_beyond_rounding: How many differ by more than another order of the same sums does.
        max_box_pixels: The largest difference of a coordinate, in pixels of the image as it was sent, over anchors
            that the checkpoint gives the least score or more.
        max_score: The largest difference of a score, over all.
        mean_score: The mean difference of a score, over all.
        num_other_classes: How many of those anchors have another best class.
    """

    num_rows: int = 0
    num_beyond_rounding: int = 0
    max_box_pixels: float = 0.0
    max_score: float = 0.0
    mean_score: float = 0.0
    num_other_classes: int = 0

    def __add__(self, other: RawDifferences) -> RawDifferences:
        """Both together."""
        rows = self.num_rows + other.num_rows
        total = self.mean_score * self.num_rows + other.mean_score * other.num_rows
        return RawDifferences(
            rows,
            self.num_beyond_rounding + other.num_beyond_rounding,
            max(self.max_box_pixels, other.max_box_pixels),
            max(self.max_score, other.max_score),
            total / max(rows, 1),
            self.num_other_classes + other.num_other_classes,
        )


def compare_before_nms(
    pixels_of_unit: np.ndarray,
    expected: tuple[np.ndarray, np.ndarray],
    found: tuple[np.ndarray, np.ndarray],
    min_score: float,
) -> RawDifferences:
    """Compares anchor by anchor.

    Args:
        pixels_of_unit: float32 [4], what a box is multiplied by to be in pixels of the image as it was sent.
        expected: The checkpoint's boxes [A, 4] (ymin xmin ymax xmax in 0..1 of the input) and scores [A, classes].
        found: The model's.
        min_score: The least score, for `RawDifferences`.
    """
    (boxes, scores), (other_boxes, other_scores) = expected, found
    box_difference = np.abs(boxes - other_boxes)
    score_difference = np.abs(scores - other_scores)
    limit = np.maximum(1.0, np.abs(boxes).max(axis=1)) * MAX_BOX_DIFFERENCE
    # Written so that what is no number counts as beyond.
    within = (box_difference.max(axis=1) <= limit) & (score_difference.max(axis=1) <= MAX_SCORE_DIFFERENCE)
    counts = scores.max(axis=1) >= min_score
    # Two classes that score the same may change places without anything having changed.
    of_best = np.take_along_axis(other_scores, scores.argmax(axis=1)[:, np.newaxis], axis=1)[:, 0]
    other_class = counts & (other_scores.max(axis=1) - of_best > MAX_SCORE_DIFFERENCE)
    return RawDifferences(
        num_rows=len(boxes),
        num_beyond_rounding=int((~within).sum()),
        max_box_pixels=float((box_difference * pixels_of_unit)[counts].max(initial=0.0)),
        max_score=float(score_difference.max(initial=0.0)),
        mean_score=float(score_difference.mean()),
        num_other_classes=int(other_class.sum()),
    )


@dataclasses.dataclass(frozen=True)
class Agreement(Totals):
    """Number of detections that two lists have in common, over some images.

    Attributes:
        num_expected: The checkpoint's detections of the least score or more.
        num_found: The model's.
        num_matched: How many of both are of one class and overlap by half or more.
        num_other_classes: How many of the checkpoint's are left over but overlap with one left over of another class.
        max_box_pixels: The largest difference of a coordinate of the matched, in pixels of the image as it was sent.
        max_score: The largest difference of a score of the matched.
    """

    num_expected: int = 0
    num_found: int = 0
    num_matched: int = 0
    num_other_classes: int = 0
    max_box_pixels: float = 0.0
    max_score: float = 0.0

    @property
    def share(self) -> float:
        """The matched of both lists as a share of both, 0..1; 1 where both are empty."""
        total = self.num_expected + self.num_found
        return 2.0 * self.num_matched / total if total else 1.0


def agree(size: tuple[int, int], expected: Outputs, found: Outputs, min_score: float) -> Agreement:
    """Pairs the detections of two lists, the checkpoint's best first, each with the one that overlaps it most.

    Args:
        size: Height and width of the image in pixels.
        expected: The checkpoint's, as `comparison.compare_detections` takes them.
        found: The model's.
        min_score: The least score that counts, in both.
    """
    ours, theirs = (_rows(outputs, min_score) for outputs in (expected, found))
    free = set(range(len(theirs[1])))
    pairs, alone = [], []
    for row in range(len(ours[1])):
        partner = _best_partner(row, ours, theirs, free, same_class=True)
        if partner is None:
            alone.append(row)
        else:
            free.remove(partner)
            pairs.append((row, partner))
    pixels = np.array([*size, *size], np.float32)
    return Agreement(
        num_expected=len(ours[1]),
        num_found=len(theirs[1]),
        num_matched=len(pairs),
        num_other_classes=sum(_best_partner(row, ours, theirs, free, same_class=False) is not None for row in alone),
        max_box_pixels=max((float((np.abs(ours[0][a] - theirs[0][b]) * pixels).max()) for a, b in pairs), default=0.0),
        max_score=max((float(abs(ours[1][a] - theirs[1][b])) for a, b in pairs), default=0.0),
    )


_Rows = tuple[np.ndarray, np.ndarray, np.ndarray]


def _rows(outputs: Outputs, min_score: float) -> _Rows:
    """Boxes, scores and classes of what was detected with the least score or more."""
    is_row = outputs["detection_scores"] >= min_score
    is_row &= np.arange(len(is_row)) < int(outputs["num_detections"])
    boxes, scores, classes = (outputs[f"detection_{key}"][is_row] for key in ("boxes", "scores", "classes"))
    return boxes, scores, classes


def _best_partner(row: int, ours: _Rows, theirs: _Rows, free: set[int], *, same_class: bool) -> int | None:
    candidates = np.array([other for other in sorted(free) if (theirs[2][other] == ours[2][row]) == same_class], int)
    if not candidates.size:
        return None
    overlaps = iou([ours[0][row]], theirs[0][candidates])[0]
    best = int(overlaps.argmax())
    return int(candidates[best]) if overlaps[best] >= _SAME_OBJECT_IOU else None
