"""COCO's averages by pycocotools, and random images that are hard to match."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from train.metrics.measured_image import MeasuredImage, measured_image


def as_coco(images: Sequence[MeasuredImage], class_ids: Sequence[int]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Returns ground truth as a COCO data set, and detections as COCO's results, as in Python after reading JSON."""
    annotations, results = [], []
    for number, image in enumerate(images):
        boxes = _left_top_width_height(image.groundtruth_boxes)
        columns = (boxes, image.groundtruth_classes, image.groundtruth_area, image.groundtruth_is_crowd)
        for box, class_id, area, is_crowd in zip(*(column.tolist() for column in columns), strict=True):
            annotation = {"id": len(annotations) + 1, "image_id": number, "category_id": class_id, "bbox": box}
            annotations.append({**annotation, "area": area, "iscrowd": int(is_crowd)})
        columns = (
            _left_top_width_height(image.detection_boxes), image.detection_classes, image.detection_scores,
        )  # fmt: skip
        results += [
            {"image_id": number, "category_id": class_id, "bbox": box, "score": score}
            for box, class_id, score in zip(*(column.tolist() for column in columns), strict=True)
        ]
    data_set = {
        "info": {},
        "images": [{"id": number} for number in range(len(images))],
        "categories": [{"id": class_id} for class_id in class_ids],
        "annotations": annotations,
    }
    return data_set, results


def pycocotools_evaluation(data_set: dict[str, Any], results: list[dict[str, Any]]) -> COCOeval:
    """Returns a finished evaluation: `eval["precision"]`, `eval["recall"]`, `stats`."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = data_set
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def hard_image(random: np.random.Generator, name: str, class_ids: Sequence[int], *, most: int = 40) -> MeasuredImage:
    """Draws an image with what is easy to get wrong.

    Boxes that lie on each other exactly, equal scores and equal overlaps, crowds, sides at the limits of the areas,
    boxes without area, classes without objects, no boxes at all, and more than `most` detections of a class.
    """
    count = int(random.integers(0, 8))
    corners = random.integers(0, 6, (count, 2)) * 16
    sides = random.choice([16, 32, 48, 96, 128], (count, 2))
    truth = np.concatenate([corners, corners + sides], axis=1).astype(np.float32)
    classes = random.choice(class_ids[:-1], count)
    num_found = int(random.integers(0, most + 1))
    near = np.repeat(truth, 12, axis=0)
    far = random.integers(0, 12, (40, 2)) * 16
    pool = np.concatenate([near, np.concatenate([far, far + 32], axis=1)])
    chosen = random.integers(0, len(pool), num_found)
    shifts = random.choice([0, 0, 0, 4, 8, 16], (num_found, 4))
    found = (pool[chosen] + shifts).astype(np.float32)
    found[:, 2:] = np.maximum(found[:, 2:], found[:, :2])
    of_truth = np.append(np.repeat(classes, 12), random.choice(class_ids, 40))
    image = measured_image(
        name,
        groundtruth_boxes=truth,
        groundtruth_classes=classes,
        groundtruth_is_crowd=random.random(count) < 0.15,
        detection_boxes=found,
        detection_scores=random.integers(0, 8, num_found) / 8,
        detection_classes=of_truth[chosen],
    )
    by_outline = random.random(count) < 0.3
    area = np.where(by_outline, random.choice([32**2, 96**2, 700, 10**4], count), image.groundtruth_area)
    return dataclasses.replace(image, groundtruth_area=area.astype(np.float32))


def ordinary_images(num_images: int, *, num_classes: int, num_detections: int) -> Iterator[MeasuredImage]:
    """Draws images of 1 to 14 objects, and detections around them that are near, less near, or of another class."""
    random = np.random.default_rng(0)
    for number in range(num_images):
        count = int(random.integers(1, 15))
        corners, sides = random.uniform(0, 500, (count, 2)), random.uniform(8, 250, (count, 2))
        truth = np.concatenate([corners, corners + sides], axis=1)
        classes = random.integers(1, num_classes + 1, count)
        of_object = random.integers(0, count, num_detections)
        spread = np.tile(sides[of_object], 2) * random.choice([0.05, 0.15, 0.5], (num_detections, 1))
        found = truth[of_object] + random.normal(0, 1, (num_detections, 4)) * spread
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        is_other = random.random(num_detections) < 0.3
        other = random.integers(1, num_classes + 1, num_detections)
        yield measured_image(
            f"image {number}",
            groundtruth_boxes=truth,
            groundtruth_classes=classes,
            groundtruth_is_crowd=random.random(count) < 0.02,
            detection_boxes=found,
            detection_scores=np.sort(random.random(num_detections))[::-1],
            detection_classes=np.where(is_other, other, classes[of_object]),
        )


def _left_top_width_height(boxes: np.ndarray) -> np.ndarray:
    top, left, bottom, right = boxes.T.astype(np.float64)
    return np.stack([left, top, right - left, bottom - top], axis=1)
