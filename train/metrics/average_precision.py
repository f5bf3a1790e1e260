"""Precision over recall, and the area under it as Pascal VOC computes it since 2010."""

from __future__ import annotations

import numpy as np


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
