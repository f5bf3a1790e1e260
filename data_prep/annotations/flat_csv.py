"""The flat CSV of many tutorials: a box a row, `filename,width,height,class,xmin,ymin,xmax,ymax` or fewer columns.

The file does not say whether coordinates are pixels or shares of the image, so they are guessed. A box whose every
edge is at most 2 is one in shares (a box within the first two pixels of a photograph is no box). Where at least nine in
ten are such, the file is in shares; where at most one in ten are, in pixels; in between, a flag has to say it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from data_prep.annotations.source_image import (
    Reject,
    SourceBox,
    SourceImage,
    SourceSet,
    read_number,
    read_side,
    shown,
)
from data_prep.metadata.csv_rows import MAX_LINE_LENGTH, open_text, read_rows
from data_prep.runtime.command_line import UsageError, printable
from data_prep.runtime.ledger import RejectedError

Coordinates = Literal["auto", "pixel", "relative"]

LARGEST_RELATIVE = 2.0
CLEAR_MAJORITY = 0.9

_COLUMNS = {
    "filename": ("filename", "file_name", "image", "image_path", "path", "file", "img", "image_id", "imageid"),
    "class": ("class", "label", "class_name", "classname", "category", "labelname", "name"),
    "xmin": ("xmin", "x_min", "x1", "x0", "left"),
    "ymin": ("ymin", "y_min", "y1", "y0", "top"),
    "xmax": ("xmax", "x_max", "x2", "right"),
    "ymax": ("ymax", "y_max", "y2", "bottom"),
}
_ZERO_BASED = {"x0": "x1", "y0": "y1"}  # with x0 there, x1 is the right edge
_OPTIONAL_COLUMNS = {
    "width": ("width", "image_width", "img_width"),
    "height": ("height", "image_height", "img_height"),
    "is_occluded": ("is_occluded", "occluded", "isoccluded"),
    "is_truncated": ("is_truncated", "truncated", "istruncated"),
    "is_group_of": ("is_group_of", "group_of", "isgroupof"),
    "is_difficult": ("is_difficult", "difficult", "isdifficult"),
}
_FLAGS = {"": False, "0": False, "false": False, "1": True, "true": True}


@dataclass
class _Image:
    """Rows of one image."""

    line: int
    width: int | None = None
    height: int | None = None
    boxes: list[SourceBox] = field(default_factory=list)
    num_rejected: int = 0


def read_flat_csv(path: Path, *, coordinates: Coordinates, first_pixel: int, reject: Reject) -> SourceSet:
    """Reads the CSV.

    A row with a file name and neither box nor class is an image without boxes.

    Args:
        path: The CSV, plain or gzipped, with a header.
        coordinates: What the boxes are in; `auto` tells by the rule above.
        first_pixel: The number of the first column and row of pixels: 1 takes one pixel from xmin and ymin.
        reject: Takes what cannot be used.

    Raises:
        UsageError: A column is missing, or the rule cannot tell.
        UserError: The file is damaged.
    """
    required, optional = _find_columns(path)
    if coordinates == "auto":
        is_relative, remark = _guess_coordinates(path, required)
    else:
        is_relative, remark = coordinates == "relative", f"coordinates: {coordinates}, as --coordinates says"
    images = _images(path, (required, optional), is_relative, 0 if is_relative else first_pixel, reject)
    return SourceSet(images, None, remarks=[remark])


def _images(
    path: Path, columns: tuple[Sequence[str], Sequence[str]], is_relative: bool, first_pixel: int, reject: Reject
) -> Iterator[SourceImage]:
    images: dict[str, _Image] = {}

    def reject_row(line: int, reason: str, detail: str) -> None:
        reject(f"{path.name}:{line}", reason, detail)

    required, optional = columns
    for line, cells in read_rows(path, required=required, optional=optional, on_bad_row=reject_row):
        name, label, *edges = (cell.strip() for cell in cells[: len(required)])
        width, height, *flags = (cell.strip() for cell in cells[len(required) :])
        image = images.get(name)
        if image is None:
            image = images[name] = _Image(line)
        if image.width is None or image.height is None:
            image.width, image.height = read_side(width), read_side(height)
        elif (image.width, image.height) != (read_side(width) or image.width, read_side(height) or image.height):
            reject_row(line, "two sizes of one picture", f"{width}x{height}, before {image.width}x{image.height}")
            image.num_rejected += bool(label or any(edges))
            continue
        if not label and not any(edges):
            continue
        try:
            image.boxes.append(_box(f"{path.name}:{line}", label, edges, flags, first_pixel))
        except RejectedError as error:
            reject_row(line, error.reason, error.detail)
            image.num_rejected += 1
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


def _box(where: str, label: str, edges: Sequence[str], flags: Sequence[str], first_pixel: int) -> SourceBox:
    xmin, ymin, xmax, ymax = (
        read_number(edge, name) for edge, name in zip(edges, ("xmin", "ymin", "xmax", "ymax"), strict=True)
    )
    extra = {}
    for name, text in zip(list(_OPTIONAL_COLUMNS)[2:], flags, strict=True):
        if text.casefold() not in _FLAGS:
            raise RejectedError("bad flag", f"{name} is {shown(text)}, not 0 or 1")
        if _FLAGS[text.casefold()]:
            extra[name] = True
    return SourceBox(where, label, xmin - first_pixel, ymin - first_pixel, xmax, ymax, extra)


def _guess_coordinates(path: Path, required: Sequence[str]) -> tuple[bool, str]:
    """Returns whether boxes are in shares of the image, and what to say of it."""
    count = small = 0
    for _, (_, _, *edges) in read_rows(path, required=required, on_bad_row=lambda *_: None):
        try:
            largest = max(abs(read_number(edge.strip(), "an edge")) for edge in edges)
        except RejectedError:
            continue
        count += 1
        small += largest <= LARGEST_RELATIVE
    share = small / count if count else 0.0
    counted = f"{small} of {count} boxes have every edge within 0..{LARGEST_RELATIVE:g}"
    if 1 - CLEAR_MAJORITY < share < CLEAR_MAJORITY:
        raise UsageError(f"{path}: {counted}: pixels, or shares of the picture? say which by --coordinates")
    is_relative = share >= CLEAR_MAJORITY
    kind = "relative (shares of the picture)" if is_relative else "pixel"
    return is_relative, f"coordinates: {kind}, for {counted}; --coordinates says otherwise"


def _find_columns(path: Path) -> tuple[list[str], list[str]]:
    """Returns what the file calls the columns of `_COLUMNS` and of `_OPTIONAL_COLUMNS`."""
    with open_text(path) as text:
        try:
            header = next(csv.reader([text.readline(MAX_LINE_LENGTH).replace("\0", "")]), [])
        except (EOFError, OSError, csv.Error) as error:
            raise UsageError(f"{path}: its first line cannot be read: {error}") from error
    names = {cell.strip().casefold() for cell in header}
    aliases = dict(_COLUMNS)
    for low, high in _ZERO_BASED.items():
        if low in names and high in names:
            edge = low[0]
            aliases[f"{edge}min"] = (low,)
            aliases[f"{edge}max"] = (high,)
    found = {column: next((name for name in known if name in names), None) for column, known in aliases.items()}
    missing = [column for column, name in found.items() if name is None]
    if missing:
        seen = printable(", ".join(cell.strip() for cell in header), 200) or "nothing"
        raise UsageError(
            f"{path}: no column {', '.join(missing)} (nor one of another usual name); its first line has: {seen}; "
            "a file without a header needs one, such as filename,xmin,ymin,xmax,ymax,class"
        )
    optional = [next((name for name in known if name in names), known[0]) for known in _OPTIONAL_COLUMNS.values()]
    return [name for name in found.values() if name is not None], optional
