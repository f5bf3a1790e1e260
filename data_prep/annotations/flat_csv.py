"""The flat CSV of many tutorials: a box a row, `filename,width,height,class,xmin,ymin,xmax,ymax` or fewer columns.

The file does not say whether coordinates are pixels or shares of the image, so they are guessed. A box whose every
edge is at most 2 is one in shares (a box within the first two pixels of a photograph is no box). Where at least nine in
ten are such, the file is in shares; where at most one in ten are, in pixels; in between, a flag has to say it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from data_prep.annotations.csv_columns import OPTIONAL_COLUMNS, CsvLayout, find_layout
from data_prep.annotations.source_image import (
    Reject,
    SourceBox,
    SourceImage,
    SourceSet,
    read_number,
    read_side,
    shown,
)
from data_prep.metadata.csv_rows import BadRow, read_rows
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.ledger import RejectedError

Coordinates = Literal["auto", "pixel", "relative"]

LARGEST_RELATIVE = 2.0
CLEAR_MAJORITY = 0.9

_NUM_REQUIRED = 6  # file, class, and two an axis
_FLAG_COLUMNS = OPTIONAL_COLUMNS[3:]
_FLAGS = dict.fromkeys(("", "0", "0.0", "-1", "-1.0", "false", "nan"), False)  # -1 is Open Images' unknown
_FLAGS |= dict.fromkeys(("1", "1.0", "true"), True)
_MISSING = frozenset({"", "nan", "none", "null", "na", "n/a", "<na>"})  # what pandas and others write for nothing


@dataclass
class _Image:
    """Rows of one image."""

    line: int
    width: int | None = None
    height: int | None = None
    boxes: list[SourceBox] = field(default_factory=list)
    num_rejected: int = 0


def read_flat_csv(
    path: Path,
    *,
    coordinates: Coordinates,
    first_pixel: int,
    columns: Mapping[str, str] | None = None,
    without_header: bool = False,
    reject: Reject,
) -> SourceSet:
    """Reads the CSV.

    A row with a file name and neither box nor class is an image without boxes.

    Args:
        path: The CSV, plain or gzipped; cells may be separated by semicolons or tabs, and then numbers have commas.
        coordinates: What the boxes are in; `auto` tells by the rule above.
        first_pixel: The number of the first column and row of pixels: 1 takes one pixel from xmin and ymin.
        columns: What the file calls columns, by the names of `csv_columns.COLUMNS`; None finds all by usual names.
        without_header: Whether it has no header, and keras-retinanet's columns; such a file is also told by itself.
        reject: Takes what cannot be used.

    Raises:
        UsageError: A column is missing, or the rule cannot tell.
        UserError: The file is damaged.
    """
    layout = find_layout(path, asked=columns or {}, without_header=without_header)
    if coordinates == "auto":
        is_relative, remark = _guess_coordinates(path, layout)
    else:
        is_relative, remark = coordinates == "relative", f"coordinates: {coordinates}, as --coordinates says"
    source = SourceSet(iter(()), None, remarks=[*layout.remarks, remark])
    source.images = _images(path, layout, is_relative, 0 if is_relative else first_pixel, source, reject)
    return source


def _rows(path: Path, layout: CsvLayout, on_bad_row: BadRow) -> Iterator[tuple[int, list[str]]]:
    """Yields the line and the cells of each row, in the order of the layout's columns."""
    for line, cells in read_rows(
        path,
        required=layout.required,
        optional=layout.optional,
        on_bad_row=on_bad_row,
        delimiter=layout.delimiter,
        names=layout.names,
    ):
        stripped = [cell.strip() for cell in cells]
        if any(stripped):  # spreadsheets end with rows of nothing
            yield line, stripped


