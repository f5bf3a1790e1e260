"""The metric sets that `eval_config.metrics_set` may name, together on one input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from configs.settings.evaluation import EvalConfig
from train.metrics.coco import CocoEvaluator
from train.metrics.matched_metric import (
    open_images_challenge,
    open_images_v2,
    pascal_voc,
    precision_at_recall,
    weighted_pascal_voc,
)
from train.metrics.measured_image import MeasuredImage, Metric, check_named, unique_names


class MetricSets:
    """Measures every image with each of the sets, and counts what it is given.

    Attributes:
        num_images: How many images were added.
        num_repeated_ids: How many of them had the source id of an earlier one. They count as images of their own.
    """

    def __init__(self, eval_config: EvalConfig, names_by_id: Mapping[int, str]) -> None:
        """Starts empty.

        Args:
            eval_config: Names the sets, and says what they have to be told. With `ignore_groundtruth` nothing is
                measured, only counted.
            names_by_id: The classes to measure, by label map id.

        Raises:
            UsageError: A super category names a class that is not there.
        """
        self._names = unique_names(names_by_id)
        self._metrics: list[Metric] = []
        self._is_measuring = not eval_config.ignore_groundtruth
        if self._is_measuring:
            self._metrics = [_build(name, eval_config, names_by_id) for name in eval_config.metrics_sets]
        self._source_ids: set[str] = set()
        self._counts: Counter[int] = Counter()
        self.num_images = 0
        self.num_repeated_ids = 0

    def add(self, image: MeasuredImage) -> None:
        """Takes one image into account.

        Raises:
            UserError: A ground truth class is not among the names.
        """
        if self._is_measuring:
            check_named(image, self._names)
            self._counts.update(image.groundtruth_classes[~image.groundtruth_is_crowd].tolist())
        for metric in self._metrics:
            metric.add(image)
        self.num_images += 1
        self.num_repeated_ids += image.source_id in self._source_ids
        self._source_ids.add(image.source_id)

    def groundtruth_counts(self) -> dict[str, int]:
        """Returns how many ground truth boxes, crowds apart, each class has, by its name in the metrics."""
        return {name: self._counts[class_id] for class_id, name in self._names.items()} if self._is_measuring else {}

    def evaluate(self) -> dict[str, float]:
        """Returns the metrics of all sets by the API's names, in the order of the sets."""
        metrics: dict[str, float] = {}
        for metric in self._metrics:
            metrics.update(metric.evaluate())
        return metrics


def _build(name: str, eval_config: EvalConfig, names_by_id: Mapping[int, str]) -> Metric:
    if name == "coco_detection_metrics":
        return CocoEvaluator(
            names_by_id,
            all_metrics_per_category=(
                eval_config.include_metrics_per_category and eval_config.all_metrics_per_category
            ),
            super_categories={
                group: [member.strip() for member in members.split(",")]
                for group, members in sorted(eval_config.super_categories.items())
            },
            skip_predictions_for_unlabeled_class=eval_config.skip_predictions_for_unlabeled_class,
        )
    if name == "pascal_voc_detection_metrics":
        return pascal_voc(names_by_id)
    if name == "weighted_pascal_voc_detection_metrics":
        return weighted_pascal_voc(names_by_id)
    if name == "precision_at_recall_detection_metrics":
        return precision_at_recall(
            names_by_id,
            recall_lower_bound=eval_config.recall_lower_bound,
            recall_upper_bound=eval_config.recall_upper_bound,
            skip_predictions_for_unlabeled_class=eval_config.skip_predictions_for_unlabeled_class,
        )
    if name == "oid_V2_detection_metrics":
        return open_images_v2(names_by_id)
    if name == "oid_challenge_detection_metrics":
        return open_images_challenge(
            names_by_id,
            image_classes_field_map_empty_to_ones=eval_config.image_classes_field_map_empty_to_ones,
        )
    raise AssertionError(f"the settings take a metrics set that is not here: {name}")
