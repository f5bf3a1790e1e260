"""Ground truth and detections along a class hierarchy, by hand, and through the Open Images metrics."""

from __future__ import annotations

import json

import numpy as np
import pytest

from data_prep.runtime.command_line import UsageError
from train.metrics.class_hierarchy import ClassHierarchy, read_class_hierarchy
from train.metrics.measured_image import measured_image
from train.metrics.open_images import open_images_challenge, open_images_v2

FURNITURE, BED, COT, LAMP = 1, 2, 3, 4
NAMES = {FURNITURE: "Furniture", BED: "Bed", COT: "Cot", LAMP: "Lamp"}
HIERARCHY = ClassHierarchy({BED: [FURNITURE], COT: [BED, FURNITURE]})
A, B, C = [0, 0, 100, 100], [200, 200, 300, 300], [400, 400, 500, 500]


def image(truth, found, **more):
    return measured_image(
        "a",
        groundtruth_boxes=np.array([box for _, box in truth], np.float32).reshape(-1, 4),
        groundtruth_classes=[class_id for class_id, _ in truth],
        detection_boxes=np.array([box for *_, box in found], np.float32).reshape(-1, 4),
        detection_scores=[score for _, score, _ in found],
        detection_classes=[class_id for class_id, *_ in found],
        **more,
    )


def truth_of(expanded):
    return sorted(zip(expanded.groundtruth_classes.tolist(), expanded.groundtruth_boxes[:, 0].tolist(), strict=True))


def found_of(expanded):
    columns = (expanded.detection_classes.tolist(), expanded.detection_boxes[:, 0].tolist())
    return sorted(zip(*columns, np.round(expanded.detection_scores.astype(float), 3).tolist(), strict=True))


def test_a_box_is_also_of_all_classes_above_with_its_marks():
    expanded = HIERARCHY.expanded(
        image([(COT, A), (LAMP, B)], [], groundtruth_group_of=[True, False], groundtruth_area=[5, 7])
    )
    assert truth_of(expanded) == [(FURNITURE, 0), (BED, 0), (COT, 0), (LAMP, 200)]
    marks = dict(zip(expanded.groundtruth_classes.tolist(), expanded.groundtruth_group_of.tolist(), strict=True))
    assert marks == {COT: True, LAMP: False, BED: True, FURNITURE: True}
    assert sorted(expanded.groundtruth_area.tolist()) == [5, 5, 5, 7]


def test_what_is_annotated_twice_is_not_repeated_and_two_things_in_one_place_are():
    assert truth_of(HIERARCHY.expanded(image([(BED, A), (FURNITURE, A)], []))) == [(FURNITURE, 0), (BED, 0)]
    assert truth_of(HIERARCHY.expanded(image([(BED, A), (COT, A)], []))) == [
        (FURNITURE, 0), (FURNITURE, 0), (BED, 0), (COT, 0),
    ]  # fmt: skip


def test_a_model_that_says_both_keeps_its_own_word_and_copies_stand_once_with_the_best_score():
    own = HIERARCHY.expanded(image([], [(BED, 0.9, A), (FURNITURE, 0.3, A)]))
    assert found_of(own) == [(FURNITURE, 0.0, 0.3), (BED, 0.0, 0.9)]
    copies = HIERARCHY.expanded(image([], [(BED, 0.4, A), (COT, 0.6, A)]))
    assert found_of(copies) == [(FURNITURE, 0.0, 0.6), (BED, 0.0, 0.4), (COT, 0.0, 0.6)]
    nothing = HIERARCHY.expanded(image([], []))
    assert found_of(nothing) == truth_of(nothing) == []


def test_present_classes_verify_those_above_and_absent_ones_those_below():
    assert HIERARCHY.expanded(image([(COT, A)], [], verified_class_ids=[COT])).verified_class_ids.tolist() == [1, 2, 3]
    absent = HIERARCHY.expanded(image([(LAMP, A)], [], verified_class_ids=[LAMP, BED]))
    assert absent.verified_class_ids.tolist() == [BED, COT, LAMP]


def test_open_images_metrics_on_expanded_images():
    # The cot and the bed are both furniture and beds. Furniture: right at 0.9, wrong at 0.8, right at 0.7.
    one = image([(COT, A), (BED, B)], [(COT, 0.9, A), (BED, 0.8, C), (BED, 0.7, B)], verified_class_ids=[COT, BED])
    metric, prefix = open_images_v2(NAMES), "OpenImagesV2_PerformanceByCategory/AP@0.5IOU"
    metric.add(HIERARCHY.expanded(one))
    found = metric.evaluate()
    for name in ("Furniture", "Bed"):
        assert found[f"{prefix}/{name}"] == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert found[f"{prefix}/Cot"] == 1.0
    # Unexpanded, a cot is no bed: two detections, of which the better one is wrong.
    metric = open_images_v2(NAMES)
    metric.add(one)
    assert metric.evaluate()[f"{prefix}/Bed"] == 0.5


def test_the_challenge_counts_a_wrong_kind_where_its_class_above_was_searched_in_vain():
    # Nobody saw a bed, so there is no cot either: the detected cot is wrong. Where nobody looked, it does not count.
    there = image([(COT, A)], [(COT, 0.5, A)])
    prefix = "OpenImagesDetectionChallenge_PerformanceByCategory/AP@0.5IOU"
    for verified, value in (([LAMP, BED], 0.5), ([LAMP], 1.0)):
        metric = open_images_challenge(NAMES)
        metric.add(HIERARCHY.expanded(there))
        metric.add(HIERARCHY.expanded(image([(LAMP, B)], [(COT, 0.9, C)], verified_class_ids=verified)))
        assert metric.evaluate()[f"{prefix}/Cot"] == value


def test_a_hierarchy_file_goes_with_the_label_maps_names(tmp_path):
    path = tmp_path / "hierarchy.json"
    bed = {"LabelName": "/m/bed", "Subcategory": [{"LabelName": "/m/cot"}]}
    path.write_text(json.dumps({"LabelName": "/m/all", "Subcategory": [{"LabelName": "/m/f", "Subcategory": [bed]}]}))
    hierarchy = read_class_hierarchy(path, {1: "/m/f", 3: "/m/cot"})  # of which beds are no class
    assert truth_of(hierarchy.expanded(image([(3, A)], []))) == [(1, 0), (3, 0)]
    with pytest.raises(UsageError, match=r"none of the label map's names, such as 'Bed', is in the hierarchy, whose"):
        read_class_hierarchy(path, {1: "Bed"})
