"""Flags that name files: an output must not take the place of an input, nor of another output."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from data_prep.runtime.command_line import UsageError


def refuse_same_paths(paths: Iterable[tuple[str, Path | None]]) -> None:
    """Refuses two flags that name one file.

    Args:
        paths: Flags and their files; those that are None do not count.

    Raises:
        UsageError: With both flags and the file.
    """
    seen: dict[Path, str] = {}
    for flag, path in paths:
        if path is None:
            continue
        if path.resolve() in seen:
            other = seen[path.resolve()]
            both = f"{flag} names {path} twice" if other == flag else f"{other} and {flag} are the same file, {path}"
            raise UsageError(f"{both}; give each its own")
        seen[path.resolve()] = flag
