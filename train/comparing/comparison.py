"""What a comparison finds: each detector's figures, the differences, and whether one is better than the first."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from train.comparing.candidate import Candidate, Cost
from train.comparing.compare_options import FIGURES, CompareOptions
from train.metrics.bootstrap import percentile_interval

ALL_CLASSES = "all classes"


@dataclasses.dataclass(frozen=True)
class Interval:
    """A figure, and between what it lies on most resamples; NaN where there is nothing to measure."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, samples: np.ndarray, confidence: float) -> Interval:
        """Takes the middle of some samples [R], those that are NaN left out."""
        low, high = (math.nan, math.nan) if math.isnan(value) else percentile_interval(samples, confidence)
        return cls(value, low, high)

    def to_json(self) -> dict[str, float | None]:
        """As JSON has it: null for what could not be measured."""
        return {
            name: None if math.isnan(value) else round(value, 6) for name, value in dataclasses.asdict(self).items()
        }


@dataclasses.dataclass(frozen=True)
class Difference:
    """How much better a detector is than the first in one figure.

    Attributes:
        gain: Its figure less the first one's.
        probability: The share of resamples in which it is better, of those in which they are equal a half; NaN where
            there is nothing to measure.
        certain: The share in which it is better by more than the least gain.
    """

    gain: Interval
    probability: float
    certain: float


@dataclasses.dataclass(frozen=True)
class Measured:
    """One detector.

    Attributes:
        candidate: What it is.
        cost: What it takes.
        threshold: The score from which its F1 counts detections.
        figures: By `FIGURES`, then by `ALL_CLASSES` or a class's name.
        differences: From the first detector, likewise; empty of the first itself.
    """

    candidate: Candidate
    cost: Cost
    threshold: float
    figures: Mapping[str, Mapping[str, Interval]]
    differences: Mapping[str, Mapping[str, Difference]]

    def is_better(self, options: CompareOptions) -> bool:
        """Whether it is better than the first one by the least gain, in a share of resamples that is the confidence."""
        return self.differences[options.metric][ALL_CLASSES].certain >= options.confidence


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Detectors on the same images.

    Attributes:
        detectors: The first is what the others are compared with.
        options: How.
        num_images: On how many images.
        num_objects: By class name, in the order of the label map.
    """

    detectors: Sequence[Measured]
    options: CompareOptions
    num_images: int
    num_objects: Mapping[str, int]

    @property
    def is_better(self) -> bool:
        """Whether all but the first are better than it."""
        return all(one.is_better(self.options) for one in self.detectors[1:])

    def to_json(self) -> dict[str, Any]:
        """Returns everything for a program."""
        return {
            **dataclasses.asdict(self.options),
            "num_images": self.num_images,
            "num_objects": dict(self.num_objects),
            "is_better": self.is_better,
            "detectors": [_detector_json(one, self.options) for one in self.detectors],
        }


def measured(
    candidate: Candidate,
    cost: Cost,
    threshold: float,
    names: Sequence[str],
    *,
    estimates: tuple[np.ndarray, np.ndarray],
    samples: tuple[np.ndarray, np.ndarray],
    options: CompareOptions,
    is_first: bool,
) -> Measured:
    """Sums up what was measured of one detector.

    Args:
        candidate: What it is.
        cost: What it takes.
        threshold: The score from which its F1 counts detections.
        names: Of the classes.
        estimates: Its figures on the images as they are, float64 [F, 1 + C], and the first detector's.
        samples: The same on resamples, float64 [F, 1 + C, R].
        options: How to compare.
        is_first: Whether it is the first itself.
    """
    rows = (ALL_CLASSES, *names)
    figures: dict[str, dict[str, Interval]] = {name: {} for name in FIGURES}
    differences: dict[str, dict[str, Difference]] = {} if is_first else {name: {} for name in FIGURES}
    for place, figure in enumerate(FIGURES):
        for row, name in enumerate(rows):
            own, first = (values[place, row] for values in estimates)
            own_samples, first_samples = (values[place, row] for values in samples)
            figures[figure][name] = Interval.of(float(own), own_samples, options.confidence)
            if not is_first:
                differences[figure][name] = _difference(float(own - first), own_samples - first_samples, options)
    return Measured(candidate, cost, threshold, figures, differences)


def _difference(gain: float, samples: np.ndarray, options: CompareOptions) -> Difference:
    """Compares on the resamples where both could be measured."""
    interval = Interval.of(gain, samples, options.confidence)
    samples = samples[~np.isnan(samples)]
    if not samples.size:
        return Difference(interval, math.nan, 0.0)
    probability = float(np.mean(samples > 0) + np.mean(samples == 0) / 2)
    return Difference(interval, probability, float(np.mean(samples > options.min_gain)))


def _detector_json(one: Measured, options: CompareOptions) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "letter": one.candidate.letter,
        "path": one.candidate.name,
        "kind": one.candidate.kind.value,
        "threshold": one.threshold if math.isfinite(one.threshold) else None,
        **dataclasses.asdict(one.cost),
        "figures": {
            figure: {name: value.to_json() for name, value in values.items()} for figure, values in one.figures.items()
        },
    }
    if one.differences:
        entry["is_better"] = one.is_better(options)
        entry["differences"] = {
            figure: {
                name: {
                    **value.gain.to_json(),
                    "probability": None if math.isnan(value.probability) else value.probability,
                    "share_beyond_min_gain": value.certain,
                }
                for name, value in values.items()
            }
            for figure, values in one.differences.items()
        }
    return entry
