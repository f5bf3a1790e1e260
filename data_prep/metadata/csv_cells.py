"""Where the cells of a block of CSV end, and whether they are among some texts: found for all rows at once."""

from __future__ import annotations

import csv
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

FIELD_LIMIT = csv.field_size_limit()
_COMMA, _LINE_END, _QUOTE = b',\n"'
_PIECE_BYTES = 1024 * 1024  # what is worked out of a piece fits into a processor's cache
_WORD = 8  # bytes that are compared at once
_WORD_TYPE = "<u8"
_MAX_WORDS = 8  # of a text; Open Images' ids have two
_MAX_BUCKET = 32  # texts that may share a place in the table: made-up ones could all do, and be looked at one by one
_generator = random.Random(0)  # NumPy's own takes a while to import
_MULTIPLIERS = np.array([_generator.getrandbits(64) | 1 for _ in range(_MAX_WORDS)], np.uint64)
_MASKS = np.array([2 ** (8 * length) - 1 for length in range(_WORD + 1)], np.uint64)


@dataclass(frozen=True)
class CellEnds:
    """Where the cells of a block's rows are.

    Attributes:
        ends: int64 [rows, columns]: where the cells of the columns of interest end, the byte after the last.
        has_quote: bool [rows]: whether there is a quote in the row.
    """

    ends: NDArray[np.int64]
    has_quote: NDArray[np.bool_]


def find_cell_ends(data: bytes, width: int, columns: Sequence[int]) -> CellEnds | None:
    """Returns where some cells of each line of a block end; None if not every line is a row.

    What is found is what the csv module finds: cells in quotes may hold commas and doubled quotes, but no line's end.

    Args:
        data: Lines, the last of which ends too.
        width: How many cells a row has.
        columns: Of these, the ones of interest, from 0.

    Returns:
        None where a line is empty, has more or fewer cells, or is none that the csv module would read on its own, or
        where quotes stand elsewhere than around a cell.
    """
    has_quotes = b'"' in data
    parts = []
    begin = 0
    while begin < len(data):
        stop = data.rfind(b"\n", begin, begin + _PIECE_BYTES) + 1 or data.index(b"\n", begin) + 1
        found = _find_in_piece(np.frombuffer(data, np.uint8, stop - begin, begin), width, has_quotes)
        if found is None:
            return None
        parts.append(CellEnds(found.ends[:, columns] + begin, found.has_quote))
        begin = stop
    return CellEnds(np.concatenate([part.ends for part in parts]), np.concatenate([part.has_quote for part in parts]))


def _find_in_piece(characters: NDArray[np.uint8], width: int, has_quotes: bool) -> CellEnds | None:
    is_line_end = characters == _LINE_END
    num_lines = np.count_nonzero(is_line_end)
    is_mark = characters == _COMMA
    is_mark |= is_line_end
    quotes = None
    if not has_quotes:
        marks = np.flatnonzero(is_mark)
    else:
        is_mark |= characters == _QUOTE
        outside = _marks_outside_quotes(characters, np.flatnonzero(is_mark))
        if outside is None:
            return None
        marks, quotes = outside
    if len(marks) != num_lines * width:
        return None
    ends = marks.reshape(num_lines, width)
    last = ends[:, -1]
    if not is_line_end[last].all():  # then no other mark is one, for there are as many as rows: all have their cells
        return None
    lengths = np.diff(last, prepend=-1)
    if lengths.min() == 1 or lengths.max() > FIELD_LIMIT:
        return None
    has_quote = np.zeros(num_lines, np.bool_)
    if quotes is not None:
        has_quote[np.searchsorted(last, quotes)] = True
    return CellEnds(ends, has_quote)


