"""Thresholds, classes, the drawn image, and two versions compared."""

from __future__ import annotations

import numpy as np
from PIL import Image

from data_prep.formats.label_map import LabelMap, LabelMapItem
from data_prep.images.drawing import color_of
from serving.demonstration.results import chosen, compare, differences, drawn, names_to_choose


def test_weak_detections_and_other_classes_are_left_out(detection, found):
    answer = found(detection(1, 0.9), detection(2, 0.5), detection(1, 0.49))
    assert [(one.name, one.score) for one in chosen(answer, 0.5, []).detections] == [("Bed", 0.9), ("Lamp", 0.5)]
    assert [(one.name, one.score) for one in chosen(answer, 0.4, ["Bed"]).detections] == [("Bed", 0.9), ("Bed", 0.49)]


def test_all_classes_of_the_label_map_can_be_picked_and_without_one_those_that_were_found(detection, found):
    label_map = LabelMap([LabelMapItem(1, "/m/a", "Wall clock"), LabelMapItem(2, "/m/b", "bed")])
    answers = [found(detection(2, 0.9)), found(detection(1, 0.1), detection(2, 0.3))]
    assert names_to_choose(label_map, answers) == ["bed", "Wall clock"]
    assert names_to_choose(None, answers) == ["Bed", "Lamp"]


def test_boxes_are_drawn_where_they_are_at_any_size(detection, found):
    answer = found(detection(1, 0.9, (0.25, 0.5, 0.75, 1.5)))
    for size in ((200, 100), (800, 400)):
        pixels = np.asarray(drawn(Image.new("RGB", size, (120, 120, 120)), answer.detections))
        ys, xs = np.nonzero((pixels == color_of("Bed")).all(-1))
        assert abs(ys.max() / size[1] - 0.75) < 0.03  # the plate with the name is above the box
        assert (abs(xs.min() / size[0] - 0.5) < 0.03, xs.max() >= size[0] - 2) == (True, True)
        asked = np.asarray(drawn(Image.new("RGB", size, (120, 120, 120)), answer.detections, ["Bed?"]))
        assert (asked == color_of("Bed")).all(-1).any()  # the class's colour, whatever is written


def test_the_same_thing_is_paired_and_each_box_only_once(detection, found):
    bed, moved = detection(1, 0.9, (0.0, 0.0, 0.5, 0.5)), detection(1, 0.6, (0.05, 0.0, 0.5, 0.5))
    again = detection(1, 0.5, (0.0, 0.02, 0.5, 0.5))
    result = compare(found(bed, again), found(moved))
    assert (result.both, result.only_first, result.only_second) == ([(bed, moved)], [again], [])


def test_another_class_or_another_place_is_a_difference(detection, found):
    bed, lamp_there = detection(1, 0.9), detection(2, 0.8)
    bed_elsewhere = detection(1, 0.7, (0.6, 0.6, 0.9, 0.9))
    result = compare(found(bed), found(lamp_there, bed_elsewhere))
    assert (result.both, result.only_first, result.only_second) == ([], [bed], [lamp_there, bed_elsewhere])
    assert differences(result, "version 1", "version 2") == (
        "**0** in both; only in version 1: **Bed** 90%; only in version 2: **Lamp** 80%, **Bed** 70%"
    )
