"""Detections and ground truth of an evaluation as two files of COCO's: results, and the annotations beside them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.annotations.large_json import read_json
from data_prep.runtime.atomic_files import atomic_path, remove_leftovers
from train.evaluation.detected_image import DetectedImage
from train.evaluation.given_detections import ImageBoxes
from train.metrics.measured_image import MeasuredImage

_DIGITS = 4  # of a pixel
_WHOLE_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")


def ground_truth_path(detections_path: Path) -> Path:
    """Returns where the ground truth of a file of detections lies: `D.ground_truth.json` beside `D.json`."""
    return detections_path.with_name(f"{detections_path.stem}.ground_truth.json")


def read_detections_file(path: Path) -> dict[str, ImageBoxes]:
    """Returns the detections of a file that `DetectionsFile` wrote, by the ids of their images, as the model gave them.

    Unlike in a file of anybody's, empty boxes and unknown classes are what they were: mistakes that the model made.
    """
    found: dict[str, ImageBoxes] = {}
    for entry in read_json(path, dict):
        x, y, width, height = entry["bbox"]
        row = (entry["category_id"], entry["score"], y, x, y + height, x + width)
        found.setdefault(str(entry["image_id"]), ImageBoxes()).rows.append(row)
    return found


class DetectionsFile:
    """Collects the images of an evaluation, then writes both files."""

    def __init__(self, path: Path, names_by_id: Mapping[int, str], file_names: Mapping[str, str]) -> None:
        """Starts empty.

        Args:
            path: Of the detections, in COCO's format of results.
            names_by_id: Class names by label map id: the categories.
            file_names: The images' file names by id, where they are known.
        """
        self.path = path
        self._names_by_id = names_by_id
        self._file_names = file_names
        self._images: list[MeasuredImage] = []
        self._sizes: list[tuple[int, int]] = []

    def add(self, detected: DetectedImage, measured: MeasuredImage) -> None:
        """Takes one image."""
        self._images.append(measured)
        self._sizes.append(detected.original_shape)

    def write(self) -> int:
        """Writes both files, each whole or not at all; returns how many detections there are.

        An image's id is its record's: a number where all of them are whole numbers, as in records that were made of
        COCO's own files, else a text. `bbox` is x, y, width and height in pixels; scores are as the model gave them.
        """
        image_ids = _image_ids([image.source_id for image in self._images])
        results = (
            entry
            for image_id, image in zip(image_ids, self._images, strict=True)
            for entry in _results(image_id, image)
        )
        count = _write_array(self.path, "[", results, "]")
        categories = [{"id": class_id, "name": name} for class_id, name in sorted(self._names_by_id.items())]
        images = [
            {"id": image_id, "file_name": self._file_names.get(image.source_id, ""), "width": width, "height": height}
            for image_id, image, (height, width) in zip(image_ids, self._images, self._sizes, strict=True)
        ]
        head = f'{{"categories": {json.dumps(categories)},\n"images": {json.dumps(images)},\n"annotations": ['
        annotations = (
            entry
            for image_id, image in zip(image_ids, self._images, strict=True)
            for entry in _annotations(image_id, image)
        )
        numbered = ({"id": number, **entry} for number, entry in enumerate(annotations, start=1))
        _write_array(ground_truth_path(self.path), head, numbered, "]}")
        return count


def _image_ids(source_ids: list[str]) -> Sequence[int | str]:
    if all(_WHOLE_NUMBER.fullmatch(source_id) for source_id in source_ids):
        return list(map(int, source_ids))
    return source_ids


def _results(image_id: int | str, image: MeasuredImage) -> Iterator[dict[str, Any]]:
    boxes = _as_bbox(image.detection_boxes)
    scores, classes = image.detection_scores.tolist(), image.detection_classes.tolist()
    for bbox, score, class_id in zip(boxes, scores, classes, strict=True):
        yield {"image_id": image_id, "category_id": class_id, "bbox": bbox, "score": score}


def _annotations(image_id: int | str, image: MeasuredImage) -> Iterator[dict[str, Any]]:
    """Yields COCO's fields, and the marks of Pascal VOC and Open Images where they are set."""
    boxes = _as_bbox(image.groundtruth_boxes)
    for number, (bbox, class_id) in enumerate(zip(boxes, image.groundtruth_classes.tolist(), strict=True)):
        entry = {
            "image_id": image_id,
            "category_id": class_id,
            "bbox": bbox,
            "area": round(float(image.groundtruth_area[number]), _DIGITS),
            "iscrowd": int(image.groundtruth_is_crowd[number]),
        }
        if image.groundtruth_difficult[number]:
            entry["difficult"] = 1
        if image.groundtruth_group_of[number]:
            entry["is_group_of"] = 1
        yield entry


def _as_bbox(boxes: np.ndarray) -> list[list[float]]:
    """Returns x, y, width and height of boxes [N, 4] in ymin xmin ymax xmax."""
    ymin, xmin, ymax, xmax = boxes.astype(np.float64).T
    return np.round(np.stack([xmin, ymin, xmax - xmin, ymax - ymin], axis=1), _DIGITS).tolist()


def _write_array(path: Path, head: str, entries: Iterable[Mapping[str, Any]], tail: str) -> int:
    """Writes an array an entry a line, so that its text is never in memory as a whole; returns how many there are."""
    encode = json.JSONEncoder(allow_nan=False).encode
    remove_leftovers(path)
    count = 0
    with atomic_path(path) as temporary, temporary.open("w", encoding="ascii") as file:
        file.write(head)
        for entry in entries:
            file.write(("\n" if count == 0 else ",\n") + encode(entry))
            count += 1
        file.write(f"\n{tail}\n")
    return count
