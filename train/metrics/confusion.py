"""The confusion matrix of a detector: what its detections are, and what its misses were taken for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from train.metrics.box_matches import IOU_THRESHOLD, BoxMatches
from train.metrics.box_pairs import image_pairs, iou_of_pairs
from train.metrics.coco_matching import NO_MATCH

BACKGROUND = "background"


def confusion_matrix(matches: BoxMatches, thresholds: Mapping[int, float]) -> np.ndarray:
    """Counts by the class of the object and that of the detection.

    On the diagonal are the true positives, so that precision and recall at these thresholds are in the matrix. A
    detection that is none and overlaps an object of another class, which nothing found, by 0.5 is a confusion; each
    object has one at most, the one with the best score. Other detections are of background, other objects are missed.

    Args:
        matches: The classes, by ascending id, are those of the matrix.
        thresholds: The score from which detections of a class count, by its id.

    Returns:
        int64 [C + 1, C + 1], a row a class of objects, a column a class of detections; the last one is background.
    """
    ids = np.array(list(matches.names))
    detections, groundtruth = matches.detections, matches.groundtruth
    of_detection = np.searchsorted(ids, detections.classes)
    of_object = np.searchsorted(ids, groundtruth.classes)
    cuts = np.array([thresholds[class_id] for class_id in matches.names])
    counts = detections.scores >= cuts[of_detection]
    is_right = matches.is_right & counts
    matrix = np.zeros((len(ids) + 1, len(ids) + 1), np.int64)
    np.add.at(matrix, (of_object[matches.object_of[is_right]], of_detection[is_right]), 1)
    is_missed = np.ones(len(of_object), bool)
    is_missed[matches.object_of[is_right]] = False
    mistaken_for = _mistaken_for(matches, np.flatnonzero(counts & ~is_right), np.flatnonzero(is_missed))
    is_confused = mistaken_for != NO_MATCH
    confused = np.flatnonzero(is_missed)[is_confused]
    np.add.at(matrix, (of_object[confused], of_detection[mistaken_for[is_confused]]), 1)
    is_missed[confused] = False
    matrix[:, len(ids)] += np.bincount(of_object[is_missed], minlength=len(ids) + 1)
    is_background = counts & ~is_right
    is_background[mistaken_for[is_confused]] = False
    matrix[len(ids)] += np.bincount(of_detection[is_background], minlength=len(ids) + 1)
    return matrix


def _mistaken_for(matches: BoxMatches, wrong: np.ndarray, missed: np.ndarray) -> np.ndarray:
    """Returns the detection that each missed object was taken for, int64 [M], else `NO_MATCH`.

    Args:
        matches: The boxes.
        wrong: Places of detections that are no object, in descending order of the score.
        missed: Places of objects, M.
    """
    taken = np.full(len(missed), NO_MATCH, np.int64)
    detections, groundtruth = matches.detections, matches.groundtruth
    candidates: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for number, truth in image_pairs(detections.image[wrong], groundtruth.image[missed]):
        overlaps = iou_of_pairs(detections.boxes[wrong[number]], groundtruth.boxes[missed[truth]])
        is_other = detections.classes[wrong[number]] != groundtruth.classes[missed[truth]]
        is_near = is_other & (overlaps >= IOU_THRESHOLD)
        candidates.append((number[is_near], truth[is_near], overlaps[is_near]))
    if not candidates:
        return taken
    number, truth, overlaps = (np.concatenate(columns) for columns in zip(*candidates, strict=True))
    # The better detection first, and of it the closer object; of equally close ones the earlier one.
    order = np.lexsort((truth, -overlaps, number))
    has_object = np.zeros(len(wrong), bool)
    for detection, object_ in zip(number[order].tolist(), truth[order].tolist(), strict=True):
        if not has_object[detection] and taken[object_] == NO_MATCH:
            has_object[detection] = True
            taken[object_] = wrong[detection]
    return taken
