"""Precision, recall, F1, thresholds, calibration and confusion against counts made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.train.metrics.matched_boxes import NEAR_A, OVER_A, A, B, C, matched
from train.metrics.box_matches import NO_MATCH
from train.metrics.calibration import expected_calibration_error, reliability
from train.metrics.confusion import confusion_matrix
from train.metrics.operating_points import BEST_F1, Criterion, ScoreCurve, added_up, curve_of_all, curves_by_class


def test_detections_come_by_score_and_each_knows_its_object():
    matches = matched(([(1, A), (2, B)], [(1, 0.3, OVER_A), (1, 0.9, A), (2, 0.5, C)]), ([(1, A)], [(1, 0.6, A)]))
    assert matches.detections.scores.tolist() == pytest.approx([0.9, 0.6, 0.5, 0.3])
    assert matches.object_of.tolist() == [0, 2, NO_MATCH, NO_MATCH]
    assert matches.detection_of.tolist() == [0, NO_MATCH, 1]
    assert matches.num_images == 2


@pytest.mark.parametrize("mark", ["groundtruth_is_crowd", "groundtruth_group_of"])
def test_what_is_in_a_crowd_or_a_group_counts_neither_way(mark):
    matches = matched(([(1, A), (2, B)], [(1, 0.9, [10, 10, 50, 50]), (2, 0.8, B)]), **{mark: [True, False]})
    assert matches.detections.classes.tolist() == matches.groundtruth.classes.tolist() == [2]
    assert matches.object_of.tolist() == [0]


def curve(is_right, num_groundtruth, scores=(0.9, 0.8, 0.6, 0.4)):
    return ScoreCurve(np.array(scores, np.float32), np.array(is_right, bool), num_groundtruth)


def test_counts_at_a_threshold():
    point = curve([1, 0, 1, 0], 4).at(0.6)
    assert (point.true_positives, point.false_positives, point.false_negatives) == (2, 1, 2)
    assert (point.precision, point.recall, point.f1) == pytest.approx((2 / 3, 1 / 2, 4 / 7))
    nothing = curve([1, 0, 1, 0], 4).at(0.95)
    assert (nothing.recall, nothing.f1) == (0, 0)
    assert math.isnan(nothing.precision)


def test_a_score_counts_at_itself_as_the_client_compares():
    assert curve([1], 1, scores=[0.3]).at(float(np.float32(0.3))).true_positives == 1


def test_the_best_f1_and_the_threshold_between_its_score_and_the_next():
    # F1: 2/4, 2/5, 4/6, 4/7 of three objects.
    point = BEST_F1.choose(curve([1, 0, 1, 0], 3))
    assert point is not None
    assert point.f1 == pytest.approx(2 / 3)
    assert point.threshold == pytest.approx(0.5)
    assert BEST_F1.choose(curve([0, 0, 0, 0], 3)) is None
    assert BEST_F1.choose(curve([], 3, scores=[])) is None


def test_equal_scores_are_taken_together():
    # Alone, the first would be a precision of 1.
    point = BEST_F1.choose(curve([1, 0], 1, scores=[0.7, 0.7]))
    assert point is not None
    assert (point.true_positives, point.false_positives) == (1, 1)


def test_thresholds_stay_apart_where_scores_are_closer_than_they_are_rounded():
    near = np.nextafter(np.float32(0.5), np.float32(1))
    thresholds = curve([1, 1], 2, scores=[near, 0.5]).thresholds
    assert 0.5 < thresholds[0] <= float(near)


@pytest.mark.parametrize(
    ("text", "threshold"),
    [
        ("precision=1", 0.85),
        ("precision=0.75", 0.3),
        ("precision=0.76", 0.85),
        ("recall=0.5", 0.55),
        ("recall=0.6", 0.3),
    ],
)
def test_the_threshold_for_a_wanted_precision_or_recall(text, threshold):
    # Precision 1, 1/2, 2/3, 3/4; recall 1/5, 1/5, 2/5, 3/5.
    chosen = Criterion.of_text(text).choose(curve([1, 0, 1, 1], 5, scores=(0.9, 0.8, 0.6, 0.4)))
    expected = {0.3: 0.2, 0.55: 0.2}.get(threshold, threshold)
    assert chosen is not None
    assert chosen.threshold == pytest.approx(expected)


def test_what_cannot_be_reached_is_none():
    assert Criterion.of_text("precision=0.9").choose(curve([0, 1, 0, 1], 4)) is None
    assert Criterion.of_text("recall=0.9").choose(curve([0, 1, 0, 1], 4)) is None
    for text in ("f2", "precision", "precision=0", "recall=1.1", "precision=x", "f1=1"):
        with pytest.raises(ValueError):
            Criterion.of_text(text)


def test_classes_alone_and_together():
    matches = matched(([(1, A), (2, B)], [(1, 0.9, A), (2, 0.4, C), (2, 0.3, B)]))
    by_class = curves_by_class(matches)
    bed, lamp = (BEST_F1.choose(by_class[class_id]) for class_id in (1, 2))
    assert bed is not None and lamp is not None
    assert (bed.f1, lamp.f1) == pytest.approx((1, 2 / 3))
    together = added_up([bed, lamp])
    assert (together.true_positives, together.false_positives, together.false_negatives) == (2, 1, 0)
    assert curve_of_all(matches).at(0.35).f1 == pytest.approx(2 / 4)


def test_calibration_is_the_distance_of_score_and_share_that_is_right():
    # 0.9 and 0.95: one of two is right, 0.925 against 0.5. 0.2: wrong.
    matches = matched(([(1, A)], [(1, 0.95, A), (1, 0.9, B), (1, 0.2, C)]))
    bins = reliability(matches)
    assert [one.count for one in bins] == [0, 0, 1, 0, 0, 0, 0, 0, 0, 2]
    assert bins[9].share_right == 0.5
    assert expected_calibration_error(bins) == pytest.approx((2 * 0.425 + 0.2) / 3)
    assert math.isnan(expected_calibration_error(reliability(matched(([(1, A)], [])))))


def test_a_score_of_one_is_in_the_last_bin():
    assert reliability(matched(([(1, A)], [(1, 1.0, A)])))[9].count == 1


def test_the_confusion_matrix_has_confusions_misses_and_background():
    image = [(1, A), (2, B), (2, C)], [(2, 0.9, A), (1, 0.8, OVER_A), (2, 0.7, B), (1, 0.6, [600, 600, 700, 700])]
    # A is found as a bed, though the lamp there has the better score; C is missed.
    matrix = confusion_matrix(matched(image), {1: 0.5, 2: 0.5})
    assert matrix.tolist() == [[1, 0, 0], [0, 1, 1], [1, 1, 0]]
    # Above the bed's scores, the lamp at A is the confusion, and the bed elsewhere is gone.
    assert confusion_matrix(matched(image), {1: 0.85, 2: 0.5}).tolist() == [[0, 1, 0], [0, 1, 1], [0, 0, 0]]


def test_an_object_is_confused_once_and_near_ones_do_not_count():
    matrix = confusion_matrix(matched(([(1, A)], [(2, 0.9, A), (2, 0.8, A), (2, 0.7, NEAR_A)])), {1: 0.0, 2: 0.0})
    assert matrix.tolist() == [[0, 1, 0], [0, 0, 0], [0, 2, 0]]
    assert confusion_matrix(matched(([(1, A)], []), ([], [(2, 0.9, A)])), {1: 0.0, 2: 0.0}).tolist() == [
        [0, 0, 1],
        [0, 0, 0],
        [0, 1, 0],
    ]


def test_the_matrix_agrees_with_the_counts_at_its_thresholds():
    random = np.random.default_rng(0)
    images = []
    for _ in range(30):
        corners = random.integers(0, 60, (12, 2))
        boxes = np.concatenate([corners, corners + random.integers(20, 60, (12, 2))], axis=1)
        truth = [(int(random.integers(1, 3)), box) for box in boxes[:5]]
        found = [(int(random.integers(1, 3)), float(random.random()), box) for box in boxes[3:]]
        images.append((truth, found))
    matches = matched(*images)
    matrix = confusion_matrix(matches, {1: 0.3, 2: 0.5})
    for row, (class_id, threshold) in enumerate([(1, 0.3), (2, 0.5)]):
        point = curves_by_class(matches)[class_id].at(threshold)
        assert matrix[row, row] == point.true_positives
        assert matrix[:, row].sum() == point.true_positives + point.false_positives
        assert matrix[row].sum() == point.true_positives + point.false_negatives
