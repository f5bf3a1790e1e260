"""A folder that appears whole or not at all: filled under a temporary name beside its place, then renamed."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_TEMPORARY_PREFIX = ".partial-export-"


@contextlib.contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Yields a temporary folder beside `target`, which takes its place when all went well, and goes otherwise."""
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=target.parent, prefix=_TEMPORARY_PREFIX))
    try:
        yield staging
        staging.chmod(0o755)  # mkdtemp's folders can be read by their owner only, and a server is another user
        if target.is_dir() and not any(target.iterdir()):
            target.rmdir()
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
