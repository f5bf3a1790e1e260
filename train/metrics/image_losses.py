"""What an image costs: how much F1 would rise if it had no mistakes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from train.metrics.box_matches import BoxMatches


def f1_losses(matches: BoxMatches, thresholds: Mapping[int, float]) -> np.ndarray:
    """Returns by how much F1 of all images together would rise if one of them had no mistakes, float64 [I].

    F1 is 2 TP / (N + D), of TP true positives, N objects and D detections. Without its mistakes, an image has all its
    objects found, and no other detection.

    Args:
        matches: Of I images.
        thresholds: The score from which detections of a class count, by its id.
    """
    detections, groundtruth = matches.detections, matches.groundtruth
    cuts = np.zeros(max(matches.names, default=0) + 1)
    cuts[list(thresholds)] = list(thresholds.values())
    counts = detections.scores >= cuts[detections.classes]
    is_right = matches.is_right & counts
    right = np.bincount(detections.image[is_right], minlength=matches.num_images)
    wrong = np.bincount(detections.image[counts & ~is_right], minlength=matches.num_images)
    missed = np.bincount(groundtruth.image, minlength=matches.num_images) - right
    total = len(groundtruth.classes) + np.count_nonzero(counts)
    f1 = 2 * right.sum() / max(total, 1)
    return 2 * (right.sum() + missed) / np.maximum(total - wrong + missed, 1) - f1
