"""Detections that somebody made, read from a file: COCO's results, COCO with scores, answers a line, or a CSV."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.annotations.csv_columns import find_layout
from data_prep.annotations.flat_csv import LARGEST_RELATIVE, read_flat_csv
from data_prep.annotations.large_json import read_json
from data_prep.annotations.predictions import SUFFIX, read_predictions
from data_prep.annotations.source_image import Reject, SourceSet, read_number, shown
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.ledger import RejectedError

ClassIds = Mapping[str, int]

UNKNOWN_CLASS = "unknown class"

_KEYS = frozenset(
    ("annotations", "bbox", "categories", "category_id", "file_name", "id", "image_id", "images", "name", "score")
)
_COLUMNS = "a column for the image (image, file_name, image_id), class (name, label), score, xmin, ymin, xmax, ymax"
_SUFFIXES = (".json", SUFFIX, ".csv", ".tsv", ".txt")
# Asked for where there is no column with the class's name.
_CLASS_ID_COLUMNS = ("class_id", "category_id")


@dataclass
class ImageBoxes:
    """Detections in one image.

    Attributes:
        is_relative: Whether the boxes are in shares of the image (0..1) rather than pixels.
        rows: Class id, score, and a box's ymin, xmin, ymax and xmax of each.
    """

    is_relative: bool = False
    rows: list[tuple[int, float, float, float, float, float]] = field(default_factory=list)

    def as_arrays(self, height: int, width: int) -> dict[str, np.ndarray]:
        """Returns `boxes` float32 [D, 4] (ymin xmin ymax xmax, 0..1), `scores` float32 [D] and `classes` int32 [D].

        Args:
            height: Of the image, in pixels.
            width: Likewise.
        """
        values = np.array(self.rows, np.float64).reshape(-1, 6)
        sides = np.ones(4) if self.is_relative else np.array([height, width, height, width], np.float64)
        return {
            "boxes": (values[:, 2:] / sides).astype(np.float32),
            "scores": values[:, 1].astype(np.float32),
            "classes": values[:, 0].astype(np.int32),
        }


def is_detections_file(path: Path) -> bool:
    """Whether a file's name is one of those that `read_given_detections` reads."""
    return path.name.lower().removesuffix(".gz").endswith(_SUFFIXES)


def read_given_detections(path: Path, class_ids: ClassIds, reject: Reject) -> dict[str, ImageBoxes]:
    """Returns the detections by what the file calls their image: its id, or its file's name.

    Args:
        path: `.json`: COCO's results, `[{"image_id", "category_id", "bbox", "score"}]`, with ids of the label map; or
            an object with `images`, `categories` and `annotations` that have a `score`, whose categories go by their
            names and images by their file names. `.jsonl`: what `serving.predict_folder` writes. Anything else: a CSV,
            a row a detection, its columns found by their usual names. All may be gzipped.
        class_ids: Label map ids by each name that a class has.
        reject: Takes what cannot be used: where it stands, a reason, and what was seen.

    Raises:
        UsageError: The file is none of these.
        UserError: It is damaged.
    """
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".json"):
        return _read_json_detections(path, class_ids, reject)
    ids = {str(class_id): class_id for class_id in class_ids.values()}
    if name.endswith(SUFFIX):
        ids = {f"class {number}": class_id for number, class_id in ids.items()}  # of a detector without names
        source = read_predictions(path, reject)
    else:
        columns = _columns(path)
        source = read_flat_csv(path, coordinates="auto", first_pixel=0, columns=columns, reject=reject)
    return _boxes_of(source, {**ids, **class_ids}, reject)


