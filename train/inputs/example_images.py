"""Drawings of the model's inputs: one image beside its original, or many on a contact sheet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from data_prep.images.drawing import color_of, draw_boxes
from data_prep.images.image_grid import contact_sheet
from train.inputs.examples import InputExample, Objects

SMALLEST_LONGER_SIDE = 320  # smaller images are enlarged by a whole factor, so that names on boxes can be read
CELL_SIDE = 480  # of a contact sheet


def draw_fed(example: InputExample, names_by_id: Mapping[int, str], *, longer_side: int | None = None) -> Image.Image:
    """Draws what the model gets, padding and all, with its boxes.

    Args:
        example: The image.
        names_by_id: Display names by label map id.
        longer_side: Scales the image to this, in pixels; by default only very small ones are enlarged.
    """
    image, factor = _scaled(_shown(example.fed, example.image_size), longer_side)
    return _with_objects(image, example.fed_objects, factor, names_by_id)


def draw_original(example: InputExample, names_by_id: Mapping[int, str]) -> Image.Image:
    """Draws the record's image with its boxes; those that the model does not get are dashed."""
    image, factor = _scaled(_shown(example.original, example.original.shape[:2]), None)
    left = example.is_left()
    objects = example.original_objects
    image = _with_objects(image, objects.where(~left), factor, names_by_id, dashed=True)
    return _with_objects(image, objects.where(left), factor, names_by_id)


def draw_contact_sheet(examples: Sequence[InputExample], names_by_id: Mapping[int, str]) -> Image.Image:
    """Draws what the model gets of each example, small, under its number and source id."""
    columns = min(4, max(1, math.ceil(math.sqrt(len(examples)))))
    cells = []
    for example in examples:
        drawn = draw_fed(example, names_by_id, longer_side=CELL_SIDE)
        cell = Image.new("RGB", (CELL_SIDE, CELL_SIDE), (255, 255, 255))
        cell.paste(drawn, ((CELL_SIDE - drawn.width) // 2, (CELL_SIDE - drawn.height) // 2))
        cells.append(cell)
    captions = [f"{number}: {example.source_id}" for number, example in enumerate(examples, start=1)]
    return contact_sheet(cells, columns, captions)


def object_name(objects: Objects, index: int, names_by_id: Mapping[int, str]) -> str:
    """Returns an object's class, and what is not usual about it: `Car, weight 0.5, crowd`."""
    class_id = int(objects.classes[index])
    parts = [names_by_id.get(class_id, f"id {class_id}")]
    if objects.weights[index] != 1.0:
        parts.append(f"weight {objects.weights[index]:g}")
    flags = {"crowd": objects.is_crowd, "difficult": objects.difficult, "group": objects.group_of}
    return ", ".join(parts + [name for name, values in flags.items() if values[index]])


def leaves_usual_range(image: np.ndarray, image_size: tuple[int, int]) -> bool:
    """Tells whether values, padding apart, cannot be shown as they are: far below 0, far beyond 255, or all up to 1.

    Rounding and the overshoot of bicubic resizing do not count; neither does an image of one colour.
    """
    unpadded = image[: image_size[0], : image_size[1]]
    low, high = float(unpadded.min()), float(unpadded.max())
    return low < -64.0 or high > 320.0 or low < high <= 1.0


def _shown(image: np.ndarray, image_size: tuple[int, int]) -> Image.Image:
    """Returns values as they are, or, where no image can have them, stretched from the smallest to the largest."""
    if leaves_usual_range(image, image_size):
        low, high = image.min(), image.max()
        image = (image - low) * (255.0 / max(high - low, 1e-6))
    return Image.fromarray(np.clip(np.rint(image), 0, 255).astype(np.uint8))


def _scaled(image: Image.Image, longer_side: int | None) -> tuple[Image.Image, tuple[float, float]]:
    """Returns the image scaled, and by how much its height and width changed."""
    longest = max(image.size)
    method = Image.Resampling.LANCZOS
    if longer_side is not None:
        factor = longer_side / longest
        if factor > 1.0:
            method = Image.Resampling.NEAREST
    elif longest < SMALLEST_LONGER_SIDE:
        factor = float(math.ceil(SMALLEST_LONGER_SIDE / longest))
        method = Image.Resampling.NEAREST  # shows the pixels as they are
    else:
        return image, (1.0, 1.0)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, method), (size[1] / image.height, size[0] / image.width)


def _with_objects(
    image: Image.Image,
    objects: Objects,
    factor: tuple[float, float],
    names_by_id: Mapping[int, str],
    *,
    dashed: bool = False,
) -> Image.Image:
    names = [object_name(objects, index, names_by_id) for index in range(len(objects))]
    colors = [color_of(names_by_id.get(int(class_id), str(class_id))) for class_id in objects.classes]
    return draw_boxes(
        image, objects.boxes * np.array([*factor, *factor], np.float32), names, colors=colors, dashed=dashed
    )
