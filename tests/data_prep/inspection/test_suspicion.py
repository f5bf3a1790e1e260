"""Which boxes and images are suspicious, and how much."""

from __future__ import annotations

import numpy as np
import pytest

from data_prep.inspection import data_set
from data_prep.inspection.data_set import DataSet, DataSetBuilder
from data_prep.inspection.suspicion import Limits, mark_suspicious, suspicion_scores


def made(*images: list[tuple[str, tuple[float, float, float, float]]], width: int = 640, height: int = 480) -> DataSet:
    """A data set, marked; boxes are ymin, xmin, ymax, xmax."""
    builder = DataSetBuilder({}, lists_all=False)
    for number, boxes in enumerate(images):
        builder.add_image(f"p{number}", width=width, height=height)
        for label, box in boxes:
            builder.add_box(label, box, 0)
    found = builder.finish("a test")
    mark_suspicious(found, Limits())
    return found


SOUND = ("cat", (0.2, 0.2, 0.6, 0.6))


@pytest.mark.parametrize(
    ("box", "bit"),
    [
        ((0.5, 0.5, 0.515, 0.7), data_set.TINY),  # 7.2 pixels high
        ((0.0, 0.0, 0.99, 0.99), data_set.HUGE),
        ((0.1, 0.0, 0.2, 1.0), data_set.EXTREME_RATIO),  # 640 by 48
        ((0.0, 0.5, 1.0, 0.59), data_set.EXTREME_RATIO),  # 57.6 by 480
        ((0.6, 0.2, 0.2, 0.6), data_set.UNUSABLE),  # reversed
        ((0.2, 0.2, 0.2, 0.6), data_set.UNUSABLE),
        ((0.2, 0.2, 0.6, 1.3), data_set.UNUSABLE),
        ((float("nan"), 0.2, 0.6, 0.6), data_set.UNUSABLE),
    ],
)
def test_a_box_is_flagged_for_what_it_is(box, bit):
    found = made([("cat", box)], [SOUND])
    assert found.box_flags[0] & bit
    assert found.box_flags[1] == 0
    scores = suspicion_scores(found)
    assert scores[0] > scores[1] == 0


@pytest.mark.parametrize(
    "box",
    [(0.5, 0.5, 0.52, 0.52), (0.0, 0.0, 0.9, 1.0), (0.5, 0.1, 0.6, 0.6), (0.0, 0.0, 1.0000005, 0.5)],
    ids=["9.6 pixels", "nine tenths", "6.7 to 1", "a rounding error outside"],
)
def test_a_box_within_the_limits_is_not_flagged(box):
    assert made([("cat", box)]).box_flags[0] == 0


def test_duplicates_and_two_classes_on_one_thing_are_told_apart():
    near = (0.2, 0.2, 0.6, 0.601)
    found = made(
        [SOUND, ("cat", near), ("cat", (0.7, 0.7, 0.9, 0.9))],
        [SOUND, ("dog", near)],
        [SOUND, ("cat", (0.3, 0.3, 0.7, 0.7))],
        [SOUND],
    )
    expected = [data_set.DUPLICATE, data_set.DUPLICATE, 0, data_set.TWO_CLASSES, data_set.TWO_CLASSES, 0, 0, 0]
    assert found.box_flags.tolist() == expected
    assert suspicion_scores(found)[2] == 0


def test_a_crowded_image_is_compared_whole_however_many_boxes_it_has():
    # 1100 boxes in a row, of which the first and the last are the same: further apart than one block of comparisons.
    row = [("cat", (0.1, index / 1200, 0.9, (index + 1) / 1200)) for index in range(1100)]
    found = made([*row, row[0]])
    duplicates = np.flatnonzero(found.box_flags & data_set.DUPLICATE)
    assert duplicates.tolist() == [0, 1100]
    assert found.image_flags[0] & data_set.MANY_BOXES


def test_images_are_flagged_too():
    assert made([]).image_flags.tolist() == [data_set.NO_BOXES]
    assert made([SOUND], width=40, height=300).image_flags.tolist() == [data_set.SMALL_IMAGE]


def test_without_a_size_ratios_are_not_known_and_tiny_is_relative():
    found = made([("cat", (0.1, 0.0, 0.2, 1.0)), ("cat", (0.5, 0.5, 0.505, 0.7))], width=0, height=0)
    assert found.box_flags.tolist() == [0, data_set.TINY]
