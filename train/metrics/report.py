"""Metrics for people (a table) and for programs (JSON)."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

from data_prep.runtime.atomic_files import write_json
from train.metrics.coco import BY_CATEGORY, BY_CATEGORY_50

# What a class has in the table: a column's head, and which metric it shows.
_COLUMNS = (
    ("AP", BY_CATEGORY),
    ("AP@.50", BY_CATEGORY_50),
    ("VOC", "PascalBoxes_PerformanceByCategory/AP@0.5IOU"),
    ("VOC-w", "WeightedPascalBoxes_PerformanceByCategory/AP@0.5IOU"),
    ("P@R", "PrecisionAtRecallBoxes_PerformanceByCategory/AP@0.5IOU"),
    ("OID-V2", "OpenImagesV2_PerformanceByCategory/AP@0.5IOU"),
    ("OID-ch", "OpenImagesDetectionChallenge_PerformanceByCategory/AP@0.5IOU"),
)
_OF_A_CATEGORY = "ByCategory/"  # in the name of every metric of one class
_NAME_WIDTH = 40  # longer class names are shortened


def metrics_table(
    metrics: Mapping[str, float], groundtruth_counts: Mapping[str, int], *, max_classes: int | None = None
) -> str:
    """Returns the metrics as text: one row a class, the best AP first, with a column a metric set, then the averages.

    Args:
        metrics: From an evaluator: by-category metrics and others. What could not be measured (-1 or NaN) is a dash.
        groundtruth_counts: How many ground truth boxes each class has, by name; none leaves out the classes.
        max_classes: How many classes to show at most, the most frequent ones; None shows all.
    """
    lines = [*_class_table(metrics, groundtruth_counts, max_classes), ""] if groundtruth_counts else []
    overall = {name: value for name, value in metrics.items() if _OF_A_CATEGORY not in name}
    overall_width = max(map(len, overall), default=0)
    lines += [f"{name:<{overall_width}}  {number_text(value):>6}" for name, value in overall.items()]
    return "\n".join(lines) + "\n"


def _class_table(
    metrics: Mapping[str, float], groundtruth_counts: Mapping[str, int], max_classes: int | None
) -> list[str]:
    counts = dict(groundtruth_counts)
    if max_classes is not None:
        counts = dict(sorted(counts.items(), key=lambda item: -item[1])[:max_classes])
    columns = [column for column in _COLUMNS if any(f"{column[1]}/{name}" in metrics for name in counts)]
    rows = [
        (name, count, [metrics.get(f"{prefix}/{name}", math.nan) for _, prefix in columns])
        for name, count in counts.items()
    ]
    rows.sort(key=lambda row: (*(-_sortable(value) for value in row[2][:1]), row[0]))
    width = max([len("class"), *(min(len(row[0]), _NAME_WIDTH) for row in rows)])
    lines = [f"{'class':<{width}}  {'boxes':>7}" + "".join(f"  {head:>6}" for head, _ in columns)]
    for name, count, values in rows:
        numbers = "".join(f"  {number_text(value):>6}" for value in values)
        lines.append(f"{shortened_name(name):<{width}}  {count:>7}{numbers}")
    left_out = len(groundtruth_counts) - len(rows)
    if left_out:
        lines.append(f"... and {left_out} classes with fewer boxes")
    return lines


def write_metrics_json(
    path: str | os.PathLike[str], metrics: Mapping[str, float], extra: Mapping[str, Any] | None = None
) -> None:
    """Writes the metrics as one JSON object, whole or not at all; what is not a number becomes null.

    Args:
        path: The file.
        metrics: Names and values.
        extra: What else to say: the step, the checkpoint, how many images.
    """
    values = {name: float(value) if math.isfinite(value) else None for name, value in metrics.items()}
    write_json(path, {**(extra or {}), "metrics": values}, indent=2)


def _sortable(value: float) -> float:
    return -2.0 if math.isnan(value) else value


def number_text(value: float) -> str:
    """Returns a figure from 0 on with three digits; a dash for what could not be measured (-1 or NaN)."""
    return "-" if math.isnan(value) or value < 0 else f"{value:.3f}"


def shortened_name(name: str) -> str:
    """Returns a class name for a table."""
    return name if len(name) <= _NAME_WIDTH else name[: _NAME_WIDTH - 2] + ".."
