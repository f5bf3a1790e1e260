"""Average precision at one IoU, class by class and on average: what Pascal VOC and Open Images metrics have in common.

Of each image only the classes, scores and verdicts of its detections are kept, 12 bytes a detection: 40,000 images
with 100 detections each take 48 MB, however many classes there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from train.metrics.average_precision import average_precision, precision_and_recall
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


def _concatenated(parts: list[MatchedDetections]) -> MatchedDetections:
    none = np.zeros(0, np.float32)
    empty = MatchedDetections(none.astype(np.int32), none, none)
    return MatchedDetections(*(np.concatenate(values) for values in zip(empty, *parts, strict=True)))
