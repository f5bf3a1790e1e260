"""What a page shows, as JSON."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from serving.client_library.detections import ImageDetections
from serving.demonstration.asking import Version
from serving.demonstration.listing import Amenity


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