def _marks_outside_quotes(
    characters: NDArray[np.uint8], marks: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Returns the commas and line ends that are not in quotes, and the quotes; None if these are not around cells."""
    kinds = characters[marks]
    is_quote = kinds == _QUOTE
    # From the quote that opens to before the one that closes.
    inside = (np.cumsum(is_quote, dtype=np.uint8) & 1).view(np.bool_)
    if inside[-1] or (inside & (kinds == _LINE_END)).any():
        return None
    # A quote that opens follows a cell's end, and one that closes comes before one; or both are a doubled quote.
    before = characters[marks[is_quote & inside] - 1]  # of the first byte of all it is the last, which ends a line
    after = characters[marks[is_quote & ~inside] + 1]
    if not all(np.isin(around, (_COMMA, _LINE_END, _QUOTE)).all() for around in (before, after)):
        return None
    return marks[~(is_quote | inside)], marks[is_quote]


class ListedCells:
    """Keeps the rows whose cell is, or is not, among some texts; a `Keep` that can also look at the bytes of cells."""

    def __init__(self, texts: Collection[str], *, keep: bool) -> None:
        """Lists texts.

        Args:
            texts: They should be quick to ask `in`, as a set is.
            keep: Whether the cells among them are kept; else all others are.
        """
        self._texts = texts
        self._keep = keep
        self._table = _Table(list(texts))

    def __call__(self, cells: pl.Series) -> pl.Series:
        """Returns for each cell whether it is kept, as Booleans."""
        listed = pl.Series(map(self._texts.__contains__, cells.to_list()), dtype=pl.Boolean)
        return listed if self._keep else ~listed

    @property
    def can_look_at_bytes(self) -> bool:
        """Whether `of_bytes` may be called: not with texts that are too long, or too alike."""
        return self._table.usable

    def of_bytes(self, data: bytes, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Returns for each cell of a block, taken as it stands, whether it is kept.

        Args:
            data: The block.
            starts: Where the cells begin, ascending.
            ends: Where they end.
        """
        listed = self._table.contains(data, starts, ends)
        return listed if self._keep else ~listed


class _Table:
    """Texts as words of eight bytes, in a hash table whose places hold several.

    A text is its words, for it has no NUL and the last is filled up with them: what is compared is the whole of it.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        encoded = [text.encode() for text in texts if "\0" not in text]  # cells have none
        longest = max(map(len, encoded), default=0)
        self._num_words = max(1, -(-longest // _WORD))
        self.usable = self._num_words <= _MAX_WORDS
        if not self.usable:
            return
        padded = np.array(encoded, f"S{self._num_words * _WORD}")
        words = padded.view(_WORD_TYPE).reshape(-1, self._num_words).T
        spread = 6 if len(encoded) < 2**14 else 2  # a large table would not fit into a processor's cache
        self._shift = np.uint64(64 - min(22, len(encoded).bit_length() + spread))
        places = self._places(words)
        counts = np.bincount(places, minlength=2 ** (64 - int(self._shift)))
        self._first = np.concatenate([[0], np.cumsum(counts)])
        self._words = np.ascontiguousarray(words[:, np.argsort(places, kind="stable")])
        self._bucket = int(counts.max())
        self.usable = self._bucket <= _MAX_BUCKET

    def _places(self, words: Sequence[NDArray[np.uint64]] | NDArray[np.uint64]) -> NDArray[np.int64]:
        places = words[0] * _MULTIPLIERS[0]
        for word, multiplier in zip(words[1:], _MULTIPLIERS[1:], strict=False):
            places = places + word * multiplier
        return (places >> self._shift).astype(np.int64)

    def contains(self, data: bytes, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Returns for each cell, as `ListedCells.of_bytes` takes them, whether it is one of the texts."""
        reach = self._num_words * _WORD
        whole = int(np.searchsorted(starts, len(data) - reach, side="right"))
        if whole == len(starts):
            return self._contains(data, starts, ends)
        cut = int(starts[whole])  # from here on words would reach beyond the data's end
        return np.concatenate(
            [
                self._contains(data, starts[:whole], ends[:whole]) if whole else np.zeros(0, np.bool_),
                self._contains(data[cut:] + bytes(reach), starts[whole:] - cut, ends[whole:] - cut),
            ]
        )

    def _contains(self, data: bytes, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.bool_]:
        word_at = np.ndarray(len(data) - _WORD + 1, _WORD_TYPE, data, strides=(1,))
        lengths = ends - starts
        words = [
            word_at[starts + offset] & _MASKS[np.clip(lengths - offset, 0, _WORD)]
            for offset in range(0, self._num_words * _WORD, _WORD)
        ]
        places = self._places(words)
        at, stop = self._first[places], self._first[places + 1]
        rows = np.flatnonzero((at < stop) & (lengths <= self._num_words * _WORD))
        found = np.zeros(len(starts), np.bool_)
        for step in range(self._bucket):
            candidates = at[rows] + step
            equal = self._words[0][candidates] == words[0][rows]
            for ours, theirs in zip(self._words[1:], words[1:], strict=True):
                equal &= ours[candidates] == theirs[rows]
            found[rows[equal]] = True
            rows = rows[~equal & (candidates + 1 < stop[rows])]
        return found
