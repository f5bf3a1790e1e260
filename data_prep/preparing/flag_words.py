"""Flags as the words of a command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def flag_words(**flags: Any) -> list[str]:
    """Returns flags as words: None and False leave one out, True stands for itself, a list for several values."""
    words: list[str] = []
    for name, value in flags.items():
        if value is None or value is False:
            continue
        words.append(f"--{name}")
        if isinstance(value, Sequence) and not isinstance(value, str):
            words += map(str, value)
        elif value is not True:
            words.append(str(value))
    return words
