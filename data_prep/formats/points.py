"""points.json: what is on each image, and the check of image ids, which become file names.

A JSON array, one object an image: `{"id": ..., "annotations": [{"label", "confidence", "x0", "x1", "y0", "y1",
"is_occluded", "is_truncated", "is_group_of", "is_depiction", "is_inside"}, ...]}`. Coordinates are relative to the
image (0..1), x from its left, y from its top.

An annotation may also say what only some sources know: `"is_difficult"` (Pascal VOC), `"is_crowd"` (COCO) and
`"segment_area"`, the share of the image (0..1) that the object itself covers.

An image may also hold `"image_labels": [{"label": ..., "confidence": 1.0}, ...]`: labels that a person verified for the
image as a whole, present (1.0) or absent (0.0). Evaluation on Open Images counts a detection of a class as false only
where the class has a box or a verified label.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from data_prep.runtime.atomic_files import atomic_path
from data_prep.runtime.command_line import UsageError, UserError

COORDINATES = ("x0", "x1", "y0", "y1")
FLAGS = ("is_occluded", "is_truncated", "is_group_of", "is_depiction", "is_inside")
EXTRA_FLAGS = ("is_difficult", "is_crowd")  # which only some sources know: never filled in
SEGMENT_AREA = "segment_area"
TOLERANCE = 1e-6  # Open Images prints six digits: a coordinate of 1.000000 may come back as a hair more
MAX_IMAGE_ID_LENGTH = 128
MAX_LABEL_LENGTH = 500

_IMAGE_ID = re.compile(rf"[A-Za-z0-9_-][A-Za-z0-9_.-]{{0,{MAX_IMAGE_ID_LENGTH - 1}}}")


def check_image_id(image_id: Any) -> str:
    """Returns `image_id` if it can be a file's name: letters, digits, `_`, `-` and `.`, not beginning with a dot.

    Raises:
        UserError: It cannot, or is longer than 128 characters.
    """
    if isinstance(image_id, str) and _IMAGE_ID.fullmatch(image_id):
        return image_id
    shown = repr(image_id)
    shown = shown if len(shown) <= 80 else shown[:80] + "..."
    raise UserError(
        f"image id {shown} is not a plain file name (letters, digits, '_', '-' and '.', not beginning with a dot, "
        f"at most {MAX_IMAGE_ID_LENGTH} characters)"
    )


def read_points(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Reads and checks a points.json.

    `confidence` (1.0) and the flags (false) may be left out and are filled in, so that every annotation returned holds
    all keys; keys beyond the schema are kept.

    Returns:
        One dictionary an image, in the file's order.

    Raises:
        UsageError: The file is missing, not JSON, or not of the schema; with the item and annotation, from 1.
    """
    source = Path(path)
    points = read_json(source)
    if not isinstance(points, list):
        raise UsageError(f"{source}: must be a JSON array with one object an image, not {_kind(points)}")
    seen: set[str] = set()
    for number, point in enumerate(points, start=1):
        where = f"{source}: item {number}"
        check_point(point, where)
        if point["id"] in seen:
            raise UsageError(f"{where}: image id {point['id']!r} comes twice")
        seen.add(point["id"])
    return points


