"""Boxes of many images in a few arrays, and in pycocotools' format."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools.coco import COCO

_IMAGES_PER_PART = 1000
_MORE = ("scores", "area", "is_crowd", "is_group")


class Boxes:
    """Some boxes, of one image or of many.

    Attributes:
        image: int32 [N], the number of the image that each is in.
        boxes: float32 [N, 4], ymin xmin ymax xmax in pixels.
        classes: int32 [N].
        scores, area, is_crowd, is_group: float32 [N] each; empty where there are none of them.
    """

    def __init__(self, image: int, boxes: npt.ArrayLike, classes: npt.ArrayLike, **more: npt.ArrayLike) -> None:
        """Takes the boxes of one image.

        Args:
            image: Its number.
            boxes: [N, 4].
            classes: [N].
            **more: `scores`, or `area`, `is_crowd` and `is_group`, [N] each.
        """
        self.boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
        self.classes = np.asarray(classes, np.int32)
        self.image = np.full(len(self.boxes), image, np.int32)
        nothing: np.ndarray = np.zeros(0, np.float32)
        self.scores = self.area = self.is_crowd = self.is_group = nothing
        for name, values in more.items():
            setattr(self, name, np.asarray(values, np.float32))

    def where(self, mask: np.ndarray) -> Boxes:
        """Returns the boxes for which `mask` holds, or those at its places."""
        chosen = Boxes(0, self.boxes[mask], self.classes[mask])
        chosen.image = self.image[mask]
        for name in _MORE:
            values = getattr(self, name)
            setattr(chosen, name, values[mask] if len(values) else values)
        return chosen

    def as_coco(self, images: list[int]) -> COCO:
        """Returns the boxes, all as of one class, as pycocotools takes them.

        Args:
            images: The numbers of the images to look at, those of the boxes among them.
        """
        coco = COCO()
        coco.dataset = {
            "images": [{"id": image} for image in images],
            "categories": [{"id": 1}],
            "annotations": self._annotations(),
        }
        coco.createIndex()
        return coco

    def _annotations(self) -> list[dict[str, Any]]:
        """Ids run from 1; boxes are left, top, width, height."""
        annotations = []
        for index in range(len(self.boxes)):
            ymin, xmin, ymax, xmax = self.boxes[index].tolist()
            annotation = {
                "id": index + 1,
                "image_id": int(self.image[index]),
                "category_id": 1,
                "bbox": [xmin, ymin, xmax - xmin, ymax - ymin],
                "area": float(self.area[index]) if len(self.area) else (xmax - xmin) * (ymax - ymin),
                "iscrowd": int(self.is_crowd[index]) if len(self.is_crowd) else 0,
            }
            if len(self.scores):
                annotation["score"] = float(self.scores[index])
            annotations.append(annotation)
        return annotations


class BoxList:
    """Boxes of many images, put together every so often: a few large arrays take less room than many small ones."""

    def __init__(self) -> None:
        """Starts empty."""
        self._parts: list[Boxes] = []
        self._num_small_parts = 0

    def append(self, boxes: Boxes) -> None:
        """Adds the boxes of one image."""
        self._parts.append(boxes)
        self._num_small_parts += 1
        if self._num_small_parts == _IMAGES_PER_PART:
            self._parts[-_IMAGES_PER_PART:] = [_concatenated(self._parts[-_IMAGES_PER_PART:])]
            self._num_small_parts = 0

    def all(self) -> Boxes:
        """Returns all boxes, in the order in which they were added."""
        self._parts = [_concatenated(self._parts)]
        self._num_small_parts = 0
        return self._parts[0]


def _concatenated(parts: list[Boxes]) -> Boxes:
    whole = Boxes(0, [], [])
    if parts:
        for name in ("image", "boxes", "classes", *_MORE):
            setattr(whole, name, np.concatenate([getattr(part, name) for part in parts]))
    return whole
