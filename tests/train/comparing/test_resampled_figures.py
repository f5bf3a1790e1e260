"""Figures on resamples are those of the resampled images, and pairs tell what single figures do not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.train.comparing.random_detectors import detected, random_images
from train.comparing.candidate import Candidate, Cost, Kind
from train.comparing.class_matches import match_classes
from train.comparing.compare_options import AP, AP_50, FIGURES, CompareOptions
from train.comparing.comparison import ALL_CLASSES, measured
from train.comparing.operating import f1_scores, operate
from train.comparing.resampled_figures import DetectorMatches, measure, resampled_figures
from train.metrics.bootstrap import image_counts
from train.metrics.box_collection import BoxCollection
from train.metrics.coco import CocoEvaluator
from train.metrics.operating_points import BEST_F1, curve_of_all

NAMES = {1: "Bed", 2: "Lamp"}


def collected(images) -> BoxCollection:
    boxes = BoxCollection(NAMES)
    for image in images:
        boxes.add(image)
    return boxes


def matches_of(images, threshold=0.5) -> DetectorMatches:
    boxes = collected(images)
    return DetectorMatches(match_classes(boxes), operate(boxes, criterion=BEST_F1, threshold=threshold).image_counts())


def coco(images) -> dict[str, float]:
    evaluator = CocoEvaluator(NAMES)
    for image in images:
        evaluator.add(image)
    return evaluator.evaluate()


def without_ties(image):
    """Copies of an image with two equal scores come one behind the other in a data set, and together in a resample."""
    places = np.arange(len(image.detection_scores), dtype=np.float32)
    return dataclasses.replace(image, detection_scores=image.detection_scores - places * np.float32(1e-5))


def test_a_resample_has_the_averages_of_its_images_drawn_so_often():
    images = [without_ties(image) for image in detected(random_images(40), recall=0.6)]
    weights = np.concatenate([np.ones((40, 1)), next(image_counts(40, 6)).T], axis=1)
    figures = measure(matches_of(images), weights.astype(np.float32))
    for number, column in enumerate(weights.T.astype(int)):
        drawn = [image for image, times in zip(images, column, strict=True) for _ in range(times)]
        metrics = coco(drawn)
        prefix = "DetectionBoxes_Precision"
        assert figures[FIGURES.index(AP), 0, number] == pytest.approx(metrics[f"{prefix}/mAP"], abs=1e-6)
        assert figures[FIGURES.index(AP_50), 0, number] == pytest.approx(metrics[f"{prefix}/mAP@.50IOU"], abs=1e-6)
        by_class = [metrics[f"DetectionBoxes_PerformanceByCategory/mAP/{name}"] for name in NAMES.values()]
        assert figures[FIGURES.index(AP), 1:, number] == pytest.approx(by_class, abs=1e-6)
        f1 = curve_of_all(operate(collected(drawn), criterion=BEST_F1, threshold=0.5).matches).at(0.5).f1
        assert figures[2, 0, number] == pytest.approx(f1)


def test_a_class_without_objects_is_not_measured_and_not_averaged_over():
    images = [
        dataclasses.replace(image, groundtruth_classes=np.ones_like(image.groundtruth_classes))
        for image in random_images(10)
    ]
    figures = measure(matches_of(detected(images, recall=1.0)), np.ones((10, 1), np.float32))[..., 0]
    assert np.isnan(figures[0, 2])
    assert figures[0, 0] == figures[0, 1] > 0.1


def test_f1_of_nothing_at_all_is_not_a_number():
    counts = np.array([[[1, 0]], [[1, 0]], [[0, 0]]])  # one right and one wrong in the first image of two
    weights = np.array([[1.0, 2.0, 0.0], [1.0, 0.0, 2.0]], np.float32)
    assert f1_scores(counts, weights)[0].tolist() == pytest.approx([2 / 3, 2 / 3, np.nan], nan_ok=True)


def test_the_chosen_threshold_is_that_of_the_best_f1():
    images = detected(random_images(30), recall=0.7)
    operation = operate(collected(images), criterion=BEST_F1, threshold=None)
    best = BEST_F1.choose(curve_of_all(operation.matches))
    assert best is not None
    assert operation.threshold == best.threshold
    assert operation.image_counts().sum(axis=(1, 2)).tolist() == [
        best.true_positives,
        best.false_positives,
        best.false_negatives,
    ]


def verdict(one, other, **options):
    options = CompareOptions(**options)
    both = [matches_of(one), matches_of(other)]
    samples = resampled_figures(both, resamples=options.resamples, seed=options.seed)
    ones = np.ones((len(one), 1), np.float32)
    estimates = [measure(matches, ones)[..., 0] for matches in both]
    found = measured(
        Candidate("B", "b", None, Kind.DETECTIONS), Cost(), 0.5, list(NAMES.values()),
        estimates=(estimates[1], estimates[0]), samples=(samples[1], samples[0]), options=options, is_first=False,
    )  # fmt: skip
    return found, options, samples


def test_detections_are_no_better_than_themselves():
    images = detected(random_images(30), recall=0.6)
    found, options, _ = verdict(images, images, resamples=200)
    for figure in FIGURES:
        of_all = found.differences[figure][ALL_CLASSES]
        assert (of_all.probability, of_all.gain.low, of_all.gain.high) == (0.5, 0.0, 0.0)
    assert not found.is_better(options)
    allowed = dataclasses.replace(options, min_gain=-0.01)
    assert verdict(images, images, resamples=200, min_gain=-0.01)[0].is_better(allowed)


def test_who_finds_more_is_better_and_the_other_way_round_worse():
    images = random_images(60)
    low, high = detected(images, recall=0.5), detected(images, recall=0.7)
    found, options, _ = verdict(low, high, resamples=200)
    assert found.is_better(options)
    assert found.differences[AP][ALL_CLASSES].gain.low > 0
    back, _, _ = verdict(high, low, resamples=200)
    assert not back.is_better(options)
    assert back.differences[AP][ALL_CLASSES].probability == 0.0
    assert not verdict(low, high, resamples=200, min_gain=0.5)[0].is_better(CompareOptions(min_gain=0.5))


def test_pairs_tell_what_unpaired_resamples_do_not():
    images = random_images(60)
    low, high = detected(images, recall=0.5), detected(images, recall=0.55)
    found, options, samples = verdict(low, high, resamples=300)
    paired = found.differences[AP][ALL_CLASSES].gain
    other = resampled_figures([matches_of(high)], resamples=300, seed=options.seed + 1)[0]
    unpaired = np.quantile(other[0, 0] - samples[0][0, 0], [0.025, 0.975])
    assert paired.high - paired.low < 0.6 * (unpaired[1] - unpaired[0])


def test_the_seed_decides_the_draws():
    both = [matches_of(detected(random_images(20), recall=0.6))]
    one, same, other = (resampled_figures(both, resamples=150, seed=seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
