"""Folders that are filled under a temporary name beside their place, so that they appear there whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from data_prep.runtime.atomic_files import TEMPORARY_PREFIX, held, remove_left_folders

_EXPORT_PREFIX = f"{TEMPORARY_PREFIX}export-"


@contextlib.contextmanager
def folder_beside(target: Path, prefix: str) -> Iterator[Path]:
    """Yields an empty folder beside `target`, named `prefix` and more, and removes what is left of it.

    What killed runs have left there under such names goes as well.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_left_folders(target.parent, prefix)
    folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=prefix))
    try:
        with held(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Yields a temporary folder beside `target`, which takes its place when all went well, and goes otherwise."""
    with folder_beside(target, _EXPORT_PREFIX) as staging:
        yield staging
        staging.chmod(0o755)  # mkdtemp's folders can be read by their owner only, and a server is another user
        if target.is_dir() and not any(target.iterdir()):
            target.rmdir()
        staging.rename(target)
