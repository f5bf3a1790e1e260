"""A block of CSV all of whose lines are rows: those that matter, found by one look at the bytes and not yet parsed."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data_prep.metadata.csv_cells import ListedCells, find_cell_ends
from data_prep.metadata.csv_layout import LINE, Layout

_QUOTE = ord('"')

Keep = Callable[[pl.Series], pl.Series]


@dataclass(frozen=True)
class TidyRows:
    """Rows that matter, in the file's order.

    Attributes:
        num_read: How many rows the block has.
        num_bytes: How long those that matter are.
        plain: Those without a quote, as they stand.
        plain_lines: Their lines in the file, from 1; int64.
        quoted: The cells of those with a quote that may matter: whether they do is not asked yet.
        quoted_lines: Their lines; int64.
    """

    num_read: int
    num_bytes: int
    plain: bytes
    plain_lines: NDArray[np.int64]
    quoted: list[list[str]]
    quoted_lines: NDArray[np.int64]


def read_tidy_block(data: bytes, first_line: int, layout: Layout, keep: Keep | None) -> TidyRows | None:
    """Returns the rows that matter of a block; None if not every line is a row.

    Args:
        data: Lines, the last of which ends too.
        first_line: The number of the first in the file, from 1.
        layout: Where the columns are.
        keep: As `read_frames` takes it.
    """
    key = layout.key_position
    cells = find_cell_ends(data, layout.width, (key - 1, key, layout.width - 1))
    if cells is None:
        return None
    ends = cells.ends
    stops = ends[:, 2] + 1
    starts = np.concatenate([[0], stops[:-1]])
    key_starts = ends[:, 0] + 1 if key else starts
    quoted = np.flatnonzero(cells.has_quote)
    if isinstance(keep, ListedCells) and keep.can_look_at_bytes:
        kept = keep.of_bytes(data, key_starts, ends[:, 1])
        plain = np.flatnonzero(kept & ~cells.has_quote)
        quoted = quoted[kept[quoted] | (np.frombuffer(data, np.uint8)[key_starts[quoted]] == _QUOTE)]
    else:
        plain = np.flatnonzero(~cells.has_quote)
        if keep is not None:
            keys = layout.parse(_joined(data, starts, stops, plain), [layout.key])[layout.key]
            plain = plain[keep(keys).arg_true().to_numpy()]
    quoted_rows = [data[starts[row] : stops[row]] for row in quoted.tolist()]
    plain_rows = _joined(data, starts, stops, plain)
    return TidyRows(
        num_read=len(ends),
        num_bytes=len(plain_rows) + sum(map(len, quoted_rows)),
        plain=plain_rows,
        plain_lines=plain + first_line,
        quoted=list(csv.reader([row.decode("utf-8") for row in quoted_rows], strict=True)),
        quoted_lines=quoted + first_line,
    )


def parse_tidy_rows(blocks: Sequence[TidyRows], layout: Layout, keep: Keep | None) -> pl.DataFrame:
    """Returns the rows of several blocks that matter: the columns asked for, and `LINE`, in the file's order."""
    lines = np.concatenate([block.plain_lines for block in blocks])
    frame = layout.parse(b"".join(block.plain for block in blocks)).with_columns(pl.Series(LINE, lines))
    rows = [row for block in blocks for row in block.quoted]
    if not rows:
        return frame
    lines = np.concatenate([block.quoted_lines for block in blocks])
    quoted = layout.frame_of(rows).with_columns(pl.Series(LINE, lines))
    if keep is not None:
        quoted = quoted.filter(keep(quoted[layout.key]))
    return pl.concat([frame, quoted]).sort(LINE)


def _joined(data: bytes, starts: NDArray[np.int64], stops: NDArray[np.int64], rows: NDArray[np.int64]) -> bytes:
    """Returns the bytes of `rows`, which ascend; those that follow each other are taken as one."""
    if not len(rows):
        return b""
    breaks = np.flatnonzero(np.diff(rows) != 1)
    firsts, lasts = rows[np.concatenate([[0], breaks + 1])], rows[np.concatenate([breaks, [-1]])]
    return b"".join(
        data[start:stop] for start, stop in zip(starts[firsts].tolist(), stops[lasts].tolist(), strict=True)
    )
