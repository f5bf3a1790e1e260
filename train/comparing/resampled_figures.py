"""Paired bootstrap over images: what figures would be on other images of the same kind.

All detectors are measured on the same draws of `train.metrics.bootstrap`. What makes images hard is the same for all of
them, and drops out of the differences.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from data_prep.runtime.progress import progress
from train.comparing.class_matches import ClassMatches
from train.comparing.operating import f1_scores
from train.comparing.resampled_precision import average_precisions
from train.metrics.bootstrap import image_counts

_AT_A_TIME = 100  # resamples: what is held in memory is so many numbers a detection of one class


@dataclasses.dataclass(frozen=True)
class DetectorMatches:
    """What is counted of one detector.

    Attributes:
        classes: Of each class at COCO's IoU thresholds, the first of which is 0.5.
        counts: int64 [3, C, I], as `Operation.image_counts` returns them.
    """

    classes: Sequence[ClassMatches]
    counts: np.ndarray


def measure(matches: DetectorMatches, weights: np.ndarray) -> np.ndarray:
    """Measures a detector on resamples.

    Args:
        matches: Its.
        weights: float32 [I, R], how often each resample has each image; ones measure on the images as they are.

    Returns:
        float64 [F, 1 + C, R]: `compare_options.FIGURES` of all classes, then of each. Of all classes, AP and AP@.50
        are means over those that have objects in the resample, F1 is of all counted together. NaN where there is
        nothing to measure.
    """
    of_classes = np.stack([average_precisions(one, weights) for one in matches.classes])  # [C, T, R]
    precisions = np.stack([of_classes.mean(axis=1), of_classes[:, 0]])  # of all thresholds, and of the first
    has_objects = ~np.isnan(precisions)
    total = np.where(has_objects, precisions, 0.0).sum(axis=1, keepdims=True)
    number = has_objects.sum(axis=1, keepdims=True)
    mean = np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)
    return np.concatenate([np.concatenate([mean, precisions], axis=1), f1_scores(matches.counts, weights)[np.newaxis]])


def resampled_figures(detectors: Sequence[DetectorMatches], *, resamples: int, seed: int) -> list[np.ndarray]:
    """Measures detectors on the same resamples of their images.

    Args:
        detectors: On the same images in the same order.
        resamples: How many.
        seed: Of the draws.

    Returns:
        Of each detector float64 [F, 1 + C, R], as `measure` returns it.
    """
    parts: list[list[np.ndarray]] = [[] for _ in detectors]
    draws = image_counts(detectors[0].counts.shape[-1], resamples, seed=seed, at_once=_AT_A_TIME)
    total = math.ceil(resamples / _AT_A_TIME)
    for drawn in progress(draws, description="resampling", total=total, unit=f"x {_AT_A_TIME} resamples"):
        weights = np.ascontiguousarray(drawn.T, np.float32)
        for part, matches in zip(parts, detectors, strict=True):
            part.append(measure(matches, weights))
    return [np.concatenate(part, axis=-1) for part in parts]
