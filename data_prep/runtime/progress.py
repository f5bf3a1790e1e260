"""A progress bar on a terminal, and one line every so often elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")

SECONDS_BETWEEN_LINES = 15.0


def progress(items: Iterable[Item], *, description: str, total: int | None = None, unit: str = "it") -> Iterator[Item]:
    """Yields from `items` and shows on standard error how far it has come.

    Args:
        items: What is worked through.
        description: What is being done, in a word or two.
        total: How many items there are; by default `len(items)` where that is known.
        unit: What one item is.
    """
    if total is None and hasattr(items, "__len__"):
        total = len(items)  # type: ignore[arg-type]
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, desc=description, total=total, unit=unit, dynamic_ncols=True)
        return
    yield from _lines(items, description, total, unit)


def _lines(items: Iterable[Any], description: str, total: int | None, unit: str) -> Iterator[Any]:
    start = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES:
            last = now
            of_total = f"/{total}" if total is not None else ""
            rate = done / (now - start)
            print(f"{description}: {done}{of_total} {unit}, {rate:.1f} {unit}/s", file=sys.stderr, flush=True)
