"""Precision, recall and F1 against the score from which detections count, and the scores to choose."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

import numpy as np

from train.metrics.box_matches import BoxMatches

_ROUNDING = 1e-9  # 0.9 x 10 is not 9


@dataclasses.dataclass(frozen=True)
class OperatingPoint:
    """A score from which detections count, and what that gives.

    Attributes:
        threshold: Detections with this score or a higher one count; infinite where none do.
        true_positives: Detections that are an object.
        false_positives: The others.
        false_negatives: Objects that nothing found.
    """

    threshold: float
    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def precision(self) -> float:
        """Share of detections that are right, NaN without any."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """Share of objects that are found, NaN without any."""
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        """Harmonic mean of both: 2 TP / (2 TP + FP + FN); NaN where there is nothing at all."""
        return _ratio(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)


class ScoreCurve:
    """The counts at every threshold that makes a difference.

    Attributes:
        thresholds: float64 [K], descending: between a score and the next lower one, so that a score that is a little
            different elsewhere stays on its side. Of equal scores all count or none.
        true_positives: int64 [K], detections from there on that are right.
        false_positives: int64 [K], and that are not.
        num_groundtruth: Objects to find.
    """

    def __init__(self, scores: np.ndarray, is_right: np.ndarray, num_groundtruth: int) -> None:
        """Counts.

        Args:
            scores: float32 [D], descending.
            is_right: bool [D].
            num_groundtruth: Objects to find.
        """
        scores = scores.astype(np.float64)
        last = np.flatnonzero(np.diff(scores, append=-1.0) < 0)  # of those with one score
        self._scores = scores[last]
        below = np.append(self._scores[1:], 0.0)
        between = (self._scores + below) / 2
        rounded = np.round(between, 6)
        self.thresholds = np.where((rounded > below) & (rounded <= self._scores), rounded, between)
        self.true_positives = np.cumsum(is_right)[last]
        self.false_positives = np.cumsum(~is_right)[last]
        self.num_groundtruth = num_groundtruth

    def counts_at(self, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns how many detections from each threshold on are right, int64 [T], and how many are not."""
        numbers = len(self._scores) - np.searchsorted(self._scores[::-1], thresholds, side="left")
        right, wrong = np.append(0, self.true_positives)[numbers], np.append(0, self.false_positives)[numbers]
        return right.astype(np.int64), wrong.astype(np.int64)

    def at(self, threshold: float) -> OperatingPoint:
        """Returns what a threshold gives."""
        number = len(self._scores) - int(np.searchsorted(self._scores[::-1], threshold, side="left")) - 1
        right = int(self.true_positives[number]) if number >= 0 else 0
        wrong = int(self.false_positives[number]) if number >= 0 else 0
        return OperatingPoint(threshold, right, wrong, self.num_groundtruth - right)

    def best_f1(self) -> OperatingPoint | None:
        """Returns the point of the highest F1, of several the one of the highest threshold; None where F1 is 0."""
        f1 = 2 * self.true_positives / (self.true_positives + self.false_positives + max(self.num_groundtruth, 1))
        return self._point(f1.argmax()) if f1.size and f1.max() > 0 else None

    def with_precision(self, precision: float) -> OperatingPoint | None:
        """Returns the point of the highest recall with such a precision, or None where no threshold has it."""
        reached = self.true_positives >= precision * (self.true_positives + self.false_positives) - _ROUNDING
        reached &= self.true_positives > 0
        return self._point(np.flatnonzero(reached)[-1]) if reached.any() else None

    def with_recall(self, recall: float) -> OperatingPoint | None:
        """Returns the point of the highest threshold with such a recall, or None where no threshold has it."""
        reached = self.true_positives >= max(recall * self.num_groundtruth - _ROUNDING, 1)
        return self._point(reached.argmax()) if reached.any() else None

    def _point(self, number: int | np.integer) -> OperatingPoint:
        return self.at(float(self.thresholds[number]))


@dataclasses.dataclass(frozen=True)
class Criterion:
    """What a threshold is chosen for: `f1`, `precision=0.9` or `recall=0.8`.

    Attributes:
        kind: `f1`, `precision` or `recall`.
        value: That is wanted, above 0 up to 1; not of `f1`.
    """

    kind: str = "f1"
    value: float = 0.0

    @classmethod
    def of_text(cls, text: str) -> Criterion:
        """Reads a criterion.

        Raises:
            ValueError: It is none.
        """
        kind, equals, value = text.partition("=")
        if kind == "f1" and not equals:
            return BEST_F1
        if kind in ("precision", "recall") and 0.0 < float(value) <= 1.0:
            return cls(kind, float(value))
        raise ValueError(f"{text!r} is none of f1, precision=0.9 and recall=0.8")

    def __str__(self) -> str:
        return self.kind if self.kind == "f1" else f"{self.kind}={self.value:g}"

    def choose(self, curve: ScoreCurve) -> OperatingPoint | None:
        """Returns the point that it asks for, or None where no threshold gives it."""
        if self.kind == "f1":
            return curve.best_f1()
        return curve.with_precision(self.value) if self.kind == "precision" else curve.with_recall(self.value)


BEST_F1 = Criterion()


def curves_by_class(matches: BoxMatches) -> dict[int, ScoreCurve]:
    """Returns the curve of each class, by label map id; those without detections and objects too."""
    found, truth = matches.detections.classes, matches.groundtruth.classes
    ids = np.array(list(matches.names), found.dtype)
    order = np.argsort(found, kind="stable")  # so that each class is still by score
    starts, ends = (np.searchsorted(found[order], ids, side) for side in ("left", "right"))
    num_objects = np.bincount(truth, minlength=int(ids.max(initial=0)) + 1)
    scores, is_right = matches.detections.scores[order], matches.is_right[order]
    return {
        int(class_id): ScoreCurve(scores[start:end], is_right[start:end], int(num_objects[class_id]))
        for class_id, start, end in zip(ids, starts, ends, strict=True)
    }


def curve_of_all(matches: BoxMatches) -> ScoreCurve:
    """Returns the curve of all classes counted together, with one threshold for all."""
    return ScoreCurve(matches.detections.scores, matches.is_right, len(matches.groundtruth.classes))


def added_up(points: Iterable[OperatingPoint]) -> OperatingPoint:
    """Returns what classes give together, each at a threshold of its own; the sum's threshold is NaN."""
    counts = [(point.true_positives, point.false_positives, point.false_negatives) for point in points]
    right, wrong, missed = np.array(counts, np.int64).reshape(-1, 3).sum(axis=0).tolist()
    return OperatingPoint(math.nan, right, wrong, missed)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
