"""Detections as the page presents them: chosen, drawn, compared between versions, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from data_prep.formats.label_map import LabelMap
from data_prep.images.boxes import iou
from data_prep.images.drawing import color_of, draw_boxes
from serving.client_library.detections import Detection, ImageDetections
from serving.demonstration.amenities import Amenity
from serving.demonstration.detection_cache import Version
from serving.demonstration.markdown import plain

SAME_IOU = 0.5  # as the Pascal VOC metric has it


def chosen(found: ImageDetections, min_score: float, names: Collection[str]) -> ImageDetections:
    """Returns the detections from `min_score` (0..1) of the classes `names`; of all classes where there are none."""
    kept = tuple(
        detection
        for detection in found.detections
        if detection.score >= min_score and (not names or detection.name in names)
    )
    return replace(found, detections=kept)


def names_to_choose(label_map: LabelMap | None, answers: Iterable[ImageDetections]) -> list[str]:
    """Returns the classes that can be chosen, sorted: those of the label map, or else those that were found."""
    if label_map is not None:
        return sorted(set(label_map.names_by_id().values()), key=str.casefold)
    return sorted({detection.name for found in answers for detection in found.detections}, key=str.casefold)


def drawn(shown: Image.Image, detections: Sequence[Detection], words: Sequence[str] | None = None) -> Image.Image:
    """Returns an image with detections' boxes on it.

    Args:
        shown: The image, at any size.
        detections: What to draw; boxes are cut off at the image's edges.
        words: What is written at each box; None for names and scores.
    """
    boxes_ymin_xmin_ymax_xmax = np.array([detection.box_normalized for detection in detections]).reshape(-1, 4)
    names = [detection.name for detection in detections]
    return draw_boxes(
        shown,
        boxes_ymin_xmin_ymax_xmax.clip(0.0, 1.0) * (shown.height, shown.width, shown.height, shown.width),
        names if words is None else words,
        [detection.score for detection in detections] if words is None else None,
        colors=[color_of(name) for name in names],
    )


class Comparison(NamedTuple):
    """Differences between two versions' detections; each list has the best score first.

    Attributes:
        both: Pairs of one class whose boxes overlap by `SAME_IOU`: the first version's and the second's.
        only_first: What the second version does not have.
        only_second: What the first version does not have.
    """

    both: list[tuple[Detection, Detection]]
    only_first: list[Detection]
    only_second: list[Detection]


def compare(first: ImageDetections, second: ImageDetections) -> Comparison:
    """Pairs two versions' detections: the first's best score chooses first, the box that overlaps it most."""
    free = list(second.detections)
    both, only_first = [], []
    for detection in first.detections:
        candidates = [other for other in free if other.class_id == detection.class_id]
        overlaps = iou([detection.box_normalized], [other.box_normalized for other in candidates])[0]
        best = candidates[overlaps.argmax()] if candidates else None
        if best is None or overlaps.max() < SAME_IOU:
            only_first.append(detection)
        else:
            both.append((detection, best))
            free.remove(best)
    return Comparison(both, only_first, free)


def as_json_text(
    *,
    model_name: str,
    min_score: float,
    names: Collection[str],
    shown: Mapping[Version, Sequence[ImageDetections]],
    turned: Sequence[bool],
    amenities: Sequence[Amenity],
) -> str:
    """Returns the JSON text: the choice, each version's detections by image as the client writes them, the listing.

    An amenity's `count` is what its host says; `images` is how many show it, and `score` is null of what was added.

    Args:
        model_name: What the server calls the model.
        min_score: The threshold, 0..1.
        names: The classes that were picked; empty for all.
        shown: Each version's answers, one an image.
        turned: For each image, whether it was turned upright first; its boxes are those of the upright image.
        amenities: As the host has them; those that are not listed are left out.
    """
    versions: list[dict[str, Any]] = []
    for version, answers in shown.items():
        images = []
        for answer, was_turned in zip(answers, turned, strict=True):
            images.append({**answer.as_json(), "turned_upright": was_turned})
        entry: dict[str, Any] = {"version": version.number}
        if version.label:
            entry["version_label"] = version.label
        versions.append({**entry, "images": images})
    listing = [
        {
            "name": amenity.name,
            "count": amenity.count,
            "images": amenity.num_images,
            "score": None if amenity.score is None else round(amenity.score, 6),
        }
        for amenity in amenities
        if amenity.listed
    ]
    document = {
        "model_name": model_name,
        "min_score": min_score,
        "classes": sorted(names),
        "versions": versions,
        "amenities": listing,
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def differences(comparison: Comparison, first: object, second: object) -> str:
    """Returns what two versions see differently, as Markdown.

    Args:
        comparison: What they see.
        first: What a person calls the first version.
        second: What a person calls the second.
    """
    parts = [f"**{len(comparison.both)}** in both"]
    for which, only in ((first, comparison.only_first), (second, comparison.only_second)):
        parts.append(f"only in {plain(which)}: {', '.join(map(_with_score, only)) or 'none'}")
    return "; ".join(parts)


def _with_score(detection: Detection) -> str:
    return f"**{plain(detection.name)}** {100 * detection.score:.0f}%"
