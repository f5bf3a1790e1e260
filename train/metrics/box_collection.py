"""The boxes of an evaluation's images in a few arrays, collected once for everything that is measured on them.

An image takes 32 bytes a detection and 32 an object (3.4 kB with 100 and 7 of them); its pixels are not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np

from train.metrics.coco_boxes import Boxes, BoxList
from train.metrics.coco_matching import CocoMatches, match_boxes
from train.metrics.measured_image import MeasuredImage, check_named, unique_names

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
# Pixels of "all", small, medium and large objects; both ends belong to it, as in pycocotools.
AREA_RANGES = ((0.0, 1e10), (0.0, 32.0**2), (32.0**2, 96.0**2), (96.0**2, 1e10))

_Derived = TypeVar("_Derived")


class BoxCollection:
    """Ground truth and detections of known classes, image by image.

    Attributes:
        names: Class names by label map id, each once, by ascending id.
        num_images: How many images were added.
        num_unknown_detections: How many detections had a class id without a name, and were left out.
    """

    def __init__(self, names_by_id: Mapping[int, str], *, skip_predictions_for_unlabeled_class: bool = False) -> None:
        """Starts empty.

        Args:
            names_by_id: The classes, by label map id.
            skip_predictions_for_unlabeled_class: Leaves out detections of classes that nobody looked for in the
                image; an image without verified classes was searched for all of them.
        """
        self.names = unique_names(names_by_id)
        self._ids = np.array(list(self.names), np.int32)
        self._skip_unlabeled = skip_predictions_for_unlabeled_class
        self._groundtruth, self._detections = BoxList(), BoxList()
        self._derived: dict[Callable[[BoxCollection], Any], Any] = {}
        self.num_images = 0
        self.num_unknown_detections = 0

    def add(self, image: MeasuredImage) -> None:
        """Takes one image.

        Raises:
            UserError: A ground truth class is not among the names.
        """
        check_named(image, self.names)
        known = np.isin(image.detection_classes, self._ids)
        if not known.all():
            self.num_unknown_detections += int(np.count_nonzero(~known))
            image = image.with_detections_where(known)
        if self._skip_unlabeled:
            image = image.of_verified_classes(none_means_all=True)
        truth = Boxes(
            self.num_images,
            image.groundtruth_boxes,
            image.groundtruth_classes,
            is_crowd=image.groundtruth_is_crowd,
            is_group=image.groundtruth_group_of,
            area=image.groundtruth_area,
        )
        self._groundtruth.append(truth)
        self._detections.append(
            Boxes(self.num_images, image.detection_boxes, image.detection_classes, scores=image.detection_scores)
        )
        self._derived.clear()
        self.num_images += 1

    def groundtruth(self) -> Boxes:
        """Returns the objects of all images, with `is_crowd`, `is_group` and `area`."""
        return self._groundtruth.all()

    def detections(self) -> Boxes:
        """Returns the detections of all images, with `scores`."""
        return self._detections.all()

    def once(self, derive: Callable[[BoxCollection], _Derived]) -> _Derived:
        """Returns what a function of the collection returns; called anew only where images were added since."""
        if derive not in self._derived:
            self._derived[derive] = derive(self)
        return self._derived[derive]

    def coco_matches(self) -> CocoMatches:
        """Returns COCO's matches, at `IOU_THRESHOLDS` in `AREA_RANGES`; computed once."""
        return self.once(_match)


def _match(boxes: BoxCollection) -> CocoMatches:
    return match_boxes(boxes.groundtruth(), boxes.detections(), IOU_THRESHOLDS, AREA_RANGES)
