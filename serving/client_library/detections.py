"""Detections of an image as typed objects, read from the arrays of a response."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from data_prep.formats.label_map import LabelMap
from data_prep.images.drawing import draw_boxes
from data_prep.runtime.command_line import UserError
from data_prep.runtime.missing_packages import how_to_install
from serving.client_library.image_sources import ImageSource, rgb_image

if TYPE_CHECKING:
    import pandas as pd

OUTPUT_NAMES = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")
CLASS_NAMES = "detection_class_names"  # an output of models that were exported with it
THRESHOLDS = "detection_thresholds"  # an output of models that were exported with thresholds of their classes
USUAL_MIN_SCORE = 0.5
TABLE_COLUMNS = ("image", "width", "height", "class_id", "name", "score", "xmin", "ymin", "xmax", "ymax")


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
            return {"image": self.image, "error": {"reason": self.failure.reason, "detail": self.failure.detail}}
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
        entry = {"image": self.image, "width": self.width, "height": self.height, "detections": found}
        if self.extra_outputs:
            entry["extra_outputs"] = {name: _as_json(value) for name, value in self.extra_outputs.items()}
        return entry

    def table_rows(self) -> list[tuple[Any, ...]]:
        """Returns a row of `TABLE_COLUMNS` for each detection, best score first; the box is in pixels."""
        size = (self.image, self.width, self.height)
        boxes = [(detection, detection.box_pixels) for detection in self.detections]
        return [
            (*size, found.class_id, found.name, found.score, box.xmin, box.ymin, box.xmax, box.ymax)
            for found, box in boxes
        ]

    def to_dataframe(self) -> pd.DataFrame:
        """Returns a pandas table of `TABLE_COLUMNS`, a row a detection; the function `to_dataframe` does so for many.

        Raises:
            UserError: pandas is not installed.
        """
        return to_dataframe([self])

    def to_coco(self, image_id: int = 1, first_annotation_id: int = 1) -> list[dict[str, Any]]:
        """Returns COCO annotations with scores, which pycocotools' `loadRes` takes as results as well.

        Boxes (`bbox`) are xmin, ymin, width, height in pixels.

        Args:
            image_id: The image's among COCO's `images`.
            first_annotation_id: Of the first; the others count on.
        """
        annotations = []
        for number, detection in enumerate(self.detections, first_annotation_id):
            box = detection.box_pixels
            width, height = box.xmax - box.xmin, box.ymax - box.ymin
            annotations.append(
                {
                    "id": number,
                    "image_id": image_id,
                    "category_id": detection.class_id,
                    "bbox": [round(value, 2) for value in (box.xmin, box.ymin, width, height)],
                    "area": round(width * height, 2),
                    "iscrowd": 0,
                    "score": round(detection.score, 6),
                }
            )
        return annotations

    def supervision_fields(self) -> dict[str, Any]:
        """Returns the arguments of `supervision.Detections`.

        `xyxy` float32 [N, 4] (xmin, ymin, xmax, ymax in pixels), `confidence` float32 [N], `class_id` int [N], and
        `data` with the names, [N], under `class_name`, where supervision's annotators look for them.
        """
        boxes = self.boxes_pixels_ymin_xmin_ymax_xmax()
        return {
            "xyxy": boxes[:, [1, 0, 3, 2]].astype(np.float32),
            "confidence": np.array([detection.score for detection in self.detections], np.float32),
            "class_id": np.array([detection.class_id for detection in self.detections], np.int64),
            "data": {"class_name": np.array([detection.name for detection in self.detections], np.str_)},
        }

    def to_supervision(self) -> Any:
        """Returns a `supervision.Detections`.

        Raises:
            UserError: supervision is not installed.
        """
        try:
            import supervision
        except ImportError as error:
            raise UserError(f"to_supervision needs supervision ({error}): pip install supervision") from error
        return supervision.Detections(**self.supervision_fields())

    def fiftyone_fields(self) -> list[dict[str, Any]]:
        """Returns the arguments of each `fiftyone.Detection`.

        `label`, `confidence`, and `bounding_box`: xmin, ymin, width, height as fractions of the image.
        """
        fields = []
        for detection in self.detections:
            box = [min(max(side, 0.0), 1.0) for side in detection.box_normalized]
            bounding_box = [box[1], box[0], box[3] - box[1], box[2] - box[0]]
            fields.append({"label": detection.name, "bounding_box": bounding_box, "confidence": detection.score})
        return fields

    def to_fiftyone(self) -> Any:
        """Returns a `fiftyone.Detections`, to be a sample's field.

        Raises:
            UserError: FiftyOne is not installed.
        """
        try:
            import fiftyone
        except ImportError as error:
            raise UserError(f"to_fiftyone needs FiftyOne ({error}): pip install fiftyone") from error
        return fiftyone.Detections(detections=[fiftyone.Detection(**fields) for fields in self.fiftyone_fields()])

    def draw(self, image: ImageSource | None = None) -> Image.Image:
        """Returns the image, RGB, with the detections' boxes, names and scores drawn.

        Args:
            image: The image that was asked about; None where an answer knows its path.

        Raises:
            ImageError: It cannot be read (any more), or not in full.
            ValueError: None was given, and the answer is of bytes or pixels.
        """
        if image is None:
            if not self.image:
                raise ValueError("the answer is of bytes or pixels: draw(image) needs them again")
            image = self.image
        return draw_boxes(
            rgb_image(image),
            self.boxes_pixels_ymin_xmin_ymax_xmax(),
            [detection.name for detection in self.detections],
            [detection.score for detection in self.detections],
        )


def to_dataframe(results: Iterable[ImageDetections]) -> pd.DataFrame:
    """Returns a pandas table of `TABLE_COLUMNS` of many answers, such as `detect_many` yields; boxes are in pixels.

    An image with no detection, or without an answer, has no row.

    Raises:
        UserError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise UserError(f"to_dataframe needs pandas ({error}): {how_to_install('tables')}") from error
    types = dict.fromkeys(("width", "height", "class_id"), "int64")
    types |= dict.fromkeys(("score", "xmin", "ymin", "xmax", "ymax"), "float64")
    rows = [row for result in results for row in result.table_rows()]
    return pd.DataFrame(rows, columns=list(TABLE_COLUMNS)).astype(types)


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
