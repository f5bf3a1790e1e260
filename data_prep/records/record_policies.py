"""Rules, chosen by flag, for which annotations of an image become ground truth in its record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from data_prep.images import boxes as box_geometry
from data_prep.records.point_index import chance

GROUP_OF_CHOICES = ("keep", "drop", "crowd")
IMAGE_CHECKS = ("whole", "header")

# Keys of the counts of what the rules left out, here and in the manifest.
WITHOUT_BOXES = "images without boxes"
GROUP_OF = "group-of boxes"
BEYOND_MOST = "boxes beyond the most an image"
BEYOND_MOST_IMAGES = "images with boxes beyond the most"
UNKNOWN_LABELS = "boxes of labels outside the label map"
UNKNOWN_IMAGE_LABELS = "verified labels outside the label map"


@dataclass(frozen=True)
class RecordPolicies:
    """The rules.

    Attributes:
        without_boxes: The share of the images without a box that becomes records, 0..1; which ones is a matter of
            chance and `seed`.
        group_of: Boxes around a group of objects: `keep` them as boxes with `group_of`, as the Object Detection API
            does; `drop` them; or keep them and call them a `crowd` as well, which COCO's metrics then forgive.
        max_boxes_per_image: The largest so many of an image's boxes are kept; None keeps all.
        image_check: Whether JPEGs are read to their last coefficient (`whole`) or trusted after their `header` and
            their end mark.
        seed: Of the chance.
    """

    without_boxes: float = 1.0
    group_of: Literal["keep", "drop", "crowd"] = "keep"
    max_boxes_per_image: int | None = None
    image_check: Literal["whole", "header"] = "whole"
    seed: int = 0

    def as_json(self) -> dict[str, Any]:
        """Returns the rules as the manifest holds them."""
        return asdict(self)


@dataclass(frozen=True)
class ChosenBoxes:
    """Boxes of an image that the rules keep.

    Attributes:
        annotations: Those kept, in their order.
        boxes_ymin_xmin_ymax_xmax: Float32 [N, 4], theirs, cut to the image, 0..1.
        without_area: Annotations whose box has no area as float32.
        left_out: How much the rules took, by their words.
    """

    annotations: list[Mapping[str, Any]]
    boxes_ymin_xmin_ymax_xmax: npt.NDArray[np.float32]
    without_area: list[Mapping[str, Any]]
    left_out: Counter[str]


def choose_boxes(
    annotations: Sequence[Mapping[str, Any]], label_ids: Mapping[str, int], policies: RecordPolicies
) -> ChosenBoxes:
    """Applies the rules about boxes to the annotations of one image.

    Boxes are cut to the image: Open Images prints six digits, so a 1 may come as a hair more.

    Args:
        annotations: As in points.json.
        label_ids: Ids by label; boxes of other labels are left out.
        policies: The rules.
    """
    left_out: Counter[str] = Counter()
    known = [annotation for annotation in annotations if annotation["label"] in label_ids]
    left_out[UNKNOWN_LABELS] = len(annotations) - len(known)
    if policies.group_of == "drop":
        single = [annotation for annotation in known if not annotation.get("is_group_of", False)]
        left_out[GROUP_OF] = len(known) - len(single)
        known = single
    boxes = np.array([[a["y0"], a["x0"], a["y1"], a["x1"]] for a in known], np.float32).reshape(-1, 4).clip(0.0, 1.0)
    valid = box_geometry.is_valid(boxes)
    without_area = [known[index] for index in np.flatnonzero(~valid)]
    kept = np.flatnonzero(valid)
    most = policies.max_boxes_per_image
    if most is not None and len(kept) > most:
        left_out[BEYOND_MOST] = len(kept) - most
        left_out[BEYOND_MOST_IMAGES] = 1
        of_kept = boxes[kept]
        areas = (of_kept[:, 2] - of_kept[:, 0]) * (of_kept[:, 3] - of_kept[:, 1])
        kept = np.sort(kept[np.argsort(-areas, kind="stable")[:most]])
    return ChosenBoxes([known[index] for index in kept], boxes[kept], without_area, +left_out)


def keeps_without_boxes(image_id: str, policies: RecordPolicies) -> bool:
    """Tells whether an image that has no box becomes a record."""
    return chance(image_id, policies.seed) < policies.without_boxes
