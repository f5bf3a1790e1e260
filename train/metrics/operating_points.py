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
    def num_objects(self) -> int:
        """Objects to find."""
        return self.true_positives + self.false_negatives

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
        ends: int64 [K], the last detection that counts there.
        rises: int64 [T], the thresholds that let through more right ones than the next higher does. Others only add
            wrong ones, so that none is ever the best for anything.
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
        self.ends = np.flatnonzero(np.diff(scores, append=-1.0) < 0)  # of several with one score the last
        self._scores = scores[self.ends]
        below = np.append(self._scores[1:], 0.0)
        between = (self._scores + below) / 2
        rounded = np.round(between, 6)
        self.thresholds = np.where((rounded > below) & (rounded <= self._scores), rounded, between)
        self.true_positives = np.cumsum(is_right)[self.ends]
        self.false_positives = np.cumsum(~is_right)[self.ends]
        self.rises = np.flatnonzero(np.diff(self.true_positives, prepend=0))
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
        right, wrong = curve.true_positives[curve.rises], curve.false_positives[curve.rises]
        place = int(self.places(right, wrong, np.array(curve.num_groundtruth)))
        return curve.at(float(curve.thresholds[curve.rises[place]])) if place >= 0 else None

    def places(self, right: np.ndarray, wrong: np.ndarray, num_groundtruth: np.ndarray) -> np.ndarray:
        """Chooses among thresholds of one curve, or of many.

        Of those with the best F1 the highest, of those with the precision the lowest, of those with the recall the
        highest; of those that let the same detections through the highest.

        Args:
            right: int [..., T], detections from each threshold on that are right; thresholds fall.
            wrong: int [..., T], and that are not.
            num_groundtruth: int [...], objects to find.

        Returns:
            int64 [...], places among the thresholds; -1 where none gives what is asked for.
        """
        if not right.shape[-1]:
            return np.full(right.shape[:-1], -1, np.int64)
        total, wanted = right + wrong, num_groundtruth[..., np.newaxis]
        if self.kind == "f1":
            f1 = 2 * right / np.maximum(total + wanted, 1)
            return np.where(f1.max(axis=-1) > 0, f1.argmax(axis=-1), -1)
        if self.kind == "recall":
            reached = right >= np.maximum(self.value * wanted - _ROUNDING, 1)
            return np.where(reached.any(axis=-1), reached.argmax(axis=-1), -1)
        reached = (right >= self.value * total - _ROUNDING) & (right > 0)
        most = np.where(reached, right, 0).max(axis=-1)
        return np.where(most > 0, (right >= most[..., np.newaxis]).argmax(axis=-1), -1)


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
