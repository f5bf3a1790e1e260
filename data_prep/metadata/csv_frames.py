"""Large CSVs, plain or gzipped, as Polars frames of the rows that matter: block by block, so in bounded memory.

A block is looked at as a whole first: whether each line is a row of as many cells as the header, and where they end.
Then one cell of each row tells the few rows that matter, and only these are read. Where not every line is a row, the
block is read line by line, so that both ways keep and reject the same.
"""

from __future__ import annotations

import contextlib
import csv
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data_prep.command_line import UsageError
from data_prep.metadata.csv_blocks import Block, read_blocks
from data_prep.metadata.csv_cells import ListedCells, cell_ends
from data_prep.metadata.csv_layout import LINE, Layout
from data_prep.metadata.csv_odd_block import read_odd_block
from data_prep.metadata.csv_rows import (
    GZIP_MAGIC,
    MAX_LINE_LENGTH,
    BadRow,
    find_columns,
    open_bytes,
    refuse_long_line,
)

BLOCK_BYTES = 8 * 1024 * 1024
_WORKERS = min(os.cpu_count() or 1, 4)  # more would wait for the one that reads
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Keep = Callable[[pl.Series], pl.Series]
_Rows = tuple[int, pl.DataFrame]


def read_frames(
    path: str | os.PathLike[str],
    *,
    required: Sequence[str],
    optional: Sequence[str] = (),
    key: str,
    keep: Keep | None,
    on_bad_row: BadRow,
) -> Iterator[_Rows]:
    """Yields, block by block, how many rows were read and those that matter.

    Bytes that are not UTF-8, and NUL, become U+FFFD, as `csv_rows.read_rows` has it, whose rules for what is a row hold
    here too.

    Args:
        path: The CSV.
        required: Columns that must be there, in any order and letter case.
        optional: Columns that may be.
        key: The one of `required` that tells which rows matter.
        keep: Takes a Series of its cells (texts, never null) and returns a Series of Booleans: the rows to yield. None
            yields all. Called from several threads, for blocks in no certain order. `ListedCells` are the quickest.
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
    with (
        open_bytes(source) as stream,
        contextlib.closing(read_blocks(stream, source, BLOCK_BYTES)) as blocks,
        ThreadPoolExecutor(_WORKERS) as executor,
    ):
        layout, first = _read_header(blocks, source, required, optional, key)
        waiting = _Waiting(_chain(first, blocks), layout, keep, executor)
        while (block := waiting.take()) is not None:
            line, data, tidy = block
            result = tidy.result()
            if result is None:
                frame = read_odd_block(data, line, layout, waiting.take_bytes, on_bad_row)
                result = len(frame), frame if keep is None else frame.filter(keep(frame[key]))
            yield result


def number_of_blocks(path: str | os.PathLike[str]) -> int | None:
    """Returns how many blocks `read_frames` will find; None where only unzipping would tell."""
    source = Path(path)
    if not source.is_file():
        return None
    with source.open("rb") as file:
        if file.read(2) == GZIP_MAGIC:
            return None
    return -(-source.stat().st_size // BLOCK_BYTES)


class _Waiting:
    """Blocks that threads already read as tidy ones, in the file's order."""

    def __init__(
        self, blocks: Iterator[Block], layout: Layout, keep: Keep | None, executor: ThreadPoolExecutor
    ) -> None:
        self._blocks = blocks
        self._layout = layout
        self._keep = keep
        self._executor = executor
        self._waiting: deque[tuple[int, bytes, Future[_Rows | None]]] = deque()

    def take(self) -> tuple[int, bytes, Future[_Rows | None]] | None:
        """Returns the next block's first line, its bytes, and what `_read_tidy` will say; None at the file's end."""
        while len(self._waiting) <= _WORKERS:
            line, data = next(self._blocks, (0, b""))
            if not data:
                break
            tidy = self._executor.submit(_read_tidy, data, line, self._layout, self._keep)
            self._waiting.append((line, data, tidy))
        return self._waiting.popleft() if self._waiting else None

    def take_bytes(self) -> bytes | None:
        """Returns the next block's bytes; None at the file's end."""
        block = self.take()
        return None if block is None else block[1]


def _chain(first: Block, rest: Iterator[Block]) -> Iterator[Block]:
    if first[1]:
        yield first
    yield from rest


def _read_header(
    blocks: Iterator[Block], source: Path, required: Sequence[str], optional: Sequence[str], key: str
) -> tuple[Layout, Block]:
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
    return Layout(source, len(header), positions, key), (2, rest)


def _read_tidy(data: bytes, first_line: int, layout: Layout, keep: Keep | None) -> _Rows | None:
    """Returns what `read_frames` yields for a block all of whose lines are rows; None for another block."""
    key = layout.key_position
    ends = cell_ends(data, layout.width, (key - 1, key, layout.width - 1))
    if ends is None:
        return None
    stops = ends[:, 2] + 1
    starts = np.concatenate([[0], stops[:-1]])
    key_starts = ends[:, 0] + 1 if key else starts
    is_quoted = _rows_with_quotes(data, stops)
    plain = np.flatnonzero(~is_quoted)
    if keep is None:
        quoted = np.flatnonzero(is_quoted)
    elif isinstance(keep, ListedCells) and keep.can_look_at_bytes:
        kept = keep.of_bytes(data, key_starts, ends[:, 1])
        plain = np.flatnonzero(kept & ~is_quoted)
        quoted = np.flatnonzero(is_quoted)
        quoted = quoted[kept[quoted] | (np.frombuffer(data, np.uint8)[key_starts[quoted]] == ord('"'))]
    else:
        cells = layout.parse(_joined(data, starts, stops, plain), [layout.key])[layout.key]
        plain = plain[keep(cells).arg_true().to_numpy()]
        quoted = np.flatnonzero(is_quoted)
    frame = layout.parse(_joined(data, starts, stops, plain)).with_columns(pl.Series(LINE, plain + first_line))
    if not len(quoted):
        return len(ends), frame
    rows = list(csv.reader([data[starts[row] : stops[row]].decode("utf-8") for row in quoted.tolist()], strict=True))
    quoted_frame = layout.frame_of(rows).with_columns(pl.Series(LINE, quoted + first_line))
    if keep is not None:
        quoted_frame = quoted_frame.filter(keep(quoted_frame[layout.key]))
    return len(ends), pl.concat([frame, quoted_frame]).sort(LINE)


def _rows_with_quotes(data: bytes, stops: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Returns for each row, given where the next begins, whether there is a quote in it."""
    found = np.zeros(len(stops), np.bool_)
    if b'"' in data:
        quotes = np.flatnonzero(np.frombuffer(data, np.uint8) == ord('"'))
        found[np.searchsorted(stops, quotes, side="right")] = True
    return found


def _joined(data: bytes, starts: NDArray[np.int64], stops: NDArray[np.int64], rows: NDArray[np.int64]) -> bytes:
    """Returns the bytes of `rows`, which ascend; those that follow each other are taken as one."""
    if not len(rows):
        return b""
    breaks = np.flatnonzero(np.diff(rows) != 1)
    firsts, lasts = rows[np.concatenate([[0], breaks + 1])], rows[np.concatenate([breaks, [-1]])]
    return b"".join(
        data[start:stop] for start, stop in zip(starts[firsts].tolist(), stops[lasts].tolist(), strict=True)
    )
