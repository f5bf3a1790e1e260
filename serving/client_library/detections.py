"""Detections of an image as typed objects, read from the arrays of a response."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from data_prep.formats.label_map import LabelMap

OUTPUT_NAMES = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")
CLASS_NAMES = "detection_class_names"  # an output of models that were exported with it
THRESHOLDS = "detection_thresholds"  # an output of models that were exported with thresholds of their classes
USUAL_MIN_SCORE = 0.5


@dataclass(frozen=True)
class ThresholdsOr:
    """Choice of what counts that is left to the model, where it was exported with thresholds; else a score.

    Attributes:
        score: 0..1, of a model that answers weak detections too.
    """

    score: float = USUAL_MIN_SCORE


MinScore = float | ThresholdsOr
BY_THE_MODEL = ThresholdsOr()


def least_score(min_score: MinScore, *, has_thresholds: bool) -> float:
    """Returns the score from which a model's detections count.

    Args:
        min_score: What was asked for.
        has_thresholds: Whether the model leaves out by itself what is below its class's threshold.
    """
    if isinstance(min_score, ThresholdsOr):
        return 0.0 if has_thresholds else min_score.score
    return min_score


class Box(NamedTuple):
    """A box; which units, its owner says.

    Attributes:
        ymin: Its top edge.
        xmin: Its left edge.
        ymax: Its bottom edge.
        xmax: Its right edge.
    """

    ymin: float
    xmin: float
    ymax: float
    xmax: float


@dataclass(frozen=True)
class Detection:
    """One thing that was found.

    Attributes:
        class_id: Its label map id.
        name: What people call the class: its display name in the label map.
        score: 0..1.
        box_normalized: As fractions of the image's height and width, 0..1, as the model answered.
        box_pixels: In the image's pixels, cut off at its edges; not rounded.
    """

    class_id: int
    name: str
    score: float
    box_normalized: Box
    box_pixels: Box


@dataclass(frozen=True)
class Failure:
    """Why an image has no answer.

    Attributes:
        reason: A few words from a small set, for counting.
        detail: What was seen.
    """

    reason: str
    detail: str = ""

    def __str__(self) -> str:
        """Returns both in one line."""
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


@dataclass(frozen=True)
class ImageDetections:
    """The answer for one image.

    Attributes:
        image: Its path or name as it was given, or an empty text for bytes.
        width: In pixels; 0 where the image could not be read.
        height: In pixels; 0 where the image could not be read.
        detections: Best score first.
        failure: Why there is no answer, None where there is one.
        extra_outputs: This image's part of the further outputs that were asked for, as the model answered them: not
            sorted or left out with the detections.
    """

    image: str
    width: int = 0
    height: int = 0
    detections: tuple[Detection, ...] = ()
    failure: Failure | None = None
    extra_outputs: Mapping[str, np.ndarray] = field(default_factory=dict, compare=False)

    def boxes_pixels_ymin_xmin_ymax_xmax(self) -> np.ndarray:
        """Returns the boxes in pixels, float64 [N, 4], ordered ymin, xmin, ymax, xmax."""
        return np.array([detection.box_pixels for detection in self.detections], np.float64).reshape(-1, 4)

    def as_json(self) -> dict[str, Any]:
        """Returns what one line of `--json` holds."""
        if self.failure is not None:
            return {"picture": self.image, "error": {"reason": self.failure.reason, "detail": self.failure.detail}}
        found = [
            {
                "class_id": detection.class_id,
                "name": detection.name,
                "score": round(detection.score, 6),
                "box_normalized": {side: round(value, 6) for side, value in detection.box_normalized._asdict().items()},
                "box_pixels": {side: round(value, 2) for side, value in detection.box_pixels._asdict().items()},
            }
            for detection in self.detections
        ]
        entry = {"picture": self.image, "width": self.width, "height": self.height, "detections": found}
        if self.extra_outputs:
            entry["extra_outputs"] = {name: _as_json(value) for name, value in self.extra_outputs.items()}
        return entry


def _as_json(value: Any) -> Any:
    """Returns an array's values as JSON has them: bytes as text, and what is no number as null."""
    if isinstance(value, np.ndarray):
        return [_as_json(item) for item in value.tolist()] if value.ndim else _as_json(value.item())
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, np.generic):
        return _as_json(value.item())
    return None if isinstance(value, float) and not np.isfinite(value) else value


def read_detections(
    outputs: dict[str, np.ndarray],
    position: int,
    size: tuple[int, int],
    *,
    label_map: LabelMap | None = None,
    min_score: float = 0.0,
) -> tuple[Detection, ...]:
    """Returns what the model found in one image of a batch.

    Args:
        outputs: `detection_boxes` [N, D, 4] (ymin xmin ymax xmax, 0..1), `detection_scores` [N, D],
            `detection_classes` [N, D] and `num_detections` [N]; perhaps `detection_class_names` [N, D] of bytes.
        position: Which of the N images.
        size: Its width and height in pixels.
        label_map: Names the classes; without it the model does. A class that has no name is called `class 7`.
        min_score: Weaker detections are left out.

    Returns:
        Detections, best score first.

    Raises:
        ValueError: The arrays do not have these shapes.
    """
    boxes, scores, classes, counts = (outputs[name] for name in OUTPUT_NAMES)
    width, height = size
    if boxes.ndim != 3 or boxes.shape[2] != 4 or not boxes.shape[:2] == scores.shape == classes.shape:
        raise ValueError(f"boxes {list(boxes.shape)}, scores {list(scores.shape)}, classes {list(classes.shape)}")
    if counts.shape != boxes.shape[:1] or position >= len(counts):
        raise ValueError(f"num_detections {list(counts.shape)} for boxes {list(boxes.shape)}")
    names = label_map.names_by_id() if label_map is not None else {}
    own_names = outputs.get(CLASS_NAMES) if label_map is None else None
    if own_names is not None and own_names.shape != scores.shape:
        raise ValueError(f"{CLASS_NAMES} {list(own_names.shape)} for scores {list(scores.shape)}")
    found = []
    count = int(np.clip(np.nan_to_num(counts[position]), 0, boxes.shape[1]))
    for index in range(count):
        box, score = Box(*boxes[position, index].tolist()), float(scores[position, index])
        if not (score >= min_score and np.isfinite(box).all()):
            continue
        class_id = int(classes[position, index])
        pixels = Box(
            min(max(box.ymin, 0.0), 1.0) * height,
            min(max(box.xmin, 0.0), 1.0) * width,
            min(max(box.ymax, 0.0), 1.0) * height,
            min(max(box.xmax, 0.0), 1.0) * width,
        )
        name = names.get(class_id, "")
        if own_names is not None:
            name = own_names[position, index].decode("utf-8", "replace")
        found.append(Detection(class_id, name or f"class {class_id}", score, box, pixels))
    return tuple(sorted(found, key=lambda detection: -detection.score))
