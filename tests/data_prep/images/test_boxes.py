from __future__ import annotations

import numpy as np
import pytest

from data_prep.images import boxes

UNIT = [0.0, 0.0, 1.0, 1.0]


def test_area_and_intersection_of_known_boxes():
    a = [[0, 0, 10, 20], [5, 5, 5, 9], [9, 9, 1, 1]]
    np.testing.assert_array_equal(boxes.area(a), [200, 0, 0])
    np.testing.assert_array_equal(boxes.intersection(a[:1], [[5, 10, 15, 30], [10, 20, 30, 30]]), [[50, 0]])


def test_iou_is_one_with_itself_a_third_for_half_overlap_and_zero_for_empty_boxes():
    a = np.array([UNIT, [0.0, 0.5, 1.0, 1.5], [0.5, 0.5, 0.5, 0.5]])
    expected = [[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 0]]
    np.testing.assert_allclose(boxes.iou(a, a), expected)


def test_iou_is_symmetric_and_agrees_with_a_count_of_pixels():
    generator = np.random.default_rng(0)
    corners = generator.integers(0, 20, (12, 2, 2))
    random_boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1) + 1], axis=1)
    masks = np.zeros((12, 21, 21), bool)
    for mask, (ymin, xmin, ymax, xmax) in zip(masks, random_boxes, strict=True):
        mask[ymin:ymax, xmin:xmax] = True
    counted = [[(m & n).sum() / (m | n).sum() for n in masks] for m in masks]
    np.testing.assert_allclose(boxes.iou(random_boxes, random_boxes), counted)


def test_clip_cuts_to_the_window_and_takes_the_area_of_what_lies_outside():
    clipped = boxes.clip([[-5, 2, 5, 50], [20, 20, 30, 30]], [0, 0, 10, 40])
    np.testing.assert_array_equal(clipped, [[0, 2, 5, 40], [10, 20, 10, 30]])
    np.testing.assert_array_equal(boxes.is_valid(clipped), [True, False])


@pytest.mark.parametrize(
    "bad", [[0.5, 0, 0.4, 1], [0, 0.5, 1, 0.5], [np.nan, 0, 1, 1], [0, 0, np.inf, 1], [0, 0, 0, 0]]
)
def test_is_valid_refuses_what_breaks_training(bad):
    np.testing.assert_array_equal(boxes.is_valid([UNIT, bad]), [True, False])


def test_no_boxes_are_fine_everywhere_and_other_shapes_are_not():
    assert boxes.iou([], [UNIT]).shape == (0, 1)
    assert boxes.area(np.zeros((0, 4), np.float32)).shape == (0,)
    with pytest.raises(ValueError, match=r"\[N, 4\].*not \[4\]"):
        boxes.area(UNIT)
    with pytest.raises(ValueError, match=r"\[2, 3\]"):
        boxes.area(np.zeros((2, 3)))
