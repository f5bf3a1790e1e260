"""Which detections of a class are right at COCO's ten IoU thresholds, image by image: matched once, counted often."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from train.metrics.box_collection import AREA_RANGES, IOU_THRESHOLDS
from train.metrics.coco_boxes import Boxes, BoxList
from train.metrics.coco_matching import CocoMatches, match_boxes
from train.metrics.measured_image import MeasuredImage


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


def match_classes(
    images: Iterable[MeasuredImage], class_ids: Iterable[int], *, skip_predictions_for_unlabeled_class: bool = False
) -> Iterator[ClassMatches]:
    """Matches detections with ground truth as COCO's averages do, and yields each class.

    Args:
        images: Of known ground truth classes.
        class_ids: Label map ids, in the order in which the classes are wanted.
        skip_predictions_for_unlabeled_class: As `CocoEvaluator`'s.
    """
    groundtruth, detections, num_images = BoxList(), BoxList(), 0
    for number, given in enumerate(images):
        image = given.of_verified_classes(none_means_all=True) if skip_predictions_for_unlabeled_class else given
        truth = {"is_crowd": image.groundtruth_is_crowd, "area": image.groundtruth_area}
        groundtruth.append(Boxes(number, image.groundtruth_boxes, image.groundtruth_classes, **truth))
        found = {"scores": image.detection_scores}
        detections.append(Boxes(number, image.detection_boxes, image.detection_classes, **found))
        num_images = number + 1
    of_truth, of_detections = (_places_by_class(boxes.all().classes) for boxes in (groundtruth, detections))
    nothing = np.zeros(0, np.int64)
    for class_id in class_ids:
        truth_boxes = groundtruth.all().where(of_truth.get(class_id, nothing))
        yield _match(truth_boxes, detections.all().where(of_detections.get(class_id, nothing)), num_images)


def _places_by_class(classes: np.ndarray) -> Mapping[int, np.ndarray]:
    order = np.argsort(classes, kind="stable")
    ids, starts = np.unique(classes[order], return_index=True)
    return dict(zip(ids.tolist(), np.split(order, starts[1:]), strict=True)) if ids.size else {}


def _match(truth: Boxes, found: Boxes, num_images: int) -> ClassMatches:
    num_objects = np.bincount(truth.image[truth.is_crowd == 0], minlength=num_images)
    matches = match_boxes(truth, found, IOU_THRESHOLDS, AREA_RANGES[:1])
    is_matched, is_ignored = (_spread(bits[:, 0], matches) for bits in (matches.matched, matches.ignored))
    # By image and rank among equal scores, as pycocotools orders them.
    order = np.argsort(-found.scores[matches.detections], kind="stable")
    image = found.image[matches.detections]
    counts = ~(is_matched & is_ignored)
    return ClassMatches(image[order], (is_matched & ~is_ignored)[:, order], counts[:, order], num_objects)


def _spread(bits: np.ndarray, matches: CocoMatches) -> np.ndarray:
    """Returns bits of thresholds of those that overlap an object, uint16 [M], as bool [T, K] of all that count."""
    spread = np.zeros((len(IOU_THRESHOLDS), len(matches.detections)), bool)
    spread[:, matches.near] = (bits >> np.arange(len(IOU_THRESHOLDS))[:, np.newaxis]) & 1
    return spread
