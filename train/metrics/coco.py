"""COCO detection metrics under the Object Detection API's names.

Precision and recall are those of pycocotools' `COCOeval.accumulate`, on the matches of `coco_matching`: one class at a
time, in memory that grows with the boxes. pycocotools holds an entry for every class and image at once: for 600 classes
and 100,000 images that alone is gigabytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from configs.settings.evaluation import EvalConfig
from data_prep.runtime.command_line import UsageError
from train.metrics.box_collection import BoxCollection
from train.metrics.coco_curves import MAX_DETECTIONS, ClassCurves
from train.metrics.measured_image import MeasuredImage, MetricsSet

PREFIX = "DetectionBoxes"
BY_CATEGORY = f"{PREFIX}_PerformanceByCategory/mAP"
BY_CATEGORY_50 = f"{PREFIX}_PerformanceByCategory/mAP@.50IOU"
NOTHING_TO_MEASURE = -1.0  # pycocotools' and the API's value where there is no ground truth (of that size)

_MAP, _MAP_50 = "Precision/mAP", "Precision/mAP@.50IOU"
_SIZES = ("small", "medium", "large")  # less than 32^2 pixels, up to 96^2, more; pycocotools' area 0 is "all"
_IOU_50, _IOU_75 = 0, 5  # places of these thresholds in 0.50, 0.55 ... 0.95


class CocoEvaluator:
    """Collects detections and ground truth image by image, then measures.

    Attributes:
        boxes: What was added.
    """

    def __init__(
        self,
        names_by_id: Mapping[int, str],
        *,
        all_metrics_per_category: bool = False,
        super_categories: Mapping[str, Sequence[str]] | None = None,
        skip_predictions_for_unlabeled_class: bool = False,
    ) -> None:
        """Starts empty.

        Args:
            names_by_id: The classes to measure, by label map id.
            all_metrics_per_category: Measures each class in all twelve ways, not by its average precision only.
            super_categories: Names of groups, and of the classes in each, to average over.
            skip_predictions_for_unlabeled_class: Leaves out detections of classes that nobody looked for in the
                image; an image without verified classes was searched for all of them.

        Raises:
            UsageError: A super category names a class that is not there.
        """
        self.boxes = BoxCollection(
            names_by_id, skip_predictions_for_unlabeled_class=skip_predictions_for_unlabeled_class
        )
        self._all_metrics_per_category = all_metrics_per_category
        self._super_categories = super_categories or {}
        for group, members in self._super_categories.items():
            unknown = [member for member in members if member not in self.boxes.names.values()]
            if unknown:
                raise UsageError(
                    f"eval_config.super_categories[{group!r}] names {unknown[0]!r}, which is not in the label map"
                )

    def add(self, image: MeasuredImage) -> None:
        """Takes one image into account. Detections in a crowd count neither for nor against.

        Raises:
            UserError: A ground truth class is not among the names.
        """
        self.boxes.add(image)

    def evaluate(self) -> dict[str, float]:
        """Measures what was added.

        Returns:
            The API's names and values. Where there is no ground truth, as for small objects in a set without any, the
            value is -1. `DetectionBoxes_PerformanceByCategory/mAP/NAME` and `.../mAP@.50IOU/NAME`, and where asked for
            all twelve as `... ByCategory/NAME`, are NaN where the class has no ground truth (of that size).
            `DetectionBoxes_PerformanceBySuperCategory/GROUP`, and likewise all twelve as `... BySuperCategory/GROUP`,
            are the means over those of its classes that could be measured.
        """
        by_class, everything = self.boxes.once(_averages)
        summaries = {self.boxes.names[class_id]: summary for class_id, summary in by_class.items()}
        by_category: dict[str, float] = {}
        for name, summary in summaries.items():
            by_category[f"{BY_CATEGORY}/{name}"] = summary[_MAP]
            by_category[f"{BY_CATEGORY_50}/{name}"] = summary[_MAP_50]
        metrics = {f"{PREFIX}_{metric}": value for metric, value in everything.items()}
        metrics.update(self._by_super_category(summaries))
        if self._all_metrics_per_category:
            for name, summary in summaries.items():
                by_category.update({f"{PREFIX}_{metric} ByCategory/{name}": summary[metric] for metric in summary})
        return {**metrics, **by_category}

    def _by_super_category(self, summaries: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
        metrics = {}
        for group, members in self._super_categories.items():
            means = {
                metric: _mean_of_measured([summaries[member][metric] for member in members])
                for metric in _summary([], [])
            }
            metrics[f"{PREFIX}_PerformanceBySuperCategory/{group}"] = means[_MAP]
            if self._all_metrics_per_category:
                metrics.update({f"{PREFIX}_{metric} BySuperCategory/{group}": means[metric] for metric in means})
        return metrics


def class_averages(boxes: BoxCollection) -> dict[int, dict[str, float]]:
    """Returns COCO's twelve numbers of each class, by its id and by names such as `Precision/mAP (small)`.

    What cannot be measured, for want of ground truth (of that size), is NaN. `CocoEvaluator.evaluate` of the same boxes
    has computed them already.
    """
    return boxes.once(_averages)[0]


def _averages(boxes: BoxCollection) -> tuple[dict[int, dict[str, float]], dict[str, float]]:
    """Returns the numbers of each class, NaN where there is nothing to measure, and of all, -1 there."""
    precision: list[np.ndarray] = []
    recall: list[np.ndarray] = []
    by_class: dict[int, dict[str, float]] = {}
    curves = ClassCurves(boxes)
    for class_id in boxes.names:
        of_class = curves.of_class(class_id)
        if of_class is not None:
            precision.append(of_class[0])
            recall.append(of_class[1])
        summary = _summary(precision[-1:], recall[-1:]) if of_class is not None else _summary([], [])
        by_class[class_id] = {
            metric: float("nan") if value == NOTHING_TO_MEASURE else value for metric, value in summary.items()
        }
    return by_class, _summary(precision, recall)


def _summary(precision: list[np.ndarray], recall: list[np.ndarray]) -> dict[str, float]:
    """Returns COCO's twelve numbers over some classes, each -1 where there is nothing to measure.

    Args:
        precision: [10, 101, 4] of each class.
        recall: [10, 4, 3] of each class.
    """
    precisions = np.array(precision).reshape(-1, 10, 101, 4)
    recalls = np.array(recall).reshape(-1, 10, 4, len(MAX_DETECTIONS))
    numbers = {
        _MAP: _mean(precisions[..., 0]),
        _MAP_50: _mean(precisions[:, _IOU_50, :, 0]),
        "Precision/mAP@.75IOU": _mean(precisions[:, _IOU_75, :, 0]),
    }
    for area, size in enumerate(_SIZES, start=1):
        numbers[f"{_MAP} ({size})"] = _mean(precisions[..., area])
    for place, count in enumerate(MAX_DETECTIONS):
        numbers[f"Recall/AR@{count}"] = _mean(recalls[:, :, 0, place])
    for area, size in enumerate(_SIZES, start=1):
        numbers[f"Recall/AR@{MAX_DETECTIONS[-1]} ({size})"] = _mean(recalls[:, :, area, -1])
    return numbers


def _mean(values: np.ndarray) -> float:
    """Returns the mean of what could be measured, or -1 if nothing could."""
    measured = values[values > -1]
    return float(measured.mean()) if measured.size else NOTHING_TO_MEASURE


def _mean_of_measured(values: Sequence[float]) -> float:
    """Returns the mean of what is not NaN, or NaN if nothing is."""
    measured = [value for value in values if not np.isnan(value)]
    return float(np.mean(measured)) if measured else float("nan")


def _coco(eval_config: EvalConfig, names_by_id: Mapping[int, str]) -> CocoEvaluator:
    return CocoEvaluator(
        names_by_id,
        all_metrics_per_category=eval_config.include_metrics_per_category and eval_config.all_metrics_per_category,
        super_categories={
            group: [member.strip() for member in members.split(",")]
            for group, members in sorted(eval_config.super_categories.items())
        },
        skip_predictions_for_unlabeled_class=eval_config.skip_predictions_for_unlabeled_class,
    )


METRICS_SETS: dict[str, MetricsSet] = {"coco_detection_metrics": _coco}
