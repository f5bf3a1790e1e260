"""COCO's matching of detections with objects, of all images and classes at once.

The meaning is that of pycocotools' `COCOeval.evaluateImg`, to the last comparison: in an image and class, detections
are taken from the best score down, the best 100 of them, and each goes to the object that it overlaps most among those
that none has, if by at least the threshold. Objects outside of a range of areas are only taken where no other one
can be, and what goes to one of these, or to a crowd, counts neither way; a crowd takes any number of detections.

pycocotools goes through image and class and threshold and range one after the other. Here only pairs of a detection
and an object of its class that overlap by the lowest threshold are looked at, which are few; and the best detections
of all images and classes are matched together, then all second ones, and so on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from train.metrics.box_pairs import pairs_of_ranges
from train.metrics.coco_boxes import Boxes

MAX_DETECTIONS = 100  # of a class and image
NO_MATCH = -1
_PAIRS_AT_A_TIME = 1 << 18


@dataclasses.dataclass(frozen=True)
class CocoMatches:
    """The detections that count, K of D, and what they were matched with: T thresholds, A ranges of areas.

    Attributes:
        detections: int64 [K], their places, by class, then image, then descending score.
        rank: int64 [K], how many of the same class and image are before each.
        near: int64 [M], places in `detections` of those that overlap an object by the lowest threshold: no other is
            matched with anything.
        matched: uint16 [M, A], bit t is whether the detection has an object at threshold t.
        ignored: uint16 [M, A], and whether this object is one that counts neither way.
        object_of: int64 [M], the object at the first threshold and range, by its place in the ground truth, else
            `NO_MATCH`.
    """

    detections: np.ndarray
    rank: np.ndarray
    near: np.ndarray
    matched: np.ndarray
    ignored: np.ndarray
    object_of: np.ndarray


def match_boxes(
    groundtruth: Boxes,
    detections: Boxes,
    iou_thresholds: Sequence[float] | np.ndarray,
    area_ranges: Sequence[tuple[float, float]],
    *,
    max_detections: int = MAX_DETECTIONS,
) -> CocoMatches:
    """Matches detections with the objects of their class and image.

    Args:
        groundtruth: With `area` and `is_crowd`.
        detections: With `scores`.
        iou_thresholds: [T], ascending, above 0, 16 at most; with a crowd the share of the detection that lies in it.
        area_ranges: [A], the lowest and the highest area, in pixels, of the objects that count.
        max_detections: The best ones of a class and image that count.
    """
    thresholds = np.minimum(np.asarray(iou_thresholds, np.float64), 1 - 1e-10)
    ranges = np.asarray(area_ranges, np.float64)
    order = np.lexsort((-detections.scores, detections.image, detections.classes))
    cells = _cells(detections, groundtruth)[order]
    rank = _place_in_run(cells)
    order, cells, rank = (values[rank < max_detections] for values in (order, cells, rank))
    truth_cells = _cells(groundtruth, detections)
    truth_order = np.argsort(truth_cells, kind="stable")
    truth_cells = truth_cells[truth_order]
    first, end = (np.searchsorted(truth_cells, cells, side) for side in ("left", "right"))
    is_ignored = (groundtruth.is_crowd > 0)[:, np.newaxis] | _is_outside(groundtruth.area.astype(np.float64), ranges)
    parts = []
    for start, stop in _parts(cells, end - first):
        detection, truth = pairs_of_ranges(first[start:stop], end[start:stop])
        detection, truth = detection + start, truth_order[truth]
        overlaps = _overlaps(detections.boxes[order[detection]], groundtruth, truth)
        is_near = overlaps >= thresholds[0]
        detection, truth, overlaps = detection[is_near], truth[is_near], overlaps[is_near]
        if detection.size:
            parts.append(_match_near(cells, detection, truth, overlaps, thresholds, is_ignored, groundtruth.is_crowd))
    none = np.zeros((0, len(ranges)), np.uint16)
    empty = (np.zeros(0, np.int64), none, none, np.zeros(0, np.int64))
    columns = zip(empty, *parts, strict=True)
    near, matched, ignored, object_of = (np.concatenate(column) for column in columns)
    return CocoMatches(order, rank, near, matched, ignored, object_of)


def is_inside(areas: np.ndarray, area_ranges: Sequence[tuple[float, float]]) -> np.ndarray:
    """Returns whether areas, float64 [N] in pixels, lie in each of the ranges, bool [N, A]."""
    return ~_is_outside(areas, np.asarray(area_ranges, np.float64))


def _is_outside(areas: np.ndarray, ranges: np.ndarray) -> np.ndarray:
    return (areas[:, np.newaxis] < ranges[:, 0]) | (areas[:, np.newaxis] > ranges[:, 1])


def _cells(boxes: Boxes, others: Boxes) -> np.ndarray:
    """Returns one number a class and image, int64 [N], by class first; the same for both boxes."""
    num_images = 1 + max(int(some.image.max(initial=0)) for some in (boxes, others))
    return boxes.classes.astype(np.int64) * num_images + boxes.image


def _place_in_run(values: np.ndarray) -> np.ndarray:
    """Returns how many equal ones are before each of these sorted values."""
    places = np.arange(len(values))
    is_first = np.diff(values, prepend=values[:1] - 1) != 0
    return places - np.maximum.accumulate(np.where(is_first, places, 0))


def _parts(cells: np.ndarray, num_pairs: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yields runs of whole cells with so many pairs that memory stays small, whatever the number of images."""
    ends = np.append(np.flatnonzero(np.diff(cells)) + 1, len(cells))
    pairs_until = np.append(0, np.cumsum(num_pairs))[ends]
    start, done = 0, 0
    while start < len(cells):
        number = int(np.searchsorted(pairs_until, done + _PAIRS_AT_A_TIME, "right")) - 1
        number = max(number, int(np.searchsorted(ends, start, "right")))
        yield start, int(ends[number])
        start, done = int(ends[number]), int(pairs_until[number])


