"""The split of the average precision that is lost into six kinds of mistakes, as TIDE does it.

Bolya, Foley, Hays, Hoffman: "TIDE: A General Toolbox for Identifying Object Detection Errors", ECCV 2020. Every false
positive is of one kind, and what its kind costs is how much the AP at an IoU of 0.5 rises when that kind alone is
mended: a wrong class or place is put right, where nothing else found the object; other mistakes are taken away; missed
objects, which no wrong class or place is near, are no longer asked for. The six do not add up to what is lost.
"""

from __future__ import annotations

import enum

import numpy as np

from train.metrics.box_matches import IOU_THRESHOLD, BoxMatches
from train.metrics.box_pairs import image_pairs, iou_of_pairs
from train.metrics.coco_matching import NO_MATCH

BACKGROUND_IOU = 0.1  # what overlaps no object by more is background
_RECALLS = np.arange(101) / 100


class Mistake(enum.IntEnum):
    """A kind, in the order in which a false positive is tested for it; `MISSED` is an object's."""

    LOCALIZATION = 0
    CLASSIFICATION = 1
    DUPLICATE = 2
    BACKGROUND = 3
    BOTH = 4
    MISSED = 5


class TideErrors:
    """Kinds of mistakes, and what they cost.

    Attributes:
        mistake_of: int64 [D], the kind of each detection, -1 for true positives.
        object_meant: int64 [D], the place of the object that a wrong class or place would be, else `NO_MATCH`.
        object_near: int64 [D], the same, but `NO_MATCH` where another detection has found the object.
        is_missed: bool [N], objects that no detection found or was near.
    """

    def __init__(self, matches: BoxMatches) -> None:
        """Looks at every detection.

        Args:
            matches: Detections and objects.
        """
        self._matches = matches
        count = len(matches.object_of)
        self.mistake_of = np.full(count, -1, np.int64)
        self.object_meant = np.full(count, NO_MATCH, np.int64)
        self._look(np.flatnonzero(~matches.is_right))
        is_found = matches.detection_of != NO_MATCH
        is_near = np.zeros(len(is_found), bool)
        near = np.flatnonzero(self.object_meant != NO_MATCH)
        is_near[self.object_meant[near]] = True
        self.is_missed = ~is_found & ~is_near
        self.object_near = self.object_meant.copy()
        self.object_near[near[is_found[self.object_meant[near]]]] = NO_MATCH

    def _look(self, wrong: np.ndarray) -> None:
        """Tells the kinds of false positives, by their places."""
        detections, groundtruth = self._matches.detections, self._matches.groundtruth
        self.mistake_of[wrong] = Mistake.BACKGROUND  # where an image has no objects
        is_found = self._matches.detection_of != NO_MATCH
        for number, truth in image_pairs(detections.image[wrong], groundtruth.image):
            place = wrong[number]
            overlaps = iou_of_pairs(detections.boxes[place], groundtruth.boxes[truth])
            is_class = detections.classes[place] == groundtruth.classes[truth]
            starts = np.flatnonzero(np.diff(number, prepend=-1))
            same, other = overlaps * is_class, overlaps * ~is_class
            of_same, of_other, of_found, of_any = (
                np.maximum.reduceat(values, starts) for values in (same, other, same * is_found[truth], overlaps)
            )
            kinds = [
                (of_same >= BACKGROUND_IOU) & (of_same <= IOU_THRESHOLD),
                of_other >= IOU_THRESHOLD,
                of_found >= IOU_THRESHOLD,
                of_any <= BACKGROUND_IOU,
            ]
            mistakes = np.select(kinds, list(Mistake)[:4], Mistake.BOTH)
            self.mistake_of[place[starts]] = mistakes
            is_place = mistakes == Mistake.LOCALIZATION
            row = np.cumsum(np.diff(number, prepend=number[0]) != 0)  # the detection of each pair
            values = np.where(is_place[row], same, other)
            closest = np.flatnonzero(values == np.where(is_place, of_same, of_other)[row])
            first = closest[np.flatnonzero(np.diff(number[closest], prepend=-1))]  # one a detection
            has_near = np.isin(mistakes, (Mistake.LOCALIZATION, Mistake.CLASSIFICATION))
            self.object_meant[place[starts][has_near]] = truth[first[has_near]]

    def counts(self) -> dict[Mistake, int]:
        """Returns how many there are of each kind."""
        counted = np.bincount(self.mistake_of[self.mistake_of >= 0], minlength=len(Mistake))
        counted[Mistake.MISSED] = np.count_nonzero(self.is_missed)
        return {kind: int(counted[kind]) for kind in Mistake}

    def costs(self) -> dict[Mistake, float]:
        """Returns what each kind costs of the AP at an IoU of 0.5, from 0 to 1; NaN without objects."""
        base = self.average_precision()
        return {kind: max(self._mended(kind) - base, 0.0) for kind in Mistake}

    def average_precision(self) -> float:
        """Returns the mean over classes with objects of COCO's AP at an IoU of 0.5."""
        classes = self._matches.detections.classes
        everything = np.ones(len(classes), bool)
        return self._average_precision(everything, classes, self._matches.is_right, self._num_objects())

    def _num_objects(self) -> np.ndarray:
        return np.bincount(self._matches.groundtruth.classes, minlength=max(self._matches.names, default=0) + 1)

    def _mended(self, kind: Mistake) -> float:
        matches = self._matches
        classes, is_right, num_objects = matches.detections.classes.copy(), matches.is_right.copy(), self._num_objects()
        stays = self.mistake_of != kind
        if kind is Mistake.MISSED:
            missed = matches.groundtruth.classes[self.is_missed]
            num_objects -= np.bincount(missed, minlength=len(num_objects))
        elif kind in (Mistake.LOCALIZATION, Mistake.CLASSIFICATION):
            # Of all that are near an object, the best one is it; detections are in the order of their scores.
            near = np.flatnonzero(self.object_near != NO_MATCH)
            best = near[np.unique(self.object_near[near], return_index=True)[1]]
            best = best[self.mistake_of[best] == kind]
            stays[best], is_right[best] = True, True
            classes[best] = matches.groundtruth.classes[self.object_near[best]]
        return self._average_precision(stays, classes, is_right, num_objects)

    def _average_precision(
        self, stays: np.ndarray, classes: np.ndarray, is_right: np.ndarray, num_objects: np.ndarray
    ) -> float:
        order = np.flatnonzero(stays)
        order = order[np.argsort(classes[order], kind="stable")]  # so that each class is still by score
        ids = np.flatnonzero(self._num_objects())
        starts, ends = (np.searchsorted(classes[order], ids, side) for side in ("left", "right"))
        values = []
        for class_id, start, end in zip(ids, starts, ends, strict=True):
            right = is_right[order[start:end]]
            if num_objects[class_id]:
                values.append(_interpolated(right, int(num_objects[class_id])))
            elif right.size:  # mistakes about a class of which nothing is left to find
                values.append(0.0)
        return float(np.mean(values)) if values else float("nan")


def _interpolated(is_right: np.ndarray, num_objects: int) -> float:
    """Returns the mean precision at COCO's 101 recalls of detections in descending order of the score."""
    if not is_right.size:
        return 0.0
    right = np.cumsum(is_right)
    precision = np.maximum.accumulate((right / np.arange(1, len(right) + 1))[::-1])[::-1]
    places = np.searchsorted(right / num_objects, _RECALLS, side="left")
    return float(np.append(precision, 0.0)[places].mean())
