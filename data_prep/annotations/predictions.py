"""A detector's answers, a JSON object a line, as `serving.predict_folder` and `serving.client --json` write them.

    {"image": "a/b.jpg", "width": 640, "height": 480, "detections": [{"class_id": 1, "name": "Bed", "score": 0.9,
     "box_pixels": {"ymin": 1.0, "xmin": 2.0, "ymax": 30.0, "xmax": 40.0}, ...}]}

An image without detections has an empty list; one that was not answered an `error` in place of it. Earlier versions
wrote `picture` for `image`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_prep.annotations.source_image import (
    Reject,
    SourceBox,
    SourceImage,
    SourceSet,
    check_label,
    read_boxes,
    read_number,
    read_side,
    shown,
)
from data_prep.formats.earlier_names import value_of
from data_prep.metadata.csv_rows import open_bytes
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.ledger import RejectedError

SUFFIX = ".jsonl"
NOT_ANSWERED = "image without an answer"
_NOT_A_LINE = "not a prediction"
_MAX_LINE_BYTES = 64 << 20
_EDGES = ("xmin", "ymin", "xmax", "ymax")


def read_predictions(path: Path, reject: Reject) -> SourceSet:
    """Reads the file; a last line that a killed run tore is left out.

    Boxes are in pixels and have the score as their `confidence`. A class that the detector had no name for is called
    `class 7`.

    Args:
        path: The file, plain or gzipped.
        reject: Takes what cannot be used.

    Raises:
        UsageError: It cannot be read, or its first line is of another format.
    """
    return SourceSet(_images(path, reject), None)


def _images(path: Path, reject: Reject) -> Iterator[SourceImage]:
    try:
        with open_bytes(path) as file:
            number = 0
            while line := file.readline(_MAX_LINE_BYTES):
                number += 1
                if not line.endswith(b"\n"):
                    return
                where = f"{path.name}:{number}"
                try:
                    yield _read_line(where, line, reject)
                except RejectedError as error:
                    if number == 1 and error.reason == _NOT_A_LINE:
                        raise UsageError(
                            f"{path}: its first line is no prediction, {error.detail}; a line is an object with "
                            "image, width, height and detections, as serving.predict_folder writes"
                        ) from error
                    reject(where, error.reason, error.detail)
    except (EOFError, OSError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error


def _read_line(where: str, line: bytes, reject: Reject) -> SourceImage:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RejectedError(_NOT_A_LINE, f"no JSON: {shown(line[:40].decode('utf-8', 'replace'))}") from error
    try:
        name = value_of(entry, "image")
    except (KeyError, TypeError):
        name = None
    if not isinstance(name, str) or not name:
        raise RejectedError(_NOT_A_LINE, f"'image' is {shown(name)}")
    if "error" in entry:
        raise RejectedError(NOT_ANSWERED, shown(name))
    found = entry.get("detections")
    if not isinstance(found, list):
        raise RejectedError(_NOT_A_LINE, f"'detections' is {shown(found)}")
    boxes = read_boxes(where, found, _read_box, reject)
    return SourceImage(
        where,
        (name,),
        is_relative=False,
        boxes=boxes,
        width=read_side(entry.get("width")),
        height=read_side(entry.get("height")),
        num_rejected=len(found) - len(boxes),
    )


def _read_box(where: str, detection: Any) -> SourceBox:
    sides = detection.get("box_pixels") if isinstance(detection, dict) else None
    if not isinstance(sides, dict):
        raise RejectedError("not a detection", f"'box_pixels' is {shown(sides)}")
    edges = [read_number(sides.get(edge), edge) for edge in _EDGES]
    score = read_number(detection.get("score"), "score")
    if not 0.0 <= score <= 1.0:
        raise RejectedError("bad score", f"{score:g}, not from 0 to 1")
    name = detection.get("name")
    label = check_label(name if isinstance(name, str) else "")
    return SourceBox(where, label, edges[0], edges[1], edges[2], edges[3], {"confidence": score})
