"""Right and wrong detections of a detector from its threshold on, image by image."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from train.metrics.box_collection import BoxCollection
from train.metrics.box_matches import BoxMatches, match_collection
from train.metrics.operating_points import Criterion, curve_of_all


@dataclasses.dataclass(frozen=True)
class Operation:
    """A detector at the score from which its detections count.

    Attributes:
        matches: Of all its detections, whatever their score, at an IoU of 0.5.
        threshold: The score; infinite where no score gives what was asked for.
        counts: bool [D], whether each detection of `matches` counts.
        is_missed: bool [N], whether each object of `matches` is found by none that counts.
    """

    matches: BoxMatches
    threshold: float
    counts: np.ndarray
    is_missed: np.ndarray

    def image_counts(self) -> np.ndarray:
        """Returns what is right, wrong and missed, int64 [3, C, I], classes in the order of `matches.names`."""
        ids = np.array(list(self.matches.names))
        found, truth = self.matches.detections, self.matches.groundtruth
        shape = len(ids), self.matches.num_images

        def count(classes: np.ndarray, images: np.ndarray) -> np.ndarray:
            place = np.searchsorted(ids, classes) * shape[1] + images
            return np.bincount(place, minlength=shape[0] * shape[1]).reshape(shape)

        right, wrong = self.counts & self.matches.is_right, self.counts & ~self.matches.is_right
        return np.stack(
            [
                count(found.classes[right], found.image[right]),
                count(found.classes[wrong], found.image[wrong]),
                count(truth.classes[self.is_missed], truth.image[self.is_missed]),
            ]
        )


def operate(boxes: BoxCollection, *, criterion: Criterion, threshold: float | None) -> Operation:
    """Matches a detector's detections with the objects.

    Args:
        boxes: The detector's, with the ground truth.
        criterion: What its threshold is chosen for, one for all classes, on all of the images.
        threshold: That instead.
    """
    matches = match_collection(boxes)
    if threshold is None:
        point = criterion.choose(curve_of_all(matches))
        threshold = point.threshold if point is not None else math.inf
    counts = matches.detections.scores >= threshold
    is_missed = np.ones(len(matches.groundtruth.classes), bool)
    is_missed[matches.object_of[counts & matches.is_right]] = False
    return Operation(matches, threshold, counts, is_missed)


def f1_scores(counts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns F1 on each resample, float64 [1 + C, R]: of all classes counted together, then of each.

    Args:
        counts: As `Operation.image_counts` returns them, [3, C, I].
        weights: float32 [I, R], how often each resample has each image.

    Returns:
        NaN where there is nothing at all.
    """
    of_classes = counts.astype(np.float64) @ weights
    right, wrong, missed = np.concatenate([of_classes.sum(axis=1, keepdims=True), of_classes], axis=1)
    total = 2 * right + wrong + missed
    return np.divide(2 * right, total, out=np.full_like(total, np.nan), where=total > 0)
