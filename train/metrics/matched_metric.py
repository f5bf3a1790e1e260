"""Average precision at an IoU of 0.5, class by class and on average: the Pascal VOC and the Open Images metrics.

Both are those of the API's `utils/object_detection_evaluation.py`. In Pascal VOC's, boxes marked as difficult need not
be found, and groups are boxes like others; in Open Images', some boxes go around groups of objects, not every class was
looked for in every image, and difficult boxes are boxes like others. Crowds are boxes like others in both.

Of each image only the classes, scores and verdicts of its detections are kept, 12 bytes a detection: 40,000 images
with 100 detections each take 48 MB, however many classes there are.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import numpy as np

from train.metrics.matching import MatchedDetections, match_detections
from train.metrics.measured_image import MeasuredImage, check_named, unique_names

IOU_THRESHOLD = 0.5
_IMAGES_PER_PART = 1000


class MatchedMetric:
    """Collects the verdicts on detections image by image, then measures."""

    def __init__(
        self,
        names_by_id: Mapping[int, str],
        prefix: str,
        *,
        prepare: Callable[[MeasuredImage], MeasuredImage] | None = None,
        knows_difficult: bool = False,
        knows_group_of: bool = False,
        group_of_weight: float = 0.0,
        all_classes_together: bool = False,
        recall_bounds: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        """Starts empty.

        Args:
            names_by_id: The classes to measure, by label map id.
            prefix: Of the metrics' names, such as `PascalBoxes`.
            prepare: What to do to each image first.
            knows_difficult: Difficult boxes need not be found; otherwise they are like others.
            knows_group_of: Group-of boxes stand for several objects; otherwise they are like others.
            group_of_weight: What finding a group-of box counts; 0: nothing, and missing it neither.
            all_classes_together: The mean is the average precision over the detections of all classes in one list, and
                not the mean of the classes' average precisions.
            recall_bounds: The lowest and the highest recall that count.
        """
        self._names = unique_names(names_by_id)
        self._ids = np.array(list(self._names), np.int32)
        self._prefix = prefix
        self._prepare = prepare
        self._knows_difficult = knows_difficult
        self._knows_group_of = knows_group_of
        self._group_of_weight = group_of_weight
        self._all_classes_together = all_classes_together
        self._recall_bounds = recall_bounds
        self._num_groundtruth = np.zeros(max(self._names, default=0) + 1)
        self._parts: list[MatchedDetections] = []
        self._num_small_parts = 0

    @property
    def mean_name(self) -> str:
        """The mean's name, such as `PascalBoxes_Precision/mAP@0.5IOU`."""
        name = f"{self._prefix}_Precision/mAP@{IOU_THRESHOLD}IOU"
        lower, upper = self._recall_bounds
        return f"{name}@[{lower:.1f},{upper:.1f}]Recall" if lower > 0.0 or upper < 1.0 else name

    def add(self, image: MeasuredImage) -> None:
        """Takes one image into account; detections of classes without a name are left out.

        Raises:
            UserError: A ground truth class is not among the names.
        """
        check_named(image, self._names)
        if self._prepare is not None:
            image = self._prepare(image)
        nowhere = np.zeros(len(image.groundtruth_classes), bool)
        difficult = image.groundtruth_difficult if self._knows_difficult else nowhere
        group_of = image.groundtruth_group_of if self._knows_group_of else nowhere
        weights = np.where(group_of, self._group_of_weight, 1.0) * ~difficult
        np.add.at(self._num_groundtruth, image.groundtruth_classes, weights)
        image = image.with_detections_where(np.isin(image.detection_classes, self._ids))
        self._parts.append(
            match_detections(
                image,
                iou_threshold=IOU_THRESHOLD,
                difficult=difficult,
                group_of=group_of,
                group_of_weight=self._group_of_weight,
            )
        )
        self._num_small_parts += 1
        if self._num_small_parts == _IMAGES_PER_PART:
            self._parts[-_IMAGES_PER_PART:] = [_concatenated(self._parts[-_IMAGES_PER_PART:])]
            self._num_small_parts = 0

    def evaluate(self) -> dict[str, float]:
        """Measures what was added.

        Returns:
            The mean, and `PREFIX_PerformanceByCategory/AP@0.5IOU/NAME` of each class; NaN for a class without ground
            truth, which the mean leaves out, and for the mean of none.
        """
        self._parts, self._num_small_parts = [_concatenated(self._parts)], 0
        matched = self._parts[0]
        order = np.argsort(matched.classes, kind="stable")
        starts, ends = (np.searchsorted(matched.classes[order], self._ids, side) for side in ("left", "right"))
        by_category = {}
        for class_id, name, start, end in zip(self._ids, self._names.values(), starts, ends, strict=True):
            key = f"{self._prefix}_PerformanceByCategory/AP@{IOU_THRESHOLD}IOU/{name}"
            by_category[key] = self._area(matched, order[start:end], self._num_groundtruth[class_id])
        if self._all_classes_together:
            is_there = self._num_groundtruth > 0
            mean = self._area(matched, np.flatnonzero(is_there[matched.classes]), self._num_groundtruth.sum())
        else:
            measured = [value for value in by_category.values() if not np.isnan(value)]
            mean = float(np.mean(measured)) if measured else float("nan")
        return {self.mean_name: mean, **by_category}

    def _area(self, matched: MatchedDetections, chosen: np.ndarray, num_groundtruth: float) -> float:
        if num_groundtruth <= 0:
            return float("nan")
        lower, upper = self._recall_bounds
        precision, recall = precision_and_recall(
            matched.scores[chosen], matched.true_positives[chosen], num_groundtruth
        )
        return average_precision(precision, recall, recall_lower_bound=lower, recall_upper_bound=upper)


