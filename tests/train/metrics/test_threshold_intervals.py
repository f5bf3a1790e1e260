"""Bootstrap over images, and the intervals of thresholds, against the same done resample by resample."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.train.metrics.matched_boxes import A, B, C, matched
from train.metrics.bootstrap import image_counts, percentile_interval
from train.metrics.operating_points import BEST_F1, Criterion, curves_by_class
from train.metrics.threshold_intervals import threshold_intervals


def test_a_resample_has_as_many_images_and_does_not_depend_on_the_parts():
    whole = np.concatenate(list(image_counts(7, 50, seed=3)))
    parts = np.concatenate(list(image_counts(7, 50, seed=3, at_once=8)))
    np.testing.assert_array_equal(whole, parts)
    assert whole.shape == (50, 7)
    assert (whole.sum(axis=1) == 7).all()
    assert whole.max() > 1
    assert abs(np.concatenate(list(image_counts(7, 4000))).mean(axis=0) - 1).max() < 0.06


def test_an_interval_leaves_out_as_much_on_either_side():
    values = np.append(np.arange(1.0, 101.0), [math.nan] * 3)
    assert percentile_interval(values, 0.9) == (5.0, 95.0)
    assert percentile_interval(np.array([0.2] * 9 + [math.inf]), 0.8) == (0.2, 0.2)
    assert percentile_interval(np.array([0.2] * 8 + [math.inf] * 2), 0.8)[1] == math.inf
    assert all(map(math.isnan, percentile_interval(np.array([math.nan]))))


def images_of(count: int) -> list:
    """Beds at A, of which some are found, and lamps that are not there."""
    random = np.random.default_rng(5)
    images = []
    for _ in range(count):
        truth = [(1, A)] if random.random() < 0.7 else []
        found = [(1, float(random.random()), box) for box in (A, B, C) if random.random() < 0.6]
        images.append((truth, [*found, (2, float(random.random()), B)]))
    return images


@pytest.mark.parametrize("text", ["f1", "precision=0.6", "recall=0.5"])
def test_thresholds_are_chosen_as_on_the_drawn_images_themselves(text):
    images, criterion = images_of(12), Criterion.of_text(text)
    matches = matched(*images)
    found = threshold_intervals(matches, curves_by_class(matches), criterion, num_resamples=30, seed=1)
    chosen = []
    # The lowest score that counts says the same, wherever between it and the next lower one the threshold lies.
    for counts in np.concatenate(list(image_counts(12, 30, seed=1))):
        drawn = matched(*(image for image, count in zip(images, counts, strict=True) for _ in range(count)))
        curve = curves_by_class(drawn)[1]
        point = criterion.choose(curve)
        of_class = drawn.detections.scores[drawn.detections.classes == 1]
        lowest = of_class[of_class >= point.threshold].min() if point else math.inf
        chosen.append(lowest if curve.num_groundtruth else math.nan)
    scores = matches.detections.scores[matches.detections.classes == 1]
    for end, expected in zip(found[1], percentile_interval(np.array(chosen)), strict=True):
        if math.isinf(expected):
            assert math.isinf(end)
        else:
            assert scores[scores >= end].min() == pytest.approx(expected)


def test_a_class_without_objects_or_without_images_has_none():
    matches = matched(*images_of(12))
    assert all(map(math.isnan, threshold_intervals(matches, curves_by_class(matches), BEST_F1)[2]))
    nothing = matched()
    assert all(map(math.isnan, threshold_intervals(nothing, curves_by_class(nothing), BEST_F1)[1]))
    missed = matched(([(1, A)], []), ([(1, A)], []))
    assert threshold_intervals(missed, curves_by_class(missed), BEST_F1)[1] == (math.inf, math.inf)


def test_few_images_leave_a_threshold_open_and_many_do_not():
    widths = []
    for count in (10, 640):
        matches = matched(*images_of(count))
        low, high = threshold_intervals(matches, curves_by_class(matches), Criterion.of_text("recall=0.4"))[1]
        widths.append(high - low)
    assert widths[1] < widths[0] / 2
