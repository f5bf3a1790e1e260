"""Average precision of a class on many resamples of the images at once, as COCO defines it.

A resample draws as many images as there are, with repetition, and so gives each image a weight: how often it was drawn.
Detections are matched within their image, so that a resample needs no matching of its own: the counts over precision
and recall are cumulative sums of weights. Between two right detections precision only falls, and COCO's average takes
the best precision from a recall on: right detections are all that has to be looked at.
"""

from __future__ import annotations

import numpy as np

from train.comparing.class_matches import ClassMatches

_RECALLS = np.linspace(0.0, 1.0, 101)  # at which COCO averages precision
_SLACK = np.float32(1e-3)  # of a recall in hundredths: more than float32 rounds, and what is too much is taken back


def average_precisions(matches: ClassMatches, weights: np.ndarray) -> np.ndarray:
    """Returns the average precision at each IoU threshold on each resample, float64 [T, R]; NaN without objects.

    Args:
        matches: Of one class, in I images.
        weights: float32 [I, R], how often each resample has each image.
    """
    num_objects = np.rint(matches.num_objects.astype(np.float64) @ weights)
    has_objects = num_objects > 0
    needed = _objects_needed(np.maximum(num_objects, 1.0))
    found = np.full((len(matches.is_right), weights.shape[1]), np.nan)
    seen = seen_of = np.zeros(0)
    for threshold, (is_right, counts) in enumerate(zip(matches.is_right, matches.counts, strict=True)):
        if threshold == 0 or not np.array_equal(counts, seen_of):
            # Weights of all detections from the best to each, zero for those that do not count.
            seen = np.cumsum(weights[matches.image] * counts[:, np.newaxis].astype(np.float32), axis=0)
            seen_of = counts
        right = np.flatnonzero(is_right)
        found[threshold] = _area(np.cumsum(weights[matches.image[right]], axis=0), seen[right], needed)
    found[:, ~has_objects] = np.nan
    return found


def _objects_needed(num_objects: np.ndarray) -> np.ndarray:
    """Returns how many objects must be found for each of COCO's recalls to be reached, float32 [101, R].

    By the comparison of float64 that pycocotools makes, in which 7 of 100 do not reach its recall of 0.07.
    """
    needed = np.ceil(_RECALLS[:, np.newaxis] * num_objects)
    needed -= (needed - 1 >= 0) & ((needed - 1) / num_objects >= _RECALLS[:, np.newaxis])
    needed += needed / num_objects < _RECALLS[:, np.newaxis]
    return needed.astype(np.float32)


def _area(found: np.ndarray, seen: np.ndarray, needed: np.ndarray) -> np.ndarray:
    """Returns the mean over COCO's recalls of the best precision from there on, float64 [R].

    Args:
        found: float32 [K, R], the weight of the right detections up to each.
        seen: float32 [K, R], of all detections up to each.
        needed: float32 [101, R], as `_objects_needed` returns it.
    """
    if not len(found):
        return np.zeros(found.shape[1])
    precision = found / np.maximum(seen, 1.0)
    best_from_here = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    hundredths = np.float32(100.0) / needed[-1]
    highest = np.minimum((found * hundredths + _SLACK).astype(np.int32), len(_RECALLS) - 1)
    reached = highest + (found >= np.take_along_axis(needed, highest, axis=0))  # so many of the recalls
    steps = np.diff(reached, axis=0, prepend=0)
    return (best_from_here * steps).sum(axis=0, dtype=np.float64) / len(_RECALLS)
