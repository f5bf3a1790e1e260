"""A comparison as text for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from train.comparing.compare_options import AP, FIGURES
from train.comparing.comparison import ALL_CLASSES, Comparison, Difference, Interval, Measured
from train.metrics.report import number_text, shortened_name

_MAX_CLASSES = 40


def comparison_table(comparison: Comparison) -> str:
    """Returns what each detector is and costs, the figures of each with the first's, and the verdicts."""
    options, first = comparison.options, comparison.detectors[0]
    total = sum(comparison.num_objects.values())
    head = f"{comparison.num_images} images, {total} objects, {options.resamples} resamples, intervals of "
    lines = [f"{head}{options.confidence:.0%}", "", *_detector_lines(comparison.detectors)]
    for other in comparison.detectors[1:]:
        lines += ["", *_difference_lines(comparison, first, other), "", verdict(comparison, other)]
    return "\n".join(lines)


def verdict(comparison: Comparison, other: Measured) -> str:
    """Returns whether a detector is better than the first, in a sentence."""
    options, first = comparison.options, comparison.detectors[0]
    share = other.differences[options.metric][ALL_CLASSES].certain
    by = f" by more than {options.min_gain:g}" if options.min_gain else ""
    letters = f"{other.candidate.letter} is {{}}better than {first.candidate.letter}"
    told = f"in {options.metric}{by} in {share:.1%} of the resamples, {options.confidence:.0%} are asked for"
    return f"{letters.format('' if other.is_better(options) else 'not shown to be ')}: {told}"


def gain_text(value: float) -> str:
    """Returns a difference with its sign and three digits; a dash for what could not be measured."""
    return "-" if math.isnan(value) else f"{value:+.3f}"


def _detector_lines(detectors: Sequence[Measured]) -> Iterator[str]:
    rows: list[tuple[str, ...]] = [("", "", "ms/image", "MB", "threshold")]
    for one in detectors:
        costs = ["-" if cost is None else f"{cost:.1f}" for cost in (one.cost.milliseconds, one.cost.megabytes)]
        threshold = f"{one.threshold:.3f}" if math.isfinite(one.threshold) else "-"
        rows.append((one.candidate.letter, f"{one.candidate.name} ({one.candidate.kind.value})", *costs, threshold))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for row in rows:
        texts = [f"{text:<{width}}" for text, width in zip(row[:2], widths, strict=False)]
        numbers = [f"{text:>{width}}" for text, width in zip(row[2:], widths[2:], strict=True)]
        yield "  ".join([*texts, *numbers])


def _difference_lines(comparison: Comparison, first: Measured, other: Measured) -> Iterator[str]:
    a, b = first.candidate.letter, other.candidate.letter
    names = sorted(comparison.num_objects, key=lambda name: -comparison.num_objects[name])
    shown = [name for name in names if comparison.num_objects[name]][:_MAX_CLASSES]
    width = max(len("all: AP@.50"), *(len(f"{shortened_name(name)}: {AP}") for name in shown))
    yield f"{'':<{width}}  objects  {a:^21}  {b:^21}  {f'{b} - {a}':^24}  P({b} better)"
    total = sum(comparison.num_objects.values())
    for figure in FIGURES:
        yield _row(f"all: {figure}", total, width, figure, ALL_CLASSES, first, other)
    for name in shown:
        yield _row(f"{shortened_name(name)}: {AP}", comparison.num_objects[name], width, AP, name, first, other)
    if len(names) > len(shown):
        yield f"and {len(names) - len(shown)} classes with fewer objects or none"


def _row(title: str, objects: int, width: int, figure: str, name: str, first: Measured, other: Measured) -> str:
    own = (_interval_text(one.figures[figure][name]) for one in (first, other))
    return f"{title:<{width}}  {objects:>7}  {'  '.join(own)}  {_difference_text(other.differences[figure][name])}"


def _interval_text(interval: Interval) -> str:
    value, low, high = map(number_text, (interval.value, interval.low, interval.high))
    return f"{f'{value} [{low}, {high}]':<21}"


def _difference_text(difference: Difference) -> str:
    value, low, high = map(gain_text, (difference.gain.value, difference.gain.low, difference.gain.high))
    probability = "-" if math.isnan(difference.probability) else f"{difference.probability:.3f}"
    return f"{f'{value} [{low}, {high}]':<24}  {probability}"
