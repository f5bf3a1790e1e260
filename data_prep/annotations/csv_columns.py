"""The columns of a flat CSV, found by the names that tools give them or as asked for, and what stands between cells."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.annotations.source_image import read_number
from data_prep.images.image_file import SUFFIXES
from data_prep.metadata.csv_rows import MAX_LINE_LENGTH, open_text
from data_prep.runtime.command_line import UsageError, printable
from data_prep.runtime.input_files import open_regular
from data_prep.runtime.ledger import RejectedError

DELIMITERS = (",", ";", "\t")  # Excel writes semicolons where commas are decimal

_ALIASES = {
    "file": ("filename", "file_name", "image", "image_path", "path", "file", "img", "image_name", "picture", "image_id",
             "imageid"),
    "class": ("class", "label", "class_name", "classname", "category", "labelname", "label_name", "name"),
    "xmin": ("xmin", "x_min", "x1", "x0", "left"),
    "ymin": ("ymin", "y_min", "y1", "y0", "top"),
    "xmax": ("xmax", "x_max", "x2", "right"),
    "ymax": ("ymax", "y_max", "y2", "bottom"),
}  # fmt: skip
_ZERO_BASED = {"x0": "x1", "y0": "y1"}  # with x0 there, x1 is the right edge
_OPTIONAL_ALIASES = {
    "width": ("width", "image_width", "img_width"),
    "height": ("height", "image_height", "img_height"),
    "confidence": ("confidence", "score"),
    "is_occluded": ("is_occluded", "occluded", "isoccluded"),
    "is_truncated": ("is_truncated", "truncated", "istruncated"),
    "is_group_of": ("is_group_of", "group_of", "isgroupof"),
    "is_depiction": ("is_depiction", "isdepiction"),
    "is_inside": ("is_inside", "isinside"),
    "is_difficult": ("is_difficult", "difficult", "isdifficult"),
}
OPTIONAL_COLUMNS = tuple(_OPTIONAL_ALIASES)
# Never looked for, since `x` and `w` mean another thing in each file: only what is asked for.
_ASKED_FOR = {"x_center": "xmin", "y_center": "ymin", "box_width": "xmax", "box_height": "ymax"}
COLUMNS = (*_ALIASES, "width", "height", "confidence", *_ASKED_FOR)  # that can be asked for

RETINANET_COLUMNS = ("file", "xmin", "ymin", "xmax", "ymax", "class")
_NOT_THERE = "\0no column"  # what a column that the file lacks is called, as none can be


@dataclass(frozen=True)
class CsvLayout:
    """How a CSV is laid out.

    Attributes:
        delimiter: What stands between cells.
        names: What its columns are called, where it has no header; else None.
        required: What it calls the image's file, the class, and two columns an axis: for x `horizontal`, for y
            `vertical`.
        horizontal: What these are: `xmin` or `x_center`, and `xmax` or `box_width`.
        vertical: Likewise.
        optional: What it calls each of `OPTIONAL_COLUMNS`.
        remarks: What to say of it.
    """

    delimiter: str
    names: tuple[str, ...] | None
    required: tuple[str, ...]
    horizontal: tuple[str, str]
    vertical: tuple[str, str]
    optional: tuple[str, ...]
    remarks: list[str] = field(default_factory=list)


def find_layout(path: Path, *, asked: Mapping[str, str], without_header: bool) -> CsvLayout:
    """Returns how a CSV is laid out.

    A file without a header is told by a first line such as keras-retinanet's, `a/b.jpg,10,20,30,40,cat` or
    `a/b.jpg,,,,,`: https://github.com/fizyr/keras-retinanet#csv-datasets.

    Args:
        path: The CSV, plain or gzipped.
        asked: What the file calls columns, by their names in `COLUMNS`; others are found by their usual names.
        without_header: Whether it has no header, and `RETINANET_COLUMNS`.

    Raises:
        UsageError: It cannot be read twice, or a column is missing.
    """
    try:
        open_regular(path).close()  # a pipe gives its content once, and coordinates have to be looked at first
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    with open_text(path) as text:
        try:
            line = text.readline(MAX_LINE_LENGTH).replace("\0", "")
        except (EOFError, OSError, zlib.error) as error:
            raise UsageError(f"{path}: its first line cannot be read: {error}") from error
    rows = {delimiter: _cells(line, delimiter) for delimiter in DELIMITERS}
    if without_header or (not asked and _is_retinanet_row(rows[","])):
        return _retinanet_layout(path, rows[","], asked)
    found = {delimiter: _find(cells, asked) for delimiter, cells in rows.items()}
    # Of several in which a column is found, the one that most are in: a name may hold a comma.
    delimiter = max(DELIMITERS, key=lambda each: sum(name is not None for name in found[each].values()))
    columns = found[delimiter]
    header = list(map(_key, rows[delimiter]))
    missing = [column for column, name in columns.items() if name is None]
    missing += [column for column, name in asked.items() if column not in columns and _key(name) not in header]
    if missing:
        raise UsageError(_what_is_missing(path, missing, rows[delimiter], asked))
    names = {column: name for column, name in columns.items() if name is not None}
    used = [*names.values(), *(_key(name) for column, name in asked.items() if column not in names)]
    if twice := [name for name in used if used.count(name) > 1]:
        raise UsageError(f"{path}: the column {printable(twice[0], 80)!r} is asked for as two things")
    optional = tuple(_optional(column, header, asked, set(names.values())) for column in OPTIONAL_COLUMNS)
    horizontal, vertical = _axis("x", "width", asked), _axis("y", "height", asked)
    required = tuple(names[column] for column in ("file", "class", *horizontal, *vertical))
    remarks = _remarks(names, header, asked, delimiter)
    return CsvLayout(delimiter, None, required, horizontal, vertical, optional, remarks)


def _axis(axis: str, side: str, asked: Mapping[str, str]) -> tuple[str, str]:
    low = f"{axis}_center" if f"{axis}_center" in asked else f"{axis}min"
    return low, f"box_{side}" if f"box_{side}" in asked else f"{axis}max"


def check_asked_columns(asked: Mapping[str, str]) -> None:
    """Refuses columns that make no box.

    Raises:
        UsageError: A centre is asked for without a size, or with an edge.
    """
    for axis, side in (("x", "width"), ("y", "height")):
        if f"{axis}_center" in asked and f"box_{side}" not in asked:
            raise UsageError(f"--{axis}_center_column needs --box_{side}_column")
        for edge, other in ((f"{axis}min", f"{axis}_center"), (f"{axis}max", f"box_{side}")):
            if edge in asked and other in asked:
                raise UsageError(f"--{edge}_column and --{other}_column are two ways to say where a box is; give one")


def _find(header: Sequence[str], asked: Mapping[str, str]) -> dict[str, str | None]:
    """Returns what a file calls the required columns, None for one that it lacks."""
    names = list(map(_key, header))
    taken = set(map(_key, asked.values()))
    free = set(names) - taken
    aliases = dict(_ALIASES)
    for low, high in _ZERO_BASED.items():
        if low in free and high in free:
            aliases[f"{low[0]}min"] = (low,)
            aliases[f"{low[0]}max"] = (high,)
    for column, instead_of in _ASKED_FOR.items():
        if column in asked:
            del aliases[instead_of]
            aliases[column] = ()
    found: dict[str, str | None] = {}
    for column, known in aliases.items():
        if column in asked:
            name = _key(asked[column])
            found[column] = name if name in names else None
        else:
            found[column] = next((name for name in known if name in free), None)
    return found


def _optional(column: str, header: Sequence[str], asked: Mapping[str, str], taken: set[str]) -> str:
    if column in asked:
        return _key(asked[column])
    others = set(map(_key, asked.values())) | taken
    return next((name for name in _OPTIONAL_ALIASES[column] if name in header and name not in others), _NOT_THERE)


def _what_is_missing(path: Path, missing: Sequence[str], header: Sequence[str], asked: Mapping[str, str]) -> str:
    seen = printable(", ".join(cell.strip() for cell in header), 200) or "nothing"
    if by_flag := [column for column in missing if column in asked]:
        names = ", ".join(f"{printable(asked[column], 80)!r} (--{column}_column)" for column in by_flag)
        return f"{path}: no column {names}; its first line has: {seen}"
    flags = f"--{missing[0]}_column says which is the {missing[0]}"
    return (
        f"{path}: no column {', '.join(missing)} (nor one of another usual name); its first line has: {seen}; {flags}; "
        "a file without a header needs one, such as filename,xmin,ymin,xmax,ymax,class"
    )


def _remarks(names: Mapping[str, str], header: Sequence[str], asked: Mapping[str, str], delimiter: str) -> list[str]:
    """Returns what to say of columns whose names leave a choice, and of the delimiter."""
    remarks = []
    if delimiter != ",":
        what = "tabs" if delimiter == "\t" else "semicolons"
        remarks.append(f"cells are separated by {what}; a comma within a number is taken as its decimal point")
    for column in ("file", "class"):
        others = [name for name in _ALIASES[column] if name in header and name not in names.values()]
        if others and column not in asked:
            remarks.append(
                f"the {column} is in column {names[column]!r}, though there is {', '.join(map(repr, others))} as well; "
                f"--{column}_column says otherwise"
            )
    return remarks


def _retinanet_layout(path: Path, cells: Sequence[str], asked: Mapping[str, str]) -> CsvLayout:
    if asked:
        raise UsageError(
            f"{path}: --{next(iter(asked))}_column names a column, and --no_header says that none has a name"
        )
    if len(cells) != len(RETINANET_COLUMNS):
        shown = ",".join(RETINANET_COLUMNS)
        raise UsageError(f"{path}: without a header its lines must be {shown}; the first has {len(cells)} cells")
    remark = f"no header: its columns are taken as {', '.join(RETINANET_COLUMNS)}"
    required = ("file", "class", "xmin", "xmax", "ymin", "ymax")
    optional = (_NOT_THERE,) * len(OPTIONAL_COLUMNS)
    return CsvLayout(",", RETINANET_COLUMNS, required, ("xmin", "xmax"), ("ymin", "ymax"), optional, [remark])


def _is_retinanet_row(cells: Sequence[str]) -> bool:
    """Tells whether a first line is no header but a row of `RETINANET_COLUMNS`."""
    if len(cells) != len(RETINANET_COLUMNS) or not cells[0].strip().lower().endswith(SUFFIXES):
        return False
    *edges, label = (cell.strip() for cell in cells[1:])
    if not any(edges):
        return not label
    try:
        for edge in edges:
            read_number(edge, "an edge")
    except RejectedError:
        return False
    return bool(label)


def _key(name: str) -> str:
    """Returns a column's name without regard to letter case and blanks around it."""
    return name.strip().casefold()


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []
