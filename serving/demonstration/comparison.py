"""Two versions' detections in one image: which both have, and which only one."""

from __future__ import annotations

from typing import NamedTuple

from serving.client_library.detections import Box, Detection, ImageDetections

SAME_IOU = 0.5  # as the Pascal VOC metric has it


class Comparison(NamedTuple):
    """How two versions' answers differ; each list has the best score first.

    Attributes:
        both: Pairs of one class whose boxes overlap by `SAME_IOU`: the first version's and the second's.
        only_first: What the second version does not have.
        only_second: What the first version does not have.
    """

    both: list[tuple[Detection, Detection]]
    only_first: list[Detection]
    only_second: list[Detection]


def compare(first: ImageDetections, second: ImageDetections) -> Comparison:
    """Pairs two versions' detections: the first's best score chooses first, the box that overlaps it most."""
    free = list(second.detections)
    both, only_first = [], []
    for detection in first.detections:
        candidates = [other for other in free if other.class_id == detection.class_id]
        best = max(candidates, key=lambda other: iou(detection.box_normalized, other.box_normalized), default=None)
        if best is None or iou(detection.box_normalized, best.box_normalized) < SAME_IOU:
            only_first.append(detection)
        else:
            both.append((detection, best))
            free.remove(best)
    return Comparison(both, only_first, free)


def iou(a: Box, b: Box) -> float:
    """Returns the intersection over union of two boxes in the same units; 0 where neither has an area."""
    height = min(a.ymax, b.ymax) - max(a.ymin, b.ymin)
    width = min(a.xmax, b.xmax) - max(a.xmin, b.xmin)
    shared = max(0.0, height) * max(0.0, width)
    union = _area(a) + _area(b) - shared
    return shared / union if union > 0 else 0.0


def _area(box: Box) -> float:
    return max(0.0, box.ymax - box.ymin) * max(0.0, box.xmax - box.xmin)
