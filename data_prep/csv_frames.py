"""Large CSVs, plain or gzipped, as Polars frames of the rows that matter: block by block, so in bounded memory.

A block is looked at as a whole first: whether it is plain (each line as many commas as the header, no quotes). If so,
Polars reads one column of it, which tells the few rows that matter, and then only these are read. Where a block is not
plain, its odd lines are taken out and read by the csv module, one by one, so that both ways keep and reject the same.
"""

from __future__ import annotations

import contextlib
import csv
import os
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data_prep.command_line import UsageError, UserError
from data_prep.csv_rows import (
    GZIP_MAGIC,
    MAX_LINE_LENGTH,
    REPLACEMENT,
    BadRow,
    find_columns,
    open_bytes,
    refuse_long_line,
)

BLOCK_BYTES = 8 * 1024 * 1024  # half of it and twice as much take longer
LINE = "line"  # the column that tells in which line of the file, from 1, a row ends
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_FIELD_LIMIT = csv.field_size_limit()

Keep = Callable[[pl.Series], pl.Series]
Block = tuple[int, bytes]


@dataclass(frozen=True)
class _Layout:
    """Where the columns are.

    Attributes:
        source: The file, for messages.
        width: How many columns it has.
        positions: Where each column asked for stands, None for one that the file lacks; by name.
        key: The column that tells which rows matter.
        keep: Takes cells of that column and returns a Boolean for each.
    """

    source: Path
    width: int
    positions: dict[str, int | None]
    key: str
    keep: Keep


def read_frames(
    path: str | os.PathLike[str],
    *,
    required: Sequence[str],
    optional: Sequence[str] = (),
    key: str,
    keep: Keep,
    on_bad_row: BadRow,
) -> Iterator[tuple[int, pl.DataFrame]]:
    """Yields, block by block, how many rows were read and those that matter.

    Bytes that are not UTF-8, and NUL, become U+FFFD, as `csv_rows.read_rows` has it, whose rules for what is a row hold
    here too.

    Args:
        path: The CSV.
        required: Columns that must be there, in any order and letter case.
        optional: Columns that may be.
        key: The one of `required` that tells which rows matter.
        keep: Takes a Series of its cells (texts, never null) and returns a Series of Booleans: the rows to yield.
        on_bad_row: Called with line number, reason and detail for a row that is no CSV or has more or fewer cells than
            the header.

    Yields:
        The number of rows of a block, bad ones aside, and a frame of those kept, in the file's order: the columns
        asked for, all texts, empty where the file lacks them or a cell is empty, and `LINE`.

    Raises:
        UsageError: The file is missing or empty, lacks a required column, has one twice, or a line of over a million
            characters, or a quote that is never closed.
        UserError: It is damaged.
    """
    source = Path(path)
    with open_bytes(source) as stream, contextlib.closing(_one_ahead(_blocks(stream, source))) as ahead:
        layout, first = _read_header(ahead, source, required, optional, key, keep)
        blocks = _chain(first, ahead)
        for line, data in blocks:
            tidy = _read_tidy(data, line, layout)
            yield tidy if tidy is not None else _OddBlock(data, line, blocks, layout, on_bad_row).read()


