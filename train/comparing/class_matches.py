"""Which detections of a class are right at COCO's ten IoU thresholds, image by image: matched once, counted often."""

from __future__ import annotations

import dataclasses

import numpy as np

from train.metrics.box_collection import IOU_THRESHOLDS, BoxCollection

_THRESHOLD_BITS = np.arange(len(IOU_THRESHOLDS), dtype=np.uint16)[:, np.newaxis]


@dataclasses.dataclass(frozen=True)
class ClassMatches:
    """Detections D of one class in I images, in descending order of the score, at T IoU thresholds.

    Attributes:
        image: int64 [D], the number of the image that each is in.
        is_right: bool [T, D], whether each is an object of its class that none with a better score is.
        counts: bool [T, D], false for what lies in a crowd, which counts neither for nor against.
        num_objects: int64 [I], what there is to find in each image, crowds left out.
    """

    image: np.ndarray
    is_right: np.ndarray
    counts: np.ndarray
    num_objects: np.ndarray


def match_classes(boxes: BoxCollection) -> list[ClassMatches]:
    """Returns the matches of COCO's averages class by class, in the order of `boxes.names`.

    Args:
        boxes: Of a detector, with the ground truth.
    """
    matches, groundtruth = boxes.coco_matches(), boxes.groundtruth()
    found = boxes.detections().where(matches.detections)  # by class, then image and rank
    is_object = groundtruth.is_crowd == 0
    bits = np.zeros((2, len(matches.detections)), np.uint16)
    bits[:, matches.near] = matches.matched[:, 0], matches.ignored[:, 0]
    of_classes = []
    for class_id in boxes.names:
        start, end = np.searchsorted(found.classes, (class_id, class_id + 1))
        # By image and rank among equal scores, as pycocotools orders them.
        order = start + np.argsort(-found.scores[start:end], kind="stable")
        is_matched, is_ignored = (bits[:, np.newaxis, order] >> _THRESHOLD_BITS) & 1 == 1
        objects = groundtruth.image[is_object & (groundtruth.classes == class_id)]
        of_classes.append(
            ClassMatches(
                found.image[order],
                is_matched & ~is_ignored,
                ~(is_matched & is_ignored),
                np.bincount(objects, minlength=boxes.num_images),
            )
        )
    return of_classes
