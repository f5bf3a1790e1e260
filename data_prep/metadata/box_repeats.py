"""Boxes that are there twice: of one image and class, with the same edges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data_prep.metadata.box_table import Boxes

_PAIR, _EDGES = "pair", ("x0", "x1", "y0", "y1")


def are_among(boxes: Boxes, others: Boxes) -> NDArray[np.bool_]:
    """Returns for each of `boxes` whether one of `others` has its image, class and edges."""
    pairs, other_pairs = _pairs(boxes), _pairs(others)
    # Few have a partner: only these are looked at whole.
    candidates = np.flatnonzero(np.isin(pairs, other_pairs))
    found = np.zeros(len(boxes), np.bool_)
    if len(candidates):
        partners = np.flatnonzero(np.isin(other_pairs, pairs[candidates]))
        there = _frame(others, partners, other_pairs).unique()
        here = _frame(boxes, candidates, pairs).with_row_index("row")
        found[candidates[here.join(there, on=[_PAIR, *_EDGES], how="semi")["row"].to_numpy()]] = True
    return found


def are_in_earlier_file(boxes: Boxes, num_by_file: Sequence[int]) -> NDArray[np.bool_]:
    """Returns for each box whether an earlier file has one of its image and class with the same edges.

    Boxes that are alike within one file are not looked at: two things may be in one place.

    Args:
        boxes: Of one file after the other.
        num_by_file: How many each file has.
    """
    file = np.repeat(np.arange(len(num_by_file), dtype=np.uint32), num_by_file)
    found = np.zeros(len(boxes), np.bool_)
    first_file = np.full(int(boxes.image.max(initial=0)) + 1, len(num_by_file), np.uint32)
    np.minimum.at(first_file, boxes.image, file)
    of_several = np.zeros(len(first_file), np.bool_)
    of_several[boxes.image[file > first_file[boxes.image]]] = True
    candidates = np.flatnonzero(of_several[boxes.image])
    if len(candidates):
        frame = _frame(boxes, candidates, _pairs(boxes)).with_columns(pl.Series("file", file[candidates]))
        later = pl.col("file") > pl.col("file").min().over(_PAIR, *_EDGES)
        found[candidates] = frame.select(later).to_series().to_numpy()
    return found


def _pairs(boxes: Boxes) -> NDArray[np.uint64]:
    return (boxes.image.astype(np.uint64) << np.uint64(32)) | boxes.label


def _frame(boxes: Boxes, rows: NDArray[np.int64], pairs: NDArray[np.uint64]) -> pl.DataFrame:
    edges = {name: column[rows] for name, column in zip(_EDGES, boxes.numbers[1:], strict=True)}
    return pl.DataFrame({_PAIR: pairs[rows], **edges})
