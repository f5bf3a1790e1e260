"""Comparison of a TensorFlow Lite model with its checkpoint, before the NMS."""

from __future__ import annotations

import dataclasses

import numpy as np

from export.comparison import MAX_BOX_DIFFERENCE, MAX_SCORE_DIFFERENCE


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
