"""Two versions' answers, compared."""

from __future__ import annotations

from serving.demonstration.results import compare
from serving.demonstration.wording import differences


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
