"""thresholds.json: the score from which detections of each class count, for whoever ships a model.

    {"operating_point": "f1", "source": "exported", "num_images": 30, "iou_threshold": 0.5,
     "classes": [{"id": 1, "name": "Bed", "threshold": 0.41, "num_objects": 16, "precision": 0.94, "recall": 0.94,
                  "f1": 0.94}, ...]}

A detection counts where its score is at least its class's threshold. Ids and names are the label map's, so that a
reader can tell another label map. The threshold is null where no score gives what was asked for, or where a class has
no objects to tell by.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data_prep.runtime.atomic_files import write_json
from train.metrics.box_matches import IOU_THRESHOLD
from train.metrics.operating_points import OperatingPoint


def write_thresholds(
    path: Path,
    points: Mapping[int, OperatingPoint],
    names_by_id: Mapping[int, str],
    *,
    operating_point: str,
    source: str,
    num_images: int,
) -> None:
    """Writes the file, whole or not at all.

    Args:
        path: The file.
        points: By label map id; an infinite threshold is one that was not found.
        names_by_id: Class names by label map id.
        operating_point: What the thresholds were chosen for.
        source: What was evaluated.
        num_images: On how many images.
    """
    classes: list[dict[str, Any]] = []
    for class_id, point in points.items():
        is_found = math.isfinite(point.threshold)
        figures = {"precision": point.precision, "recall": point.recall, "f1": point.f1}
        classes.append(
            {
                "id": class_id,
                "name": names_by_id[class_id],
                "threshold": point.threshold if is_found else None,
                "num_objects": point.true_positives + point.false_negatives,
                **{name: value if is_found and math.isfinite(value) else None for name, value in figures.items()},
            }
        )
    head = {"operating_point": operating_point, "source": source, "num_images": num_images}
    write_json(path, {**head, "iou_threshold": IOU_THRESHOLD, "classes": classes}, indent=1)
