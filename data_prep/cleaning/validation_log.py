"""The log of validated images of a folder, so that a later run need not decode them again.

An SQLite file beside the folder, `FOLDER.validated.sqlite`, holds for each id what the image's file was (name, size
and time of change), how large it was in pixels, the result, and size and time of the result.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from data_prep.runtime.row_store import RowStore

SUFFIX: Final = ".validated.sqlite"
_TABLE: Final = "validated_2"  # to be counted up when the same image is to become another


@dataclass(frozen=True)
class FileVersion:
    """Version of a file: its name, size and time of change.

    Attributes:
        name: Without its folder.
        size: In bytes.
        mtime_ns: When it was changed, in nanoseconds.
    """

    name: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class LogEntry:
    """Result of validating one image.

    Attributes:
        image_id: Its id.
        source_name: The file that was looked at.
        source_size: In bytes.
        source_mtime_ns: When it had been changed.
        width: Of the source in pixels; 0 where it could not be read.
        height: Of the source in pixels; 0 where it could not be read.
        result_size: Of ID.jpg in bytes; 0 where it was rejected.
        result_mtime_ns: When ID.jpg was written; 0 where it was rejected.
        max_dimension: The longest side that was asked for.
        reason: Why it was rejected; empty where it was kept.
        detail: What was seen.
    """

    image_id: str
    source_name: str
    source_size: int
    source_mtime_ns: int
    width: int
    height: int
    result_size: int
    result_mtime_ns: int
    max_dimension: int
    reason: str = ""
    detail: str = ""

    @property
    def source(self) -> FileVersion:
        """The file that was looked at."""
        return FileVersion(self.source_name, self.source_size, self.source_mtime_ns)


def log_path(directory: Path) -> Path:
    """Returns where the log of a folder stands."""
    folder = directory.resolve()
    return folder.with_name(folder.name + SUFFIX)


def version_of(path: Path) -> FileVersion | None:
    """Returns what a file is now; None where there is none."""
    return version_in(path.parent, path.name)


def version_in(directory: str | os.PathLike[str], name: str) -> FileVersion | None:
    """Returns what the file of that name is now; None where there is none."""
    try:
        status = os.stat(f"{directory}/{name}")  # noqa: PTH116 - a Path takes longer to make than the file to look at
    except OSError:
        return None
    return FileVersion(name, status.st_size, status.st_mtime_ns)


class ValidationLog:
    """The log of one folder, open; of several runs at a time each may read and add."""

    def __init__(self, directory: Path) -> None:
        """Names the log.

        Args:
            directory: Where the results are put; the log stands beside it.
        """
        self.path = log_path(directory)
        self._rows = RowStore(
            self.path,
            _TABLE,
            {field.name: "TEXT" if field.type == "str" else "INTEGER" for field in fields(LogEntry)},
            problem="what was validated cannot be kept there",
            remedy="delete the file to have all images looked at again",
        )

    def __enter__(self) -> ValidationLog:
        self._rows.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._rows.__exit__(*error)

    def get(self, image_ids: Sequence[str]) -> Mapping[str, LogEntry]:
        """Returns the entries of those of `image_ids` (some hundreds at most) that have one, by id."""
        return {image_id: LogEntry(*row) for image_id, row in self._rows.get(image_ids).items()}

    def put(self, entry: LogEntry) -> None:
        """Adds an entry, in the place of an earlier one; it outlives this process within a second or two."""
        self._rows.put(tuple(vars(entry).values()))


class ValidatedImages:
    """Which images of a folder `validate_images` has left there, having read or written every pixel of them.

    The log is only read. A folder without one, or with one that cannot be read now, has no such images: they are then
    looked at as any others.
    """

    def __init__(self, directory: Path) -> None:
        """Opens the log of `directory`, if there is one."""
        path = log_path(directory)
        self._connection: sqlite3.Connection | None = None
        if path.is_file():
            with contextlib.suppress(sqlite3.Error):
                self._connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)

    def __enter__(self) -> ValidatedImages:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()

    def has(self, image_id: str, version: FileVersion) -> bool:
        """Tells whether an image's file is the one that was left there, by its name, size and time of change."""
        if self._connection is None or version.name != f"{image_id}.jpg":
            return False
        try:
            row = self._connection.execute(
                f"SELECT result_size, result_mtime_ns FROM {_TABLE} WHERE image_id = ? AND reason = ''", (image_id,)
            ).fetchone()
        except sqlite3.Error:
            return False
        return row == (version.size, version.mtime_ns)
