"""Detections made by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from serving.client_library.detections import Box, Detection, ImageDetections

NAMES = {1: "Bed", 2: "Lamp", 3: "Window"}


def make_detection(class_id: int, score: float, box: tuple[float, float, float, float] = (0.1, 0.1, 0.5, 0.5)):
    """A detection in an image of 200x100 pixels; the box is ymin, xmin, ymax, xmax in 0..1."""
    normalized = Box(*box)
    pixels = Box(normalized.ymin * 100, normalized.xmin * 200, normalized.ymax * 100, normalized.xmax * 200)
    return Detection(class_id, NAMES[class_id], score, normalized, pixels)


@pytest.fixture
def detection() -> Callable[..., Detection]:
    return make_detection


@pytest.fixture
def found() -> Callable[..., ImageDetections]:
    return lambda *detections: ImageDetections("room.jpg", 200, 100, detections)
