"""The metric sets that `eval_config.metrics_set` may name, together on one input."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections import Counter
from collections.abc import Iterable, Mapping

from configs.settings.evaluation import EvalConfig
from configs.settings.plugins import METRIC, PluginPart
from train.metrics.box_collection import BoxCollection
from train.metrics.coco import CocoEvaluator
from train.metrics.measured_image import MeasuredImage, Metric, MetricsSet, check_named, unique_names


class MetricSets:
    """Measures every image with each of the sets, and counts what it is given.

    Attributes:
        boxes: What was added, for whatever else is to be found out; None with `ignore_groundtruth`.
        num_images: How many images were added.
        num_repeated_ids: How many of them had the source id of an earlier one. They count as images of their own.
    """

    def __init__(
        self, eval_config: EvalConfig, names_by_id: Mapping[int, str], plugins: Iterable[PluginPart] = ()
    ) -> None:
        """Starts empty.

        Args:
            eval_config: Names the sets, and says what they have to be told. With `ignore_groundtruth` nothing is
                measured, only counted.
            names_by_id: The classes to measure, by label map id.
            plugins: Metrics to measure beside the sets (`extensions.metric`); their names go before what they measure.

        Raises:
            UsageError: A super category names a class that is not there, or a plugin's function is not where the plugin
                says.
        """
        self._names = unique_names(names_by_id)
        self._metrics: list[Metric] = []
        self._is_measuring = not eval_config.ignore_groundtruth
        if self._is_measuring:
            self._metrics = [metrics_sets()[name](eval_config, names_by_id) for name in eval_config.metrics_sets]
            self._metrics += [_PluginMetric(part, names_by_id) for part in plugins]
        coco = next((metric for metric in self._metrics if isinstance(metric, CocoEvaluator)), None)
        self.boxes = coco.boxes if coco is not None else None
        self._collects = self._is_measuring and coco is None
        if self._collects:
            skip = eval_config.skip_predictions_for_unlabeled_class
            self.boxes = BoxCollection(names_by_id, skip_predictions_for_unlabeled_class=skip)
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
        if self._collects and self.boxes is not None:
            self.boxes.add(image)
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


class _PluginMetric:
    """A plugin's metric, whose name goes before the names of what it measures."""

    def __init__(self, part: PluginPart, names_by_id: Mapping[int, str]) -> None:
        self._name = part.name
        self._metric: Metric = part.function(METRIC)(names_by_id, part.own_settings(METRIC))

    def add(self, image: MeasuredImage) -> None:
        """See `Metric.add`."""
        self._metric.add(image)

    def evaluate(self) -> dict[str, float]:
        """See `Metric.evaluate`."""
        return {f"{self._name}/{name}": float(value) for name, value in self._metric.evaluate().items()}


@functools.cache
def metrics_sets() -> dict[str, MetricsSet]:
    """What builds each set of `configs.settings.evaluation.METRIC_PREFIXES`: what this folder's modules list."""
    package = __name__.rpartition(".")[0]
    found: dict[str, MetricsSet] = {}
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        found.update(getattr(importlib.import_module(f"{package}.{module.name}"), "METRICS_SETS", {}))
    return found
