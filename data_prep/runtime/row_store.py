"""SQLite store of rows kept from one run to the next; several runs may read and add at the same time."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from data_prep.runtime.command_line import UserError

SECONDS_BETWEEN_COMMITS: Final = 1.0
SECONDS_TO_WAIT_FOR_ANOTHER_RUN: Final = 60.0

Row = tuple[Any, ...]


class RowStore:
    """A table whose rows are known by their first column: `with RowStore(...) as store:`."""

    def __init__(self, path: Path, table: str, columns: Mapping[str, str], *, problem: str, remedy: str) -> None:
        """Names the table.

        Args:
            path: The SQLite file; made where it is missing.
            table: The table's name: another one where rows of earlier versions would be wrong.
            columns: The type of each column, `TEXT` or `INTEGER`, by name; the first is the key, a text.
            problem: What to say where the file cannot be used, such as `cannot keep hashes there`.
            remedy: What to do then.
        """
        self.path = path
        self._table = table
        self._columns = columns
        self._problem = problem
        self._remedy = remedy
        self._waiting: dict[str, Row] = {}
        self._last_commit = time.monotonic()

    def __enter__(self) -> RowStore:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        columns = ", ".join(f"{name} {kind} NOT NULL" for name, kind in self._columns.items())
        with self._errors_explained():
            self._connection = sqlite3.connect(self.path, timeout=SECONDS_TO_WAIT_FOR_ANOTHER_RUN)
            self._connection.execute(
                f"CREATE TABLE IF NOT EXISTS {self._table} ({columns}, PRIMARY KEY ({next(iter(self._columns))})) "
                "WITHOUT ROWID"
            )
            self._connection.commit()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._commit()
        finally:
            self._connection.close()

    def get(self, keys: Sequence[str]) -> dict[str, Row]:
        """Returns the rows of those of `keys` (some hundreds at most) that have one, by key."""
        marks = ", ".join("?" * len(keys))
        with self._errors_explained():
            rows = self._connection.execute(
                f"SELECT {', '.join(self._columns)} FROM {self._table} WHERE {next(iter(self._columns))} IN ({marks})",
                tuple(keys),
            ).fetchall()
        found = {row[0]: row for row in rows}
        found.update((key, self._waiting[key]) for key in keys if key in self._waiting)
        return found

    def put(self, row: Row) -> None:
        """Adds a row, in the place of an earlier one of its key; it outlives this process within a second or two."""
        self._waiting[row[0]] = row
        if time.monotonic() - self._last_commit > SECONDS_BETWEEN_COMMITS:
            self._commit()

    def _commit(self) -> None:
        # Rows wait outside of the database, so that its lock is held for a moment only.
        if self._waiting:
            marks = ", ".join("?" * len(self._columns))
            with self._errors_explained(), self._connection:
                self._connection.executemany(
                    f"INSERT OR REPLACE INTO {self._table} VALUES ({marks})", list(self._waiting.values())
                )
            self._waiting.clear()
        self._last_commit = time.monotonic()

    @contextlib.contextmanager
    def _errors_explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise UserError(f"{self.path}: {self._problem}: {error}; {self._remedy}") from error
