"""Confidence intervals of the classes' thresholds, by a bootstrap over images."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from train.metrics.bootstrap import NUM_RESAMPLES, image_counts, percentile_interval
from train.metrics.box_matches import BoxMatches
from train.metrics.operating_points import Criterion, ScoreCurve

_MAX_CELLS = 4_000_000  # resamples x detections of a class, or images, that are in memory at once

Interval = tuple[float, float]


def threshold_intervals(
    matches: BoxMatches,
    curves: Mapping[int, ScoreCurve],
    criterion: Criterion,
    *,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> dict[int, Interval]:
    """Chooses each class's threshold again on each resample of the images.

    A threshold of a resample is one of the class's curve: between a score and the next lower one of all images.

    Args:
        matches: Of an evaluation.
        curves: Of the same, as `curves_by_class` makes them.
        criterion: What thresholds are chosen for.
        num_resamples: How many.
        seed: Of the draws.

    Returns:
        By label map id, the ends of the interval of `CONFIDENCE`. An end is infinite where no score gave what was asked
        for, and NaN of a class without objects. Resamples without an object of the class are left out.
    """
    if not matches.num_images:
        return dict.fromkeys(curves, (math.nan, math.nan))
    found, truth, is_right = matches.detections, matches.groundtruth, matches.is_right
    classes = {}
    for class_id, curve in curves.items():
        of_class = np.flatnonzero(found.classes == class_id)
        objects = truth.image[truth.classes == class_id]
        classes[class_id] = _ResampledClass(
            curve, found.image[of_class], is_right[of_class], np.bincount(objects, minlength=matches.num_images)
        )
    widest = max(matches.num_images, *(one.num_looked_at for one in classes.values()))
    thresholds: dict[int, list[np.ndarray]] = {class_id: [] for class_id in curves}
    at_once = max(1, min(num_resamples, _MAX_CELLS // widest))
    for counts in image_counts(matches.num_images, num_resamples, seed=seed, at_once=at_once):
        for class_id, one in classes.items():
            thresholds[class_id].append(one.choose(counts, criterion))
    return {class_id: percentile_interval(np.concatenate(values)) for class_id, values in thresholds.items()}


class _ResampledClass:
    """A class of which thresholds are chosen on resamples.

    Attributes:
        num_looked_at: Detections that a resample looks at: the worst that is right, and all better ones.
    """

    def __init__(self, curve: ScoreCurve, images: np.ndarray, is_right: np.ndarray, num_objects: np.ndarray) -> None:
        """Takes the class.

        Args:
            curve: Its curve.
            images: int [D], the image of each detection, best first.
            is_right: bool [D].
            num_objects: int [I], of each image.
        """
        ends = curve.ends[curve.rises] + 1
        self.num_looked_at = int(ends[-1]) if ends.size else 0
        self._thresholds = np.append(curve.thresholds[curve.rises], math.inf)  # the last one is that of place -1
        self._images = images[: self.num_looked_at]
        self._right_images = self._images[is_right[: self.num_looked_at]]
        self._starts = np.append(0, ends[:-1])
        self._right_starts = np.append(0, np.cumsum(is_right)[ends[:-1] - 1])
        self._num_objects = num_objects

    def choose(self, counts: np.ndarray, criterion: Criterion) -> np.ndarray:
        """Returns the thresholds of resamples, float64 [R]: infinite where there is none, NaN where no object is drawn.

        Args:
            counts: int32 [R, I], how often each image was drawn.
            criterion: What to choose for.
        """
        num_objects = counts @ self._num_objects
        if not self.num_looked_at:
            return np.where(num_objects > 0, math.inf, math.nan)
        right, total = (
            np.add.reduceat(counts[:, images], starts, axis=1).cumsum(axis=1)
            for images, starts in ((self._right_images, self._right_starts), (self._images, self._starts))
        )
        places = criterion.places(right, total - right, num_objects)
        return np.where(num_objects > 0, self._thresholds[places], math.nan)
