"""How detectors are compared: by which figure, and when one counts as better."""

from __future__ import annotations

import dataclasses

from train.metrics.bootstrap import CONFIDENCE, NUM_RESAMPLES

AP, AP_50, F1 = "AP", "AP@.50", "F1"
FIGURES = (AP, AP_50, F1)


@dataclasses.dataclass(frozen=True)
class CompareOptions:
    """How to compare.

    Attributes:
        metric: Which of `FIGURES` decides.
        min_gain: By how much a detector must be better than the first.
        confidence: The share of resamples in which it must be, and that intervals hold.
        resamples: How many.
        seed: Of the draws.
    """

    metric: str = AP
    min_gain: float = 0.0
    confidence: float = CONFIDENCE
    resamples: int = NUM_RESAMPLES
    seed: int = 0
