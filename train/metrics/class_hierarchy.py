"""Ground truth and detections of a class that are also of the classes above it, as Open Images' challenge measures.

A box of a Bed is a box of Furniture as well, in the ground truth and among the detections: a model that knows beds need
not say Furniture. Of verified labels, one of a class that is there holds for all classes above, one of a class that is
not there for all below. `data_prep.process_metadata --expand_hierarchy` does so to records, and not to detections.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Mapping

import numpy as np

from data_prep.metadata.hierarchy import read_hierarchy
from data_prep.runtime.command_line import UsageError
from train.metrics.box_pairs import pairs_of_ranges
from train.metrics.measured_image import MeasuredImage


class ClassHierarchy:
    """Which classes are above which."""

    def __init__(self, ancestors: Mapping[int, Collection[int]]) -> None:
        """Takes the classes above each, nearest or not, by label map id; classes that are not there have none."""
        pairs = sorted((class_id, above) for class_id, all_above in ancestors.items() for above in all_above)
        self._classes, self._above = np.array(pairs, np.int32).reshape(-1, 2).T

    def expanded(self, image: MeasuredImage) -> MeasuredImage:
        """Returns the image with copies of boxes and detections for the classes above.

        A copy is left out where the image has a box, or a detection, of that class with just these edges already: the
        same thing annotated twice, or a model that says both. Of several copies of detections in one place, the one
        with the best score stays.

        Verified classes: of those that have ground truth the classes above are verified too, of the others, which
        nobody found, those below.
        """
        truth, classes = self._copies(image.groundtruth_boxes, image.groundtruth_classes, np.zeros(0))
        found, found_classes = self._copies(image.detection_boxes, image.detection_classes, image.detection_scores)
        groundtruth = {
            field.name: np.concatenate([getattr(image, field.name), getattr(image, field.name)[truth]])
            for field in dataclasses.fields(image)
            if field.name.startswith("groundtruth_")
        }
        groundtruth["groundtruth_classes"] = np.concatenate([image.groundtruth_classes, classes])
        detections = {
            name: np.concatenate([getattr(image, name), getattr(image, name)[found]])
            for name in ("detection_boxes", "detection_scores")
        }
        detections["detection_classes"] = np.concatenate([image.detection_classes, found_classes])
        verified = self._verified(image.verified_class_ids, groundtruth["groundtruth_classes"])
        return dataclasses.replace(image, **groundtruth, **detections, verified_class_ids=verified)

    def _copies(self, boxes: np.ndarray, classes: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns which boxes are repeated, int64 [K], and as what, int32 [K]."""
        first, end = (np.searchsorted(self._classes, classes, side) for side in ("left", "right"))
        origin, above = pairs_of_ranges(first, end)
        as_class = self._above[above]
        # Originals first, then copies by descending score: of each class and place the first one stays.
        order = np.argsort(-scores[origin], kind="stable") if scores.size else np.arange(len(origin))
        origin, as_class = origin[order], as_class[order]
        rows = np.concatenate([np.column_stack([boxes, classes]), np.column_stack([boxes[origin], as_class])])
        _, firsts, numbers = np.unique(rows, axis=0, return_index=True, return_inverse=True)
        if scores.size:
            stays: np.ndarray = np.zeros(len(rows), bool)
            stays[firsts] = True
            stays = stays[len(boxes) :]
        else:  # of ground truth, copies of two boxes in one place both stay, as in records
            numbers = numbers.reshape(-1)
            stays = ~np.isin(numbers[len(boxes) :], numbers[: len(boxes)])
        return origin[stays], as_class[stays]

    def _verified(self, verified: np.ndarray, present: np.ndarray) -> np.ndarray:
        is_present = np.isin(verified, present)
        above = self._above[np.isin(self._classes, verified[is_present])]
        below = self._classes[np.isin(self._above, verified[~is_present])]
        return np.unique(np.concatenate([verified, above, below])).astype(np.int32)


def read_class_hierarchy(path: str | os.PathLike[str], labels_by_id: Mapping[int, str]) -> ClassHierarchy:
    """Reads Open Images' hierarchy, of which the classes of a label map are taken.

    Args:
        path: Such as `bbox_labels_600_hierarchy.json`.
        labels_by_id: The `name`s of the label map, which are the hierarchy's labels (MIDs), by id.

    Raises:
        UsageError: The file is no hierarchy, or knows none of the classes.
    """
    hierarchy = read_hierarchy(path)
    ids = {label: class_id for class_id, label in labels_by_id.items()}
    if not any(label in hierarchy for label in ids):
        shown = next(iter(ids), "none")
        raise UsageError(
            f"{path}: none of the label map's names, such as {shown!r}, is in the hierarchy, whose labels are like "
            f"{hierarchy.root!r}"
        )
    return ClassHierarchy(
        {
            class_id: [ids[above] for above in hierarchy.ancestors(label) if above in ids]
            for label, class_id in ids.items()
        }
    )
