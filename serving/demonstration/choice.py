"""What of the detections a person wants to see: above a score, of some classes; and the image with them drawn."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

import numpy as np
from PIL import Image

from data_prep.formats.label_map import LabelMap
from data_prep.images.drawing import draw_boxes
from serving.client_library.detections import ImageDetections


def chosen(found: ImageDetections, min_score: float, names: Collection[str]) -> ImageDetections:
    """Returns the detections from `min_score` (0..1) of the classes `names`; of all classes where there are none."""
    kept = tuple(
        detection
        for detection in found.detections
        if detection.score >= min_score and (not names or detection.name in names)
    )
    return replace(found, detections=kept)


def names_to_choose(label_map: LabelMap | None, answers: Iterable[ImageDetections]) -> list[str]:
    """Returns the classes that can be chosen, sorted: those of the label map, or else those that were found."""
    if label_map is not None:
        return sorted(set(label_map.names_by_id().values()), key=str.casefold)
    return sorted({detection.name for found in answers for detection in found.detections}, key=str.casefold)


def drawn(shown: Image.Image, found: ImageDetections) -> Image.Image:
    """Returns an image with the detections' boxes, names and scores on it.

    Args:
        shown: The image, at any size.
        found: What to draw; its boxes are cut off at the image's edges.
    """
    boxes_ymin_xmin_ymax_xmax = np.array([detection.box_normalized for detection in found.detections]).reshape(-1, 4)
    return draw_boxes(
        shown,
        boxes_ymin_xmin_ymax_xmax.clip(0.0, 1.0) * (shown.height, shown.width, shown.height, shown.width),
        [detection.name for detection in found.detections],
        [detection.score for detection in found.detections],
    )
