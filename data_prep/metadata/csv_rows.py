"""Large CSVs, plain or gzipped, row by row, with their columns found by name and every bad row accounted for."""

from __future__ import annotations

import csv
import gzip
import io
import operator
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

from data_prep.runtime.command_line import UsageError, UserError, printable

MAX_LINE_LENGTH = 1024 * 1024  # characters; the longest line of Open Images has some two thousand
FIELD_LIMIT = csv.field_size_limit()  # characters of a cell
MAX_CELLS_SHOWN = 30
GZIP_MAGIC = b"\x1f\x8b"
REPLACEMENT = "\ufffd"  # stands where bytes were not UTF-8, and for NUL

BadRow = Callable[[int, str, str], None]


def read_rows(
    path: str | os.PathLike[str], *, required: Sequence[str], optional: Sequence[str] = (), on_bad_row: BadRow
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yields the line number and the cells of each row of a CSV with a header.

    The file may be gzipped, whatever it is called. Bytes that are not UTF-8, and NUL, become U+FFFD: harmless in a
    column that is not read, and for the caller to refuse in one that matters.

    Args:
        path: The CSV.
        required: Columns that must be there, in any order and letter case.
        optional: Columns that may be.
        on_bad_row: Called with line number, reason and detail for a row that is no CSV or has more or fewer cells than
            the header; reading goes on with the next line.

    Yields:
        The line, from 1, where the row ends, and its cells in the order of `required` and then `optional`; a column
        that the file lacks gives empty cells.

    Raises:
        UsageError: The file is missing or empty, lacks a required column, has one twice, or a line of over a million
            characters, or a quote that is never closed.
        UserError: It is damaged.
    """
    source = Path(path)
    with open_text(source) as text:
        reader = csv.reader(_bounded_lines(text, source), strict=True)
        header = next_row(reader, source, None)
        if header is None:
            raise UsageError(f"{source}: the file is empty; it should begin with a line naming its columns")
        pick = _column_picker(header, required, optional, source)
        while (row := next_row(reader, source, on_bad_row)) is not None:
            if row and has_all_cells(row, len(header), reader.line_num, on_bad_row):
                row.append("")  # what columns that the file lacks point to
                yield reader.line_num, pick(row)


def open_text(path: str | os.PathLike[str], errors: str = "replace") -> IO[str]:
    """Opens a plain or gzipped file as UTF-8 text, with or without a byte order mark, for the csv module.

    Raises:
        UsageError: The file cannot be opened, or is UTF-16.
    """
    return io.TextIOWrapper(open_bytes(path), encoding="utf-8-sig", errors=errors, newline="")


def open_bytes(path: str | os.PathLike[str]) -> IO[bytes]:
    """Opens a plain or gzipped file, whatever it is called, to read what is in it.

    Raises:
        UsageError: The file cannot be opened, or is UTF-16.
    """
    source = Path(path)
    try:
        with source.open("rb") as raw:
            start = raw.read(2)
        stream: Any = gzip.open(source, "rb") if start == GZIP_MAGIC else source.open("rb")  # noqa: SIM115
    except OSError as error:
        raise UsageError(f"{source}: {error.strerror or error}") from error
    if start in (b"\xff\xfe", b"\xfe\xff"):
        stream.close()
        raise UsageError(f"{source}: the text is UTF-16; save it as UTF-8")
    return stream


def _bounded_lines(text: IO[str], source: Path) -> Iterator[str]:
    number = 0
    while True:
        number += 1
        try:
            line = text.readline(MAX_LINE_LENGTH)
        except (EOFError, zlib.error, OSError) as error:
            raise UserError(f"{source}: damaged at line {number}: {error}; fetch it again") from error
        if not line:
            return
        if len(line) == MAX_LINE_LENGTH:
            refuse_long_line(source, number)
        # The csv module of Python 3.10 refuses NUL and later ones take it: this way all do the same.
        yield line.replace("\0", REPLACEMENT) if "\0" in line else line


def next_row(reader: Any, source: Path, on_bad_row: BadRow | None, lines_before: int = 0) -> list[str] | None:
    """Returns the next row of a strict `csv.reader`, empty for a blank line; None at the end.

    Args:
        reader: The reader.
        source: The file, for messages.
        on_bad_row: Called for a row that is no CSV, which then counts as empty; None refuses it.
        lines_before: Lines of the file before those that `reader` is given.

    Raises:
        UsageError: A quote is never closed, or the row is refused.
    """
    begins = reader.line_num + 1
    try:
        return next(reader, None)
    except csv.Error as error:
        several_lines = reader.line_num > begins  # so rows in between may have been swallowed
        if on_bad_row is None or several_lines:
            hint = "; is a quote in this line never closed?" if several_lines else ""
            raise UsageError(f"{source}:{lines_before + begins}: not CSV: {error}{hint}") from error
        on_bad_row(lines_before + begins, "not CSV", str(error))
        return []


def has_all_cells(row: Sequence[str], width: int, line: int, on_bad_row: BadRow) -> bool:
    """Returns whether a row has as many cells as the header; tells `on_bad_row` if not."""
    if len(row) == width:
        return True
    on_bad_row(line, "wrong number of cells", f"{len(row)} cells, the header has {width}")
    return False


def find_columns(
    header: Sequence[str], required: Sequence[str], optional: Sequence[str], source: Path
) -> list[int | None]:
    """Returns where each of `required` and then `optional` stands in `header`, from 0; None for one that is not there.

    Raises:
        UsageError: A required column is missing, or one of either kind is there twice.
    """
    positions: dict[str, int] = {}
    wanted = {name.casefold() for name in (*required, *optional)}
    for position, cell in enumerate(header):
        name = cell.strip().casefold()
        if name in positions and name in wanted:
            raise UsageError(f"{source}: the column {cell.strip()!r} is there twice")
        positions[name] = position
    missing = [name for name in required if name.casefold() not in positions]
    if missing:
        seen = ", ".join(printable(cell, 40) for cell in header[:MAX_CELLS_SHOWN])
        seen += ", ..." * (len(header) > MAX_CELLS_SHOWN)
        plural = "s" if len(missing) > 1 else ""
        raise UsageError(f"{source}: no column{plural} {', '.join(missing)}; the columns of its first line are: {seen}")
    return [positions.get(name.casefold()) for name in (*required, *optional)]


def refuse_long_line(source: Path, line: int) -> NoReturn:
    """Raises the UsageError for a line of over `MAX_LINE_LENGTH` characters."""
    raise UsageError(f"{source}:{line}: a line of over {MAX_LINE_LENGTH} characters; this is no CSV of ours")


def _column_picker(
    header: list[str], required: Sequence[str], optional: Sequence[str], source: Path
) -> Callable[[list[str]], tuple[str, ...]]:
    found = find_columns(header, required, optional, source)
    indices = [len(header) if index is None else index for index in found]
    if len(indices) == 1:
        only = indices[0]
        return lambda row: (row[only],)
    return operator.itemgetter(*indices)
