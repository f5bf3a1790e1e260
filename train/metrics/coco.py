"""COCO detection metrics under the Object Detection API's names, on pycocotools.

pycocotools holds an entry for every class and picture at once: for 600 classes and 100,000 pictures that alone is
gigabytes. Here it is given one class at a time, with only the pictures in which that class was annotated or detected.
The others contribute nothing to its precision and recall, so the figures are the same, in memory that grows with the
boxes.
"""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from data_prep.command_line import UserError

MAX_DETECTIONS = (1, 10, 100)  # a class and picture, the best first, as COCO counts them

MAP = "DetectionBoxes_Precision/mAP"
MAP_50 = "DetectionBoxes_Precision/mAP@.50IOU"
MAP_75 = "DetectionBoxes_Precision/mAP@.75IOU"
BY_CATEGORY = "DetectionBoxes_PerformanceByCategory/mAP"
BY_CATEGORY_50 = "DetectionBoxes_PerformanceByCategory/mAP@.50IOU"
NOTHING_TO_MEASURE = -1.0  # pycocotools' and the API's value where there is no ground truth (of that size)

_SIZES = ("small", "medium", "large")  # less than 32^2 pixels, up to 96^2, more; pycocotools' area 0 is "all"
_PICTURES_PER_PART = 1000
_IOU_50, _IOU_75 = 0, 5  # places of these thresholds in 0.50, 0.55 ... 0.95


