"""COCO's precision and recall of a class from the matches of its detections, as pycocotools' `COCOeval.accumulate`."""

from __future__ import annotations

import numpy as np

from train.metrics.box_collection import AREA_RANGES, IOU_THRESHOLDS, BoxCollection
from train.metrics.coco_matching import is_inside

MAX_DETECTIONS = (1, 10, 100)  # a class and image, the best first, as COCO counts them
RECALLS = np.linspace(0.0, 1.0, 101)


class ClassCurves:
    """Precision and recall of every class at COCO's thresholds, areas and numbers of detections."""

    def __init__(self, boxes: BoxCollection) -> None:
        """Matches the boxes, if that was not done yet.

        Args:
            boxes: Of all images.
        """
        groundtruth, detections, matches = boxes.groundtruth(), boxes.detections(), boxes.coco_matches()
        self._matches = matches
        counts = groundtruth.is_crowd == 0
        self._truth_classes = groundtruth.classes[counts]
        self._truth_inside = is_inside(groundtruth.area[counts].astype(np.float64), AREA_RANGES)
        found = detections.where(matches.detections)
        self._classes, self._scores = found.classes, found.scores
        sides = found.boxes[:, 2:].astype(np.float64) - found.boxes[:, :2]
        self._inside = is_inside(sides.prod(axis=1), AREA_RANGES)
        self._near_row = np.full(len(self._classes), -1, np.int64)
        self._near_row[matches.near] = np.arange(len(matches.near))

    def of_class(self, class_id: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Returns a class's precision, float64 [10, 101, 4], and recall, float64 [10, 4, 3], or None without objects.

        Axes are `IOU_THRESHOLDS`, `RECALLS`, `AREA_RANGES` and `MAX_DETECTIONS`. Both are -1 for areas without objects.
        Crowds alone are no objects: nothing can be recalled.

        Args:
            class_id: Its label map id.
        """
        truth_inside = self._truth_inside[self._truth_classes == class_id]
        if not len(truth_inside):
            return None
        start, end = np.searchsorted(self._classes, class_id, "left"), np.searchsorted(self._classes, class_id, "right")
        by_score = start + np.argsort(-self._scores[start:end], kind="stable")
        row = self._near_row[by_score]
        place = np.flatnonzero(row >= 0)  # among all of the class
        row = row[place]
        bits = np.arange(len(IOU_THRESHOLDS), dtype=np.uint16)
        matched = (self._matches.matched[row][:, :, np.newaxis] >> bits) & 1 == 1
        ignored = (self._matches.ignored[row][:, :, np.newaxis] >> bits) & 1 == 1
        is_right = matched & ~ignored
        # A detection without an object is wrong, unless it is outside of the range.
        inside = self._inside[by_score]
        matched_inside = matched & inside[place][:, :, np.newaxis]
        right = np.cumsum(is_right, axis=0, dtype=np.int32)
        wrong = np.cumsum(inside, axis=0, dtype=np.int32)[place][:, :, np.newaxis]
        wrong = wrong - np.cumsum(matched_inside, axis=0, dtype=np.int32)
        num_objects = np.count_nonzero(truth_inside, axis=0)
        precision = np.full((len(IOU_THRESHOLDS), len(RECALLS), len(AREA_RANGES)), -1.0)
        recall = np.full((len(IOU_THRESHOLDS), len(AREA_RANGES), len(MAX_DETECTIONS)), -1.0)
        rank = self._matches.rank[by_score[place]]
        for area in np.flatnonzero(num_objects):
            # The first true positive with which each recall is reached; of recall 0 it is the first of all.
            needed = np.searchsorted(np.arange(1, num_objects[area] + 1) / num_objects[area], RECALLS, side="left")
            for threshold in range(len(IOU_THRESHOLDS)):
                at_right = np.flatnonzero(is_right[:, area, threshold])
                precision[threshold, :, area] = _interpolated(
                    right[at_right, area, threshold], wrong[at_right, area, threshold], needed
                )
            for number, most in enumerate(MAX_DETECTIONS):
                recall[:, area, number] = np.count_nonzero(is_right[rank < most, area], axis=0) / num_objects[area]
        return precision, recall


def _interpolated(right: np.ndarray, wrong: np.ndarray, needed: np.ndarray) -> np.ndarray:
    """Returns the best precision from each recall on, float64 [101], 0 where it is not reached.

    Args:
        right: How many true positives there are up to each of them, itself included.
        wrong: How many false positives.
        needed: [101], the number of the true positive, from 0, that reaches each recall.
    """
    values = right / (wrong + right + np.spacing(1))
    best = np.maximum.accumulate(values[::-1])[::-1]
    return np.append(best, 0.0)[np.minimum(needed, len(best))]
