"""Whether values are the reference's: differences, what is allowed, and the table of both.

The API differs from itself when its arithmetic library changes: by up to 6e-4 in a trunk's features, 1.6e-3 in logits,
1.5e-4 in decoded boxes, 2e-4 in scores, and 2e-5 of an SSD's loss. What is allowed here is of ten times that order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np

# Of the largest absolute value of what is compared.
ROUNDING = 2e-6
FEATURES = 1e-3
# Of each value.
LOSS = 1e-4
TRAINING = 1e-2


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One line of the table.

    Attributes:
        stage: What was compared.
        absolute: The largest absolute difference.
        relative: That, over the largest absolute value; or the largest of each value's own.
        passed: Whether the difference is allowed.
        note: What else there is to say.
    """

    stage: str
    absolute: float
    relative: float
    passed: bool
    note: str = ""


def of_range(stage: str, found: np.ndarray, expected: np.ndarray, tolerance: float, note: str = "") -> Comparison:
    """Compares arrays; a difference may be `tolerance` times the largest absolute value expected."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if found.shape != expected.shape:
        return Comparison(stage, np.inf, np.inf, False, f"shape {list(found.shape)}, expected {list(expected.shape)}")
    if not expected.size:
        return Comparison(stage, 0.0, 0.0, True, "nothing to compare")
    absolute = float(np.abs(found - expected).max())
    size = float(np.abs(expected).max())
    relative = absolute / size if size else absolute
    # Not "greater than": a difference that is not a number must fail.
    return Comparison(stage, absolute, relative, bool(relative <= tolerance), note)


def of_values(
    stage: str,
    found: Iterable[float],
    expected: Iterable[float],
    tolerance: float,
    *,
    floor: float = 1e-12,
    note: str = "",
) -> Comparison:
    """Compares numbers, each by itself: a difference may be `tolerance` times the number expected.

    Args:
        stage: What is compared.
        found: Numbers.
        expected: As many.
        tolerance: Allowed, of each number.
        floor: Numbers below it are compared as if they were of this size.
        note: For the table.
    """
    one, other = np.array(list(found), np.float64), np.array(list(expected), np.float64)
    if not other.size:
        return Comparison(stage, 0.0, 0.0, True, "nothing to compare")
    differences = np.abs(one - other)
    relative = float((differences / np.maximum(np.abs(other), floor)).max())
    return Comparison(stage, float(differences.max()), relative, bool(relative <= tolerance), note)


def exactly(stage: str, found: np.ndarray, expected: np.ndarray, note: str = "") -> Comparison:
    """Compares what must be equal."""
    return of_range(stage, found, expected, 0.0, note)


def worst(stage: str, comparisons: Iterable[Comparison], note: str = "") -> Comparison:
    """One line for many: the one that failed, or that differs most."""
    chosen = max(comparisons, key=lambda one: (not one.passed, one.relative))
    return dataclasses.replace(chosen, stage=stage, note=" ".join(filter(None, [note, chosen.note])))


def table(rows: Iterable[tuple[str, Comparison]]) -> str:
    """The table of (model, comparison), for a terminal."""
    lines = [("model", "stage", "largest difference", "relative", "verdict", "")]
    for model, row in rows:
        verdict = "same" if row.passed else "DIFFERS"
        lines.append((model, row.stage, f"{row.absolute:.3g}", f"{row.relative:.2g}", verdict, row.note))
    widths = [max(len(line[column]) for line in lines) for column in range(5)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[5]]).rstrip()
        for line in lines
    )


def with_prefix(prefix: str, comparisons: Iterable[Comparison]) -> Iterator[Comparison]:
    """The same, with a word before each stage."""
    for one in comparisons:
        yield dataclasses.replace(one, stage=f"{prefix}: {one.stage}")
