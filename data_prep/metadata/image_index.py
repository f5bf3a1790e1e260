"""Open Images' image index: URL, size and MD5 of each image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data_prep.downloading.image_sources import MAX_URL_LENGTH
from data_prep.metadata.box_table import IMAGE_ID, Numbering
from data_prep.metadata.class_choice import names_of
from data_prep.metadata.csv_frames import LINE, read_frames
from data_prep.metadata.csv_rows import REPLACEMENT, BadRow
from data_prep.metadata.open_images import IMAGE_OPTIONAL_COLUMNS, IMAGE_REQUIRED_COLUMNS
from data_prep.runtime.ledger import Ledger
from data_prep.runtime.url_credentials import without_credentials

NUMBER = "number"
ENTRY = "entry"
_ROTATIONS = {f"{degrees}{end}": degrees for degrees in (0, 90, 180, 270) for end in ("", ".0")}
_MAX_SIZE_DIGITS = 18
_EXAMPLE_LENGTH = 40
_NOT_GIVEN = (
    "",
    "nan",
    "NaN",
)  # Open Images writes nan for a rotation that it does not know, pandas for any empty cell
_NAN_IS_NOTHING = ("OriginalMD5", "Thumbnail300KURL", "OriginalLandingURL")  # but somebody may be called nan
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


@dataclass
class IndexCounts:
    """Counts of an image index.

    Attributes:
        read: Its rows.
        bad_rows: Of these, rows that are no CSV, or lack a cell, so that no image can be found in them.
        without_url: Wanted images that get no URL, since there is none or it is among `left_out`.
        left_out: Cells of wanted images that hold nothing that can be used, by column; the image is kept without them.
        of_earlier_file: Rows of wanted images that an index read before this one lists as well.
        examples: Of each of these columns the line of the first such cell, and its text, shortened.
    """

    read: int = 0
    bad_rows: int = 0
    without_url: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    of_earlier_file: int = 0
    examples: dict[str, tuple[int, str]] = field(default_factory=dict)


def read_image_index(paths: Sequence[str], wanted: Numbering, ledger: Ledger, counts: IndexCounts) -> pl.DataFrame:
    """Reads the wanted images of the indexes, in their order, one index after the other.

    An image is kept whatever its row says beside its id: a cell that cannot be used is left out and counted. Of an
    image that several indexes list the first one's row is taken, and the others' are counted.

    Args:
        paths: The image index CSVs, plain or gzipped.
        wanted: The ids of the images to read.
        ledger: Gets the rows that cannot be read, and those of an image that its file has listed before.
        counts: The rows and cells are counted in it.

    Returns:
        A row an image: `number` (uint32, of its id in `wanted`) and `entry`, what images.json holds of it, as JSON.

    Raises:
        UsageError: A file cannot be read or lacks a column.
        UserError: One is damaged.
    """
    parts = [pl.DataFrame(schema={NUMBER: pl.UInt32, ENTRY: pl.String})]
    seen = np.zeros(len(wanted), np.bool_)
    for path, name in zip(paths, names_of(paths), strict=True):
        parts += _entries_of_file(path, name, wanted, seen, ledger, counts)
    return pl.concat(parts, rechunk=True)


def _entries_of_file(
    path: str, name: str, wanted: Numbering, seen: NDArray[np.bool_], ledger: Ledger, counts: IndexCounts
) -> Iterator[pl.DataFrame]:
    """Yields the entries of images that are wanted and not `seen` in earlier files; adds them to these at the end."""

    def reject_row(line: int, reason: str, detail: str) -> None:
        ledger.reject(f"{name}:{line}", reason, detail)

    def reject_and_count(line: int, reason: str, detail: str) -> None:
        counts.read += 1
        counts.bad_rows += 1
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
    in_file = np.zeros(len(wanted), np.bool_)
    may_be_seen = bool(seen.any())
    for rows, frame in frames:
        counts.read += rows
        if not len(frame):
            continue
        numbered = frame.with_columns(pl.Series(NUMBER, wanted.numbers_of(frame[IMAGE_ID])))
        once = _without_repeated(numbered, in_file, reject_row)
        if may_be_seen:
            new = once.filter(pl.Series(~seen[once[NUMBER].to_numpy()], dtype=pl.Boolean))
            counts.of_earlier_file += len(once) - len(new)
            once = new
        yield _entries(once, counts)
    seen |= in_file


def _without_repeated(frame: pl.DataFrame, seen: NDArray[np.bool_], reject: BadRow) -> pl.DataFrame:
    numbers = frame[NUMBER].to_numpy()
    first = frame[NUMBER].is_first_distinct().to_numpy() & ~seen[numbers]
    seen[numbers] = True
    if first.all():
        return frame
    repeated = frame.filter(pl.Series(~first))
    for line, image_id in repeated.select(LINE, IMAGE_ID).iter_rows():
        reject(line, "image listed twice", f"image {image_id}")
    return frame.filter(pl.Series(first))


def _entries(frame: pl.DataFrame, counts: IndexCounts) -> pl.DataFrame:
    """Returns number and entry of each row."""
    usable = frame.select(NUMBER, LINE, *(_value(column).alias(key) for column, key in _KEYS.items()))
    _count_left_out(frame, usable, counts)
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
    """Returns what images.json holds of a cell; null for one that is empty, or holds nothing that can be used."""
    cell = pl.col(column)
    if column == _SIZE:
        digits = pl.when(cell.str.contains(rf"^[0-9]{{1,{_MAX_SIZE_DIGITS}}}(\.0)?$")).then(cell.str.strip_suffix(".0"))
        return digits.cast(pl.Int64, strict=False)
    if column == _ROTATION:
        return cell.replace_strict(_ROTATIONS, default=None, return_dtype=pl.Int64)
    if column == _URL:
        odd = cell.str.contains(REPLACEMENT, literal=True) | (cell.str.len_chars() > MAX_URL_LENGTH)
        return pl.when(~cell.is_in(_NOT_GIVEN) & ~odd).then(cell)
    if column in _NAN_IS_NOTHING:
        return pl.when(~cell.is_in(_NOT_GIVEN)).then(cell)
    return pl.when(cell != "").then(cell)


def _count_left_out(frame: pl.DataFrame, usable: pl.DataFrame, counts: IndexCounts) -> None:
    counts.without_url += usable[_KEYS[_URL]].null_count()
    for column in (_URL, _SIZE, _ROTATION):
        values = usable[_KEYS[column]]
        if not values.null_count():
            continue
        odd = frame.filter(values.is_null() & ~frame[column].is_in(_NOT_GIVEN))
        if len(odd):
            counts.left_out[column] += len(odd)
            counts.examples.setdefault(column, (odd[LINE][0], without_credentials(odd[column][0])[:_EXAMPLE_LENGTH]))


def images_in_order(entries: pl.DataFrame) -> Iterator[str]:
    """Yields what images.json holds, as JSON, a thousand images at a time with `,` and a line's end in between."""
    for part in entries.iter_slices(1000):
        yield part[ENTRY].str.join(",\n").item()
