"""Detections and objects of an evaluation as columns of numbers, image by image, with all that a threshold decides on.

Which detection is which object, and the kind of a wrong detection, are the same whatever the threshold is: detections
are matched from the best score down, so that weak ones never change what strong ones are. What the page's scripts count
at a threshold follows from these columns alone, and is what `train.metrics` counts there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from data_prep.pages.page_file import COORDINATE_STEPS, encoded_column
from train.metrics.box_matches import IOU_THRESHOLD, NO_MATCH, BoxMatches
from train.metrics.box_pairs import image_pairs, iou_of_pairs
from train.metrics.coco_boxes import Boxes
from train.metrics.tide import TideErrors

MAX_DETECTIONS = 1_500_000  # in the page, 20 bytes each; of more, the weakest are left out


@dataclass(frozen=True)
class BoxColumns:
    """D detections and N objects of P images, sorted by image, and within one as `BoxMatches` has them.

    Attributes:
        detections: With their scores in descending order within an image.
        objects: The ground truth to find.
        mistake_of: int64 [D], the kind of each detection (`tide.Mistake`), -1 for true positives.
        found_by: int64 [N], the detection that is the object, else `NO_MATCH`.
        meant: int64 [M, 2], a detection of a wrong class or place, and the object that it would be.
        overlapping: int64 [Q, 2], a wrong detection and an object of another class that it overlaps by 0.5; sorted by
            detection, the larger overlap first.
        lowest_score: From which on detections are there; 0 if all are.
    """

    detections: Boxes
    objects: Boxes
    mistake_of: np.ndarray
    found_by: np.ndarray
    meant: np.ndarray
    overlapping: np.ndarray
    lowest_score: float

    def as_json(self, class_rows: dict[int, int], heights: np.ndarray, widths: np.ndarray) -> dict[str, Any]:
        """Returns the columns for the page; each `encoded_column`'s type is the one that its scripts read.

        Args:
            class_rows: The row of each class in the page, by label map id.
            heights: [P], of the images in pixels.
            widths: [P].
        """
        return {
            "detections": {
                **boxes_as_json(self.detections, class_rows, heights, widths),
                "scores": encoded_column(self.detections.scores, "<f4"),
                "mistakes": encoded_column(self.mistake_of, "<i1"),
            },
            "objects": {
                **boxes_as_json(self.objects, class_rows, heights, widths),
                "foundBy": encoded_column(self.found_by, "<i4"),
            },
            "meant": encoded_column(self.meant, "<u4"),
            "overlapping": encoded_column(self.overlapping, "<u4"),
            "lowestScore": self.lowest_score,
        }


def boxes_as_json(boxes: Boxes, class_rows: dict[int, int], heights: np.ndarray, widths: np.ndarray) -> dict[str, Any]:
    """Returns boxes that are sorted by image: offsets [P + 1], classes [N], edges [N, 4] in steps of 1/65535."""
    sides = np.stack([heights, widths, heights, widths], axis=1).astype(np.float64)
    edges = np.clip(boxes.boxes / np.maximum(sides[boxes.image], 1), 0, 1) * COORDINATE_STEPS
    rows = np.array([class_rows[class_id] for class_id in boxes.classes.tolist()], np.int64)
    return {
        "offsets": encoded_column(np.searchsorted(boxes.image, np.arange(len(heights) + 1)), "<u4"),
        "classes": encoded_column(rows, "<u2"),
        "edges": encoded_column(np.rint(edges), "<u2"),
    }


def box_columns(matches: BoxMatches, errors: TideErrors, max_detections: int = MAX_DETECTIONS) -> BoxColumns:
    """Returns the columns of what was matched.

    Args:
        matches: Of an evaluation.
        errors: Of the same.
        max_detections: How many are kept at most, those with the best scores; of equal scores all or none.
    """
    scores = matches.detections.scores
    lowest = 0.0
    kept: np.ndarray = np.arange(len(scores))
    if len(scores) > max_detections:
        kept = np.flatnonzero(scores > scores[max_detections])
        lowest = float(scores[kept[-1]]) if kept.size else 1.0
    kept = kept[np.argsort(matches.detections.image[kept], kind="stable")]
    new_detection = np.full(len(scores) + 1, NO_MATCH, np.int64)  # the last one is that of NO_MATCH
    new_detection[kept] = np.arange(len(kept))
    order = np.argsort(matches.groundtruth.image, kind="stable")
    new_object = np.full(len(order) + 1, NO_MATCH, np.int64)
    new_object[order] = np.arange(len(order))
    detections, objects = matches.detections.where(kept), matches.groundtruth.where(order)
    mistake_of = errors.mistake_of[kept]
    meant = new_object[errors.object_meant[kept]]
    has_meant = np.flatnonzero(meant != NO_MATCH)
    return BoxColumns(
        detections=detections,
        objects=objects,
        mistake_of=mistake_of,
        found_by=new_detection[matches.detection_of[order]],
        meant=np.stack([has_meant, meant[has_meant]], axis=1),
        overlapping=_overlapping(detections, objects, np.flatnonzero(mistake_of >= 0)),
        lowest_score=lowest,
    )


def _overlapping(detections: Boxes, objects: Boxes, wrong: np.ndarray) -> np.ndarray:
    """Returns `BoxColumns.overlapping`; `wrong` are the places of the detections that are no object, ascending."""
    parts = [(np.zeros((0, 2), np.int64), np.zeros(0))]
    for number, place in image_pairs(detections.image[wrong], objects.image):
        detection = wrong[number]
        overlaps = iou_of_pairs(detections.boxes[detection], objects.boxes[place])
        chosen = (overlaps >= IOU_THRESHOLD) & (detections.classes[detection] != objects.classes[place])
        parts.append((np.stack([detection, place], axis=1)[chosen], overlaps[chosen]))
    pairs, overlaps = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return pairs[np.lexsort((pairs[:, 1], -overlaps, pairs[:, 0]))]
