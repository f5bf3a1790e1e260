"""Ground truth of an evaluation from a COCO file instead of records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.annotations.large_json import read_json
from data_prep.annotations.source_image import Reject, read_number, read_side, shown
from data_prep.formats.label_map import MAX_ID
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.ledger import RejectedError
from train.evaluation.detected_image import DetectedImage
from train.evaluation.given_detections import ImageBoxes

_PARTS = ("images", "annotations", "categories")
# Marks that this project's own files have beside COCO's, by what the evaluation calls them.
_FLAGS = {"is_crowd": "iscrowd", "difficult": "difficult", "group_of": "is_group_of"}
_KEYS = frozenset(
    (*_PARTS, *_FLAGS.values(), "area", "bbox", "category_id", "file_name", "height", "id", "image_id", "name", "width")
)
_NO_VERIFIED_CLASSES = np.zeros(0, np.int32)


@dataclass(frozen=True)
class CocoGroundTruth:
    """Images with ground truth.

    Attributes:
        names_by_id: Class names by category id.
        file_names: Of the images, by their ids as text; empty where they have none.
    """

    names_by_id: dict[int, str]
    file_names: dict[str, str]
    _sizes: dict[str, tuple[int, int]]
    _objects: dict[str, list[dict[str, Any]]]

    def detected_images(self, detections: Mapping[str, ImageBoxes]) -> Iterator[DetectedImage]:
        """Yields each image with the detections of its id. There are no pixels to draw on."""
        for image_id, (height, width) in self._sizes.items():
            objects = self._objects.get(image_id, [])
            sides = np.array([height, width, height, width], np.float64)
            truth = {
                "boxes": (np.array([one["box"] for one in objects]).reshape(-1, 4) / sides).astype(np.float32),
                "classes": np.array([one["class_id"] for one in objects], np.int32),
                "area": np.array([one["area"] for one in objects], np.float32),
                **{name: np.array([one[name] for one in objects], bool) for name in _FLAGS},
            }
            yield DetectedImage(
                source_id=image_id,
                image=np.zeros((0, 0, 3), np.uint8),
                groundtruth=truth,
                detections=detections.get(image_id, ImageBoxes()).as_arrays(height, width),
                original_shape=(height, width),
                verified_class_ids=_NO_VERIFIED_CLASSES,
            )


def read_coco_ground_truth(path: Path, reject: Reject) -> CocoGroundTruth:
    """Reads a COCO file such as `instances_val2017.json`.

    Args:
        path: The JSON, plain or gzipped.
        reject: Takes what cannot be used: where it stands, a reason, and what was seen.

    Raises:
        UsageError: It is no such file, or has no images or categories that could be used.
    """
    content = read_json(path, lambda pairs: {key: value for key, value in pairs if key in _KEYS})
    if not isinstance(content, dict) or not all(isinstance(content.get(part), list) for part in _PARTS):
        raise UsageError(f"{path}: COCO's ground truth is an object with the arrays {', '.join(_PARTS)}")
    names: dict[int, str] = {}
    for number, category in enumerate(content["categories"]):
        class_id, name = (category.get("id"), category.get("name")) if isinstance(category, dict) else (None, None)
        if isinstance(class_id, bool) or not isinstance(class_id, int) or not 0 <= class_id <= MAX_ID:
            raise UsageError(f"{path}: categories[{number}]: 'id' must be a whole number from 0, not {shown(class_id)}")
        if not isinstance(name, str) or not name or names.setdefault(class_id, name) != name:
            raise UsageError(f"{path}: categories[{number}]: each id needs a name of its own, not {shown(name)}")
    file_names, sizes = {}, {}
    for number, image in enumerate(content["images"]):
        image_id = image.get("id") if isinstance(image, dict) else None
        height, width = (read_side(image.get(side)) if image_id is not None else None for side in ("height", "width"))
        if isinstance(image_id, bool) or not isinstance(image_id, int | str) or height is None or width is None:
            reject(f"{path.name}:images[{number}]", "image without an id, height and width", shown(image_id))
        elif str(image_id) in sizes:
            reject(f"{path.name}:images[{number}]", "image listed twice", f"id {shown(image_id)}")
        else:
            file_name = image.get("file_name")
            file_names[str(image_id)] = file_name if isinstance(file_name, str) else ""
            sizes[str(image_id)] = height, width
    objects: dict[str, list[dict[str, Any]]] = {}
    for number, annotation in enumerate(content["annotations"]):
        try:
            image_id, one = _read_annotation(annotation, names, sizes)
        except RejectedError as error:
            reject(f"{path.name}:annotations[{number}]", error.reason, error.detail)
        else:
            objects.setdefault(image_id, []).append(one)
    if not names or not sizes:
        raise UsageError(f"{path}: no {'categories' if not names else 'images'} that could be used")
    return CocoGroundTruth(names, file_names, sizes, objects)


def _read_annotation(
    annotation: Any, names: Mapping[int, str], sizes: Mapping[str, tuple[int, int]]
) -> tuple[str, dict[str, Any]]:
    if not isinstance(annotation, dict):
        raise RejectedError("not an annotation", shown(annotation))
    image_id, class_id, bbox = (annotation.get(key) for key in ("image_id", "category_id", "bbox"))
    if str(image_id) not in sizes:
        raise RejectedError("image not in the file", f"image_id {shown(image_id)}")
    if isinstance(class_id, bool) or not isinstance(class_id, int) or class_id not in names:
        raise RejectedError("unknown category", f"category_id {shown(class_id)}")
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise RejectedError("not a box", f"bbox {shown(bbox)}, not x, y, width and height")
    x, y, width, height = (read_number(value, "bbox") for value in bbox)
    if width <= 0 or height <= 0:
        raise RejectedError("reversed or empty box", f"x y width height {x:g} {y:g} {width:g} {height:g}")
    area = annotation.get("area")
    one = {
        "box": (y, x, y + height, x + width),
        "class_id": class_id,
        "area": read_number(area, "area") if area is not None else 0.0,  # the metrics then take the box's
    }
    return str(image_id), {**one, **{name: bool(annotation.get(key)) for name, key in _FLAGS.items()}}