def pascal_voc(names_by_id: Mapping[int, str]) -> MatchedMetric:
    """Returns `pascal_voc_detection_metrics`: the mean of the classes' average precisions."""
    return MatchedMetric(names_by_id, "PascalBoxes", knows_difficult=True)


def weighted_pascal_voc(names_by_id: Mapping[int, str]) -> MatchedMetric:
    """Returns `weighted_pascal_voc_detection_metrics`: the average precision of all classes' detections in one list.

    Frequent classes weigh more in it. Scores must be comparable from class to class.
    """
    return MatchedMetric(names_by_id, "WeightedPascalBoxes", knows_difficult=True, all_classes_together=True)


def precision_at_recall(
    names_by_id: Mapping[int, str],
    *,
    recall_lower_bound: float = 0.0,
    recall_upper_bound: float = 1.0,
    skip_predictions_for_unlabeled_class: bool = False,
) -> MatchedMetric:
    """Returns `precision_at_recall_detection_metrics`: like `pascal_voc`, over a part of the recalls.

    Args:
        names_by_id: The classes to measure, by label map id.
        recall_lower_bound: The lowest recall that counts, from 0 to 1.
        recall_upper_bound: The highest one.
        skip_predictions_for_unlabeled_class: Leaves out detections of classes that nobody looked for in the image.
    """
    prepare = None
    if skip_predictions_for_unlabeled_class:
        prepare = functools.partial(MeasuredImage.of_verified_classes, none_means_all=True)
    return MatchedMetric(
        names_by_id,
        "PrecisionAtRecallBoxes",
        prepare=prepare,
        knows_difficult=True,
        recall_bounds=(recall_lower_bound, recall_upper_bound),
    )


def open_images_v2(names_by_id: Mapping[int, str]) -> MatchedMetric:
    """Returns `oid_V2_detection_metrics`: what is found in a group of its class, and groups, count neither way.

    Every class is taken to have been looked for in every image: image-level labels are the challenge's.
    """
    return MatchedMetric(names_by_id, "OpenImagesV2", knows_group_of=True)


def open_images_challenge(
    names_by_id: Mapping[int, str], *, image_classes_field_map_empty_to_ones: bool = True
) -> MatchedMetric:
    """Returns `oid_challenge_detection_metrics`: groups are to be found once each, and only verified classes count.

    Args:
        names_by_id: The classes to measure, by label map id.
        image_classes_field_map_empty_to_ones: An image without verified classes was searched for all of them; else
            for none but those of its ground truth.
    """
    return MatchedMetric(
        names_by_id,
        "OpenImagesDetectionChallenge",
        prepare=functools.partial(
            MeasuredImage.of_verified_classes, none_means_all=image_classes_field_map_empty_to_ones
        ),
        knows_group_of=True,
        group_of_weight=1.0,
    )


def precision_and_recall(
    scores: np.ndarray, true_positives: np.ndarray, num_groundtruth: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns precision and recall, float64 [K] each, of the best detection, the best two, and so on.

    Args:
        scores: [K]; of equal ones the earlier comes first.
        true_positives: [K], the weight of a true positive, 0 for a false positive, which weighs 1.
        num_groundtruth: How much there is to find; above 0.
    """
    order = np.argsort(-scores, kind="stable")
    right = true_positives[order].astype(np.float64)
    num_right = np.cumsum(right)
    num_wrong = np.cumsum(right <= 0)
    return num_right / (num_right + num_wrong), num_right / num_groundtruth


def average_precision(
    precision: np.ndarray, recall: np.ndarray, *, recall_lower_bound: float = 0.0, recall_upper_bound: float = 1.0
) -> float:
    """Returns the area under precision over recall, where precision is the best one at that recall or a higher one.

    As the API's `utils/metrics.py`, of the points inside the bounds only: the best precision among them holds from
    recall 0 on, and from the last one on it is 0. Without any point, the area is 0.

    Args:
        precision: [K].
        recall: [K], ascending.
        recall_lower_bound: Points with a recall below it are left out.
        recall_upper_bound: Points with a recall above it are left out.
    """
    inside = (recall >= recall_lower_bound) & (recall <= recall_upper_bound)
    precision, recall = precision[inside], recall[inside]
    if not precision.size:
        return 0.0
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * best_from_here))


def _concatenated(parts: list[MatchedDetections]) -> MatchedDetections:
    none = np.zeros(0, np.float32)
    empty = MatchedDetections(none.astype(np.int32), none, none)
    return MatchedDetections(*(np.concatenate(values) for values in zip(empty, *parts, strict=True)))
