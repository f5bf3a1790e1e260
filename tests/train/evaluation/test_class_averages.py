"""The table of average precision by size and class, by hand."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from train.evaluation.class_averages import write_class_averages
from train.metrics import coco
from train.metrics.box_collection import BoxCollection
from train.metrics.measured_image import measured_image


def test_small_and_large_objects_of_a_class_have_a_figure_each(tmp_path):
    boxes = BoxCollection({1: "Bed", 2: "Lamp"})
    small, large, missed = [0, 0, 20, 20], [100, 100, 300, 300], [400, 400, 600, 600]
    boxes.add(
        measured_image(
            "a",
            groundtruth_boxes=[small, large, missed],
            groundtruth_classes=[1, 1, 1],
            detection_boxes=np.array([small, large], np.float32),
            detection_scores=[0.9, 0.8],
            detection_classes=[1, 1],
        )
    )
    write_class_averages(tmp_path / "new", boxes)
    with (tmp_path / "new" / "average_precision.csv").open() as file:
        bed, lamp = csv.DictReader(file)
    assert (bed["class_id"], bed["name"], bed["objects"]) == ("1", "Bed", "3")
    assert float(bed["Precision/mAP (small)"]) == 1.0
    assert float(bed["Precision/mAP (large)"]) == pytest.approx(51 / 101, abs=1e-6)  # one of two is found
    assert float(bed["Precision/mAP"]) == pytest.approx(67 / 101, abs=1e-6)  # two of three
    assert float(bed["Recall/AR@1"]) == pytest.approx(1 / 3, abs=1e-6)
    assert float(bed["Recall/AR@100 (large)"]) == 0.5
    assert bed["Precision/mAP (medium)"] == ""
    assert (lamp["objects"], lamp["Precision/mAP"], lamp["Recall/AR@100"]) == ("0", "", "")


def test_averages_are_computed_once_for_the_metrics_and_the_table(tmp_path, monkeypatch):
    made = []

    class Counted(coco.ClassCurves):
        def __init__(self, boxes):
            made.append(boxes)
            super().__init__(boxes)

    monkeypatch.setattr(coco, "ClassCurves", Counted)
    image = measured_image(
        "a",
        groundtruth_boxes=[[0, 0, 20, 20]],
        groundtruth_classes=[1],
        detection_boxes=np.zeros((0, 4)),
        detection_scores=[],
        detection_classes=[],
    )
    evaluator = coco.CocoEvaluator({1: "Bed"})
    evaluator.add(image)
    evaluator.evaluate()
    write_class_averages(tmp_path, evaluator.boxes)
    assert len(made) == 1
    evaluator.add(image)  # with another image, both are others
    evaluator.evaluate()
    assert len(made) == 2
