"""Matches of a few boxes that are written down by hand."""

from __future__ import annotations

import numpy as np

from train.metrics.box_collection import BoxCollection
from train.metrics.box_matches import BoxMatches, match_collection
from train.metrics.measured_image import measured_image

NAMES = {1: "Bed", 2: "Lamp"}


def matched(*images, names=None, **more) -> BoxMatches:
    """Matches images of ([(class, box)], [(class, score, box)]); boxes are ymin xmin ymax xmax."""
    boxes = BoxCollection(names or NAMES)
    for number, (truth, found) in enumerate(images):
        boxes.add(
            measured_image(
                f"image {number}",
                groundtruth_boxes=np.array([box for _, box in truth], np.float32).reshape(-1, 4),
                groundtruth_classes=[class_id for class_id, _ in truth],
                detection_boxes=np.array([box for *_, box in found], np.float32).reshape(-1, 4),
                detection_scores=[score for _, score, _ in found],
                detection_classes=[class_id for class_id, *_ in found],
                **more,
            )
        )
    return match_collection(boxes)


A, B, C = [0, 0, 100, 100], [200, 200, 300, 300], [400, 400, 500, 500]
NEAR_A = [0, 0, 100, 40]  # an IoU of 0.4
OVER_A = [0, 0, 100, 80]  # an IoU of 0.8
