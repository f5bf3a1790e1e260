"""Open Images' image index: where each picture is to be had, and what it then should be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from data_prep.ledger import Ledger
from data_prep.metadata.box_table import IMAGE_ID, Numbering
from data_prep.metadata.csv_cells import ListedCells
from data_prep.metadata.csv_frames import number_of_blocks, read_frames
from data_prep.metadata.csv_layout import LINE
from data_prep.metadata.csv_rows import REPLACEMENT
from data_prep.metadata.open_images import IMAGE_OPTIONAL_COLUMNS, IMAGE_REQUIRED_COLUMNS
from data_prep.progress import progress

NUMBER = "number"
ENTRY = "entry"
_ROTATIONS = {f"{degrees}{end}": degrees for degrees in (0, 90, 180, 270) for end in ("", ".0")}
_MAX_SIZE_DIGITS = 18
_ESCAPED_IN_JSON = r"[^ !#-\[\]-~]"  # all but ASCII without quotes, backslashes and what cannot be printed
_URL, _SIZE, _ROTATION = "OriginalURL", "OriginalSize", "Rotation"
_TEXT_KEYS = {
    "Subset": "subset",
    "OriginalMD5": "original_md5",
    "Thumbnail300KURL": "thumbnail_300k_url",
    "OriginalLandingURL": "landing_url",
    "License": "license",
    "Author": "author",
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
        keep=ListedCells(wanted, keep=True),
        on_bad_row=reject_and_count,
    )
    seen = np.zeros(len(wanted), np.bool_)
    parts = [pl.DataFrame(schema={NUMBER: pl.UInt32, ENTRY: pl.String})]
    blocks = number_of_blocks(path)
    for rows, frame in progress(frames, description="reading the image index", total=blocks, unit="blocks"):
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
    usable = frame.filter(good)
    is_plain = usable.select(~pl.concat_str(IMAGE_ID, _URL, *_TEXT_KEYS).str.contains(_ESCAPED_IN_JSON)).to_series()
    if is_plain.all():
        return usable.select(NUMBER, _entry(_plain_member))
    both = [
        usable.filter(is_plain).select(NUMBER, _entry(_plain_member), LINE),
        usable.filter(~is_plain).select(NUMBER, _entry(_escaped_member), LINE),
    ]
    return pl.concat(both).sort(LINE).drop(LINE)


def _entry(member: Callable[[str, pl.Expr], pl.Expr]) -> pl.Expr:
    """Returns what images.json holds of a row, whose texts `member` makes members of a JSON object."""
    size, rotation = pl.col(_SIZE), pl.col(_ROTATION)
    texts = [pl.when(pl.col(column) != "").then(member(key, pl.col(column))) for column, key in _TEXT_KEYS.items()]
    degrees = rotation.replace_strict(_ROTATIONS, default=None, return_dtype=pl.Int64)
    members = [
        member("id", pl.col(IMAGE_ID)),
        member("url", pl.col(_URL)),
        *texts[:2],
        pl.when(size != "").then(pl.format('"original_size": {}', size.cast(pl.Int64, strict=False))),
        *texts[2:],
        pl.when(rotation != "").then(pl.format('"rotation": {}', degrees)),
    ]
    joined = pl.concat_str(members, separator=", ", ignore_nulls=True)
    return pl.concat_str(pl.lit("{"), joined, pl.lit("}")).alias(ENTRY)


def _plain_member(key: str, text: pl.Expr) -> pl.Expr:
    """Returns `"key": "text"` for texts in which JSON escapes nothing."""
    return pl.format(f'"{key}": "{{}}"', text)


def _escaped_member(key: str, text: pl.Expr) -> pl.Expr:
    """Returns `"key": "text"`, escaped as JSON has it."""
    return pl.lit(f'"{key}": ') + pl.struct(text.alias(key)).struct.json_encode().str.slice(len(key) + 4).str.head(-1)


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
        yield ",\n".join(part[ENTRY].to_list())
