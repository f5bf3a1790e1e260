"""Large CSVs, plain or gzipped, as Polars frames of the rows that matter: block by block, so in bounded memory.

Polars reads the plain lines of a block, those without a quote and with as many cells as the header. Python's csv module
reads the others one by one, so that each bad row is found and reported.
"""

from __future__ import annotations

import codecs
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data_prep.metadata.csv_rows import (
    FIELD_LIMIT,
    GZIP_MAGIC,
    MAX_LINE_LENGTH,
    REPLACEMENT,
    BadRow,
    find_columns,
    header_cells,
    open_bytes,
    parse_row,
    refuse_long_line,
)
from data_prep.runtime.command_line import UserError
from data_prep.runtime.progress import progress

LINE = "line"  # the column with the line of the file, from 1, where a row ends
BLOCK_BYTES = 8 * 1024 * 1024
LONG_LINE_BYTES = 4 * MAX_LINE_LENGTH + 4  # no line that is not too long has as many, whatever its characters

Keep = Callable[[pl.Series], pl.Series]


def read_frames(
    path: str | os.PathLike[str],
    *,
    required: Sequence[str],
    optional: Sequence[str] = (),
    key: str,
    keep: Keep | None,
    on_bad_row: BadRow,
    description: str | None = None,
) -> Iterator[tuple[int, pl.DataFrame]]:
    """Yields, block by block, how many rows were read and those that matter.

    Bytes that are not UTF-8, and NUL, become U+FFFD, as `csv_rows.read_rows` has it, whose rules for what is a row hold
    here too.

    Args:
        path: The CSV.
        required: Columns that must be there, in any order and letter case.
        optional: Columns that may be.
        key: The one of `required` that tells which rows matter.
        keep: Takes a Series of its cells (texts, never null) and returns a Series of Booleans: the rows to yield. None
            yields all.
        on_bad_row: Called with line number, reason and detail for a row that is no CSV, is too long, or has more or
            fewer cells than the header. The rows of earlier blocks have been yielded then.
        description: What progress is shown as; None shows none.

    Yields:
        The number of rows, bad ones aside, and a frame of those kept, in the file's order: the columns asked for, all
        texts, empty where the file lacks them or a cell is empty, and `LINE`.

    Raises:
        UsageError: The file is missing or empty, or its first line is no row, lacks a required column or has one twice.
        UserError: It is damaged.
    """
    source = Path(path)
    with open_bytes(source) as file:
        reader = _FrameReader(source, file, key, keep, on_bad_row)
        header = reader.read_block(0)
        reader.find_columns(header, required, optional)
        blocks: Iterable[bytes] = iter(lambda: reader.read_block(BLOCK_BYTES), b"")
        if description is not None:
            blocks = progress(blocks, description=description, total=_number_of_blocks(source, header), unit="blocks")
        for block in blocks:
            yield reader.read_rows(block)
        if reader.unread:
            yield reader.read_rows(b"", is_last=True)


