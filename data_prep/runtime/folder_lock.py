"""A folder that one run at a time writes to."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
from collections.abc import Iterator
from pathlib import Path

from data_prep.runtime.atomic_files import TEMPORARY_PREFIX
from data_prep.runtime.command_line import UserError

_NAME_LENGTH = 80  # that atomic_files keeps of a name


@contextlib.contextmanager
def alone_in(directory: str | Path, *files: Path) -> Iterator[None]:
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
            raise UserError(f"another run is fetching into {folder}; wait for it, or name another folder") from error
        left = [*folder.glob(f"{TEMPORARY_PREFIX}*.jpg")]
        for file in files:
            left += file.parent.glob(f"{TEMPORARY_PREFIX}*-{glob.escape(file.name[-_NAME_LENGTH:])}")
        for path in left:
            path.unlink(missing_ok=True)
        yield
    finally:
        os.close(descriptor)
