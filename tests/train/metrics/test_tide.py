"""TIDE's kinds of mistakes against cases worked out by hand, and against its authors' package where that is there."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.train.metrics.matched_boxes import NEAR_A, OVER_A, A, B, C, matched
from train.metrics.tide import Mistake, TideErrors


def kinds(*images) -> list[str]:
    errors = TideErrors(matched(*images))
    return [Mistake(kind).name if kind >= 0 else "right" for kind in errors.mistake_of]


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        ([(1, 0.9, OVER_A)], ["right"]),
        ([(1, 0.9, NEAR_A)], ["LOCALIZATION"]),
        ([(2, 0.9, OVER_A)], ["CLASSIFICATION"]),
        ([(1, 0.9, A), (1, 0.8, OVER_A)], ["right", "DUPLICATE"]),
        ([(1, 0.9, C)], ["BACKGROUND"]),
        ([(2, 0.9, NEAR_A)], ["BOTH"]),
    ],
)
def test_each_kind(found, kind):
    assert kinds(([(1, A), (2, B)], found)) == kind


def test_without_objects_all_is_background():
    assert kinds(([], [(1, 0.9, A)]), ([(1, A)], [])) == ["BACKGROUND"]
    errors = TideErrors(matched(([], [(1, 0.9, A)])))
    assert all(math.isnan(cost) or cost == 0 for cost in errors.costs().values())


def test_a_wrong_place_that_is_mended_is_found():
    errors = TideErrors(matched(([(1, A)], [(1, 0.9, NEAR_A)])))
    assert errors.average_precision() == 0
    assert errors.costs() == {
        **dict.fromkeys(Mistake, 0.0),
        Mistake.LOCALIZATION: pytest.approx(1.0),
    }
    assert errors.counts()[Mistake.MISSED] == 0  # a detection is near


def test_missed_objects_and_background_cost_what_their_absence_gains():
    # One of two beds is found, behind a detection of nothing: precision 1/2 up to recall 1/2, 51 of 101 recalls.
    errors = TideErrors(matched(([(1, A), (1, B)], [(1, 0.9, C), (1, 0.8, A)])))
    assert errors.average_precision() == pytest.approx(0.5 * 51 / 101)
    costs = errors.costs()
    assert costs[Mistake.BACKGROUND] == pytest.approx(0.5 * 51 / 101)
    assert costs[Mistake.MISSED] == pytest.approx(0.5 - 0.5 * 51 / 101)
    assert errors.counts() == {**dict.fromkeys(Mistake, 0), Mistake.BACKGROUND: 1, Mistake.MISSED: 1}


def test_of_two_that_would_be_one_object_the_better_is_mended():
    # The lamp at A has the better score, so the bed near A is only taken away where wrong places are mended.
    errors = TideErrors(matched(([(1, A), (2, B)], [(2, 0.9, A), (1, 0.8, NEAR_A), (2, 0.7, B)])))
    # Now: no bed; lamps right at the second. A wrong class mended: the bed is found, lamps are without a mistake.
    assert errors.average_precision() == pytest.approx((0 + 0.5) / 2)
    assert errors.costs()[Mistake.CLASSIFICATION] == pytest.approx(1 - 0.25)
    assert errors.costs()[Mistake.LOCALIZATION] == 0


def test_it_gives_what_its_authors_package_gives():
    tidecv = pytest.importorskip("tidecv")
    random = np.random.default_rng(1)
    names = {1: "a", 2: "b", 3: "c"}
    images = []
    truth_data, found_data = tidecv.Data("truth"), tidecv.Data("found")
    for number in range(60):
        corners = random.integers(0, 200, (6, 2)).astype(float)
        objects = np.concatenate([corners, corners + random.integers(30, 90, (6, 2))], axis=1)
        classes = random.integers(1, 4, 6)
        moved = np.concatenate([objects + random.normal(0, random.choice([2, 12, 40]), objects.shape)] * 2)[:9]
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 5)
        moved = moved.astype(np.float32).astype(float)
        found_classes = np.where(random.random(9) < 0.75, np.concatenate([classes] * 2)[:9], random.integers(1, 4, 9))
        scores = random.random(9).astype(np.float32).astype(float)
        images.append(
            (
                list(zip(classes.tolist(), objects.tolist(), strict=True)),
                list(zip(found_classes.tolist(), scores.tolist(), moved.tolist(), strict=True)),
            )
        )
        for class_id, box in images[-1][0]:
            truth_data.add_ground_truth(number, class_id, as_bbox(box))
        for class_id, score, box in images[-1][1]:
            found_data.add_detection(number, class_id, score, as_bbox(box))
    tide = tidecv.TIDE()
    run = tide.evaluate(truth_data, found_data, mode=tidecv.TIDE.BOX)
    errors = TideErrors(matched(*images, names=names))
    assert errors.average_precision() * 100 == pytest.approx(run.ap)
    theirs = {type_.short_name: value for type_, value in run.fix_main_errors().items()}
    counts = {type_.short_name: value for type_, value in run.count_errors().items()}
    ours, our_counts = errors.costs(), errors.counts()
    for kind, name in THEIR_NAMES.items():
        assert our_counts[kind] == counts[name] > 0, name
        assert ours[kind] * 100 == pytest.approx(theirs[name], abs=1e-6), name


THEIR_NAMES = {
    Mistake.LOCALIZATION: "Loc",
    Mistake.CLASSIFICATION: "Cls",
    Mistake.DUPLICATE: "Dupe",
    Mistake.BACKGROUND: "Bkg",
    Mistake.BOTH: "Both",
    Mistake.MISSED: "Miss",
}


def as_bbox(box):
    ymin, xmin, ymax, xmax = box
    return [xmin, ymin, xmax - xmin, ymax - ymin]
