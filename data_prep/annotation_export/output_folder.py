"""Folders of small files, each of which appears whole or not at all."""

from __future__ import annotations

from pathlib import Path

from data_prep.runtime.atomic_files import held, new_temporary_path, remove_leftovers

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
        temporary = new_temporary_path(self.path / _TEMPORARY)
        try:
            with held(temporary):
                temporary.write_bytes(content)
                temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def _holds(path: Path, content: bytes) -> bool:
    try:
        return not path.is_symlink() and path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False
