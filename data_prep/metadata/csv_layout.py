"""Where the columns of a CSV are, and rows of it as a Polars frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

LINE = "line"  # the column that tells in which line of the file, from 1, a row ends


@dataclass(frozen=True)
class Layout:
    """Where the columns are.

    Attributes:
        source: The file, for messages.
        width: How many columns it has.
        positions: Where each column asked for stands, None for one that the file lacks; by name.
        key: The column that tells which rows matter.
    """

    source: Path
    width: int
    positions: dict[str, int | None]
    key: str

    @property
    def key_position(self) -> int:
        """Where the key column stands."""
        position = self.positions[self.key]
        assert position is not None  # it is a required one
        return position

    def parse(self, data: bytes, names: Sequence[str] | None = None) -> pl.DataFrame:
        """Reads rows without quotes.

        Args:
            data: The rows, each of as many cells as there are columns.
            names: The columns to read; None reads all of `positions`.

        Returns:
            The columns as texts, empty where the file lacks them or a cell is empty.
        """
        positions = self.positions if names is None else {name: self.positions[name] for name in names}
        present = sorted({position for position in positions.values() if position is not None})
        if not data:
            return pl.DataFrame(schema=dict.fromkeys(positions, pl.String))
        cells = pl.read_csv(
            data,
            has_header=False,
            quote_char=None,
            schema={str(index): pl.String for index in range(self.width)},
            columns=present,
        )
        return cells.select(
            pl.lit("").alias(name) if position is None else pl.col(str(position)).fill_null("").alias(name)
            for name, position in positions.items()
        )

    def frame_of(self, rows: Sequence[Sequence[str]]) -> pl.DataFrame:
        """Returns rows that the csv module read as `parse` does."""
        return pl.DataFrame(
            {
                name: ["" if position is None else row[position] for row in rows]
                for name, position in self.positions.items()
            },
            schema=dict.fromkeys(self.positions, pl.String),
        )
