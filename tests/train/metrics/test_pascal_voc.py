"""Pascal VOC metrics and their relatives against cases worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from data_prep.runtime.command_line import UserError
from train.metrics.matched_metric import (
    average_precision,
    pascal_voc,
    precision_and_recall,
    precision_at_recall,
    weighted_pascal_voc,
)
from train.metrics.measured_image import measured_image

NAMES = {1: "Bed", 2: "Lamp"}
MAP = "PascalBoxes_Precision/mAP@0.5IOU"
AP = "PascalBoxes_PerformanceByCategory/AP@0.5IOU"

A, B, C = [0, 0, 100, 100], [200, 200, 300, 300], [400, 400, 500, 500]  # ymin xmin ymax xmax
SHIFTED = [0, 20, 100, 120]  # IoU with A: 80 of 120
FAR = [0, 40, 100, 140]  # 60 of 140


def image(truth, found, **more):
    """An image from [(class, box)] and [(class, score, box)]."""
    return measured_image(
        "a",
        groundtruth_boxes=[box for _, box in truth],
        groundtruth_classes=[class_id for class_id, _ in truth],
        detection_boxes=[box for *_, box in found],
        detection_scores=[score for _, score, _ in found],
        detection_classes=[class_id for class_id, *_ in found],
        **more,
    )


def measured(metric, *images) -> dict[str, float]:
    for one in images:
        metric.add(one)
    return metric.evaluate()


def bed(*found, truth=((1, A),), **more) -> float:
    return measured(pascal_voc(NAMES), image(truth, found, **more))[f"{AP}/Bed"]


def test_names_are_the_apis_and_classes_without_ground_truth_do_not_count():
    metrics = measured(pascal_voc(NAMES), image([(1, A)], [(1, 0.9, A), (2, 0.8, B)]))
    assert list(metrics) == [MAP, f"{AP}/Bed", f"{AP}/Lamp"]
    assert metrics[MAP] == metrics[f"{AP}/Bed"] == 1.0
    assert math.isnan(metrics[f"{AP}/Lamp"])
    assert all(math.isnan(value) for value in measured(pascal_voc(NAMES)).values())


def test_enough_overlap_is_half():
    assert bed((1, 0.9, SHIFTED)) == 1.0
    assert bed((1, 0.9, FAR)) == 0.0
    assert bed((1, 0.9, [0, 0, 100, 50])) == 1.0  # exactly half
    assert bed() == 0.0
    assert bed((1, 0.9, [0, 0, 0, 100]), (1, 0.8, [50, 50, 20, 20])) == 0.0  # empty and reversed


def test_a_second_detection_of_one_box_is_wrong_and_the_better_score_goes_first():
    truth = [(1, A), (1, B)]
    # Right, wrong (again A), right: precision 1 at recall 1/2, 2/3 at 1.
    assert bed((1, 0.9, SHIFTED), (1, 0.8, A), (1, 0.7, B), truth=truth) == pytest.approx(0.5 + 0.5 * 2 / 3)
    # The area takes the best precision from a recall on: wrong, right, right is 2/3 all along.
    assert bed((1, 0.9, C), (1, 0.8, A), (1, 0.7, B), truth=truth) == pytest.approx(2 / 3)
    # Each detection looks at the box it overlaps most only, even when another one is free.
    near = [0, 10, 100, 110]
    assert bed((1, 0.9, A), (1, 0.8, [0, 4, 100, 104]), truth=[(1, A), (1, near)]) == pytest.approx(0.5)


def test_difficult_boxes_need_not_be_found_and_what_finds_them_does_not_count():
    truth = [(1, A), (1, B)]
    alone = bed((1, 0.9, B), (1, 0.8, B), (1, 0.7, A), truth=truth, groundtruth_difficult=[False, True])
    assert alone == 1.0
    assert bed((1, 0.7, A), truth=truth, groundtruth_difficult=[0, 1]) == 1.0
    assert math.isnan(bed((1, 0.9, A), groundtruth_difficult=[True]))
    # Crowds and groups are boxes like others here.
    assert bed((1, 0.9, A), truth=truth, groundtruth_is_crowd=[0, 1], groundtruth_group_of=[0, 1]) == 0.5


def test_scores_are_compared_across_images():
    metrics = measured(
        pascal_voc(NAMES), image([(1, A)], [(1, 0.5, A)]), image([], [(1, 0.9, A)]), image([(2, A)], [(2, 0.1, A)])
    )
    assert metrics[f"{AP}/Bed"] == 0.5
    assert metrics[f"{AP}/Lamp"] == 1.0
    assert metrics[MAP] == 0.75


def test_the_weighted_mean_is_over_one_list_of_all_detections():
    # Right Bed, wrong Lamp, right Bed, right Lamp: precision 1, 1/2, 2/3, 3/4 at recall 1/3, 1/3, 2/3, 1.
    truth = [(1, A), (1, B), (2, C)]
    found = [(1, 0.9, A), (2, 0.8, A), (1, 0.7, B), (2, 0.6, C)]
    metrics = measured(weighted_pascal_voc({**NAMES, 3: "Rug"}), image(truth, [*found, (3, 0.95, A)]))
    # Rugs, of which there are none, count nowhere.
    assert metrics["WeightedPascalBoxes_Precision/mAP@0.5IOU"] == pytest.approx(1 / 3 + 2 / 3 * 3 / 4)
    assert metrics["WeightedPascalBoxes_PerformanceByCategory/AP@0.5IOU/Bed"] == 1.0
    assert metrics["WeightedPascalBoxes_PerformanceByCategory/AP@0.5IOU/Lamp"] == 0.5
    assert math.isnan(measured(weighted_pascal_voc(NAMES))["WeightedPascalBoxes_Precision/mAP@0.5IOU"])


def test_precision_over_a_part_of_the_recalls():
    boxes = [[0, 100 * i, 80, 100 * i + 80] for i in range(4)]
    truth = [(1, box) for box in boxes]
    # Right, wrong, right, right; the fourth box is not found: precision 1, 1/2, 2/3, 3/4 at 1/4, 1/4, 1/2, 3/4.
    found = [(1, 0.9, boxes[0]), (1, 0.8, [500, 500, 600, 600]), (1, 0.7, boxes[1]), (1, 0.6, boxes[2])]
    whole = measured(precision_at_recall(NAMES), image(truth, found))
    assert whole["PrecisionAtRecallBoxes_Precision/mAP@0.5IOU"] == pytest.approx(1 / 4 + 1 / 2 * 3 / 4)
    bounds = {"recall_lower_bound": 0.3, "recall_upper_bound": 0.6}
    part = measured(precision_at_recall(NAMES, **bounds), image(truth, found))
    # Of the points only (1/2, 2/3) is inside; from the API's utils/metrics.py, it holds from recall 0 on.
    assert part["PrecisionAtRecallBoxes_Precision/mAP@0.5IOU@[0.3,0.6]Recall"] == pytest.approx(1 / 2 * 2 / 3)
    assert part["PrecisionAtRecallBoxes_PerformanceByCategory/AP@0.5IOU/Bed"] == pytest.approx(1 / 3)
    none = measured(precision_at_recall(NAMES, recall_lower_bound=0.9), image(truth, found))
    assert none["PrecisionAtRecallBoxes_Precision/mAP@0.5IOU@[0.9,1.0]Recall"] == 0.0


def test_precision_at_recall_may_skip_what_nobody_looked_for():
    truth, found = [(1, A)], [(1, 0.5, A), (2, 0.9, A)]
    for verified, skip, lamps in (([1], False, 0.5), ([1], True, 1.0), ([], True, 0.5), ([2], True, 0.5)):
        metric = precision_at_recall(NAMES, skip_predictions_for_unlabeled_class=skip)
        metrics = measured(metric, image(truth, found, verified_class_ids=verified), image([(2, A)], [(2, 0.1, A)]))
        assert metrics["PrecisionAtRecallBoxes_PerformanceByCategory/AP@0.5IOU/Lamp"] == lamps
        assert metrics["PrecisionAtRecallBoxes_PerformanceByCategory/AP@0.5IOU/Bed"] == 1.0


def test_curve_and_area():
    precision, recall = precision_and_recall(np.array([0.2, 0.9, 0.5]), np.array([1.0, 1.0, 0.0]), 4)
    np.testing.assert_allclose(precision, [1, 1 / 2, 2 / 3])
    np.testing.assert_allclose(recall, [1 / 4, 1 / 4, 1 / 2])
    assert average_precision(precision, recall) == pytest.approx(1 / 4 + 1 / 4 * 2 / 3)
    assert average_precision(np.zeros(0), np.zeros(0)) == 0.0


def test_ground_truth_without_a_name_names_the_image():
    with pytest.raises(UserError, match="image 'a': ground truth class id 5 is not in the label map"):
        pascal_voc(NAMES).add(image([(5, A)], []))


def test_detections_of_unknown_classes_are_left_out():
    assert bed((1, 0.5, A), (7, 0.9, A)) == 1.0
    metrics = measured(weighted_pascal_voc(NAMES), image([(1, A)], [(7, 0.9, B), (1, 0.5, A)]))
    assert metrics["WeightedPascalBoxes_Precision/mAP@0.5IOU"] == 1.0