class CocoEvaluator:
    """Collects detections and ground truth picture by picture, then measures.

    Attributes:
        num_images: How many pictures were added.
        num_repeated_ids: How many of them had the source id of an earlier one. They count as pictures of their own.
        num_unknown_detections: How many detections had a class id without a name, and were left out.
    """

    def __init__(self, names_by_id: Mapping[int, str]) -> None:
        """Starts empty.

        Args:
            names_by_id: The classes to measure, by label map id.
        """
        self._names_by_id = dict(sorted(names_by_id.items()))
        self._source_ids: set[str] = set()
        self._groundtruth = _BoxList()
        self._detections = _BoxList()
        self.num_images = 0
        self.num_repeated_ids = 0
        self.num_unknown_detections = 0

    def add(
        self,
        source_id: str | bytes,
        *,
        groundtruth_boxes: npt.ArrayLike,
        groundtruth_classes: npt.ArrayLike,
        detection_boxes: npt.ArrayLike,
        detection_scores: npt.ArrayLike,
        detection_classes: npt.ArrayLike,
        groundtruth_is_crowd: npt.ArrayLike | None = None,
        groundtruth_area: npt.ArrayLike | None = None,
    ) -> None:
        """Adds one picture. All boxes are ymin xmin ymax xmax in pixels of the original picture.

        Args:
            source_id: The picture's id, for messages and to notice repeated ones.
            groundtruth_boxes: [N, 4], without padding.
            groundtruth_classes: [N] label map ids.
            detection_boxes: [D, 4], without padding.
            detection_scores: [D].
            detection_classes: [D] label map ids.
            groundtruth_is_crowd: [N]; detections in a crowd count neither for nor against. None: no crowds.
            groundtruth_area: [N] in pixels, of the object where its outline is known, which decides between small,
                medium and large; None, or 0 for a single one, takes the box's.

        Raises:
            UserError: A detection is not a number, as from a model whose training diverged; or a ground truth class is
                not among the names.
            ValueError: Lengths differ.
        """
        name = source_id.decode("utf-8", "replace") if isinstance(source_id, bytes) else source_id
        groundtruth = _Boxes(self.num_images, groundtruth_boxes, groundtruth_classes)
        groundtruth.set("is_crowd", groundtruth_is_crowd, np.zeros(len(groundtruth.classes)))
        groundtruth.set("area", groundtruth_area, groundtruth.sides.prod(axis=1))
        groundtruth.area = np.where(groundtruth.area > 0, groundtruth.area, groundtruth.sides.prod(axis=1))
        detections = _Boxes(self.num_images, detection_boxes, detection_classes)
        detections.set("scores", detection_scores, None)
        unnamed = sorted(set(groundtruth.classes.tolist()) - self._names_by_id.keys())
        if unnamed:
            raise UserError(f"image '{name}': ground truth class id {unnamed[0]} is not in the label map")
        if not (np.isfinite(detections.boxes).all() and np.isfinite(detections.scores).all()):
            raise UserError(
                f"image '{name}': detections that are not numbers; the training has diverged (a lower learning rate or "
                "gradient_clipping_by_norm helps), or the checkpoint is damaged"
            )
        known = np.isin(detections.classes, list(self._names_by_id))
        self.num_unknown_detections += int(np.count_nonzero(~known))
        self._groundtruth.append(groundtruth)
        self._detections.append(detections.where(known))
        self.num_images += 1
        self.num_repeated_ids += name in self._source_ids
        self._source_ids.add(name)

    def groundtruth_counts(self) -> dict[str, int]:
        """Returns how many ground truth boxes, crowds apart, each class has, by its name in the metrics."""
        boxes = self._groundtruth.all()
        counts = Counter(boxes.classes[boxes.is_crowd == 0].tolist())
        return {name: counts[class_id] for class_id, name in self._unique_names().items()}

    def num_detections(self) -> int:
        """Returns how many detections of known classes were added."""
        return len(self._detections.all().classes)

    def evaluate(self) -> dict[str, float]:
        """Measures what was added.

        Returns:
            The API's names and values. Where there is no ground truth, as for small objects in a set without any, the
            value is -1; `.../mAP/NAME` and `.../mAP@.50IOU/NAME` of a class without ground truth are NaN.
        """
        groundtruth, detections = self._groundtruth.all(), self._detections.all()
        # By class: precision [10 thresholds, 101 recalls, 4 areas], recall [10 thresholds, 4 areas, 3 max detections].
        precision: list[np.ndarray] = []
        recall: list[np.ndarray] = []
        metrics: dict[str, float] = {}
        by_category: dict[str, float] = {}
        for class_id, name in self._unique_names().items():
            of_class = _evaluate_class(
                groundtruth.where(groundtruth.classes == class_id), detections.where(detections.classes == class_id)
            )
            if of_class is None:
                average, average_50 = float("nan"), float("nan")
            else:
                precision.append(of_class[0])
                recall.append(of_class[1])
                average, average_50 = _mean(of_class[0][:, :, 0]), _mean(of_class[0][_IOU_50, :, 0])
            by_category[f"{BY_CATEGORY}/{name}"] = average
            by_category[f"{BY_CATEGORY_50}/{name}"] = average_50
        precisions = np.array(precision).reshape(-1, 10, 101, 4)
        recalls = np.array(recall).reshape(-1, 10, 4, len(MAX_DETECTIONS))
        metrics[MAP] = _mean(precisions[..., 0])
        metrics[MAP_50] = _mean(precisions[:, _IOU_50, :, 0])
        metrics[MAP_75] = _mean(precisions[:, _IOU_75, :, 0])
        for area, size in enumerate(_SIZES, start=1):
            metrics[f"{MAP} ({size})"] = _mean(precisions[..., area])
        for place, count in enumerate(MAX_DETECTIONS):
            metrics[f"DetectionBoxes_Recall/AR@{count}"] = _mean(recalls[:, :, 0, place])
        for area, size in enumerate(_SIZES, start=1):
            metrics[f"DetectionBoxes_Recall/AR@{MAX_DETECTIONS[-1]} ({size})"] = _mean(recalls[:, :, area, -1])
        return {**metrics, **by_category}

    def _unique_names(self) -> dict[int, str]:
        """Returns a name for each class that no other has, since two metrics cannot share one."""
        counts = Counter(self._names_by_id.values())
        return {
            class_id: name if counts[name] == 1 else f"{name} ({class_id})"
            for class_id, name in self._names_by_id.items()
        }