def number_of_blocks(path: str | os.PathLike[str]) -> int | None:
    """Returns how many blocks `read_frames` will find; None where only unzipping would tell."""
    source = Path(path)
    if not source.is_file():
        return None
    with source.open("rb") as file:
        if file.read(2) == GZIP_MAGIC:
            return None
    return -(-source.stat().st_size // BLOCK_BYTES)


def _blocks(stream: IO[bytes], source: Path) -> Iterator[Block]:
    """Yields the number of the first line, from 1, and whole lines, the last of which ends too."""
    line, rest = 1, b""
    while True:
        try:
            chunk = stream.read(BLOCK_BYTES)
        except (EOFError, zlib.error, OSError) as error:
            raise UserError(f"{source}: damaged at line {line}: {error}; fetch it again") from error
        if not chunk:
            break
        data = rest + chunk
        end = data.rfind(b"\n") + 1
        rest = data[end:]
        if end:
            data = _with_plain_characters(data[:end])
            lines = data.count(b"\n")
            yield line, data
            line += lines
        if len(rest) > MAX_LINE_LENGTH:
            refuse_long_line(source, line)
    if rest:
        yield line, _with_plain_characters(rest + b"\n")


def _one_ahead(blocks: Iterator[Block]) -> Generator[Block, None, None]:
    """Yields `blocks`; while one is worked on, a thread reads the next."""
    with ThreadPoolExecutor(1) as executor:
        coming = executor.submit(next, blocks, None)
        while (block := coming.result()) is not None:
            coming = executor.submit(next, blocks, None)
            yield block


def _chain(first: Block, rest: Iterator[Block]) -> Iterator[Block]:
    if first[1]:
        yield first
    yield from rest


def _read_header(
    blocks: Iterator[Block], source: Path, required: Sequence[str], optional: Sequence[str], key: str, keep: Keep
) -> tuple[_Layout, Block]:
    """Returns where the columns are, and the first block without its first line."""
    _, data = next(blocks, (1, b""))
    data = data.removeprefix(_BYTE_ORDER_MARK)
    if not data:
        raise UsageError(f"{source}: the file is empty; it should begin with a line naming its columns")
    line, _, rest = data.partition(b"\n")
    if len(line) > MAX_LINE_LENGTH:
        refuse_long_line(source, 1)
    try:
        header = next(csv.reader([line.decode("utf-8")], strict=True), [])
    except csv.Error as error:
        raise UsageError(f"{source}:1: not CSV: {error}") from error
    names = (*required, *optional)
    positions = dict(zip(names, find_columns(header, required, optional, source), strict=True))
    return _Layout(source, len(header), positions, key, keep), (2, rest)


def _with_plain_characters(data: bytes) -> bytes:
    """Returns `data` as UTF-8 without NUL and with Unix line ends, so that Polars and the csv module see the same."""
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not data.isascii():
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            data = data.decode("utf-8", "replace").encode("utf-8")
    return data.replace(b"\0", REPLACEMENT.encode()) if b"\0" in data else data


def _read_tidy(data: bytes, first_line: int, layout: _Layout) -> tuple[int, pl.DataFrame] | None:
    """Returns what `read_frames` yields for a block all of whose lines are rows; None for another block."""
    if b'"' in data:
        return _read_tidy_with_quotes(data, first_line, layout)
    ends = _row_ends(data, layout.width)
    if ends is None:
        return None
    return len(ends), _rows_that_matter(data, ends, np.arange(len(ends)) + first_line, layout)


def _read_tidy_with_quotes(data: bytes, first_line: int, layout: _Layout) -> tuple[int, pl.DataFrame] | None:
    """As `_read_tidy`: lines with quotes go to the csv module, all others to Polars."""
    characters = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(characters == ord("\n"))
    quotes = np.flatnonzero(characters == ord('"'))
    quoted, counts = np.unique(np.searchsorted(ends, quotes), return_counts=True)
    if (counts % 2).any():
        return None
    stops = (ends[quoted] + 1).tolist()
    starts = np.where(quoted > 0, ends[quoted - 1] + 1, 0).tolist()
    rows = _quoted_rows([data[start:stop] for start, stop in zip(starts, stops, strict=True)], layout.width)
    plain = b"".join(data[start:stop] for start, stop in zip([0, *stops], [*starts, len(data)], strict=True))
    plain_ends = _row_ends(plain, layout.width) if plain else ends[:0]
    if rows is None or plain_ends is None:
        return None
    lines = np.arange(len(ends)) + first_line
    frame = _frame_of_rows(rows, layout).with_columns(pl.Series(LINE, lines[quoted]))
    both = [
        _rows_that_matter(plain, plain_ends, np.delete(lines, quoted), layout),
        frame.filter(layout.keep(frame[layout.key])),
    ]
    return len(ends), pl.concat(both).sort(LINE)


def _row_ends(data: bytes, width: int) -> NDArray[np.int64] | None:
    """Returns where the lines of a block without quotes end; None if not all of them are rows of `width` cells."""
    characters = np.frombuffer(data, np.uint8)
    ends_a_row = characters == ord("\n")
    ends_a_cell = characters == ord(",")
    ends_a_cell |= ends_a_row
    cells = np.flatnonzero(ends_a_cell)
    if len(cells) % width:
        return None
    ends = cells[width - 1 :: width].copy()
    if len(ends) != np.count_nonzero(ends_a_row) or not ends_a_row[ends].all():
        return None
    lengths = np.diff(ends, prepend=-1)
    return ends if lengths.min() > 1 and lengths.max() <= _FIELD_LIMIT else None


def _quoted_rows(lines: list[bytes], width: int) -> list[list[str]] | None:
    """Reads lines that hold quotes; None if not each of them is a row of `width` cells."""
    reader = csv.reader((line.decode("utf-8") for line in lines), strict=True)
    try:
        rows = list(reader)
    except csv.Error:
        return None
    return rows if len(rows) == len(lines) and all(len(row) == width for row in rows) else None


def _rows_that_matter(data: bytes, ends: NDArray[np.int64], lines: NDArray[np.int64], layout: _Layout) -> pl.DataFrame:
    """Returns the kept ones of plain rows, whose ends in `data` and numbers of lines in the file are given."""
    mask = layout.keep(_parse(data, layout, [layout.key])[layout.key])
    kept = mask.arg_true().to_numpy()
    names = list(layout.positions)
    if 2 * len(kept) > len(ends):
        frame = _parse(data, layout, names).filter(mask)
    else:
        stops = ends[kept] + 1
        starts = np.where(kept > 0, ends[kept.astype(np.int64) - 1] + 1, 0)
        rows = [data[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]
        frame = _parse(b"".join(rows), layout, names)
    return frame.with_columns(pl.Series(LINE, lines[kept]))


def _parse(data: bytes, layout: _Layout, names: Sequence[str]) -> pl.DataFrame:
    """Reads the columns `names` of plain rows as texts."""
    positions = {name: layout.positions[name] for name in names}
    present = sorted({position for position in positions.values() if position is not None})
    if not data:
        return pl.DataFrame(schema=dict.fromkeys(names, pl.String))
    cells = pl.read_csv(
        data,
        has_header=False,
        quote_char=None,
        schema={str(index): pl.String for index in range(layout.width)},
        columns=present,
    )
    return cells.select(
        pl.lit("").alias(name) if position is None else pl.col(str(position)).fill_null("").alias(name)
        for name, position in positions.items()
    )


class _OddBlock:
    """A block some of whose lines are not plain rows.

    A row whose quotes reach beyond the block's end takes in the next block.
    """

    def __init__(
        self, data: bytes, first_line: int, blocks: Iterator[Block], layout: _Layout, on_bad_row: BadRow
    ) -> None:
        self._lines = data.split(b"\n")[:-1]
        self._next = 0
        self._first_line = first_line
        self._blocks = blocks
        self._layout = layout
        self._on_bad_row = on_bad_row

    def read(self) -> tuple[int, pl.DataFrame]:
        """Returns what `read_frames` yields for this block."""
        plain: list[bytes] = []
        plain_numbers: list[int] = []
        quoted: list[list[str]] = []
        quoted_numbers: list[int] = []
        while self._next < len(self._lines):
            line = self._lines[self._next]
            self._next += 1
            if b'"' in line or len(line) >= _FIELD_LIMIT:
                row = self._read_with_csv()
                if row and self._has_all_cells(len(row)):
                    quoted.append(row)
                    quoted_numbers.append(self._number)
            elif line and self._has_all_cells(line.count(b",") + 1):
                plain.append(line)
                plain_numbers.append(self._number)
        names = list(self._layout.positions)
        frame = pl.concat(
            [
                _parse(b"".join(line + b"\n" for line in plain), self._layout, names).with_columns(
                    pl.Series(LINE, plain_numbers, pl.Int64)
                ),
                _frame_of_rows(quoted, self._layout).with_columns(pl.Series(LINE, quoted_numbers, pl.Int64)),
            ]
        ).sort(LINE)
        return len(frame), frame.filter(self._layout.keep(frame[self._layout.key]))

    @property
    def _number(self) -> int:
        """The number, in the file, of the line read last."""
        return self._first_line + self._next - 1

    def _has_all_cells(self, cells: int) -> bool:
        if cells == self._layout.width:
            return True
        detail = f"{cells} cells, the header has {self._layout.width}"
        self._on_bad_row(self._number, "wrong number of cells", detail)
        return False

    def _read_with_csv(self) -> list[str] | None:
        """Reads the row that begins with the line read last, and the lines that it takes in; None if it is no CSV."""
        begins = self._number
        reader = csv.reader(self._texts_from(self._next - 1), strict=True)
        try:
            return next(reader, None)
        except csv.Error as error:
            if reader.line_num > 1:  # rows in between may have been swallowed
                hint = "; is a quote in this line never closed?"
                raise UsageError(f"{self._layout.source}:{begins}: not CSV: {error}{hint}") from error
            self._on_bad_row(begins, "not CSV", str(error))
            return None
        finally:
            self._next += max(reader.line_num, 1) - 1

    def _texts_from(self, index: int) -> Iterator[str]:
        while True:
            if index == len(self._lines):
                _, data = next(self._blocks, (0, b""))
                if not data:
                    return
                self._lines += data.split(b"\n")[:-1]
            line = self._lines[index]
            if len(line) >= MAX_LINE_LENGTH:
                refuse_long_line(self._layout.source, self._first_line + index)
            yield line.decode("utf-8") + "\n"
            index += 1


def _frame_of_rows(rows: list[list[str]], layout: _Layout) -> pl.DataFrame:
    return pl.DataFrame(
        {
            name: ["" if position is None else row[position] for row in rows]
            for name, position in layout.positions.items()
        },
        schema=dict.fromkeys(layout.positions, pl.String),
    )