def _number_of_blocks(source: Path, header: bytes) -> int | None:
    """Returns about how many blocks follow the first line; None where only unzipping would tell."""
    if not source.is_file():
        return None
    with source.open("rb") as file:
        if file.read(2) == GZIP_MAGIC:
            return None
    return -(-(source.stat().st_size - len(header)) // BLOCK_BYTES)


class _RowGoesOn(Exception):  # noqa: N818 - not an error
    """The quotes of a row reach beyond the end of its block."""


class _Lines:
    """The lines of a block, each with its end, `\\n`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._characters = np.frombuffer(data, np.uint8)
        self._ends = np.flatnonzero(self._characters == ord("\n")) + 1
        self._starts = np.append(0, self._ends)[:-1]

    def __len__(self) -> int:
        return len(self._ends)

    def text(self, index: int) -> str:
        """One line."""
        return self._data[self._starts[index] : self._ends[index]].decode()

    def bytes_from(self, index: int) -> bytes:
        """A line and all after it."""
        return self._data[self._starts[index] :]

    def joined(self, which: NDArray[np.bool_]) -> bytes:
        """The lines for which `which` is true."""
        if which.all():
            return self._data
        edges = np.flatnonzero(np.diff(which, prepend=False, append=False))
        runs = zip(self._starts[edges[::2]].tolist(), self._ends[edges[1::2] - 1].tolist(), strict=True)
        return b"".join([self._data[start:end] for start, end in runs])

    def are_plain(self, num_cells: int) -> NDArray[np.bool_]:
        """Which lines are rows without quotes, of so many cells, none of which is too long for the csv module."""
        lengths = self._ends - self._starts - 1
        commas = np.searchsorted(np.flatnonzero(self._characters == ord(",")), self._ends)
        plain = (np.diff(commas, prepend=0) == num_cells - 1) & (lengths > 0) & (lengths <= FIELD_LIMIT)
        if b'"' in self._data:
            quotes = np.flatnonzero(self._characters == ord('"'))
            plain[np.searchsorted(self._ends, quotes, side="right")] = False
        return plain


class _FrameReader:
    """Reads a file block by block.

    Attributes:
        unread: The beginning of a row whose quotes reach beyond the end of the last block; read with the next.
    """

    def __init__(self, source: Path, file: IO[bytes], key: str, keep: Keep | None, on_bad_row: BadRow) -> None:
        self.unread = b""
        self._line = 1  # the number of the first line that is unread
        self._source = source
        self._file = file
        self._key = key
        self._keep = keep
        self._on_bad_row = on_bad_row
        self._width = 0
        self._positions: dict[str, int | None] = {}  # of the columns asked for; None for one that the file lacks

    def find_columns(self, header: bytes, required: Sequence[str], optional: Sequence[str]) -> None:
        """Finds the columns by the first line, which must have been read."""
        names = header_cells(header.removeprefix(codecs.BOM_UTF8).decode(), self._source)
        positions = find_columns(names, required, optional, self._source)
        self._width = len(names)
        self._positions = dict(zip((*required, *optional), positions, strict=True))
        self._line = 2

    def read_block(self, size: int) -> bytes:
        """Returns the next `size` bytes and those up to the end of their line; fewer at the file's end.

        They are UTF-8 without NUL and have Unix line ends, so that Polars and the csv module see the same. A line that
        is too long may lack some of its end, but is too long still.
        """
        try:
            block = self._file.read(size)
            rest_of_line = b"" if block.endswith(b"\n") else self._file.readline(LONG_LINE_BYTES)
            if len(rest_of_line) == LONG_LINE_BYTES and not rest_of_line.endswith(b"\n"):
                self._skip_line(block)
                rest_of_line += b"\n"
        except (EOFError, zlib.error, OSError) as error:
            raise UserError(f"{self._source}: damaged at line {self._line}: {error}; fetch it again") from error
        block += rest_of_line
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if not block.isascii():
            block = block.decode("utf-8", "replace").encode()
        return block.replace(b"\0", REPLACEMENT.encode())

    def _skip_line(self, block: bytes) -> None:
        """Reads on to the end of a line that is too long, so that it takes no memory."""
        piece = b""
        while not piece.endswith(b"\n") and (piece := self._file.readline(LONG_LINE_BYTES)):
            if b"\r" in piece.removesuffix(b"\r\n"):  # the end of a line as well, so that rows would be skipped
                refuse_long_line(self._source, self._line + (self.unread + block).count(b"\n"))

    def read_rows(self, block: bytes, *, is_last: bool = False) -> tuple[int, pl.DataFrame]:
        """Returns how many rows a block of whole lines has, and a frame of those that matter."""
        data = self.unread + block
        if data and not data.endswith(b"\n"):
            data += b"\n"
        lines = _Lines(data)
        in_plain_row = lines.are_plain(self._width)
        odd = self._read_odd_rows(lines, in_plain_row, is_last=is_last)
        num_plain = int(in_plain_row.sum())
        plain = self._plain_rows(lines, in_plain_row)
        self._line += len(lines) - self.unread.count(b"\n")
        if not len(odd):
            return num_plain, plain
        kept = odd if self._keep is None else odd.filter(self._keep(odd[self._key]))
        return num_plain + len(odd), pl.concat([plain, kept]).sort(LINE)

    def _plain_rows(self, lines: _Lines, in_plain_row: NDArray[np.bool_]) -> pl.DataFrame:
        """Returns the rows that matter among the lines that are each a row without quotes."""
        wanted = in_plain_row
        data = lines.joined(in_plain_row)
        if self._keep is not None and data:
            wanted = in_plain_row.copy()
            wanted[in_plain_row] = self._keep(self._parse(data, [self._key])[self._key]).to_numpy()
            data = lines.joined(wanted)
        numbers = pl.Series(LINE, self._line + np.flatnonzero(wanted), pl.Int64)
        return self._parse(data, list(self._positions)).with_columns(numbers)

    def _parse(self, data: bytes, names: Sequence[str]) -> pl.DataFrame:
        """Returns some columns of lines each of which is a row without quotes."""
        if not data:
            return pl.DataFrame(schema=dict.fromkeys(names, pl.String))
        found = {name: self._positions[name] for name in names}
        cells = pl.read_csv(
            data,
            has_header=False,
            quote_char=None,
            schema={str(position): pl.String for position in range(self._width)},
            columns=sorted({position for position in found.values() if position is not None}),
        )
        return cells.select(
            pl.lit("").alias(name) if position is None else pl.col(str(position)).fill_null("").alias(name)
            for name, position in found.items()
        )

    def _read_odd_rows(self, lines: _Lines, in_plain_row: NDArray[np.bool_], *, is_last: bool) -> pl.DataFrame:
        """Returns the rows that begin with a line that is not plain, but for the bad ones; sets `unread`.

        Args:
            lines: Those of the block.
            in_plain_row: [lines], which are plain; made false where one is within the quotes of such a row.
            is_last: Whether the file ends with the block.
        """
        self.unread = b""

        def texts_from(index: int) -> Iterator[str]:
            yield from map(lines.text, range(index, len(lines)))
            if not is_last:
                raise _RowGoesOn

        rows: list[list[str]] = []
        last_lines: list[int] = []
        end = 0
        for start in np.flatnonzero(~in_plain_row).tolist():
            if start < end:
                continue
            try:
                row = parse_row(lines.text(start), texts_from(start + 1), self._width)
            except _RowGoesOn:
                in_plain_row[start:] = False
                self.unread = lines.bytes_from(start)
                break
            end = start + row.num_lines
            in_plain_row[start:end] = False
            last_line = self._line + end - 1
            if row.reason:
                self._on_bad_row(last_line, row.reason, row.detail)
            elif row.cells:
                rows.append(row.cells)
                last_lines.append(last_line)
        cells = {
            name: ["" if position is None else row[position] for row in rows]
            for name, position in self._positions.items()
        }
        odd = pl.DataFrame(cells, schema=dict.fromkeys(cells, pl.String))
        return odd.with_columns(pl.Series(LINE, last_lines, pl.Int64))
