"""What validating has made of each picture of a folder, so that a later run need not decode it again.

An SQLite file beside the folder, `FOLDER.validated.sqlite`, holds for each id what the picture's file was (name, size
and time of change), how large it was in pixels, what became of it, and size and time of the result.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from data_prep.command_line import UserError

SUFFIX: Final = ".validated.sqlite"
SECONDS_BETWEEN_COMMITS: Final = 1.0
SECONDS_TO_WAIT_FOR_ANOTHER_RUN: Final = 60.0
_TABLE: Final = "validated_1"  # to be counted up when the same picture is to become another


@dataclass(frozen=True)
class FileVersion:
    """What tells one version of a file from another.

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
    """What became of one picture.

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
        folder = directory.resolve()
        self.path = folder.with_name(folder.name + SUFFIX)
        self._waiting: dict[str, LogEntry] = {}
        self._last_commit = time.monotonic()

    def __enter__(self) -> ValidationLog:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        columns = ", ".join(
            f"{field.name} {'TEXT' if field.type == 'str' else 'INTEGER'} NOT NULL" for field in fields(LogEntry)
        )
        with self._our_words():
            self._connection = sqlite3.connect(self.path, timeout=SECONDS_TO_WAIT_FOR_ANOTHER_RUN)
            self._connection.execute(
                f"CREATE TABLE IF NOT EXISTS {_TABLE} ({columns}, PRIMARY KEY (image_id)) WITHOUT ROWID"
            )
            self._connection.commit()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._commit()
        finally:
            self._connection.close()

    def get(self, image_ids: Sequence[str]) -> Mapping[str, LogEntry]:
        """Returns the entries of those of `image_ids` (some hundreds at most) that have one, by id."""
        marks = ", ".join("?" * len(image_ids))
        with self._our_words():
            rows = self._connection.execute(
                f"SELECT * FROM {_TABLE} WHERE image_id IN ({marks})", tuple(image_ids)
            ).fetchall()
        found = {row[0]: LogEntry(*row) for row in rows}
        found.update((image_id, self._waiting[image_id]) for image_id in image_ids if image_id in self._waiting)
        return found

    def put(self, entry: LogEntry) -> None:
        """Adds an entry, in the place of an earlier one; it outlives this process within a second or two."""
        self._waiting[entry.image_id] = entry
        if time.monotonic() - self._last_commit > SECONDS_BETWEEN_COMMITS:
            self._commit()

    def _commit(self) -> None:
        # Entries wait outside of the database, so that its lock is held for a moment only.
        if self._waiting:
            marks = ", ".join("?" * len(fields(LogEntry)))
            rows = [tuple(vars(entry).values()) for entry in self._waiting.values()]
            with self._our_words(), self._connection:
                self._connection.executemany(f"INSERT OR REPLACE INTO {_TABLE} VALUES ({marks})", rows)
            self._waiting.clear()
        self._last_commit = time.monotonic()

    @contextlib.contextmanager
    def _our_words(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise UserError(
                f"{self.path}: what was validated cannot be kept there: {error}; delete the file to have all pictures "
                "looked at again"
            ) from error
