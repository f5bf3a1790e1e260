"""Which detection is which object, at an IoU of 0.5, by COCO's matching: what all figures at a score stand on.

Detections are taken from the best score down, class by class; each goes to the object of its class that it overlaps
most among those that none has, if by at least 0.5. What lies in a crowd, or in a group-of box, counts neither for nor
against. Of a class, the best 100 detections an image count, as in COCO's averages.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from train.metrics.box_collection import AREA_RANGES, BoxCollection
from train.metrics.coco_boxes import Boxes
from train.metrics.coco_matching import NO_MATCH, match_boxes

IOU_THRESHOLD = 0.5


@dataclasses.dataclass(frozen=True)
class BoxMatches:
    """Detections D and ground truth N of many images; crowds, groups, and what is in them, are not among them.

    Attributes:
        names: Class names by label map id, each once.
        detections: In descending order of the score.
        groundtruth: The objects to find.
        object_of: int64 [D], the place in `groundtruth` of the object that each detection is, else `NO_MATCH`.
        num_images: Images looked at, those without any box among them.
    """

    names: Mapping[int, str]
    detections: Boxes
    groundtruth: Boxes
    object_of: np.ndarray
    num_images: int

    @property
    def is_right(self) -> np.ndarray:
        """Whether each detection is a true positive, bool [D]."""
        return self.object_of != NO_MATCH

    @property
    def detection_of(self) -> np.ndarray:
        """The place in `detections` of what found each object, int64 [N], else `NO_MATCH`."""
        found = np.full(len(self.groundtruth.classes), NO_MATCH, np.int64)
        found[self.object_of[self.is_right]] = np.flatnonzero(self.is_right)
        return found


def match_collection(boxes: BoxCollection) -> BoxMatches:
    """Matches what was collected; where there are no group-of boxes, takes the matches of COCO's averages."""
    groundtruth, detections = boxes.groundtruth(), boxes.detections()
    is_region = (groundtruth.is_crowd > 0) | (groundtruth.is_group > 0)
    if np.array_equal(is_region, groundtruth.is_crowd > 0):
        matches = boxes.coco_matches()
    else:
        with_regions = groundtruth.where(np.ones(len(is_region), bool))
        with_regions.is_crowd = is_region.astype(np.float32)
        matches = match_boxes(with_regions, detections, [IOU_THRESHOLD], AREA_RANGES[:1])
    object_of = np.full(len(detections.classes), NO_MATCH, np.int64)
    counts = np.zeros(len(detections.classes), bool)
    counts[matches.detections] = True
    near = matches.detections[matches.near]
    object_of[near] = matches.object_of
    counts[near] &= (matches.ignored[:, 0] & 1) == 0
    new_place = np.append(np.cumsum(~is_region) - 1, NO_MATCH)  # the last one is that of NO_MATCH
    kept = np.flatnonzero(counts)
    kept = kept[np.argsort(-detections.scores[kept], kind="stable")]
    return BoxMatches(
        names=boxes.names,
        detections=detections.where(kept),
        groundtruth=groundtruth.where(~is_region),
        object_of=new_place[object_of[kept]],
        num_images=boxes.num_images,
    )