class _Boxes:
    """Some boxes, of one picture or of many.

    Attributes:
        image: int32 [N], the number of the picture that each is in.
        boxes: float32 [N, 4], ymin xmin ymax xmax in pixels.
        classes: int32 [N].
        scores, area, is_crowd: float32 [N] each; empty where there are none of them.
    """

    def __init__(self, image: int, boxes: npt.ArrayLike, classes: npt.ArrayLike) -> None:
        self.boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
        self.classes = np.asarray(classes).astype(np.int32).reshape(-1)
        if len(self.boxes) != len(self.classes):
            raise ValueError(f"{len(self.boxes)} boxes, but {len(self.classes)} classes")
        self.image = np.full(len(self.boxes), image, np.int32)
        self.scores = self.area = self.is_crowd = np.zeros(0, np.float32)

    @property
    def sides(self) -> np.ndarray:
        """Heights and widths, [N, 2]."""
        return self.boxes[:, 2:] - self.boxes[:, :2]

    def set(self, name: str, values: npt.ArrayLike | None, default: np.ndarray | None) -> None:
        """Sets one of `scores`, `area`, `is_crowd`."""
        array = np.asarray(default if values is None else values, np.float32).reshape(-1)
        if len(array) != len(self.boxes):
            raise ValueError(f"{len(self.boxes)} boxes, but {len(array)} values of {name}")
        setattr(self, name, array)

    def where(self, mask: np.ndarray) -> _Boxes:
        """Returns the boxes for which `mask` holds."""
        chosen = _Boxes(0, self.boxes[mask], self.classes[mask])
        chosen.image = self.image[mask]
        for name in ("scores", "area", "is_crowd"):
            values = getattr(self, name)
            setattr(chosen, name, values[mask] if len(values) else values)
        return chosen

    def as_annotations(self) -> list[dict[str, Any]]:
        """Returns the boxes as pycocotools wants them: one class, ids from 1, boxes as left, top, width, height."""
        annotations = []
        for index in range(len(self.boxes)):
            ymin, xmin, ymax, xmax = self.boxes[index].tolist()
            annotation = {
                "id": index + 1,
                "image_id": int(self.image[index]),
                "category_id": 1,
                "bbox": [xmin, ymin, xmax - xmin, ymax - ymin],
                "area": float(self.area[index]) if len(self.area) else (xmax - xmin) * (ymax - ymin),
                "iscrowd": int(self.is_crowd[index]) if len(self.is_crowd) else 0,
            }
            if len(self.scores):
                annotation["score"] = float(self.scores[index])
            annotations.append(annotation)
        return annotations


class _BoxList:
    """Boxes of many pictures, put together every so often: a few large arrays take less room than many small ones."""

    def __init__(self) -> None:
        self._parts: list[_Boxes] = []
        self._num_small_parts = 0

    def append(self, boxes: _Boxes) -> None:
        self._parts.append(boxes)
        self._num_small_parts += 1
        if self._num_small_parts == _PICTURES_PER_PART:
            self._parts[-_PICTURES_PER_PART:] = [_concatenated(self._parts[-_PICTURES_PER_PART:])]
            self._num_small_parts = 0

    def all(self) -> _Boxes:
        self._parts = [_concatenated(self._parts)]
        self._num_small_parts = 0
        return self._parts[0]


def _concatenated(parts: list[_Boxes]) -> _Boxes:
    whole = _Boxes(0, [], [])
    if parts:
        for name in ("image", "boxes", "classes", "scores", "area", "is_crowd"):
            setattr(whole, name, np.concatenate([getattr(part, name) for part in parts]))
    return whole


def _evaluate_class(groundtruth: _Boxes, detections: _Boxes) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns one class's precision [10, 101, 4] and recall [10, 4, 3], or None without ground truth.

    Both are -1 for areas without ground truth. Crowds alone are no ground truth: nothing can be recalled.
    """
    if not np.any(groundtruth.is_crowd == 0):
        return None
    images = np.unique(np.concatenate([groundtruth.image, detections.image])).tolist()
    # pycocotools reports each of its steps on standard output.
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(
            _coco(images, groundtruth.as_annotations()), _coco(images, detections.as_annotations()), iouType="bbox"
        )
        evaluation.params.maxDets = list(MAX_DETECTIONS)
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][:, :, 0, :, -1], evaluation.eval["recall"][:, 0]


def _coco(images: list[int], annotations: list[dict[str, Any]]) -> COCO:
    coco = COCO()
    coco.dataset = {
        "images": [{"id": image} for image in images],
        "categories": [{"id": 1}],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco


def _mean(values: np.ndarray) -> float:
    """Returns the mean of what could be measured, or -1 if nothing could."""
    measured = values[values > -1]
    return float(measured.mean()) if measured.size else NOTHING_TO_MEASURE
