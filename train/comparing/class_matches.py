"""Which detections of a class are right at COCO's ten IoU thresholds, image by image: matched once, counted often."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from pycocotools.cocoeval import COCOeval, Params

from train.metrics.coco import MAX_DETECTIONS
from train.metrics.coco_boxes import Boxes, BoxList
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
    parts = []
    # Without an object there is no precision over recall, whatever was detected.
    if num_objects.any() and len(found.classes):
        images = np.unique(np.concatenate([truth.image, found.image])).tolist()
        with contextlib.redirect_stdout(io.StringIO()):  # where pycocotools reports its steps
            evaluation = COCOeval(truth.as_coco(images), found.as_coco(images), iouType="bbox")
            evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
            evaluation.params.maxDets = [MAX_DETECTIONS[-1]]
            evaluation.evaluate()
        parts = [part for part in evaluation.evalImgs if part is not None and part["dtIds"]]
    if not parts:
        none = np.zeros((len(_thresholds()), 0), bool)
        return ClassMatches(np.zeros(0, np.int64), none, none, num_objects)
    scores = np.concatenate([part["dtScores"] for part in parts])
    order = np.argsort(-scores, kind="stable")  # as pycocotools orders what has one score
    image = np.repeat([part["image_id"] for part in parts], [len(part["dtIds"]) for part in parts])
    counts = np.concatenate([np.asarray(part["dtIgnore"]) == 0 for part in parts], axis=1)[:, order]
    is_matched = np.concatenate([np.asarray(part["dtMatches"]) != 0 for part in parts], axis=1)[:, order]
    return ClassMatches(image[order], is_matched & counts, counts, num_objects)


def _thresholds() -> np.ndarray:
    return Params(iouType="bbox").iouThrs
