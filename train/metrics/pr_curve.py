"""Precision over recall at thresholds of equal distance, as TensorBoard's PR-curve plugin takes them."""

from __future__ import annotations

import numpy as np

from train.metrics.operating_points import ScoreCurve

NUM_THRESHOLDS = 101  # 0.00, 0.01 ... 1.00


def pr_curve(curve: ScoreCurve) -> np.ndarray:
    """Returns a curve as `tensorboard.plugins.pr_curve.metadata` has it.

    Returns:
        float32 [6, 101]: true positives, false positives, true negatives, false negatives, precision and recall, a
        column a threshold. A detector has no true negatives: zeros. Precision is 0 without detections, which the
        plugin leaves out, and recall without objects.
    """
    # Of the scores' type, in which 0.9 is 0.9.
    right, wrong = curve.counts_at(np.linspace(0.0, 1.0, NUM_THRESHOLDS, dtype=np.float32))
    precision = right / np.maximum(right + wrong, 1)
    recall = right / max(curve.num_groundtruth, 1)
    return np.stack(
        [right, wrong, np.zeros_like(right), curve.num_groundtruth - right, precision, recall], dtype=np.float32
    )
