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

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from data_prep.formats.json_array import ArrayItem, read_array_items, write_json_array
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
    return [item.value for item in read_point_items(path)]


def read_point_items(path: str | os.PathLike[str]) -> Iterator[ArrayItem]:
    """Yields the images of a points.json one by one, so that they are never all in memory; see `read_points`."""
    seen: set[str] = set()
    for item in read_array_items(path):
        where = f"{path}: item {item.number}"
        check_point(item.value, where)
        check_is_new(item.value["id"], seen, where)
        yield item


def check_is_new(image_id: str, seen: set[str], where: str) -> None:
    """Adds an image id to those of a file that were seen.

    Raises:
        UsageError: It is one of them already; with `where`, the file and item.
    """
    if image_id in seen:
        raise UsageError(f"{where}: image id {image_id!r} comes twice")
    seen.add(image_id)


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
            return f"'{SEGMENT_AREA}' must be a share of the image above 0 and at most 1, not {_kind(area)}"
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