def read_json(path: str | os.PathLike[str]) -> Any:
    """Reads a JSON file of ours, refusing NaN and Infinity, which are no JSON.

    Raises:
        UsageError: The file is missing, not UTF-8, or not JSON; with line and column.
    """
    source = Path(path)
    try:
        content = source.read_bytes()
    except OSError as error:
        raise UsageError(f"{source}: {error.strerror or error}") from error
    if not content.strip():
        raise UsageError(f"{source}: the file is empty; run the step that writes it again")
    try:
        return json.loads(content, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise UsageError(f"{source}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{source}: not UTF-8 text (byte {error.start})") from error
    except RecursionError as error:
        raise UsageError(f"{source}: nested too deeply to be a file of ours") from error
    except ValueError as error:  # a NaN, or a whole number of thousands of digits
        raise UsageError(f"{source}: not JSON: {error}") from error


def check_point(point: Any, where: str) -> None:
    """Checks one image of points.json and fills in what may be left out.

    Args:
        point: The image's dictionary; changed in place.
        where: The file and item, for the message.

    Raises:
        UsageError: With `where` and the annotation's number.
    """
    if not isinstance(point, dict):
        raise UsageError(f"{where}: must be an object, not {_kind(point)}")
    if "id" not in point:
        raise UsageError(f"{where}: 'id' is missing")
    try:
        check_image_id(point["id"])
    except UserError as error:
        raise UsageError(f"{where}: {error}") from error
    annotations = point.get("annotations")
    if not isinstance(annotations, list):
        raise UsageError(f"{where}: 'annotations' must be an array, not {_kind(annotations)}")
    for number, annotation in enumerate(annotations, start=1):
        problem = _fill_in_and_check(annotation)
        if problem:
            raise UsageError(f"{where}, annotation {number}: {problem}")
    if "image_labels" in point:
        _check_image_labels(point["image_labels"], where)


def write_points(path: str | os.PathLike[str], points: Iterable[Mapping[str, Any]]) -> int:
    """Writes points.json, one image a line, whole or not at all; returns how many images were written.

    Raises:
        UsageError: A point is not of the schema.
    """
    return write_json_array(path, (_checked(point, number, path) for number, point in enumerate(points, start=1)))


def write_json_array(path: str | os.PathLike[str], items: Iterable[Any]) -> int:
    """Writes `items` as one JSON array, an item a line, whole or not at all; returns how many there were."""
    count = 0
    with json_array_writer(path) as write:
        for count, item in enumerate(items, start=1):  # noqa: B007 - the count is what is returned
            write(item)
    return count


@contextlib.contextmanager
def json_array_writer(path: str | os.PathLike[str]) -> Iterator[Callable[[Any], None]]:
    """Yields a function that writes one item of a JSON array at `path`, an item a line.

    The file takes its place when the block ends well. Items are written as they come, so that an array of millions
    needs no second copy in memory.
    """
    encode = json.JSONEncoder(allow_nan=False).encode
    with encoded_json_array_writer(path) as write:
        yield lambda item: write(encode(item))


@contextlib.contextmanager
def encoded_json_array_writer(path: str | os.PathLike[str]) -> Iterator[Callable[[str], None]]:
    """Yields a function that writes items that are JSON already, one or several with `,` and a line's end in between.

    Otherwise as `json_array_writer`.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        separator = b"["

        def write(items: str) -> None:
            nonlocal separator
            file.write(separator + b"\n")
            file.write(items.encode("utf-8"))
            separator = b","

        yield write
        file.write(b"[]\n" if separator == b"[" else b"\n]\n")


def _checked(point: Mapping[str, Any], number: int, path: str | os.PathLike[str]) -> Mapping[str, Any]:
    check_point(point, f"{path}: item {number}")
    return point


def _fill_in_and_check(annotation: Any) -> str:
    """Returns what is wrong with `annotation`, or an empty string."""
    if not isinstance(annotation, dict):
        return f"must be an object, not {_kind(annotation)}"
    label = annotation.get("label")
    if not isinstance(label, str) or not label or len(label) > MAX_LABEL_LENGTH:
        return f"'label' must be a text of 1 to {MAX_LABEL_LENGTH} characters, not {_kind(label)}"
    annotation.setdefault("confidence", 1.0)
    problem = _problem_with_numbers(annotation)
    for key in FLAGS:
        if not problem and not isinstance(annotation.setdefault(key, False), bool):
            problem = f"'{key}' must be true or false, not {_kind(annotation[key])}"
    return problem or _problem_with_extras(annotation)


def _problem_with_extras(annotation: Mapping[str, Any]) -> str:
    for key in EXTRA_FLAGS:
        if key in annotation and not isinstance(annotation[key], bool):
            return f"'{key}' must be true or false, not {_kind(annotation[key])}"
    if SEGMENT_AREA in annotation:
        area = annotation[SEGMENT_AREA]
        if isinstance(area, bool) or not isinstance(area, int | float) or not 0 < area <= 1:
            return f"'{SEGMENT_AREA}' must be a share of the picture above 0 and at most 1, not {_kind(area)}"
    return ""


def _check_image_labels(image_labels: Any, where: str) -> None:
    """Checks the verified labels of an image as a whole; raises UsageError with `where` and the label's number."""
    if not isinstance(image_labels, list):
        raise UsageError(f"{where}: 'image_labels' must be an array, not {_kind(image_labels)}")
    seen: set[str] = set()
    for number, entry in enumerate(image_labels, start=1):
        problem = _problem_with_image_label(entry, seen)
        if problem:
            raise UsageError(f"{where}, image label {number}: {problem}")


def _problem_with_image_label(entry: Any, seen: set[str]) -> str:
    """Returns what is wrong with a verified label, or an empty string; adds it to `seen`."""
    if not isinstance(entry, dict):
        return f"must be an object, not {_kind(entry)}"
    label, confidence = entry.get("label"), entry.get("confidence")
    if not isinstance(label, str) or not label or len(label) > MAX_LABEL_LENGTH:
        return f"'label' must be a text of 1 to {MAX_LABEL_LENGTH} characters, not {_kind(label)}"
    if isinstance(confidence, bool) or confidence not in (0, 1):
        return f"'confidence' must be 1.0 (a person saw it) or 0.0 (it is not there), not {_kind(confidence)}"
    if label in seen:
        return f"label {label[:80]!r} comes twice"
    seen.add(label)
    return ""


def _problem_with_numbers(annotation: dict[str, Any]) -> str:
    for key in ("confidence", *COORDINATES):
        value = annotation.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value:  # noqa: PLR0124 - NaN
            return f"'{key}' must be a number, not {_kind(value)}"
        if not -TOLERANCE <= value <= 1.0 + TOLERANCE:
            return f"{key} is {_kind(value)}, outside 0..1"
    for low, high in (("x0", "x1"), ("y0", "y1")):
        if annotation[high] <= annotation[low]:
            return f"{high} must be greater than {low}, but {high} is {annotation[high]} and {low} {annotation[low]}"
    return ""


def _kind(value: Any) -> str:
    """Returns what a JSON value is, for a message."""
    if value is None:
        return "missing or null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    shown = repr(value)
    shown = shown if len(shown) <= 40 else shown[:40] + "..."
    return f"the text {shown}" if isinstance(value, str) else shown


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")
