"""Large CSVs, plain or gzipped, as Polars frames of the rows that matter: block by block, so in bounded memory.

A block is looked at as a whole first: whether each line is a row of as many cells as the header, and where they end.
Then one cell of each row tells the few rows that matter, and only these are parsed, those of several blocks at once.
Where not every line is a row, the block is read line by line, so that both ways keep and reject the same.
"""

from __future__ import annotations

import contextlib
import csv
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import polars as pl

from data_prep.metadata.csv_blocks import Block, read_blocks
from data_prep.metadata.csv_layout import Layout
from data_prep.metadata.csv_odd_block import read_odd_block
from data_prep.metadata.csv_rows import (
    GZIP_MAGIC,
    MAX_LINE_LENGTH,
    BadRow,
    find_columns,
    open_bytes,
    refuse_long_line,
)
from data_prep.metadata.csv_tidy_block import Keep, TidyRows, parse_tidy_rows, read_tidy_block
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.progress import progress

BLOCK_BYTES = 4 * 1024 * 1024
PARSED_BYTES = 4 * 1024 * 1024  # of rows that matter, together: to parse a few costs as much as to parse thousands
_WORKERS = min(os.cpu_count() or 1, 4)  # more would wait for the one that reads
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_Rows = tuple[int, pl.DataFrame]


def read_frames(
    path: str | os.PathLike[str],
    *,
    required: Sequence[str],
    optional: Sequence[str] = (),
    key: str,
    keep: Keep | None,
    on_bad_row: BadRow,
    description: str | None = None,
) -> Iterator[_Rows]:
    """Yields, some blocks at a time, how many rows were read and those that matter.

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
            the header. Rows that stand before it have been yielded then.
        description: What progress is shown as; None shows none.

    Yields:
        The number of rows, bad ones aside, and a frame of those kept, in the file's order: the columns asked for, all
        texts, empty where the file lacks them or a cell is empty, and `LINE`.

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
        all_blocks = _chain(first, blocks)
        if description is not None:
            total = _number_of_blocks(source)
            all_blocks = progress(all_blocks, description=description, total=total, unit="blocks")
        waiting = _Waiting(all_blocks, layout, keep, executor)
        parsing = _Parsing(layout, keep, executor)
        while (block := waiting.take()) is not None:
            line, data, tidy = block
            rows = tidy.result()
            if rows is not None:
                parsing.add(rows)
                yield from parsing.take(leave=1)
            else:
                yield from parsing.take(leave=0)
                frame = read_odd_block(data, line, layout, waiting.take_bytes, on_bad_row)
                yield len(frame), frame if keep is None else frame.filter(keep(frame[key]))
        yield from parsing.take(leave=0)


def _number_of_blocks(source: Path) -> int | None:
    """Returns how many blocks there will be; None where only unzipping would tell."""
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
        self._waiting: deque[tuple[int, bytes, Future[TidyRows | None]]] = deque()

    def take(self) -> tuple[int, bytes, Future[TidyRows | None]] | None:
        """Returns the next block: its first line, its bytes, and its rows if it is tidy; None at the file's end."""
        while len(self._waiting) <= _WORKERS:
            line, data = next(self._blocks, (0, b""))
            if not data:
                break
            tidy = self._executor.submit(read_tidy_block, data, line, self._layout, self._keep)
            self._waiting.append((line, data, tidy))
        return self._waiting.popleft() if self._waiting else None

    def take_bytes(self) -> bytes | None:
        """Returns the next block's bytes; None at the file's end."""
        block = self.take()
        return None if block is None else block[1]


class _Parsing:
    """Rows of tidy blocks that threads parse, those of several blocks at once; in the file's order."""

    def __init__(self, layout: Layout, keep: Keep | None, executor: ThreadPoolExecutor) -> None:
        self._layout = layout
        self._keep = keep
        self._executor = executor
        self._blocks: list[TidyRows] = []
        self._num_bytes = 0
        self._parsing: deque[tuple[int, Future[pl.DataFrame]]] = deque()

    def add(self, rows: TidyRows) -> None:
        """Adds the rows of the next block."""
        self._blocks.append(rows)
        self._num_bytes += rows.num_bytes
        if self._num_bytes >= PARSED_BYTES:
            self._parse()

    def take(self, *, leave: int) -> Iterator[_Rows]:
        """Yields what `read_frames` does, and waits for it, until `leave` frames are left; 0 leaves nothing at all."""
        if self._blocks and not leave:
            self._parse()
        while len(self._parsing) > leave:
            num_read, frame = self._parsing.popleft()
            yield num_read, frame.result()

    def _parse(self) -> None:
        num_read = sum(block.num_read for block in self._blocks)
        frame = self._executor.submit(parse_tidy_rows, self._blocks, self._layout, self._keep)
        self._parsing.append((num_read, frame))
        self._blocks = []
        self._num_bytes = 0


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
