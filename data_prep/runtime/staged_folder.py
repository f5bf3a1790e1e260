"""Folders that are filled under a temporary name beside their place, so that they appear there whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_TEMPORARY_PREFIX = ".partial-export-"


@contextlib.contextmanager
def folder_beside(target: Path, prefix: str) -> Iterator[Path]:
    """Yields an empty folder beside `target`, named `prefix` and more, and removes what is left of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=prefix))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Yields a temporary folder beside `target`, which takes its place when all went well, and goes otherwise."""
    with folder_beside(target, _TEMPORARY_PREFIX) as staging:
        yield staging
        staging.chmod(0o755)  # mkdtemp's folders can be read by their owner only, and a server is another user
        if target.is_dir() and not any(target.iterdir()):
            target.rmdir()
        staging.rename(target)
