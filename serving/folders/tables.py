"""The predictions as CSV: a row a detection, and a row a picture."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_prep.runtime.atomic_files import atomic_path
from serving.client_library.detections import Detection, PictureDetections
from serving.folders.uncertainty import uncertainty_of_picture

DETECTION_COLUMNS = ("picture", "class_id", "name", "score", "xmin", "ymin", "xmax", "ymax")
PICTURE_COLUMNS = ("picture", "width", "height", "num_detections", "best_name", "best_score", "uncertainty")


@dataclass
class TableCounts:
    """What went into the tables.

    Attributes:
        pictures: How many there are.
        detections: In all of them.
        by_name: How many detections each class has.
    """

    pictures: int = 0
    detections: int = 0
    by_name: Counter[str] = field(default_factory=Counter)


def detection_row(picture: str, detection: Detection) -> tuple[Any, ...]:
    """Returns a row of `DETECTION_COLUMNS`; the box in pixels."""
    box = detection.box_pixels
    sides = (round(side, 2) for side in (box.xmin, box.ymin, box.xmax, box.ymax))
    return (picture, detection.class_id, detection.name, round(detection.score, 6), *sides)


def write_tables(
    results: Iterable[PictureDetections], detections_path: Path, pictures_path: Path, aggregation: str
) -> TableCounts:
    """Writes both tables, each whole or not at all.

    Args:
        results: Answered pictures, taken one at a time.
        detections_path: A row of `DETECTION_COLUMNS` a detection; boxes in pixels.
        pictures_path: A row of `PICTURE_COLUMNS` a picture, those where nothing was found among them.
        aggregation: One of `uncertainty.AGGREGATIONS`.
    """
    counts = TableCounts()
    with ExitStack() as stack:
        files = []
        for path in (detections_path, pictures_path):
            temporary = stack.enter_context(atomic_path(path))
            # A name that is not UTF-8 goes out as the bytes that it is.
            files.append(
                stack.enter_context(temporary.open("w", encoding="utf-8", errors="surrogateescape", newline=""))
            )
        detections, pictures = (csv.writer(file) for file in files)
        detections.writerow(DETECTION_COLUMNS)
        pictures.writerow(PICTURE_COLUMNS)
        for result in results:
            counts.pictures += 1
            counts.detections += len(result.detections)
            for detection in result.detections:
                counts.by_name[detection.name] += 1
                detections.writerow(detection_row(result.picture, detection))
            best = (result.detections[0].name, round(result.detections[0].score, 6)) if result.detections else ("", "")
            uncertainty = round(uncertainty_of_picture(result, aggregation), 6)
            size = (result.width, result.height)
            pictures.writerow((result.picture, *size, len(result.detections), *best, uncertainty))
    return counts
