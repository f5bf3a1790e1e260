"""What an evaluation says of the scores to ship a model with, and of its mistakes: figures, a table, and CSV files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from train.evaluation.figures_file import cell, write_csv
from train.evaluation.thresholds_file import FEW_OBJECTS, ClassThresholds, write_thresholds
from train.metrics.bootstrap import CONFIDENCE
from train.metrics.box_matches import BoxMatches
from train.metrics.calibration import expected_calibration_error, reliability
from train.metrics.confusion import BACKGROUND, confusion_matrix
from train.metrics.operating_points import BEST_F1, Criterion, OperatingPoint, added_up, curve_of_all, curves_by_class
from train.metrics.pr_curve import pr_curve
from train.metrics.report import number_text, shortened_name
from train.metrics.threshold_intervals import Interval, threshold_intervals
from train.metrics.tide import Mistake, TideErrors

CURVES_FILE, CONFUSION_FILE, RELIABILITY_FILE = "operating_points.csv", "confusion_matrix.csv", "reliability.csv"
USUAL_SCORE = 0.5  # the client's --min_score
ALL_CLASSES = "all classes"
_PREFIX = "OperatingPoint"
_STEPS = 100  # of the thresholds in the CSV
_KINDS = {  # in the order in which TIDE's authors list them
    Mistake.CLASSIFICATION: "classification",
    Mistake.LOCALIZATION: "localization",
    Mistake.BOTH: "both",
    Mistake.DUPLICATE: "duplicate",
    Mistake.BACKGROUND: "background",
    Mistake.MISSED: "missed",
}


class OperatingStudy:
    """Everything that follows from which detection is which object.

    Attributes:
        points: The point of each class, by label map id; its threshold is infinite where none is found.
        intervals: Of the chosen thresholds, by label map id; none of those that were given.
        purpose: What the thresholds are for.
        matches: Detections and objects.
        errors: The kinds of mistakes.
        costs: What each kind costs of the average precision at an IoU of 0.5.
    """

    def __init__(
        self, matches: BoxMatches, criterion: Criterion | ClassThresholds, *, with_intervals: bool = True
    ) -> None:
        """Computes it.

        Args:
            matches: Of an evaluation.
            criterion: What the thresholds are chosen for, or thresholds that were chosen elsewhere.
            with_intervals: Of chosen thresholds, which take longer than all the rest.
        """
        self.matches = matches
        self._curves = curves_by_class(matches)
        self._of_all = curve_of_all(matches)
        self.intervals: dict[int, Interval] = {}
        if isinstance(criterion, ClassThresholds):
            self.points = {class_id: curve.at(criterion.by_class[class_id]) for class_id, curve in self._curves.items()}
            self._of_one = BEST_F1
            self.purpose = criterion.operating_point
            self._title = f"{criterion.summary()}; measured at an IoU of 0.5:"
        else:
            self.points = {
                class_id: criterion.choose(curve) or curve.at(math.inf) for class_id, curve in self._curves.items()
            }
            if with_intervals:
                self.intervals = threshold_intervals(matches, self._curves, criterion)
            self._of_one = criterion
            self.purpose = str(criterion)
            self._title = f"thresholds for {criterion}, at an IoU of 0.5:"
        self._usual = {class_id: curve.at(USUAL_SCORE) for class_id, curve in self._curves.items()}
        self.errors = TideErrors(matches)
        self.costs = self.errors.costs()
        self._bins = reliability(matches)

    def metrics(self) -> dict[str, float]:
        """Returns the figures by name; NaN where there is nothing to measure.

        `OperatingPoint/{Precision,Recall,F1}` of all classes, counted together: `@score0.5`, at one threshold for all
        (`@OneThreshold`, with `OperatingPoint/OneThreshold`), and at the thresholds of the classes
        (`@ClassThresholds`); `OperatingPoint_PerformanceByCategory/{Precision,Recall,F1,Threshold}/NAME`, and of chosen
        thresholds the interval's ends, `ThresholdLow` and `ThresholdHigh`; `Calibration/ExpectedCalibrationError`;
        `TIDE/LostAP@.50IOU/KIND` and `TIDE/Count/KIND`.
        """
        one = self.one_threshold()
        together = {
            f"@score{USUAL_SCORE:g}": self._of_all.at(USUAL_SCORE),
            "@OneThreshold": one,
            "@ClassThresholds": added_up(self.points.values()),
        }
        metrics = {f"{_PREFIX}/{name}{at}": value for at, point in together.items() for name, value in _figures(point)}
        metrics[f"{_PREFIX}/OneThreshold"] = _finite(one.threshold)
        for class_id, point in self.points.items():
            interval = self.intervals.get(class_id, ())
            ends = zip(("ThresholdLow", "ThresholdHigh"), map(_finite, interval), strict=False)
            for name, value in (*_figures(point), ("Threshold", _finite(point.threshold)), *ends):
                metrics[f"{_PREFIX}_PerformanceByCategory/{name}/{self.matches.names[class_id]}"] = value
        metrics["Calibration/ExpectedCalibrationError"] = expected_calibration_error(self._bins)
        metrics.update({f"TIDE/LostAP@.50IOU/{name}": self.costs[kind] for kind, name in _KINDS.items()})
        counts = self.errors.counts()
        metrics.update({f"TIDE/Count/{name}": float(counts[kind]) for kind, name in _KINDS.items()})
        return metrics

    def pr_curves(self) -> dict[str, np.ndarray]:
        """Returns precision over recall of all classes counted together, and of each class, by name; see `pr_curve`."""
        by_class = {self.matches.names[class_id]: curve for class_id, curve in self._curves.items()}
        return {name: pr_curve(curve) for name, curve in {ALL_CLASSES: self._of_all, **by_class}.items()}

    def thresholds(self) -> dict[int, float]:
        """Returns the chosen thresholds by label map id; infinite where none is found."""
        return {class_id: point.threshold for class_id, point in self.points.items()}

    def confusion(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """Returns the confusion matrix at the chosen thresholds, int64 [C + 1, C + 1], and the names of its rows."""
        return confusion_matrix(self.matches, self.thresholds()), (*self.matches.names.values(), BACKGROUND)

    def table(self, max_classes: int = 40) -> str:
        """Returns a row a class and three for all together, and a line each on scores and mistakes.

        Args:
            max_classes: How many classes to show at most, those with the most objects.
        """
        names = self.matches.names
        shown = sorted(self.points, key=lambda class_id: -self.points[class_id].num_objects)[:max_classes]
        rows = [
            (names[class_id], self.points[class_id], self._interval_text(class_id), self._usual[class_id].f1)
            for class_id in shown
        ]
        usual = self._of_all.at(USUAL_SCORE)
        rows += [
            ("all, these thresholds", added_up(self.points.values()), "", usual.f1),
            ("all, one threshold", self.one_threshold(), "", usual.f1),
            (f"all, from {USUAL_SCORE:g} on", usual, "", usual.f1),
        ]
        width = max(len(shortened_name(name)) for name, *_ in rows)
        interval = (f"{f'{CONFIDENCE:.0%} interval':>14}",) if self.intervals else ()
        heads = ("objects", "threshold", *interval, "precision", "recall", "   F1", f"F1 at {USUAL_SCORE:g}")
        lines = [self._title, "", "  ".join([f"{'class':<{width}}", *heads])]
        for name, point, ends, usual_f1 in rows:
            figures = (*(value for _, value in _figures(point)), usual_f1)
            threshold = (number_text(_finite(point.threshold)), *((ends,) if interval else ()))
            cells = (str(point.num_objects), *threshold, *map(number_text, figures))
            aligned = (f"{cell:>{len(head)}}" for cell, head in zip(cells, heads, strict=True))
            lines.append("  ".join([f"{shortened_name(name):<{width}}", *aligned]))
        if len(self.points) > len(shown):
            lines.append(f"... and {len(self.points) - len(shown)} classes with fewer objects")
        return "\n".join([*lines, "", *self._remarks()]) + "\n"

    def _remarks(self) -> list[str]:
        names = self.matches.names
        few = [names[class_id] for class_id, point in self.points.items() if 0 < point.num_objects < FEW_OBJECTS]
        without = [
            names[class_id]
            for class_id, point in self.points.items()
            if math.isinf(point.threshold) and point.num_objects
        ]
        error = expected_calibration_error(self._bins)
        costs = ", ".join(f"{name} {number_text(self.costs[kind])}" for kind, name in _KINDS.items())
        remarks = [f"fewer than {FEW_OBJECTS} objects, which say little of a threshold: {_listed(few)}"] if few else []
        without_objects = [names[class_id] for class_id, point in self.points.items() if not point.num_objects]
        if without_objects:
            remarks.append(f"no objects to measure by: {_listed(without_objects)}")
        if without:
            remarks.append(f"no score gives {self.purpose or 'a threshold'}: {_listed(without)}")
        return [
            *remarks,
            f"expected calibration error {number_text(error)}",
            f"AP@.50 {number_text(self.errors.average_precision())}; lost to mistakes (TIDE): {costs}",
        ]

    def write(self, eval_dir: Path) -> None:
        """Writes the curves, the confusion matrix at the chosen thresholds, and the reliability of scores as CSV."""
        names = self.matches.names
        curves = [(class_id, names[class_id], curve) for class_id, curve in self._curves.items()]
        header = ("class_id", "name", "threshold", "precision", "recall", "f1", "true_positives", "false_positives",
                  "false_negatives")  # fmt: skip
        write_csv(
            eval_dir / CURVES_FILE,
            header,
            (
                (class_id, name, *_curve_row(curve.at(step / _STEPS)))
                for class_id, name, curve in (*curves, ("", ALL_CLASSES, self._of_all))
                for step in range(_STEPS + 1)
            ),
        )
        matrix, labels = self.confusion()
        rows = ((label, *row) for label, row in zip(labels, matrix.tolist(), strict=True))
        write_csv(eval_dir / CONFUSION_FILE, ("object, then detected as", *labels), rows)
        write_csv(
            eval_dir / RELIABILITY_FILE,
            ("lowest_score", "detections", "mean_score", "share_right"),
            ((one.lowest, one.count, cell(one.mean_score), cell(one.share_right)) for one in self._bins),
        )

    def write_thresholds(self, path: Path, *, source: str) -> None:
        """Writes the chosen thresholds for who ships the model; `source` is what was evaluated."""
        write_thresholds(
            path,
            self.points,
            self.intervals,
            self.matches.names,
            operating_point=self.purpose,
            source=source,
            num_images=self.matches.num_images,
        )

    def one_threshold(self) -> OperatingPoint:
        """Returns the point chosen for all classes together; its threshold is infinite where none is found."""
        return self._of_one.choose(self._of_all) or self._of_all.at(math.inf)

    def _interval_text(self, class_id: int) -> str:
        low, high = self.intervals.get(class_id, (math.nan, math.nan))
        return "-" if math.isnan(low) else " to ".join(number_text(_finite(end)) for end in (low, high))


def _figures(point: OperatingPoint) -> tuple[tuple[str, float], ...]:
    return ("Precision", point.precision), ("Recall", point.recall), ("F1", point.f1)


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.nan


def _listed(names: Sequence[str], most: int = 10) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _curve_row(point: OperatingPoint) -> tuple[Any, ...]:
    figures = (cell(value) for _, value in _figures(point))
    return point.threshold, *figures, point.true_positives, point.false_positives, point.false_negatives