def _read_json_detections(path: Path, class_ids: ClassIds, reject: Reject) -> dict[str, ImageBoxes]:
    content = read_json(path, lambda pairs: {key: value for key, value in pairs if key in _KEYS})
    known = set(class_ids.values())
    image_names: dict[Any, str] = {}
    if isinstance(content, list):
        entries = content

        def class_of(category: Any) -> int:
            if isinstance(category, bool) or not isinstance(category, int) or category not in known:
                raise RejectedError(UNKNOWN_CLASS, f"category_id {shown(category)} is not in the label map")
            return category
    elif isinstance(content, dict) and isinstance(content.get("annotations"), list):
        entries = content["annotations"]
        categories = {_key(one.get("id")): one.get("name") for one in _objects(content.get("categories"))}
        images = _objects(content.get("images"))
        image_names = {_key(one.get("id")): one["file_name"] for one in images if isinstance(one.get("file_name"), str)}

        def class_of(category: Any) -> int:
            name = categories.get(_key(category))
            if not isinstance(name, str) or name not in class_ids:
                raise RejectedError(UNKNOWN_CLASS, f"category {shown(category)}, named {shown(name)}")
            return class_ids[name]
    else:
        raise UsageError(f"{path}: neither COCO's list of results nor an object with images, categories, annotations")
    found: dict[str, ImageBoxes] = {}
    largest = 0.0
    for number, entry in enumerate(entries):
        try:
            reference, row = _read_entry(entry, class_of, image_names)
        except RejectedError as error:
            reject(f"{path.name}[{number}]", error.reason, error.detail)
            continue
        largest = max(largest, *map(abs, row[2:]))
        found.setdefault(reference, ImageBoxes()).rows.append(row)
    if found and largest <= LARGEST_RELATIVE:
        raise UsageError(
            f"{path}: no edge of any box is beyond {largest:g}: shares of the image? COCO's boxes are x, y, width and "
            "height in pixels; multiply them, or write a CSV"
        )
    return found


def _read_entry(
    entry: Any, class_of: Callable[[Any], int], image_names: Mapping[Any, str]
) -> tuple[str, tuple[int, float, float, float, float, float]]:
    if not isinstance(entry, dict):
        raise RejectedError("not a detection", shown(entry))
    image_id, bbox = entry.get("image_id"), entry.get("bbox")
    if isinstance(image_id, bool) or not isinstance(image_id, int | str):
        raise RejectedError("not a detection", f"image_id {shown(image_id)}")
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise RejectedError("not a box", f"bbox {shown(bbox)}, not x, y, width and height")
    x, y, width, height = (read_number(value, "bbox") for value in bbox)
    row = (class_of(entry.get("category_id")), _score(entry.get("score")), *_box(x, y, x + width, y + height))
    return image_names.get(_key(image_id), str(image_id)), row


def _boxes_of(source: SourceSet, ids: ClassIds, reject: Reject) -> dict[str, ImageBoxes]:
    found: dict[str, ImageBoxes] = {}
    for image in source.images:
        boxes = found.setdefault(image.names[0], ImageBoxes(image.is_relative))
        for box in image.boxes:
            try:
                if box.label not in ids:
                    raise RejectedError(UNKNOWN_CLASS, f"{shown(box.label)} is not in the label map")
                if "confidence" not in box.extra:
                    raise RejectedError("bad score", "none from 0 to 1")
                edges = _box(box.xmin, box.ymin, box.xmax, box.ymax)
                boxes.rows.append((ids[box.label], float(box.extra["confidence"]), *edges))
            except RejectedError as error:
                reject(box.where, error.reason, error.detail)
    return found


def _columns(path: Path) -> dict[str, str]:
    """Returns the column of the class where it is one of ids; nothing where the usual names are enough."""
    problem: UsageError | None = None
    for columns in ({}, *({"class": name} for name in _CLASS_ID_COLUMNS)):
        try:
            find_layout(path, asked=columns, without_header=False)
        except UsageError as error:
            problem = problem or error
        else:
            return columns
    seen = str(problem).partition("; --")[0]
    raise UsageError(f"{seen}; detections need {_COLUMNS}")


def _score(value: Any) -> float:
    score = read_number(value, "score") if value is not None else math.nan
    if not 0.0 <= score <= 1.0:
        raise RejectedError("bad score", f"{shown(value)}, not from 0 to 1")
    return score


def _box(xmin: float, ymin: float, xmax: float, ymax: float) -> tuple[float, float, float, float]:
    """Returns a box as ymin, xmin, ymax, xmax."""
    if not (xmin < xmax and ymin < ymax):
        raise RejectedError("reversed or empty box", f"xmin ymin xmax ymax {xmin:g} {ymin:g} {xmax:g} {ymax:g}")
    return ymin, xmin, ymax, xmax


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _key(value: Any) -> Any:
    return value if isinstance(value, int | str) else None
