"""The Pascal VOC metrics of the API's `utils/object_detection_evaluation.py`, and two relatives of them.

Average precision at an IoU of 0.5, where boxes marked as difficult need not be found. Crowds and groups are boxes like
others.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

from train.metrics.matched_metric import MatchedMetric
from train.metrics.measured_image import MeasuredImage, MetricsSet


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


METRICS_SETS: dict[str, MetricsSet] = {
    "pascal_voc_detection_metrics": lambda _, names_by_id: pascal_voc(names_by_id),
    "weighted_pascal_voc_detection_metrics": lambda _, names_by_id: weighted_pascal_voc(names_by_id),
    "precision_at_recall_detection_metrics": lambda eval_config, names_by_id: precision_at_recall(
        names_by_id,
        recall_lower_bound=eval_config.recall_lower_bound,
        recall_upper_bound=eval_config.recall_upper_bound,
        skip_predictions_for_unlabeled_class=eval_config.skip_predictions_for_unlabeled_class,
    ),
}
