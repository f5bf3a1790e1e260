"""Agreement of two lists of detections, of which one comes of a network that was made smaller or faster."""

from __future__ import annotations

import dataclasses

import numpy as np

from data_prep.images.boxes import iou
from export.comparison import Outputs, Totals

# Two boxes of one class that overlap so much are one detection.
_SAME_OBJECT_IOU = 0.5


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
