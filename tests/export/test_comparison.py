"""What counts as the same detection, on lists by hand."""

from __future__ import annotations

import numpy as np
import pytest

from export.comparison import compare_detections, compare_raw

SIZE = (200, 400)  # height and width of the image
BOXES = [[0.1, 0.1, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9], [0.1, 0.6, 0.3, 0.9]]


def detections(boxes=BOXES, scores=(0.9, 0.6, 0.3), classes=(1, 2, 1), count=3):
    return {
        "detection_boxes": np.array(boxes, np.float32),
        "detection_scores": np.array(scores, np.float32),
        "detection_classes": np.array(classes, np.float32),
        "num_detections": np.float32(count),
    }


def test_differences_are_in_pixels_of_the_image():
    moved = np.array(BOXES)
    moved[0, 1] += 0.001
    moved[1, 0] += 0.0005
    found = compare_detections("p", SIZE, detections(), detections(moved, scores=(0.9, 0.6005, 0.3)))
    assert found.unmatched == () and found.num_compared == 3 and found.num_images == 1
    assert found.max_box_pixels == pytest.approx(0.4, rel=0.01)
    assert found.max_score == pytest.approx(0.0005, rel=0.01)


@pytest.mark.parametrize("row", [0, 1, 2])
def test_a_box_elsewhere_is_found_unless_the_list_may_have_ended_before_it(row):
    moved = np.array(BOXES)
    moved[row] = [0.4, 0.0, 0.45, 0.05]
    found = compare_detections("p", SIZE, detections(), detections(moved))
    assert bool(found.unmatched) == (row < 2)


def test_the_last_detection_counts_where_the_other_has_it():
    found = compare_detections("p", SIZE, detections(count=1), detections(np.array(BOXES) + 0.001, count=1))
    assert found.max_box_pixels == pytest.approx(0.4, rel=0.01)


def test_another_class_is_counted_as_such():
    found = compare_detections("p", SIZE, detections(), detections(classes=(2, 2, 1)))
    assert found.num_other_classes == 2 and len(found.unmatched) == 2  # seen from either side


def test_a_near_tie_is_no_difference_but_is_counted():
    first = [[0.1, 0.1, 0.5, 0.5], *BOXES[1:]]
    second = [[0.12, 0.1, 0.5, 0.5], *BOXES[1:]]
    found = compare_detections("p", SIZE, detections(first), detections(second))
    assert found.num_near_ties == 2 and not found.unmatched


def test_a_score_at_a_rank_has_no_excuse():
    found = compare_detections("p", SIZE, detections(), detections(scores=(0.9, 0.6, 0.2)))
    assert any("rank 2" in words for words in found.unmatched)


def raw(boxes, scores):
    return {"raw_detection_boxes": np.array(boxes, np.float32), "raw_detection_scores": np.array(scores, np.float32)}


def test_raw_rows_that_changed_places_are_the_same_and_others_are_not():
    scores = [[0.1, 0.9], [0.5, 0.4], [0.3, 0.2]]
    swapped = compare_raw("p", SIZE, raw(BOXES, scores), raw(BOXES[::-1], scores[::-1]))
    assert swapped.num_compared == 3 and not swapped.unmatched and swapped.num_other_classes == 0
    other = compare_raw("p", SIZE, raw(BOXES, scores), raw(BOXES, [[0.1, 0.7], *scores[1:]]))
    assert other.unmatched == ("p: only the checkpoint predicts row 0",)
    nearly = compare_raw("p", SIZE, raw(BOXES, scores), raw(np.array(BOXES) + 0.001, scores))
    assert nearly.max_box_pixels == pytest.approx(0.4, rel=0.01) and not nearly.unmatched
