"""Open Images' image index: URL, size and MD5 of each image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from data_prep.metadata.box_table import IMAGE_ID, Numbering
from data_prep.metadata.csv_frames import LINE, read_frames
from data_prep.metadata.csv_rows import REPLACEMENT
from data_prep.metadata.open_images import IMAGE_OPTIONAL_COLUMNS, IMAGE_REQUIRED_COLUMNS
from data_prep.runtime.ledger import Ledger

NUMBER = "number"
ENTRY = "entry"
_ROTATIONS = {f"{degrees}{end}": degrees for degrees in (0, 90, 180, 270) for end in ("", ".0")}
_MAX_SIZE_DIGITS = 18
_URL, _SIZE, _ROTATION = "OriginalURL", "OriginalSize", "Rotation"
_KEYS = {  # of images.json, in its order
    IMAGE_ID: "id",
    _URL: "url",
    "Subset": "subset",
    "OriginalMD5": "original_md5",
    _SIZE: "original_size",
    "Thumbnail300KURL": "thumbnail_300k_url",
    "OriginalLandingURL": "landing_url",
    "License": "license",
    "Author": "author",
    _ROTATION: "rotation",
}


def read_image_index(path: str, wanted: Numbering, ledger: Ledger, count: Counter[str]) -> pl.DataFrame:
    """Reads the wanted images of the index, in the index's order.

    Args:
        path: The image index CSV, plain or gzipped.
        wanted: The ids of the images to read.
        ledger: Gets the rows that cannot be used.
        count: `count["read"]` becomes the number of rows.

    Returns:
        A row an image: `number` (uint32, of its id in `wanted`) and `entry`, what images.json holds of it, as JSON.

    Raises:
        UsageError: The file cannot be read or lacks a column.
        UserError: It is damaged.
    """
    name = Path(path).name

    def reject_row(line: int, reason: str, detail: str) -> None:
        ledger.reject(f"{name}:{line}", reason, detail)

    def reject_and_count(line: int, reason: str, detail: str) -> None:
        count["read"] += 1
        reject_row(line, reason, detail)

    frames = read_frames(
        path,
        required=IMAGE_REQUIRED_COLUMNS,
        optional=IMAGE_OPTIONAL_COLUMNS,
        key=IMAGE_ID,
        keep=wanted.contains,
        on_bad_row=reject_and_count,
        description="reading the image index",
    )
    seen = np.zeros(len(wanted), np.bool_)
    parts = [pl.DataFrame(schema={NUMBER: pl.UInt32, ENTRY: pl.String})]
    for rows, frame in frames:
        count["read"] += rows
        if len(frame):
            numbered = frame.with_columns(pl.Series(NUMBER, wanted.numbers_of(frame[IMAGE_ID])))
            parts.append(_entries(_without_repeated(numbered, seen, reject_row), reject_row))
    return pl.concat(parts, rechunk=True)


def _without_repeated(frame: pl.DataFrame, seen: np.ndarray, reject: Any) -> pl.DataFrame:
    numbers = frame[NUMBER].to_numpy()
    first = frame[NUMBER].is_first_distinct().to_numpy() & ~seen[numbers]
    seen[numbers] = True
    if first.all():
        return frame
    repeated = frame.filter(pl.Series(~first))
    for line, image_id in repeated.select(LINE, IMAGE_ID).iter_rows():
        reject(line, "image listed twice", f"image {image_id}")
    return frame.filter(pl.Series(first))


def _entries(frame: pl.DataFrame, reject: Any) -> pl.DataFrame:
    """Returns number and entry of each row that can be used."""
    size, rotation = pl.col(_SIZE), pl.col(_ROTATION)
    good = (
        (pl.col(_URL) != "")
        & ~pl.col(_URL).str.contains(REPLACEMENT, literal=True)
        & size.str.contains(rf"^[0-9]{{0,{_MAX_SIZE_DIGITS}}}$")
        & rotation.is_in(["", *_ROTATIONS])
    )
    bad = frame.filter(~good)
    for row in bad.iter_rows(named=True):
        reject(row[LINE], "bad image row", f"image {row[IMAGE_ID]}: {_problem(row)}")
    usable = frame.filter(good).select(NUMBER, LINE, *(_value(column).alias(key) for column, key in _KEYS.items()))
    # An image without a value lacks its key. Most have the same ones, so that one or two looks make all entries.
    keys = list(_KEYS.values())
    lacks = usable.select(pl.sum_horizontal(pl.col(key).is_null() * 2**bit for bit, key in enumerate(keys))).to_series()
    parts = [pl.DataFrame(schema={NUMBER: pl.UInt32, LINE: pl.Int64, ENTRY: pl.String})]
    for bits in lacks.unique().to_list():
        present = [key for bit, key in enumerate(keys) if not bits >> bit & 1]
        entry = pl.struct(present).struct.json_encode().alias(ENTRY)
        parts.append(usable.filter(lacks == bits).select(NUMBER, LINE, entry))
    return pl.concat(parts).sort(LINE).drop(LINE)


def _value(column: str) -> pl.Expr:
    """Returns what images.json holds of a cell, whose row can be used; null for an empty one."""
    cell = pl.col(column)
    if column == _SIZE:
        return cell.cast(pl.Int64, strict=False)
    if column == _ROTATION:
        return cell.replace_strict(_ROTATIONS, default=None, return_dtype=pl.Int64)
    return pl.when(cell != "").then(cell)


def _problem(row: Mapping[str, str]) -> str:
    url, size, rotation = row[_URL], row[_SIZE], row[_ROTATION]
    if not url or REPLACEMENT in url:
        return f"OriginalURL {url[:80]!r}"
    if size and not (size.isascii() and size.isdecimal() and len(size) <= _MAX_SIZE_DIGITS):
        return f"OriginalSize {size[:80]!r} is not a number of bytes"
    return f"Rotation {rotation[:80]!r} is not 0, 90, 180 or 270 degrees"


def images_in_order(entries: pl.DataFrame) -> Iterator[str]:
    """Yields what images.json holds, as JSON, a thousand images at a time with `,` and a line's end in between."""
    for part in entries.iter_slices(1000):
        yield part[ENTRY].str.join(",\n").item()
