"""COCO's `instances_*.json`, written image by image, so that millions of images need no memory."""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final

from data_prep.annotation_export.exported_image import ExportedBox, ExportedClasses, ExportedImage
from data_prep.runtime.atomic_files import atomic_path, remove_leftovers

DIGITS: Final = 4  # of a pixel: read again, an edge is off by less than a thousandth of a pixel
HELD_FLAGS: Final = frozenset({"is_crowd"})

_BUFFER_BYTES: Final = 1024 * 1024


@contextlib.contextmanager
def coco_writer(path: Path, classes: ExportedClasses) -> Iterator[Callable[[ExportedImage], None]]:
    """Yields a function that adds an image with its boxes.

    Categories have the label map's ids, images and annotations numbers from 1. `bbox` is x, y, width and height in
    pixels, `area` that of the object where it is known, else the box's, `iscrowd` 1 for `is_crowd`.

    Args:
        path: The JSON, which takes its place when the block ends well.
        classes: The categories.

    Raises:
        OSError: It cannot be written.
    """
    encode = json.JSONEncoder(allow_nan=False).encode
    remove_leftovers(path)
    with (
        atomic_path(path) as temporary,
        temporary.open("wb", buffering=_BUFFER_BYTES) as file,
        # Annotations stand behind all images; until then they are in a file that has no name.
        tempfile.TemporaryFile(dir=path.parent, buffering=_BUFFER_BYTES) as annotations,
    ):
        categories = [{"id": class_id, "name": name, "supercategory": ""} for class_id, name in classes]
        head = f'{{"info": {{}}, "licenses": [], "categories": {encode(categories)},\n"images": ['
        file.write(head.encode("ascii"))
        numbers = {"image": 0, "annotation": 0}

        def add(target: IO[bytes], kind: str, entry: Mapping[str, Any]) -> int:
            numbers[kind] += 1
            text = encode({"id": numbers[kind], **entry}).encode("ascii")
            target.write((b"\n" if numbers[kind] == 1 else b",\n") + text)
            return numbers[kind]

        def write(image: ExportedImage) -> None:
            size = {"width": image.width, "height": image.height}
            image_number = add(file, "image", {"file_name": image.file_name, **size})
            for box in image.boxes:
                add(annotations, "annotation", {"image_id": image_number, **_annotation(box, image)})

        yield write
        file.write(b'\n],\n"annotations": [')
        annotations.seek(0)
        shutil.copyfileobj(annotations, file, _BUFFER_BYTES)
        file.write(b"\n]}\n")


def _annotation(box: ExportedBox, image: ExportedImage) -> dict[str, Any]:
    x, width = _start_and_length(box.xmin, box.xmax, image.width)
    y, height = _start_and_length(box.ymin, box.ymax, image.height)
    segment_area = box.segment_area
    area = width * height if segment_area is None else segment_area * image.width * image.height
    return {
        "category_id": box.class_id,
        "bbox": [x, y, width, height],
        "area": round(area, DIGITS) or area,
        "iscrowd": int("is_crowd" in box.flags),
        "segmentation": [],
    }


def _start_and_length(low: float, high: float, side: int) -> tuple[float, float]:
    """Returns the start and length in pixels of what goes from `low` to `high`, both shares of a `side`."""
    start = round(low * side, DIGITS)
    length = round(high * side - start, DIGITS)
    if length <= 0:  # a box of less than a ten-thousandth of a pixel
        start, length = low * side, (high - low) * side
    while start + length > side:  # by a rounding error, which a reader would call a box that sticks out
        length = math.nextafter(length, 0)
    return start, length
