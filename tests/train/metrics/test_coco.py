"""COCO metrics against cases that can be worked out by hand, and their table and JSON."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from data_prep.runtime.command_line import UsageError, UserError
from train.metrics.coco import CocoEvaluator
from train.metrics.measured_image import measured_image
from train.metrics.report import metrics_table, write_metrics_json

NAMES = {1: "Bed", 2: "Lamp"}
EMPTY = {"detection_boxes": np.zeros((0, 4)), "detection_scores": [], "detection_classes": []}


def add(evaluator, source_id, truth, found, **more):
    """Adds an image from [(class, box)] and [(class, score, box)]; boxes are ymin xmin ymax xmax."""
    image = measured_image(
        source_id,
        groundtruth_boxes=np.array([box for _, box in truth], np.float32).reshape(-1, 4),
        groundtruth_classes=[class_id for class_id, _ in truth],
        detection_boxes=np.array([box for *_, box in found], np.float32).reshape(-1, 4),
        detection_scores=[score for _, score, _ in found],
        detection_classes=[class_id for class_id, *_ in found],
        **more,
    )
    evaluator.add(image)


def evaluated(truth, found, *, options=None, **more) -> dict[str, float]:
    evaluator = CocoEvaluator(NAMES, **(options or {}))
    add(evaluator, "a", truth, found, **more)
    return evaluator.evaluate()


BIG = [0, 0, 100, 100]
ELSEWHERE = [200, 200, 300, 300]


def test_a_perfect_detector():
    metrics = evaluated([(1, BIG), (2, ELSEWHERE)], [(1, 0.9, BIG), (2, 0.8, ELSEWHERE)])
    for name in ("mAP", "mAP@.50IOU", "mAP@.75IOU", "mAP (large)"):
        assert metrics[f"DetectionBoxes_Precision/{name}"] == pytest.approx(1.0)
    for name in ("AR@1", "AR@10", "AR@100", "AR@100 (large)"):
        assert metrics[f"DetectionBoxes_Recall/{name}"] == pytest.approx(1.0)
    # There are no small or medium objects to find: not zero, but nothing.
    assert metrics["DetectionBoxes_Precision/mAP (small)"] == -1.0
    assert metrics["DetectionBoxes_Recall/AR@100 (medium)"] == -1.0
    assert metrics["DetectionBoxes_PerformanceByCategory/mAP/Bed"] == pytest.approx(1.0)
    assert metrics["DetectionBoxes_PerformanceByCategory/mAP@.50IOU/Lamp"] == pytest.approx(1.0)


def test_no_detections_at_all_is_zero():
    metrics = evaluated([(1, BIG)], [])
    assert metrics["DetectionBoxes_Precision/mAP"] == 0.0
    assert metrics["DetectionBoxes_Recall/AR@100"] == 0.0
    assert metrics["DetectionBoxes_PerformanceByCategory/mAP/Bed"] == 0.0
    assert math.isnan(metrics["DetectionBoxes_PerformanceByCategory/mAP/Lamp"])


def test_nothing_added_has_nothing_to_measure():
    metrics = CocoEvaluator(NAMES).evaluate()
    assert metrics["DetectionBoxes_Precision/mAP"] == -1.0
    assert math.isnan(metrics["DetectionBoxes_PerformanceByCategory/mAP/Bed"])


def test_a_box_of_iou_two_thirds_passes_four_of_ten_thresholds():
    # 100x80 of 100x120: intersection over union is 8000 / 12000; 0.50, 0.55, 0.60, 0.65 are below it.
    metrics = evaluated([(1, [0, 0, 100, 120])], [(1, 0.9, [0, 0, 100, 80])])
    assert metrics["DetectionBoxes_Precision/mAP"] == pytest.approx(0.4)
    assert metrics["DetectionBoxes_Precision/mAP@.50IOU"] == pytest.approx(1.0)
    assert metrics["DetectionBoxes_Precision/mAP@.75IOU"] == pytest.approx(0.0)
    assert metrics["DetectionBoxes_Recall/AR@100"] == pytest.approx(0.4)


def test_a_better_scored_false_alarm_halves_precision():
    metrics = evaluated([(1, BIG)], [(1, 0.5, BIG), (1, 0.9, ELSEWHERE)])
    assert metrics["DetectionBoxes_Precision/mAP@.50IOU"] == pytest.approx(0.5)
    assert metrics["DetectionBoxes_Recall/AR@1"] == pytest.approx(0.0)
    assert metrics["DetectionBoxes_Recall/AR@10"] == pytest.approx(1.0)


def test_one_of_two_found_is_half_the_recall_points():
    metrics = evaluated([(1, BIG), (1, ELSEWHERE)], [(1, 0.9, BIG)])
    assert metrics["DetectionBoxes_Precision/mAP@.50IOU"] == pytest.approx(51 / 101)  # recalls 0.00 ... 0.50 of 101
    assert metrics["DetectionBoxes_Recall/AR@100"] == pytest.approx(0.5)


def test_the_wrong_class_counts_against_both():
    metrics = evaluated([(1, BIG), (2, ELSEWHERE)], [(2, 0.9, BIG), (2, 0.8, ELSEWHERE)])
    assert metrics["DetectionBoxes_PerformanceByCategory/mAP@.50IOU/Bed"] == 0.0
    assert metrics["DetectionBoxes_PerformanceByCategory/mAP@.50IOU/Lamp"] == pytest.approx(0.5)
    assert metrics["DetectionBoxes_Precision/mAP@.50IOU"] == pytest.approx(0.25)


def test_crowds_count_neither_way():
    found = [(1, 0.9, BIG), (1, 0.95, [200, 200, 250, 250]), (1, 0.95, [250, 250, 300, 300])]
    truth = [(1, BIG), (1, ELSEWHERE)]
    assert evaluated(truth, found)["DetectionBoxes_Precision/mAP@.50IOU"] < 0.5
    crowd = evaluated(truth, found, groundtruth_is_crowd=[False, True])
    assert crowd["DetectionBoxes_Precision/mAP@.50IOU"] == pytest.approx(1.0)
    only_crowd = evaluated([(1, BIG)], found, groundtruth_is_crowd=[1])
    assert math.isnan(only_crowd["DetectionBoxes_PerformanceByCategory/mAP/Bed"])


def test_sizes_are_by_given_area_in_pixels():
    sides = evaluated([(1, [0, 0, 20, 20])], [(1, 0.9, [0, 0, 20, 20])])
    assert sides["DetectionBoxes_Precision/mAP (small)"] == pytest.approx(1.0)
    assert sides["DetectionBoxes_Precision/mAP (large)"] == -1.0
    by_outline = evaluated([(1, BIG)], [(1, 0.9, BIG)], groundtruth_area=[50.0 * 50.0])
    assert by_outline["DetectionBoxes_Precision/mAP (medium)"] == pytest.approx(1.0)
    assert by_outline["DetectionBoxes_Precision/mAP (large)"] == -1.0
    assert evaluated([(1, BIG)], [], groundtruth_area=[0.0])["DetectionBoxes_Precision/mAP (large)"] == 0.0


def test_images_without_objects_bring_false_alarms_only():
    evaluator = CocoEvaluator(NAMES)
    add(evaluator, "a", [(1, BIG)], [(1, 0.5, BIG)])
    add(evaluator, "b", [], [(1, 0.9, BIG)])
    add(evaluator, "c", [], [])
    assert evaluator.evaluate()["DetectionBoxes_Precision/mAP@.50IOU"] == pytest.approx(0.5)
    assert len(evaluator.boxes.detections().classes) == 2


def test_a_repeated_id_is_an_image_of_its_own():
    evaluator = CocoEvaluator(NAMES)
    for source_id in ("same", b"same"):
        add(evaluator, source_id, [(1, BIG)], [(1, 0.9, BIG)])
    metrics = evaluator.evaluate()
    assert metrics["DetectionBoxes_Precision/mAP"] == pytest.approx(1.0)
    assert metrics["DetectionBoxes_Recall/AR@1"] == pytest.approx(1.0)


def test_unknown_detections_are_counted_and_left_out():
    evaluator = CocoEvaluator(NAMES)
    add(evaluator, "a", [(1, BIG)], [(7, 0.9, BIG), (1, 0.8, BIG)])
    assert evaluator.boxes.num_unknown_detections == 1
    assert evaluator.evaluate()["DetectionBoxes_Precision/mAP"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("truth", "found", "message"),
    [
        ([(5, BIG)], [], "image 'a': ground truth class id 5 is not in the label map"),
        ([], [(1, float("nan"), BIG)], "image 'a': detections that are not numbers; the training has diverged"),
        ([], [(1, 0.5, [0, 0, float("inf"), 1])], "detections that are not numbers"),
    ],
)
def test_what_cannot_be_measured_names_the_image(truth, found, message):
    with pytest.raises(UserError, match=message):
        add(CocoEvaluator(NAMES), "a", truth, found)


def test_classes_of_one_name_keep_their_own_metrics():
    evaluator = CocoEvaluator({1: "Bow", 2: "Bow"})
    add(evaluator, "a", [(1, BIG), (2, BIG)], [(1, 0.9, BIG)])
    metrics = evaluator.evaluate()
    assert metrics["DetectionBoxes_PerformanceByCategory/mAP/Bow (1)"] == pytest.approx(1.0)
    assert metrics["DetectionBoxes_PerformanceByCategory/mAP/Bow (2)"] == 0.0


TWELVE = [
    *(f"Precision/mAP{which}" for which in ("", "@.50IOU", "@.75IOU", " (small)", " (medium)", " (large)")),
    *(f"Recall/AR@{which}" for which in ("1", "10", "100", "100 (small)", "100 (medium)", "100 (large)")),
]


def test_all_metrics_of_each_category_and_of_groups_of_them():
    groups = {"furniture": ["Bed", "Lamp"], "lights": ["Lamp"]}
    options = {"all_metrics_per_category": True, "super_categories": groups}
    truth, found = [(1, BIG), (2, BIG), (2, ELSEWHERE)], [(1, 0.9, BIG), (2, 0.9, BIG)]
    metrics = evaluated(truth, found, options=options)
    # A part of the recall is a part of the 101 points of precision, as in the mean over classes.
    values = {"Bed": 1.0, "Lamp": 51 / 101, "furniture": (1 + 51 / 101) / 2, "lights": 51 / 101}
    for name, value in values.items():
        by = "ByCategory" if name in NAMES.values() else "BySuperCategory"
        assert metrics[f"DetectionBoxes_Precision/mAP {by}/{name}"] == pytest.approx(value)
        assert metrics[f"DetectionBoxes_Precision/mAP (large) {by}/{name}"] == pytest.approx(value)
        assert math.isnan(metrics[f"DetectionBoxes_Recall/AR@100 (small) {by}/{name}"])
    assert metrics["DetectionBoxes_Recall/AR@1 ByCategory/Lamp"] == pytest.approx(0.5)
    assert metrics["DetectionBoxes_Recall/AR@1 BySuperCategory/furniture"] == pytest.approx(0.75)
    assert metrics["DetectionBoxes_PerformanceBySuperCategory/furniture"] == pytest.approx(values["furniture"])
    for ending in ("ByCategory/Bed", "ByCategory/Lamp", "BySuperCategory/furniture", "BySuperCategory/lights"):
        assert [name for name in metrics if name.endswith(f" {ending}")] == [
            f"DetectionBoxes_{metric} {ending}" for metric in TWELVE
        ]
    # A class that is not in the set does not pull its group down, as it does not pull down the mean over all.
    without_beds = evaluated(truth[1:], found[1:], options=options)
    assert without_beds["DetectionBoxes_PerformanceBySuperCategory/furniture"] == pytest.approx(51 / 101)
    assert not any("Super" in name or " ByCategory" in name for name in evaluated(truth, found))


def test_a_group_of_a_class_that_is_not_there_is_refused():
    with pytest.raises(
        UsageError, match=r"super_categories\['lights'\] names 'Lantern', which is not in the label map"
    ):
        CocoEvaluator(NAMES, super_categories={"lights": ["Lamp", "Lantern"]})


def test_detections_of_classes_that_nobody_looked_for_are_left_out_where_asked():
    truth, found = [(1, BIG)], [(1, 0.5, BIG), (2, 0.9, BIG)]
    more = [(2, BIG)], [(2, 0.1, BIG)]

    def lamps(verified, **options):
        evaluator = CocoEvaluator(NAMES, **options)
        add(evaluator, "a", truth, found, verified_class_ids=verified)
        add(evaluator, "b", *more)
        return evaluator.evaluate()["DetectionBoxes_PerformanceByCategory/mAP@.50IOU/Lamp"]

    assert lamps([1]) == pytest.approx(0.5)
    assert lamps([1], skip_predictions_for_unlabeled_class=True) == pytest.approx(1.0)
    assert lamps([1, 2, 0, 0], skip_predictions_for_unlabeled_class=True) == pytest.approx(0.5)
    assert lamps([], skip_predictions_for_unlabeled_class=True) == pytest.approx(0.5)


def test_table_and_json(tmp_path):
    long_name = "A wall clock with a name that is far too long for a table"
    evaluator = CocoEvaluator({1: "Bed", 2: "Lamp", 3: long_name})
    add(evaluator, "a", [(1, BIG), (2, ELSEWHERE), (1, ELSEWHERE)], [(2, 0.9, ELSEWHERE), (1, 0.9, BIG)])
    metrics = evaluator.evaluate()
    counts = {"Bed": 2, "Lamp": 1, long_name: 0}
    table = metrics_table(metrics, counts)
    rows = [line.split() for line in table.splitlines()]
    assert rows[0] == ["class", "boxes", "AP", "AP@.50"]
    assert rows[1] == ["Lamp", "1", "1.000", "1.000"]
    assert rows[2] == ["Bed", "2", "0.505", "0.505"]
    assert rows[3][-3:] == ["0", "-", "-"]
    assert max(map(len, table.splitlines())) < 80
    assert any(line.split()[1:] == ["(small)", "-"] for line in table.splitlines())
    short = metrics_table(metrics, counts, max_classes=1)
    assert short.splitlines()[1].startswith("Bed")
    assert "... and 2 classes with fewer boxes" in short
    write_metrics_json(tmp_path / "metrics.json", metrics, {"step": 7})
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert content["step"] == 7
    assert content["metrics"]["DetectionBoxes_Precision/mAP@.50IOU"] == pytest.approx((1 + 51 / 101) / 2)
    assert content["metrics"][f"DetectionBoxes_PerformanceByCategory/mAP/{long_name}"] is None
