"""Matching of one image's detections with its ground truth, as Pascal VOC and Open Images define it.

Detections are taken from the best score down. Each goes to the ground truth box of its class that it overlaps most;
with an IoU of at least the threshold, the first one to come to a box is a true positive and the others, like those that
overlap no box enough, false positives. Two kinds of boxes are different:

- a *difficult* box (Pascal VOC) need not be found, and what is found there counts neither way;
- a *group-of* box (Open Images) stands for several objects. What is no true positive and lies in one of its class, by
  at least the threshold as a part of the detection's own area, counts neither way; or all of these together as a true
  positive of a given weight, with the best one's score, where the metric wants groups to be found.

The meaning is that of the API's `utils/per_image_evaluation.py`; all classes are matched at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from data_prep.images import boxes as box_geometry
from train.metrics.measured_image import MeasuredImage


class MatchedDetections(NamedTuple):
    """The detections that count.

    Attributes:
        classes: int32 [K], label map ids.
        scores: float32 [K].
        true_positives: float32 [K], 1 for a true positive, a group's weight for one in a group, 0 for a false positive.
    """

    classes: np.ndarray
    scores: np.ndarray
    true_positives: np.ndarray


def match_detections(
    image: MeasuredImage,
    *,
    iou_threshold: float,
    difficult: np.ndarray,
    group_of: np.ndarray,
    group_of_weight: float,
) -> MatchedDetections:
    """Matches one image's detections with its ground truth.

    Args:
        image: N ground truth boxes. Reversed and empty detections are left out.
        iou_threshold: From 0 to 1; of the intersection over the detection's area for groups.
        difficult: bool [N], the boxes that need not be found.
        group_of: bool [N], the boxes around several objects.
        group_of_weight: Of a found group as a true positive; 0 leaves it out.
    """
    image = image.with_detections_where(box_geometry.is_valid(image.detection_boxes))
    order = np.argsort(-image.detection_scores, kind="stable")
    scores, classes = image.detection_scores[order], image.detection_classes[order]
    boxes = image.detection_boxes[order].astype(np.float64)

    def closest(overlaps: np.ndarray, of_truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns each detection's best box of its class, int [D], and whether it overlaps it enough, bool [D]."""
        if not overlaps.size:
            return np.zeros(len(boxes), np.intp), np.zeros(len(boxes), bool)
        same_class = classes[:, np.newaxis] == image.groundtruth_classes[of_truth][np.newaxis]
        overlaps = np.where(same_class, overlaps, -1.0)
        best = overlaps.argmax(axis=1)
        return best, overlaps[np.arange(len(boxes)), best] >= iou_threshold

    single, groups = np.flatnonzero(~group_of), np.flatnonzero(group_of)
    truth = image.groundtruth_boxes.astype(np.float64)
    best, is_close = closest(box_geometry.iou(boxes, truth[single]), single)
    in_difficult = is_close.copy()
    if single.size:
        in_difficult &= difficult[single][best]
    candidates = np.flatnonzero(is_close & ~in_difficult)
    is_right = np.zeros(len(boxes), bool)
    is_right[candidates[_firsts(best[candidates])]] = True

    shared = box_geometry.intersection(boxes, truth[groups]) / box_geometry.area(boxes)[:, np.newaxis]
    best_group, is_inside = closest(shared, groups)
    in_group = np.flatnonzero(is_inside & ~is_right & ~in_difficult)
    counts = ~in_difficult
    counts[in_group] = False
    matched = MatchedDetections(classes[counts], scores[counts], is_right[counts].astype(np.float32))
    if group_of_weight <= 0 or not in_group.size:
        return matched
    found = in_group[_firsts(best_group[in_group])]
    found = found[scores[found] > 0]  # as in the API, in which a score of 0 stands for "no detection"
    weights = np.full(len(found), group_of_weight, np.float32)
    return MatchedDetections(
        np.concatenate([matched.classes, classes[found]]),
        np.concatenate([matched.scores, scores[found]]),
        np.concatenate([matched.true_positives, weights]),
    )


def _firsts(values: np.ndarray) -> np.ndarray:
    """Returns where each value stands for the first time."""
    return np.unique(values, return_index=True)[1]
