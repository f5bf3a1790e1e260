"""One image of an evaluation input with its ground truth and its detections."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol

import numpy as np

from train.metrics.measured_image import MeasuredImage, measured_image


@dataclasses.dataclass(frozen=True)
class DetectedImage:
    """An image with N ground truth boxes and D detections; boxes are ymin xmin ymax xmax in 0..1 of `image`.

    Attributes:
        source_id: The record's id.
        image: uint8 or float32 [H, W, 3], RGB 0..255, to draw on.
        groundtruth: `boxes` float32 [N, 4], `classes`, `is_crowd`, `difficult`, `group_of`, `area`, [N].
        detections: `boxes` float32 [D, 4], `scores`, `classes`, [D].
        original_shape: Height and width of the image in the record, in pixels.
        verified_class_ids: int32 [V], label map ids of the classes that a person looked for; zeros fill up.
    """

    source_id: str
    image: np.ndarray
    groundtruth: Mapping[str, np.ndarray]
    detections: Mapping[str, np.ndarray]
    original_shape: tuple[int, int]
    verified_class_ids: np.ndarray

    def measured(self) -> MeasuredImage:
        """Returns the image as the metrics take it: boxes in pixels of the original.

        Raises:
            UserError: A detection is not a number.
        """
        sides = np.array(self.original_shape * 2, np.float32)
        groundtruth = {f"groundtruth_{name}": values for name, values in self.groundtruth.items() if name in _MEASURED}
        return measured_image(
            self.source_id,
            **{**groundtruth, "groundtruth_boxes": self.groundtruth["boxes"] * sides},
            detection_boxes=self.detections["boxes"] * sides,
            detection_scores=self.detections["scores"],
            detection_classes=self.detections["classes"],
            verified_class_ids=self.verified_class_ids,
        )


class ImageObserver(Protocol):
    """What looks at every image of an evaluation beside the metrics."""

    def add(self, detected: DetectedImage, measured: MeasuredImage) -> None:
        """Takes one image: with its pixels, and as the metrics have it."""


_MEASURED = ("boxes", "classes", "is_crowd", "difficult", "group_of", "area")
