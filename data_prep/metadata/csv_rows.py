"""Large CSVs, plain or gzipped, row by row, with their columns found by name and every bad row accounted for.

A cell in quotes may go over lines. Where that makes no good row (its quote is never closed, or closed by the quote that
opens another cell), the line that it begins in is the bad row, and reading goes on with the next line.
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import operator
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn

from data_prep.runtime.command_line import UsageError, UserError, printable
from data_prep.runtime.input_files import open_input

MAX_LINE_LENGTH = 1024 * 1024  # characters, also of a row's lines together; Open Images' longest has some two thousand
MAX_ROW_LINES = 200  # so that a quote that is never closed costs a look at no more of them
FIELD_LIMIT = csv.field_size_limit()  # characters of a cell
MAX_CELLS_SHOWN = 30
GZIP_MAGIC = b"\x1f\x8b"
REPLACEMENT = "\ufffd"  # stands where bytes were not UTF-8, and for NUL

_NOT_CSV = "not CSV"
_NEVER_CLOSED = "; is a quote in this line never closed?"

BadRow = Callable[[int, str, str], None]


class Row(NamedTuple):
    """A row of a CSV, or what is wrong with it.

    Attributes:
        cells: Its cells; empty for a blank line, and for a bad row.
        num_lines: How many lines it takes; a bad row takes one.
        reason: Why it is bad, in a few words from a small fixed set; empty where it is not.
        detail: What was seen.
    """

    cells: list[str]
    num_lines: int
    reason: str = ""
    detail: str = ""


def read_rows(
    path: str | os.PathLike[str],
    *,
    required: Sequence[str],
    optional: Sequence[str] = (),
    on_bad_row: BadRow,
    delimiter: str = ",",
    names: Sequence[str] | None = None,
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yields the line number and the cells of each row of a CSV.

    The file may be gzipped, whatever it is called, and may be a pipe. Bytes that are not UTF-8, and NUL, become U+FFFD:
    harmless in a column that is not read, and for the caller to refuse in one that matters.

    Args:
        path: The CSV.
        required: Columns that must be there, in any order and letter case.
        optional: Columns that may be.
        on_bad_row: Called with line number, reason and detail for a row that is no CSV, is too long, or has more or
            fewer cells than the header; reading goes on with the next line.
        delimiter: What stands between cells.
        names: The columns of a file without a header; None takes the first line for one.

    Yields:
        The line, from 1, where the row ends, and its cells in the order of `required` and then `optional`; a column
        that the file lacks gives empty cells.

    Raises:
        UsageError: The file is missing or empty, or its first line is no row, lacks a required column or has one twice.
        UserError: It is damaged.
    """
    source = Path(path)
    with open_text(source) as text:
        given_back: list[str] = []
        lines = _bounded_lines(text, source, given_back)
        header = list(names) if names is not None else header_cells(next(lines), source, delimiter)
        width = len(header)
        pick = _column_picker(header, required, optional, source)
        number = 0 if names is not None else 1
        for line in iter(lines.__next__, ""):
            # The csv module would give the same, in more time.
            cells = line.rstrip("\r\n").split(delimiter) if '"' not in line and len(line) <= FIELD_LIMIT else []
            if len(cells) == width and cells != [""]:
                number += 1
            else:
                row = _read_row(line, lines, given_back, width, delimiter)
                number += row.num_lines
                if row.reason:
                    on_bad_row(number, row.reason, row.detail)
                cells = row.cells
            if cells:
                cells.append("")  # what columns that the file lacks point to
                yield number, pick(cells)


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
        raw = open_input(source)
        start = raw.peek(2)[:2]
    except OSError as error:
        raise UsageError(f"{source}: {error.strerror or error}") from error
    if start in (b"\xff\xfe", b"\xfe\xff"):
        raw.close()
        raise UsageError(f"{source}: the text is UTF-16; save it as UTF-8")
    if start != GZIP_MAGIC:
        return raw
    unzipped: Any = gzip.GzipFile(fileobj=raw)
    unzipped.myfileobj = raw  # to be closed with it, as it is where gzip opens a file itself
    return unzipped


