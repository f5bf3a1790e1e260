"""Folders of small files, each of which appears whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import secrets
from pathlib import Path

from data_prep.runtime.atomic_files import TEMPORARY_PREFIX, remove_leftovers

_TEMPORARY = "file"  # without a suffix: what a killed run leaves is no annotation to a reader of the folder


class OutputFolder:
    """Writes files into a folder, and leaves those that hold what they should.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        """Makes the folder, and removes what a killed run has left half written.

        Raises:
            OSError: The folder cannot be made.
        """
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path / _TEMPORARY)

    def write(self, name: str, content: bytes) -> None:
        """Writes one file.

        Args:
            name: Its name, checked by the caller.
            content: All of it.

        Raises:
            OSError: It cannot be written.
        """
        target = self.path / name
        if _holds(target, content):
            return
        temporary = self.path / f"{TEMPORARY_PREFIX}{secrets.token_hex(6)}-{_TEMPORARY}"
        with temporary.open("xb") as file:
            try:
                with contextlib.suppress(OSError):  # some network file systems have no locks
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                file.write(content)
                file.flush()
                temporary.replace(target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise


def _holds(path: Path, content: bytes) -> bool:
    try:
        return not path.is_symlink() and path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False
