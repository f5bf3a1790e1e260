"""Figures of an evaluation as CSV, written whole or not at all; what could not be measured is an empty cell."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from data_prep.runtime.atomic_files import atomic_path


def cell(value: float) -> float | str:
    """Returns a figure for a cell: six digits, or nothing where it is not a number."""
    return round(value, 6) if math.isfinite(value) else ""


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes rows under a header."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