def _overlaps(boxes: np.ndarray, groundtruth: Boxes, truth: np.ndarray) -> np.ndarray:
    """Returns the IoU, or of a crowd the share of the box in it, of pairs, as pycocotools' C code rounds it.

    Args:
        boxes: float32 [P, 4], of detections.
        groundtruth: Objects.
        truth: [P], the object of each pair.
    """
    top, left, bottom, right = boxes.T.astype(np.float64)
    other_top, other_left, other_bottom, other_right = groundtruth.boxes[truth].T.astype(np.float64)
    width, height = right - left, bottom - top
    other_width, other_height = other_right - other_left, other_bottom - other_top
    # Corners from sides, not as they are: so pycocotools has them.
    shared_width = np.minimum(left + width, other_left + other_width) - np.maximum(left, other_left)
    shared_height = np.minimum(top + height, other_top + other_height) - np.maximum(top, other_top)
    shared = np.where((shared_width > 0) & (shared_height > 0), shared_width * shared_height, 0.0)
    area = width * height
    whole = np.where(groundtruth.is_crowd[truth] > 0, area, area + other_width * other_height - shared)
    return np.divide(shared, whole, out=np.zeros_like(shared), where=shared > 0)


def _match_near(
    cells: np.ndarray,
    detection: np.ndarray,
    truth: np.ndarray,
    overlaps: np.ndarray,
    thresholds: np.ndarray,
    is_ignored: np.ndarray,
    is_crowd: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Matches some whole cells.

    Args:
        cells: Of all detections, by class, image and descending score.
        detection: [P], ascending: the detection of each pair.
        truth: [P], its object.
        overlaps: [P].
        thresholds: [T].
        is_ignored: bool [N, A], of the objects.
        is_crowd: [N].

    Returns:
        The detections, [M], and of them `matched`, `ignored` and `object_of` as in `CocoMatches`.
    """
    # In a detection, the better pair has the higher place; of equal ones the later object, as in pycocotools.
    by_overlap = np.lexsort((truth, overlaps, detection))
    detection, truth, overlaps = detection[by_overlap], truth[by_overlap], overlaps[by_overlap]
    near, number = np.unique(detection, return_inverse=True)
    turn = _place_in_run(cells[near])
    by_turn = np.argsort(turn[number], kind="stable")
    number, truth, overlaps = number[by_turn], truth[by_turn], overlaps[by_turn]
    place = _place_in_run(np.append(0, np.cumsum(np.diff(number) != 0))).astype(np.int16)
    objects, truth = np.unique(truth, return_inverse=True)
    counts_first = np.int16(place.max(initial=0) + 1)
    ignored_object, crowd = is_ignored[objects], is_crowd[objects] > 0
    num_ranges, num_thresholds = ignored_object.shape[1], len(thresholds)
    preferred = np.where(ignored_object, 0, counts_first).astype(np.int16)[:, :, np.newaxis]
    is_free = np.ones((len(objects), num_ranges, num_thresholds), bool)
    state = np.arange(num_ranges * num_thresholds).reshape(1, num_ranges, num_thresholds)
    matched = np.zeros((len(near), num_ranges), np.uint16)
    ignored = np.zeros_like(matched)
    object_of = np.full(len(near), NO_MATCH, np.int64)
    turns = turn[number]
    for start, end in _runs(turns):
        of_pair = truth[start:end]
        can = is_free[of_pair]
        can &= (overlaps[start:end, np.newaxis] >= thresholds)[:, np.newaxis, :]
        value = np.where(can, place[start:end, np.newaxis, np.newaxis] + preferred[of_pair], np.int16(-1))
        firsts = np.flatnonzero(place[start:end] == 0)
        best = np.maximum.reduceat(value, firsts, axis=0)
        has = best >= 0
        taken = of_pair[firsts[:, np.newaxis, np.newaxis] + np.where(has, best % counts_first, 0)]
        is_free.reshape(-1)[(taken * state.size + state)[has & ~crowd[taken]]] = False
        rows = number[start:end][firsts]
        matched[rows] = _as_bits(has)
        ignored[rows] = _as_bits(has & (best < counts_first))
        object_of[rows] = np.where(has[:, 0, 0], objects[taken[:, 0, 0]], NO_MATCH)
    return near, matched, ignored, object_of


def _as_bits(values: np.ndarray) -> np.ndarray:
    """Returns bool [..., T] as the bits of uint16 [...]."""
    packed = np.packbits(values, axis=-1, bitorder="little").astype(np.uint16)
    return packed[..., 0] | (packed[..., 1] << 8) if packed.shape[-1] > 1 else packed[..., 0]


def _runs(values: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yields where each run of equal values starts and ends."""
    ends = np.append(np.flatnonzero(np.diff(values)) + 1, len(values)).tolist()
    return zip([0, *ends[:-1]], ends, strict=True)
