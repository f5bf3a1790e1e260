"""The table of a sweep: mean and spread over the seeds of each row, as lines for people and as CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from statistics import fmean

from train.experiments.sweep_runs import Result

RUN_COLUMNS = ("row", "seed", "AP", "AP50", "steps", "cpu_seconds")
ROW_COLUMNS = ("row", "seeds", "AP", "AP_lowest", "AP_highest", "AP50", "AP50_lowest", "AP50_highest", "cpu_seconds")


@dataclasses.dataclass(frozen=True)
class Spread:
    """Mean, lowest and highest of some values."""

    mean: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        return cls(fmean(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.mean:.3f} ({self.lowest:.3f} to {self.highest:.3f})"


def markdown_table(results: Mapping[str, Mapping[int, Result]]) -> str:
    """Formats the table of a sweep.

    Args:
        results: By row and seed, in the rows' order; a row without results is left out.

    Returns:
        Markdown: name, AP and AP@.50 as mean (lowest to highest), the number of seeds, mean CPU seconds of a training.
    """
    lines = ["| | AP | AP@.50 | seeds | CPU seconds |", "|---|---|---|---|---|"]
    for name, by_seed in results.items():
        if by_seed:
            ap, ap50, seconds = _spreads(by_seed)
            lines.append(f"| {name} | {ap} | {ap50} | {len(by_seed)} | {seconds:.0f} |")
    return "\n".join(lines)


def rows_csv(results: Mapping[str, Mapping[int, Result]]) -> str:
    """The same as CSV, with a header of `ROW_COLUMNS`; AP from 0 to 1."""
    lines = []
    for name, by_seed in results.items():
        if by_seed:
            ap, ap50, seconds = _spreads(by_seed)
            spreads = [f"{value:.4f}" for one in (ap, ap50) for value in dataclasses.astuple(one)]
            lines.append([name, len(by_seed), *spreads, f"{seconds:.1f}"])
    return _csv(ROW_COLUMNS, lines)


def runs_csv(results: Mapping[str, Mapping[int, Result]]) -> str:
    """Every training as a line of CSV, with a header of `RUN_COLUMNS`; AP from 0 to 1."""
    lines = [
        [name, seed, f"{one.ap:.4f}", f"{one.ap50:.4f}", one.steps, one.cpu_seconds]
        for name, by_seed in results.items()
        for seed, one in by_seed.items()
    ]
    return _csv(RUN_COLUMNS, lines)


def _spreads(by_seed: Mapping[int, Result]) -> tuple[Spread, Spread, float]:
    values = list(by_seed.values())
    return (
        Spread.of([one.ap for one in values]),
        Spread.of([one.ap50 for one in values]),
        fmean(one.cpu_seconds for one in values),
    )


def _csv(columns: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(lines)
    return text.getvalue()
