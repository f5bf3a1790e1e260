"""A small data set with every kind of trouble in it, as points with images, and as records."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_prep.formats.label_map import LabelMap, LabelMapItem, write_label_map

WIDTH, HEIGHT = 640, 480
COLOUR = (230, 30, 40)
# A name that would be markup, and would run, where it is taken for such.
HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"


def annotation(label: str, box: tuple[float, float, float, float], **flags: bool) -> dict[str, Any]:
    """An annotation of points.json; the box is ymin, xmin, ymax, xmax."""
    y0, x0, y1, x1 = box
    return {"label": label, "confidence": 1.0, "x0": x0, "x1": x1, "y0": y0, "y1": y1, **flags}


def points() -> list[dict[str, Any]]:
    """Images; a cat has a block of `COLOUR` under it."""
    plain = [
        {"id": f"plain{number}", "annotations": [annotation("/m/cat", (0.25, 0.25, 0.75, 0.5))]} for number in range(4)
    ]
    return [
        *plain,
        {
            "id": "doubled",
            "annotations": [
                annotation("/m/cat", (0.2, 0.2, 0.6, 0.6), is_occluded=True),
                annotation("/m/cat", (0.2, 0.2, 0.6, 0.605)),
                annotation("/m/dog", (0.5, 0.7, 0.9, 0.9)),
            ],
        },
        {
            "id": "twice",
            "annotations": [annotation("/m/cat", (0.1, 0.1, 0.5, 0.5)), annotation("/m/dog", (0.1, 0.1, 0.5, 0.5))],
        },
        {"id": "speck", "annotations": [annotation("/m/dog", (0.5, 0.5, 0.51, 0.508))]},
        {"id": "stripe", "annotations": [annotation("/m/hostile", (0.5, 0.0, 0.55, 1.0), is_group_of=True)]},
        {"id": "whole", "annotations": [annotation("/m/dog", (0.0, 0.0, 1.0, 1.0))]},
        {
            "id": "empty",
            "annotations": [],
            "image_labels": [{"label": "/m/cat", "confidence": 0.0}, {"label": "/m/dog", "confidence": 1.0}],
        },
        {"id": "gone", "annotations": [annotation("/m/cat", (0.2, 0.2, 0.4, 0.4))]},
    ]


@dataclass(frozen=True)
class Files:
    """Where the data set lies."""

    folder: Path
    points: Path
    images: Path
    label_map: Path


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Points, images and label map; the image of `gone` is not there."""
    images = tmp_path / "images"
    images.mkdir()
    for point in points():
        if point["id"] == "gone":
            continue
        pixels = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        for found in point["annotations"]:
            if found["label"] == "/m/cat":
                rows = slice(round(found["y0"] * HEIGHT), round(found["y1"] * HEIGHT))
                columns = slice(round(found["x0"] * WIDTH), round(found["x1"] * WIDTH))
                pixels[rows, columns] = COLOUR
        Image.fromarray(pixels).save(images / f"{point['id']}.jpg", quality=95)
    path = tmp_path / "points.json"
    path.write_text(json.dumps(points()), encoding="utf-8")
    label_map = tmp_path / "label_map.pbtxt"
    items = [("/m/cat", "Cat"), ("/m/dog", "Dog"), ("/m/hostile", HOSTILE), ("/m/bird", "Bird")]
    write_label_map(label_map, LabelMap(LabelMapItem(row, *names) for row, names in enumerate(items, start=1)))
    return Files(tmp_path, path, images, label_map)
