"""Bootstrap over images: how often each image is drawn, resample by resample, and intervals of what resamples give.

Efron, "Bootstrap Methods: Another Look at the Jackknife", 1979; percentile intervals. Images are drawn and not boxes,
for the boxes of an image are not independent of each other.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

NUM_RESAMPLES = 1000
CONFIDENCE = 0.95


def image_counts(
    num_images: int, num_resamples: int = NUM_RESAMPLES, *, seed: int = 0, at_once: int = NUM_RESAMPLES
) -> Iterator[np.ndarray]:
    """Draws as many images as there are, with replacement, and counts.

    Args:
        num_images: I, at least one.
        num_resamples: How many times.
        seed: Of the draws, which do not depend on `at_once`.
        at_once: Resamples in a part, for what is made of them has to fit into memory.

    Yields:
        int32 [R, I], how often each resample has each image; R is `at_once`, and in the end what is left.
    """
    random = np.random.default_rng(seed)
    for first in range(0, num_resamples, at_once):
        rows = min(at_once, num_resamples - first)
        counts = np.empty((rows, num_images), np.int32)
        for row in range(rows):
            counts[row] = np.bincount(random.integers(num_images, size=num_images), minlength=num_images)
        yield counts


def percentile_interval(values: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Returns the interval that holds such a share of the values, as much being left out on either side.

    Args:
        values: [R], of the resamples; NaN where one has nothing to say, which is left out, and perhaps infinite.
        confidence: 0..1.

    Returns:
        Its ends, which are among the values; NaN where no value is left.
    """
    values = values[~np.isnan(values)]
    if not values.size:
        return np.nan, np.nan
    outside = (1.0 - confidence) / 2.0
    low, high = np.quantile(values, [outside, 1.0 - outside], method="inverted_cdf").tolist()
    return low, high
