"""One image as the metrics take it: ground truth, detections, and the classes that were looked for."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from data_prep.runtime.command_line import UserError


@dataclasses.dataclass(frozen=True)
class MeasuredImage:
    """An image with N ground truth boxes and D detections; boxes are ymin xmin ymax xmax in its pixels, unpadded.

    Attributes:
        source_id: The image's id, for messages and to notice repeated ones.
        groundtruth_boxes: float32 [N, 4].
        groundtruth_classes: int32 [N], label map ids.
        groundtruth_is_crowd: bool [N].
        groundtruth_difficult: bool [N], as in Pascal VOC.
        groundtruth_group_of: bool [N], as in Open Images: one box around several objects.
        groundtruth_area: float32 [N], of the object in pixels.
        detection_boxes: float32 [D, 4].
        detection_scores: float32 [D].
        detection_classes: int32 [D], label map ids.
        verified_class_ids: int32 [V], the classes that a person looked for in the whole image, found or not; empty
            where nothing is known of it.
    """

    source_id: str
    groundtruth_boxes: np.ndarray
    groundtruth_classes: np.ndarray
    groundtruth_is_crowd: np.ndarray
    groundtruth_difficult: np.ndarray
    groundtruth_group_of: np.ndarray
    groundtruth_area: np.ndarray
    detection_boxes: np.ndarray
    detection_scores: np.ndarray
    detection_classes: np.ndarray
    verified_class_ids: np.ndarray

    def with_detections_where(self, mask: np.ndarray) -> MeasuredImage:
        """Returns the image with the detections for which `mask`, bool [D], holds."""
        return dataclasses.replace(
            self,
            detection_boxes=self.detection_boxes[mask],
            detection_scores=self.detection_scores[mask],
            detection_classes=self.detection_classes[mask],
        )

    def of_verified_classes(self, *, none_means_all: bool) -> MeasuredImage:
        """Returns the image without detections of classes that nobody looked for: they may be right or wrong.

        Classes with ground truth were looked for, whatever `verified_class_ids` says, as in the challenge's evaluator
        of the API's `utils/object_detection_evaluation.py`.

        Args:
            none_means_all: An image without any verified class was searched for all of them; else for none but those
                of its ground truth.
        """
        if none_means_all and not self.verified_class_ids.size:
            return self
        looked_for = np.union1d(self.verified_class_ids, self.groundtruth_classes)
        return self.with_detections_where(np.isin(self.detection_classes, looked_for))


class Metric(Protocol):
    """A metric: it takes images one by one, then sums up."""

    def add(self, image: MeasuredImage) -> None:
        """Takes one image into account."""

    def evaluate(self) -> dict[str, float]:
        """Returns what was measured, by the Object Detection API's names; what could not be is NaN or -1."""


def measured_image(
    source_id: str | bytes,
    *,
    groundtruth_boxes: npt.ArrayLike,
    groundtruth_classes: npt.ArrayLike,
    detection_boxes: npt.ArrayLike,
    detection_scores: npt.ArrayLike,
    detection_classes: npt.ArrayLike,
    groundtruth_is_crowd: npt.ArrayLike | None = None,
    groundtruth_difficult: npt.ArrayLike | None = None,
    groundtruth_group_of: npt.ArrayLike | None = None,
    groundtruth_area: npt.ArrayLike | None = None,
    verified_class_ids: npt.ArrayLike = (),
) -> MeasuredImage:
    """Makes a `MeasuredImage`, whose attributes the arguments are, from anything like arrays.

    Args:
        source_id: Text, or its bytes.
        groundtruth_boxes: [N, 4].
        groundtruth_classes: [N].
        detection_boxes: [D, 4].
        detection_scores: [D].
        detection_classes: [D]; whole numbers, of any type.
        groundtruth_is_crowd: [N]; None: no crowds.
        groundtruth_difficult: [N]; None: no difficult ones.
        groundtruth_group_of: [N]; None: no groups.
        groundtruth_area: [N]; None, or 0 for a single one, takes the box's.
        verified_class_ids: [V]; zeros, which only fill up, are left out.

    Raises:
        UserError: A detection is not a number, as from a model whose training diverged.
        ValueError: Lengths differ.
    """
    name = source_id.decode("utf-8", "replace") if isinstance(source_id, bytes) else source_id
    truth = np.asarray(groundtruth_boxes, np.float32).reshape(-1, 4)
    found = np.asarray(detection_boxes, np.float32).reshape(-1, 4)
    count = len(truth)
    sides = truth[:, 2:] - truth[:, :2]
    areas = _vector("groundtruth_area", groundtruth_area, count, np.float32)
    verified = np.asarray(verified_class_ids, np.int32).reshape(-1)
    image = MeasuredImage(
        source_id=name,
        groundtruth_boxes=truth,
        groundtruth_classes=_vector("groundtruth_classes", groundtruth_classes, count, np.int32),
        groundtruth_is_crowd=_vector("groundtruth_is_crowd", groundtruth_is_crowd, count, np.bool_),
        groundtruth_difficult=_vector("groundtruth_difficult", groundtruth_difficult, count, np.bool_),
        groundtruth_group_of=_vector("groundtruth_group_of", groundtruth_group_of, count, np.bool_),
        groundtruth_area=np.where(areas > 0, areas, sides.prod(axis=1)),
        detection_boxes=found,
        detection_scores=_vector("detection_scores", detection_scores, len(found), np.float32),
        detection_classes=_vector("detection_classes", detection_classes, len(found), np.int32),
        verified_class_ids=verified[verified > 0],
    )
    if not (np.isfinite(image.detection_boxes).all() and np.isfinite(image.detection_scores).all()):
        raise UserError(
            f"image '{name}': detections that are not numbers; the training has diverged (a lower learning rate or "
            "gradient_clipping_by_norm helps), or the checkpoint is damaged"
        )
    return image


def check_named(image: MeasuredImage, known_ids: Collection[int]) -> None:
    """Raises a UserError if a ground truth class of the image is not among `known_ids`."""
    unnamed = sorted(set(image.groundtruth_classes.tolist()).difference(known_ids))
    if unnamed:
        raise UserError(f"image '{image.source_id}': ground truth class id {unnamed[0]} is not in the label map")


def unique_names(names_by_id: Mapping[int, str]) -> dict[int, str]:
    """Returns a name for each class that no other has, by ascending id, since two metrics cannot share one."""
    counts = Counter(names_by_id.values())
    return {
        class_id: name if counts[name] == 1 else f"{name} ({class_id})"
        for class_id, name in sorted(names_by_id.items())
    }


def _vector(name: str, values: npt.ArrayLike | None, count: int, dtype: npt.DTypeLike) -> np.ndarray:
    if values is None:
        return np.zeros(count, dtype)
    array = np.asarray(values).reshape(-1).astype(dtype)
    if len(array) != count:
        raise ValueError(f"{count} boxes, but {len(array)} values of {name}")
    return array
