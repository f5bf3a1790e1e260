"""COCO's twelve numbers of each class as a table: average precision by size and class, average recall."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from train.evaluation.figures_file import cell, write_csv
from train.metrics.box_collection import BoxCollection
from train.metrics.coco import class_averages

AVERAGES_FILE = "average_precision.csv"


def write_class_averages(eval_dir: Path, boxes: BoxCollection) -> None:
    """Writes `average_precision.csv`: a row a class, with how many objects it has, crowds apart.

    Args:
        eval_dir: The evaluation's folder; made if missing.
        boxes: Of the evaluation.
    """
    groundtruth = boxes.groundtruth()
    classes = groundtruth.classes[groundtruth.is_crowd == 0]
    averages = class_averages(boxes)
    names = [metric for summary in list(averages.values())[:1] for metric in summary]
    rows = (
        (class_id, boxes.names[class_id], np.count_nonzero(classes == class_id), *map(cell, summary.values()))
        for class_id, summary in averages.items()
    )
    write_csv(eval_dir / AVERAGES_FILE, ("class_id", "name", "objects", *names), rows)
