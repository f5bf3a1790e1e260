"""A block of CSV some of whose lines are not rows: read line by line, each bad one told."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator

import polars as pl

from data_prep.metadata.csv_cells import FIELD_LIMIT
from data_prep.metadata.csv_layout import LINE, Layout
from data_prep.metadata.csv_rows import MAX_LINE_LENGTH, BadRow, refuse_long_line
from data_prep.runtime.command_line import UsageError


def read_odd_block(
    data: bytes, first_line: int, layout: Layout, take_block: Callable[[], bytes | None], on_bad_row: BadRow
) -> pl.DataFrame:
    """Returns the rows of a block, all columns asked for and `LINE`, in the file's order.

    Args:
        data: Lines, the last of which ends too.
        first_line: The number of the first in the file, from 1.
        layout: Where the columns are.
        take_block: Gives the next block, for a row whose quotes reach beyond this one's end; None at the file's end.
        on_bad_row: Called with line number, reason and detail for each row that is no CSV or has more or fewer cells
            than the header.

    Raises:
        UsageError: A line has over a million characters, or a quote is never closed.
    """
    return _OddBlock(data, first_line, layout, take_block, on_bad_row).read()


class _OddBlock:
    def __init__(
        self,
        data: bytes,
        first_line: int,
        layout: Layout,
        take_block: Callable[[], bytes | None],
        on_bad_row: BadRow,
    ) -> None:
        self._lines = data.split(b"\n")[:-1]
        self._next = 0
        self._first_line = first_line
        self._layout = layout
        self._take_block = take_block
        self._on_bad_row = on_bad_row

    def read(self) -> pl.DataFrame:
        plain: list[bytes] = []
        plain_numbers: list[int] = []
        quoted: list[list[str]] = []
        quoted_numbers: list[int] = []
        while self._next < len(self._lines):
            line = self._lines[self._next]
            self._next += 1
            if b'"' in line or len(line) >= FIELD_LIMIT:
                row = self._read_with_csv()
                if row and self._has_all_cells(len(row)):
                    quoted.append(row)
                    quoted_numbers.append(self._number)
            elif line and self._has_all_cells(line.count(b",") + 1):
                plain.append(line)
                plain_numbers.append(self._number)
        return pl.concat(
            [
                self._layout.parse(b"".join(line + b"\n" for line in plain)).with_columns(
                    pl.Series(LINE, plain_numbers, pl.Int64)
                ),
                self._layout.frame_of(quoted).with_columns(pl.Series(LINE, quoted_numbers, pl.Int64)),
            ]
        ).sort(LINE)

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
                block = self._take_block()
                if block is None:
                    return
                self._lines += block.split(b"\n")[:-1]
            line = self._lines[index]
            if len(line) >= MAX_LINE_LENGTH:
                refuse_long_line(self._layout.source, self._first_line + index)
            yield line.decode("utf-8") + "\n"
            index += 1
