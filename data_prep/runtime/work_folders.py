"""Locks on folders that runs write to, and removal of what killed runs have left there half written."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from data_prep.runtime.atomic_files import TEMPORARY_PREFIX
from data_prep.runtime.command_line import UserError

# As `atomic_files` names them; other steps' temporary files are theirs to remove.
_LEFTOVER: Final = re.compile(re.escape(TEMPORARY_PREFIX) + r"[0-9a-f]{12}-.*\.jpg", re.DOTALL)
_NAME_LENGTH: Final = 80  # that atomic_files keeps of a name


@contextlib.contextmanager
def exclusive_folder(directory: str | Path, *files: Path) -> Iterator[None]:
    """Holds a folder against other runs, and removes what a killed one has left half written.

    Args:
        directory: The folder for ID.jpg; made if missing.
        files: What else a run writes, elsewhere.

    Raises:
        UserError: Another run holds it.
        OSError: The folder cannot be made.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"another run is at work in {folder}; wait for it, or name another folder") from error
        left = [*folder.glob(f"{TEMPORARY_PREFIX}*.jpg")]
        for file in files:
            left += file.parent.glob(f"{TEMPORARY_PREFIX}*-{glob.escape(file.name[-_NAME_LENGTH:])}")
        for path in left:
            path.unlink(missing_ok=True)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def shared_folder(directory: Path) -> Iterator[int]:
    """Makes a folder, and removes what killed runs have left half written in it; yields how many files that were.

    Where another process is within such a block for the same folder, nothing is removed: the files may be its own.

    Raises:
        OSError: The folder cannot be made, read or written to.
    """
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        num_removed = 0
        # Some network file systems lock no folders; then other runs cannot be seen.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            num_removed = _remove_leftovers(directory)
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield num_removed
    finally:
        os.close(descriptor)  # and with it goes the lock, as it does when we are killed


def _remove_leftovers(directory: Path) -> int:
    with os.scandir(directory) as entries:
        leftovers = [Path(entry.path) for entry in entries if _LEFTOVER.fullmatch(entry.name)]
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)
