"""The figures, files and table of an evaluation's operating points, on boxes written down by hand."""

from __future__ import annotations

import csv
import json
import math

import pytest

from tests.train.metrics.matched_boxes import A, B, C, matched
from train.evaluation.operating_study import OperatingStudy
from train.evaluation.thresholds_file import ClassThresholds, read_thresholds
from train.metrics.operating_points import BEST_F1, Criterion

# Beds: right, right, wrong. The lamp is found with a weak score, and once more elsewhere with a weaker one.
IMAGES = (
    ([(1, A), (2, B)], [(1, 0.9, A), (2, 0.3, B)]),
    ([(1, A)], [(1, 0.8, A), (1, 0.2, C), (2, 0.1, C)]),
)


@pytest.fixture
def study():
    return OperatingStudy(matched(*IMAGES, names={1: "Bed", 2: "Lamp", 3: "Sofa"}), BEST_F1)


def test_figures_have_names_together_and_by_class(study):
    metrics = study.metrics()
    assert metrics["OperatingPoint/F1@score0.5"] == pytest.approx(0.8)  # 2 right of 3 objects
    assert metrics["OperatingPoint/Recall@score0.5"] == pytest.approx(2 / 3)
    assert metrics["OperatingPoint/F1@ClassThresholds"] == 1.0
    assert metrics["OperatingPoint/F1@OneThreshold"] == 1.0
    assert metrics["OperatingPoint/OneThreshold"] == pytest.approx(0.25)
    assert metrics["OperatingPoint_PerformanceByCategory/Threshold/Bed"] == pytest.approx(0.5)
    assert metrics["OperatingPoint_PerformanceByCategory/Threshold/Lamp"] == pytest.approx(0.2)
    assert metrics["OperatingPoint_PerformanceByCategory/ThresholdHigh/Bed"] == pytest.approx(0.85)
    assert math.isnan(metrics["OperatingPoint_PerformanceByCategory/Threshold/Sofa"])
    assert metrics["TIDE/Count/background"] == 2
    # 0.1, 0.2, 0.3, 0.8 and 0.9 each alone in its bin: |0.1-0| + |0.2-0| + |0.3-1| + |0.8-1| + |0.9-1|
    assert metrics["Calibration/ExpectedCalibrationError"] == pytest.approx(1.3 / 5)


def test_the_table_has_a_row_a_class_and_says_where_objects_are_few(study):
    text = study.table()
    rows = {line[:21].strip(): line[21:].split() for line in text.splitlines() if line[:1].isalpha()}
    assert rows["Lamp"] == ["1", "0.200", "0.200", "to", "0.200", "1.000", "1.000", "1.000", "0.000"]
    assert rows["Sofa"] == ["0", "-", "-", "-", "-", "-", "-"]
    assert rows["all, from 0.5 on"] == ["3", "0.500", "1.000", "0.667", "0.800", "0.800"]
    assert "fewer than 20 objects, which say little of a threshold: Bed, Lamp" in text
    assert "and 1 classes with fewer objects" in study.table(max_classes=2)


def test_the_files_hold_the_same(study, tmp_path):
    study.write(tmp_path)
    with (tmp_path / "operating_points.csv").open() as file:
        rows = {(row["name"], row["threshold"]): row for row in csv.DictReader(file)}
    assert len(rows) == 4 * 101
    assert rows["Bed", "0.15"] == {
        "class_id": "1", "name": "Bed", "threshold": "0.15", "precision": "0.666667", "recall": "1.0", "f1": "0.8",
        "true_positives": "2", "false_positives": "1", "false_negatives": "0",
    }  # fmt: skip
    assert rows["all classes", "0.25"]["true_positives"] == "3"
    assert rows["Sofa", "0.5"]["precision"] == ""
    with (tmp_path / "confusion_matrix.csv").open() as file:
        header, *matrix = csv.reader(file)
    assert header == ["object, then detected as", "Bed", "Lamp", "Sofa", "background"]
    assert matrix == [
        ["Bed", "2", "0", "0", "0"],
        ["Lamp", "0", "1", "0", "0"],
        ["Sofa", "0", "0", "0", "0"],
        ["background", "0", "0", "0", "0"],
    ]
    with (tmp_path / "reliability.csv").open() as file:
        assert [row["detections"] for row in csv.DictReader(file)] == list("0111000011")


def test_thresholds_are_for_a_client_and_null_where_there_is_none(study, tmp_path):
    study.write_thresholds(tmp_path / "t.json", source="model")
    written = json.loads((tmp_path / "t.json").read_text())
    assert written["operating_point"] == "f1"
    assert written["num_images"] == 2
    assert written["classes"][0] == {
        "id": 1, "name": "Bed", "threshold": 0.5, "threshold_interval": [0.5, 0.85], "num_objects": 2,
        "has_few_objects": True, "precision": 1.0, "recall": 1.0, "f1": 1.0,
    }  # fmt: skip
    assert written["classes"][2]["threshold"] is None
    assert written["classes"][2]["threshold_interval"] == [None, None]
    assert written["threshold_interval"] == {"confidence": 0.95, "num_resamples": 1000}


def test_thresholds_that_were_chosen_elsewhere_are_measured(tmp_path):
    names = {1: "Bed", 2: "Lamp", 3: "Sofa"}
    given = ClassThresholds(tmp_path / "t.json", "precision=0.9", {1: 0.15, 2: math.inf, 3: 0.5}, names)
    study = OperatingStudy(matched(*IMAGES, names=names), given)
    metrics = study.metrics()
    assert metrics["OperatingPoint_PerformanceByCategory/Precision/Bed"] == pytest.approx(2 / 3)
    assert metrics["OperatingPoint_PerformanceByCategory/Recall/Lamp"] == 0
    assert "OperatingPoint_PerformanceByCategory/ThresholdLow/Bed" not in metrics
    text = study.table()
    assert "t.json, for precision=0.9: 0.150 to 0.500 for 2 classes; null, so that none is detected: Lamp;" in text
    assert "interval" not in text
    study.write_thresholds(tmp_path / "again.json", source="model")
    again = read_thresholds(tmp_path / "again.json", names)
    assert (again.by_class, again.operating_point) == (given.by_class, "precision=0.9")


def test_a_precision_that_no_score_gives_is_told():
    matches = matched(([(1, A), (1, B)], [(1, 0.9, C), (1, 0.8, A)]))
    study = OperatingStudy(matches, Criterion.of_text("precision=0.9"))
    assert "no score gives precision=0.9: Bed" in study.table()
    assert math.isinf(study.points[1].threshold)
    assert study.metrics()["OperatingPoint/Recall@ClassThresholds"] == 0.0


def test_without_any_box_there_is_nothing_to_tell(tmp_path):
    study = OperatingStudy(matched(([], [])), BEST_F1)
    assert math.isnan(study.metrics()["OperatingPoint/F1@score0.5"])
    study.write(tmp_path)
    assert "AP@.50 -" in study.table()