def _bounded_lines(text: IO[str], source: Path, given_back: list[str]) -> Iterator[str]:
    """Yields the lines of a text, and again those that were given back, the last of the list first; then empty texts.

    Of a line that is too long there is only the beginning.
    """
    readline = text.readline
    number = 0
    while True:
        while given_back:
            yield given_back.pop()
        number += 1
        try:
            line = readline(MAX_LINE_LENGTH + 1)
            if len(line) > MAX_LINE_LENGTH:
                rest = line
                while rest and not rest.endswith(("\n", "\r")):
                    rest = readline(MAX_LINE_LENGTH)
        except (EOFError, zlib.error, OSError) as error:
            raise UserError(f"{source}: damaged at line {number}: {error}; fetch it again") from error
        # The csv module of Python 3.10 refuses NUL and later ones take it: this way all do the same.
        yield line.replace("\0", REPLACEMENT) if "\0" in line else line


def _read_row(first: str, lines: Iterator[str], given_back: list[str], width: int, delimiter: str) -> Row:
    """Returns the row that begins with `first`, the line that was taken last; see `parse_row`."""
    taken: list[str] = []

    def take() -> Iterator[str]:
        for line in iter(lines.__next__, ""):
            taken.append(line)
            yield line

    row = parse_row(first, take(), width, delimiter)
    given_back += reversed(taken[row.num_lines - 1 :])
    return row


def header_cells(line: str, source: Path, delimiter: str = ",") -> list[str]:
    """Returns the cells of a file's first line.

    Raises:
        UsageError: There is none, or it is no row.
    """
    if not line:
        raise UsageError(f"{source}: the file is empty; it should begin with a line naming its columns")
    if len(line) > MAX_LINE_LENGTH:
        refuse_long_line(source, 1)
    try:
        return next(csv.reader((line,), delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        raise UsageError(f"{source}:1: not CSV: {error}") from error


def parse_row(first: str, others: Iterable[str], width: int, delimiter: str = ",") -> Row:
    """Returns the row that a line begins, of `MAX_ROW_LINES` lines at most.

    Args:
        first: The line, with its end. One that is too long need only be `MAX_LINE_LENGTH` characters and one more.
        others: Those that follow it, which are taken as they are needed.
        width: How many cells the header has.
        delimiter: What stands between cells.
    """
    if len(first) <= FIELD_LIMIT:
        try:
            cells = next(csv.reader((first,), delimiter=delimiter, strict=True), [])
        except csv.Error:  # which is looked into below
            cells = []
        if len(cells) == width:
            return Row(cells, 1)
    reader = csv.reader(_lines_of_one_row(itertools.chain((first,), others)), delimiter=delimiter, strict=True)
    try:
        cells = next(reader, [])
    except _RowRefusedError as error:
        return Row([], 1, *error.args)
    except csv.Error as error:
        return Row([], 1, _NOT_CSV, f"{error}{_NEVER_CLOSED if reader.line_num > 1 else ''}")
    if cells and len(cells) != width:
        return Row([], 1, "wrong number of cells", f"{len(cells)} cells, the header has {width}")
    return Row(cells, reader.line_num)


class _RowRefusedError(csv.Error):
    """A row is too long; the arguments are reason and detail."""


def _lines_of_one_row(lines: Iterable[str]) -> Iterator[str]:
    num_characters = 0
    for number, line in enumerate(lines):
        num_characters += len(line)
        if num_characters > MAX_LINE_LENGTH:
            problem = f"over {MAX_LINE_LENGTH} characters"
            raise _RowRefusedError(*((_NOT_CSV, problem + _NEVER_CLOSED) if number else ("line too long", problem)))
        if number >= MAX_ROW_LINES:
            raise _RowRefusedError(_NOT_CSV, f"a row of over {MAX_ROW_LINES} lines{_NEVER_CLOSED}")
        yield line


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
