"""Metrics for people (a table) and for programs (JSON)."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

from data_prep.atomic_files import write_json
from train.metrics.coco import BY_CATEGORY, BY_CATEGORY_50

_NAME_WIDTH = 40  # longer class names are shortened


def metrics_table(
    metrics: Mapping[str, float], groundtruth_counts: Mapping[str, int], *, max_classes: int | None = None
) -> str:
    """Returns the metrics as text: one row a class, the best AP first, then the averages.

    Args:
        metrics: From an evaluator: by-category metrics and others. What could not be measured (-1 or NaN) is a dash.
        groundtruth_counts: How many ground truth boxes each class has, by name.
        max_classes: How many classes to show at most, the most frequent ones; None shows all.
    """
    counts = dict(groundtruth_counts)
    if max_classes is not None:
        counts = dict(sorted(counts.items(), key=lambda item: -item[1])[:max_classes])
    rows = [
        (name, count, metrics.get(f"{BY_CATEGORY}/{name}"), metrics.get(f"{BY_CATEGORY_50}/{name}"))
        for name, count in counts.items()
    ]
    rows.sort(key=lambda row: (-_sortable(row[2]), row[0]))
    width = max([len("class"), *(min(len(row[0]), _NAME_WIDTH) for row in rows)])
    lines = [f"{'class':<{width}}  {'boxes':>7}  {'AP':>6}  {'AP@.50':>6}"]
    for name, count, average, average_50 in rows:
        lines.append(f"{_shortened(name):<{width}}  {count:>7}  {_number(average):>6}  {_number(average_50):>6}")
    left_out = len(groundtruth_counts) - len(rows)
    if left_out:
        lines.append(f"... and {left_out} classes with fewer boxes")
    lines.append("")
    overall = {name: value for name, value in metrics.items() if not name.startswith((BY_CATEGORY, BY_CATEGORY_50))}
    overall_width = max(map(len, overall), default=0)
    lines += [f"{name:<{overall_width}}  {_number(value):>6}" for name, value in overall.items()]
    return "\n".join(lines) + "\n"


def write_metrics_json(
    path: str | os.PathLike[str], metrics: Mapping[str, float], extra: Mapping[str, Any] | None = None
) -> None:
    """Writes the metrics as one JSON object, whole or not at all; what is not a number becomes null.

    Args:
        path: The file.
        metrics: Names and values.
        extra: What else to say: the step, the checkpoint, how many pictures.
    """
    values = {name: float(value) if math.isfinite(value) else None for name, value in metrics.items()}
    write_json(path, {**(extra or {}), "metrics": values}, indent=2)


def _sortable(value: float | None) -> float:
    return -2.0 if value is None or math.isnan(value) else value


def _number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) or value < 0 else f"{value:.3f}"


def _shortened(name: str) -> str:
    return name if len(name) <= _NAME_WIDTH else name[: _NAME_WIDTH - 2] + ".."
