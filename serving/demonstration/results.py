"""Detections as the page presents them: chosen, drawn, compared between versions, listed as amenities, and as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from data_prep.formats.label_map import LabelMap
from data_prep.images.boxes import iou
from data_prep.images.drawing import draw_boxes
from serving.client_library.detections import Detection, ImageDetections
from serving.demonstration.detection_cache import Version

SAME_IOU = 0.5  # as the Pascal VOC metric has it
UNSURE_FRACTION = 0.5  # of the threshold: from there on the user is asked to confirm
MAX_LENGTH = 600
# Streamlit makes links of bare addresses and images of :words:, whatever is escaped; an invisible joiner stops it.
_ADDRESS = re.compile(r"(:(?=//)|:(?!\d{4,5}:)(?=[\w+-]+:)|@|\bwww(?=\.))", re.IGNORECASE)
_WORD_JOINER = "\u2060"
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")


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


def drawn(shown: Image.Image, found: ImageDetections) -> Image.Image:
    """Returns an image with the detections' boxes, names and scores on it.

    Args:
        shown: The image, at any size.
        found: What to draw; its boxes are cut off at the image's edges.
    """
    boxes_ymin_xmin_ymax_xmax = np.array([detection.box_normalized for detection in found.detections]).reshape(-1, 4)
    return draw_boxes(
        shown,
        boxes_ymin_xmin_ymax_xmax.clip(0.0, 1.0) * (shown.height, shown.width, shown.height, shown.width),
        [detection.name for detection in found.detections],
        [detection.score for detection in found.detections],
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


@dataclass(frozen=True)
class Amenity:
    """One kind of thing that a place offers.

    Attributes:
        name: What people call it.
        count: The most that one image shows. Images of a room show the same things again, so that their sum
            would list two lamps as six.
        score: That of the best detection, 0..1.
        sure: Whether a detection reaches the threshold; otherwise the host has to say.
    """

    name: str
    count: int
    score: float
    sure: bool

    def __str__(self) -> str:
        """Returns the line of the listing."""
        return f"{self.name} ({self.count})" if self.count > 1 else self.name


def list_amenities(answers: Iterable[ImageDetections], min_score: float, names: Collection[str] = ()) -> list[Amenity]:
    """Returns what the images of one place show, the surest first.

    Args:
        answers: Each image's detections, weak ones included.
        min_score: The threshold, 0..1; from half of it on an amenity is listed as not sure.
        names: Only these classes; all where there are none.
    """
    best: dict[str, float] = {}
    counts: dict[str, int] = {}
    for found in answers:
        here: dict[str, int] = {}
        for detection in found.detections:
            if names and detection.name not in names:
                continue
            if detection.score < UNSURE_FRACTION * min_score:
                continue
            best[detection.name] = max(best.get(detection.name, 0.0), detection.score)
            here[detection.name] = here.get(detection.name, 0) + int(detection.score >= min_score)
        for name, count in here.items():
            counts[name] = max(counts.get(name, 0), count)
    amenities = [Amenity(name, max(1, counts[name]), score, score >= min_score) for name, score in best.items()]
    return sorted(amenities, key=lambda amenity: (-amenity.score, amenity.name))


def as_json_text(
    *,
    model_name: str,
    min_score: float,
    names: Collection[str],
    shown: Mapping[Version, Sequence[ImageDetections]],
    turned: Sequence[bool],
    amenities: Sequence[Amenity],
    confirmed: Collection[str],
) -> str:
    """Returns the JSON text: the choice, each version's detections by image as the client writes them, the listing.

    Args:
        model_name: What the server calls the model.
        min_score: The threshold, 0..1.
        names: The classes that were picked; empty for all.
        shown: Each version's answers, one an image.
        turned: For each image, whether it was turned upright first; its boxes are those of the upright image.
        amenities: What the listing offered to its host.
        confirmed: The names of those that are ticked.
    """
    versions: list[dict[str, Any]] = []
    for version, answers in shown.items():
        images = []
        for answer, was_turned in zip(answers, turned, strict=True):
            images.append({**answer.as_json(), "turned_upright": was_turned})
        entry: dict[str, Any] = {"version": version.number}
        if version.label:
            entry["version_label"] = version.label
        versions.append({**entry, "pictures": images})
    listing = [
        {"name": amenity.name, "count": amenity.count, "score": round(amenity.score, 6)}
        for amenity in amenities
        if amenity.name in confirmed
    ]
    document = {
        "model_name": model_name,
        "min_score": min_score,
        "classes": sorted(names),
        "versions": versions,
        "amenities": listing,
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def plain(text: object) -> str:
    """Returns one line of Markdown that shows `text` as it is: no link, image, colour or formula in it is one."""
    words = " ".join(str(text).split())
    if len(words) > MAX_LENGTH:
        words = words[:MAX_LENGTH] + "..."
    return _PUNCTUATION.sub(r"\\\1", _ADDRESS.sub(rf"\1{_WORD_JOINER}", words))


def sentence(error: object) -> str:
    """Returns an error's message as a sentence of Markdown, begun with a capital and ended with a full stop."""
    words = plain(error)
    return words[:1].upper() + words[1:].removesuffix(r"\.") + "."


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
