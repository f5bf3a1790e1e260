"""Expected calibration error (Naeini et al., 2015): how far scores are from the share of detections that are right."""

from __future__ import annotations

import dataclasses

import numpy as np

from train.metrics.box_matches import BoxMatches

NUM_BINS = 10


@dataclasses.dataclass(frozen=True)
class ScoreBin:
    """The detections with a score in a tenth of 0..1.

    Attributes:
        lowest: The bin's lower end.
        count: How many they are.
        mean_score: Of them; NaN without any.
        share_right: That are true positives at an IoU of 0.5; NaN without any.
    """

    lowest: float
    count: int
    mean_score: float
    share_right: float


def reliability(matches: BoxMatches) -> list[ScoreBin]:
    """Returns the detections of all classes in bins of equal width."""
    scores, is_right = matches.detections.scores.astype(np.float64), matches.is_right
    # Multiplied as float32, in which 0.9 x 10 is 9; as float64 it is less.
    numbers = np.minimum((matches.detections.scores * np.float32(NUM_BINS)).astype(np.int64), NUM_BINS - 1)
    counts, score_sums, right = (
        np.bincount(numbers, weights, NUM_BINS) for weights in (np.ones(len(scores)), scores, is_right.astype(float))
    )
    with np.errstate(invalid="ignore"):
        means, shares = score_sums / counts, right / counts
    return [
        ScoreBin(number / NUM_BINS, int(counts[number]), float(means[number]), float(shares[number]))
        for number in range(NUM_BINS)
    ]


def expected_calibration_error(bins: list[ScoreBin]) -> float:
    """Returns the mean distance of score and share that is right, each bin by its count; NaN without detections."""
    total = sum(one.count for one in bins)
    if not total:
        return float("nan")
    return sum(one.count * abs(one.mean_score - one.share_right) for one in bins if one.count) / total
