"""Which detection is which object, at an IoU of 0.5, by pycocotools' matching: what all figures at a score stand on.

Detections are taken from the best score down, class by class; each goes to the object of its class that it overlaps
most among those that none has, if by at least 0.5. What lies in a crowd, or in a group-of box, counts neither for nor
against. Of a class, the best 100 detections an image count, as in COCO's averages.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Mapping

import numpy as np
from pycocotools.cocoeval import COCOeval

from train.metrics.coco import MAX_DETECTIONS
from train.metrics.coco_boxes import Boxes, BoxList
from train.metrics.measured_image import MeasuredImage, check_named, unique_names

IOU_THRESHOLD = 0.5
NO_MATCH = -1


@dataclasses.dataclass(frozen=True)
class BoxMatches:
    """Detections D and ground truth N of many images; crowds, groups, and what is in them, are not among them.

    Attributes:
        names: Class names by label map id, each once.
        detections: In descending order of the score.
        groundtruth: The objects to find.
        object_of: int64 [D], the place in `groundtruth` of the object that each detection is, else `NO_MATCH`.
        num_images: Images looked at, those without any box among them.
    """

    names: Mapping[int, str]
    detections: Boxes
    groundtruth: Boxes
    object_of: np.ndarray
    num_images: int

    @property
    def is_right(self) -> np.ndarray:
        """Whether each detection is a true positive, bool [D]."""
        return self.object_of != NO_MATCH

    @property
    def detection_of(self) -> np.ndarray:
        """The place in `detections` of what found each object, int64 [N], else `NO_MATCH`."""
        found = np.full(len(self.groundtruth.classes), NO_MATCH, np.int64)
        found[self.object_of[self.is_right]] = np.flatnonzero(self.is_right)
        return found


class BoxMatcher:
    """Collects detections and ground truth image by image, then matches them."""

    def __init__(self, names_by_id: Mapping[int, str], *, skip_predictions_for_unlabeled_class: bool = False) -> None:
        """Starts empty.

        Args:
            names_by_id: The classes, by label map id; detections of others are left out.
            skip_predictions_for_unlabeled_class: As `CocoEvaluator`'s.
        """
        self._names = unique_names(names_by_id)
        self._ids = np.array(list(self._names), np.int32)
        self._skip_unlabeled = skip_predictions_for_unlabeled_class
        self._groundtruth = BoxList()
        self._detections = BoxList()
        self._num_images = 0

    def add(self, image: MeasuredImage) -> None:
        """Takes one image into account.

        Raises:
            UserError: A ground truth class is not among the names.
        """
        check_named(image, self._names)
        image = image.with_detections_where(np.isin(image.detection_classes, self._ids))
        if self._skip_unlabeled:
            image = image.of_verified_classes(none_means_all=True)
        is_region = image.groundtruth_is_crowd | image.groundtruth_group_of
        self._groundtruth.append(
            Boxes(
                self._num_images,
                image.groundtruth_boxes,
                image.groundtruth_classes,
                is_crowd=is_region,
                area=image.groundtruth_area,
            )
        )
        self._detections.append(
            Boxes(self._num_images, image.detection_boxes, image.detection_classes, scores=image.detection_scores)
        )
        self._num_images += 1

    def match(self) -> BoxMatches:
        """Matches what was added."""
        groundtruth, detections = self._groundtruth.all(), self._detections.all()
        object_of = np.full(len(detections.classes), NO_MATCH, np.int64)
        counts = np.zeros(len(detections.classes), bool)
        for class_id in self._names:
            of_truth = np.flatnonzero(groundtruth.classes == class_id)
            of_class = np.flatnonzero(detections.classes == class_id)
            _match_class(groundtruth, detections, of_truth, of_class, object_of, counts)
        is_object = groundtruth.is_crowd == 0
        new_place = np.append(np.cumsum(is_object) - 1, NO_MATCH)  # the last one is that of NO_MATCH
        kept = np.flatnonzero(counts)
        kept = kept[np.argsort(-detections.scores[kept], kind="stable")]
        return BoxMatches(
            names=self._names,
            detections=detections.where(kept),
            groundtruth=groundtruth.where(is_object),
            object_of=new_place[object_of[kept]],
            num_images=self._num_images,
        )


def _match_class(
    groundtruth: Boxes,
    detections: Boxes,
    of_truth: np.ndarray,
    of_class: np.ndarray,
    object_of: np.ndarray,
    counts: np.ndarray,
) -> None:
    """Fills in `object_of` and `counts` at the detections of one class.

    Args:
        groundtruth: Of all classes.
        detections: Of all classes.
        of_truth: The places of the class's ground truth.
        of_class: The places of its detections.
        object_of: int64 [D], of all detections.
        counts: bool [D], of all detections.
    """
    if not of_class.size:
        return
    truth, found = groundtruth.where(of_truth), detections.where(of_class)
    images = np.unique(np.concatenate([truth.image, found.image])).tolist()
    with contextlib.redirect_stdout(io.StringIO()):  # where pycocotools reports its steps
        evaluation = COCOeval(truth.as_coco(images), found.as_coco(images), iouType="bbox")
        evaluation.params.iouThrs = np.array([IOU_THRESHOLD])
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.params.maxDets = [MAX_DETECTIONS[-1]]
        evaluation.evaluate()
    for of_image in evaluation.evalImgs:
        if of_image is None or not of_image["dtIds"]:
            continue
        # Its ids count a class's boxes from 1, and 0 stands for no match.
        places = of_class[np.array(of_image["dtIds"], np.int64) - 1]
        truth_numbers = of_image["dtMatches"][0].astype(np.int64) - 1
        counts[places] = of_image["dtIgnore"][0] == 0
        is_match = truth_numbers >= 0
        object_of[places[is_match]] = of_truth[truth_numbers[is_match]]