def _images(
    path: Path, layout: CsvLayout, is_relative: bool, first_pixel: int, source: SourceSet, reject: Reject
) -> Iterator[SourceImage]:
    images: dict[str, _Image] = {}
    num_bad_confidences = 0

    def reject_row(line: int, reason: str, detail: str) -> None:
        reject(f"{path.name}:{line}", reason, detail)

    for line, cells in _rows(path, layout, reject_row):
        name, label, *edges = cells[:_NUM_REQUIRED]
        width, height, confidence, *flags = cells[_NUM_REQUIRED:]
        has_box = any(edge.casefold() not in _MISSING for edge in edges)
        image = images.get(name)
        if image is None:
            image = images[name] = _Image(line)
        sides = read_side(_decimal(width, layout)), read_side(_decimal(height, layout))
        if image.width is None or image.height is None:
            image.width, image.height = sides
        elif (image.width, image.height) != (sides[0] or image.width, sides[1] or image.height):
            reject_row(line, "two sizes of one image", f"{width}x{height}, before {image.width}x{image.height}")
            image.num_rejected += has_box or bool(label)
            continue
        if not has_box and label.casefold() in _MISSING:
            continue
        try:
            extra = _flags(flags)
            if confidence.casefold() not in _MISSING:
                try:
                    extra["confidence"] = _share(confidence, layout)
                except RejectedError:  # no reason to lose a box: a column of such a name may hold something else
                    num_bad_confidences += 1
            image.boxes.append(_box(f"{path.name}:{line}", label, edges, layout, extra, first_pixel))
        except RejectedError as error:
            reject_row(line, error.reason, error.detail)
            image.num_rejected += 1
    if num_bad_confidences:
        column = layout.optional[OPTIONAL_COLUMNS.index("confidence")]
        source.remarks.append(
            f"{num_bad_confidences} cells of column {column!r} are no confidence from 0 to 1; their boxes have none"
        )
    for name, image in images.items():
        yield SourceImage(
            f"{path.name}:{image.line}",
            (name,),
            is_relative,
            tuple(image.boxes),
            image.width,
            image.height,
            num_rejected=image.num_rejected,
        )


def _box(
    where: str, label: str, edges: Sequence[str], layout: CsvLayout, extra: Mapping[str, Any], first_pixel: int
) -> SourceBox:
    across, down = (
        _edges(layout, names, texts, first_pixel)
        for names, texts in ((layout.horizontal, edges[:2]), (layout.vertical, edges[2:]))
    )
    return SourceBox(where, label, across[0], down[0], across[1], down[1], extra)


def _edges(layout: CsvLayout, names: Sequence[str], texts: Sequence[str], first_pixel: int) -> tuple[float, float]:
    """Returns where a box begins and ends along an axis, from what the file states."""
    low, high = (read_number(_decimal(text, layout), name) for text, name in zip(texts, names, strict=True))
    if not names[1].startswith("box_"):
        return low - first_pixel, high
    if names[0].endswith("_center"):
        return low - high / 2, low + high / 2
    return low - first_pixel, low - first_pixel + high


def _flags(texts: Sequence[str]) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    for name, text in zip(_FLAG_COLUMNS, texts, strict=True):
        if text.casefold() not in _FLAGS:
            raise RejectedError("bad flag", f"{name} is {shown(text)}, not 0 or 1")
        if _FLAGS[text.casefold()]:
            extra[name] = True
    return extra


def _share(text: str, layout: CsvLayout) -> float:
    number = read_number(_decimal(text, layout), "confidence")
    if not 0 <= number <= 1:
        raise RejectedError("bad confidence", f"{number}, outside 0..1")
    return number


def _decimal(text: str, layout: CsvLayout) -> str:
    """Returns a number's text with a point where it has a comma, which it can only where none is between cells."""
    return text.replace(",", ".") if layout.delimiter != "," and text.count(",") == 1 and "." not in text else text


def _guess_coordinates(path: Path, layout: CsvLayout) -> tuple[bool, str]:
    """Returns whether boxes are in shares of the image, and what to say of it."""
    count = small = 0
    for _, cells in _rows(path, layout, lambda *_: None):
        try:
            edges = [read_number(_decimal(cell, layout), "an edge") for cell in cells[2:_NUM_REQUIRED]]
        except RejectedError:
            continue
        count += 1
        small += max(map(abs, edges)) <= LARGEST_RELATIVE
    share = small / count if count else 0.0
    counted = f"{small} of {count} boxes have every edge within 0..{LARGEST_RELATIVE:g}"
    if 1 - CLEAR_MAJORITY < share < CLEAR_MAJORITY:
        raise UsageError(f"{path}: {counted}: pixels, or shares of the image? say which by --coordinates")
    is_relative = share >= CLEAR_MAJORITY
    kind = "relative (shares of the image)" if is_relative else "pixel"
    return is_relative, f"coordinates: {kind}, for {counted}; --coordinates says otherwise"
