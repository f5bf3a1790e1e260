"""Paired bootstrap over images: what figures would be on other images of the same kind.

Each resample draws as many images as there are, with repetition, and measures all detectors on the same draw (Efron and
Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13: percentile intervals). What makes images hard is the
same for all of them, and drops out of the differences.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from data_prep.runtime.progress import progress
from train.comparing.class_matches import ClassMatches
from train.comparing.operating import f1_scores
from train.comparing.resampled_precision import average_precisions

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


def draw_weights(num_images: int, resamples: int, random: np.random.Generator) -> np.ndarray:
    """Returns how often each resample draws each image, float32 [I, R]; each column adds up to I."""
    drawn = random.multinomial(num_images, np.full(num_images, 1.0 / num_images), size=resamples)
    return np.ascontiguousarray(drawn.T, np.float32)


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
    random = np.random.default_rng(seed)
    num_images = detectors[0].counts.shape[-1]
    parts: list[list[np.ndarray]] = [[] for _ in detectors]
    sizes = [min(_AT_A_TIME, resamples - start) for start in range(0, resamples, _AT_A_TIME)]
    for size in progress(sizes, description="resampling", unit=f"x {_AT_A_TIME} resamples"):
        weights = draw_weights(num_images, size, random)
        for part, matches in zip(parts, detectors, strict=True):
            part.append(measure(matches, weights))
    return [np.concatenate(part, axis=-1) for part in parts]
