"""The predictions as CSV: a row a detection, and a row an image."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_prep.runtime.atomic_files import atomic_path
from serving.client_library.detections import Detection, ImageDetections
from serving.folders.uncertainty import uncertainty_of_image

DETECTION_COLUMNS = ("image", "class_id", "name", "score", "xmin", "ymin", "xmax", "ymax")
IMAGE_COLUMNS = ("image", "width", "height", "num_detections", "best_name", "best_score", "uncertainty")


@dataclass
class TableCounts:
    """Counts of what was written to the tables.

    Attributes:
        images: How many there are.
        detections: In all of them.
        by_name: How many detections each class has.
    """

    images: int = 0
    detections: int = 0
    by_name: Counter[str] = field(default_factory=Counter)


def detection_row(image: str, detection: Detection) -> tuple[Any, ...]:
    """Returns a row of `DETECTION_COLUMNS`; the box in pixels."""
    box = detection.box_pixels
    sides = (round(side, 2) for side in (box.xmin, box.ymin, box.xmax, box.ymax))
    return (image, detection.class_id, detection.name, round(detection.score, 6), *sides)


def write_tables(
    results: Iterable[ImageDetections], detections_path: Path, images_path: Path, aggregation: str
) -> TableCounts:
    """Writes both tables, each whole or not at all.

    Args:
        results: Answered images, taken one at a time.
        detections_path: A row of `DETECTION_COLUMNS` a detection; boxes in pixels.
        images_path: A row of `IMAGE_COLUMNS` an image, those where nothing was found among them.
        aggregation: One of `uncertainty.AGGREGATIONS`.
    """
    counts = TableCounts()
    with ExitStack() as stack:
        files = []
        for path in (detections_path, images_path):
            temporary = stack.enter_context(atomic_path(path))
            # A name that is not UTF-8 goes out as the bytes that it is.
            files.append(
                stack.enter_context(temporary.open("w", encoding="utf-8", errors="surrogateescape", newline=""))
            )
        detections, images = (csv.writer(file) for file in files)
        detections.writerow(DETECTION_COLUMNS)
        images.writerow(IMAGE_COLUMNS)
        for result in results:
            counts.images += 1
            counts.detections += len(result.detections)
            for detection in result.detections:
                counts.by_name[detection.name] += 1
                detections.writerow(detection_row(result.image, detection))
            best = (result.detections[0].name, round(result.detections[0].score, 6)) if result.detections else ("", "")
            uncertainty = round(uncertainty_of_image(result, aggregation), 6)
            size = (result.width, result.height)
            images.writerow((result.image, *size, len(result.detections), *best, uncertainty))
    return counts
