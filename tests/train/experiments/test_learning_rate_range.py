"""The learning rate range test on quadratics, of which the largest rate that is stable is known."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from train.experiments.learning_rate_range import EXPLOSION, RangeCurve, measure, rising_rates, suggest
from train.experiments.range_plot import draw_range
from train.loop.stopping import TrainingStopped

DIMENSIONS = 30
LIMIT = 2.0  # of gradient descent, where the largest curvature is 1
Descent = Callable[[list[float]], list[float]]


def noisy_quadratic(seed: int, noise: float) -> Descent:
    """Gradient descent on a quadratic with curvatures from 0.01 to 1: the losses of steps with given rates."""
    random = np.random.default_rng(seed)
    curvatures = 10 ** random.uniform(-2, 0, DIMENSIONS)
    curvatures[0] = 1.0
    start = random.normal(size=DIMENSIONS) * 3

    def descend(rates: list[float]) -> list[float]:
        random = np.random.default_rng(seed + 1)
        weights, losses = start.copy(), []
        for rate in rates:
            losses.append(0.5 * float(np.sum(curvatures * weights**2)) * math.exp(noise * random.normal()) + 0.5)
            gradient = curvatures * weights * np.exp(noise * random.normal(size=DIMENSIONS))
            weights = weights - rate * (gradient + 0.3 * noise * random.normal(size=DIMENSIONS))
            if losses[-1] > 1e12:
                break
        return losses

    return descend


def range_test(descend: Descent, num_steps: int = 100, highest: float = 10.0) -> RangeCurve:
    rates = rising_rates(1e-6, highest, num_steps)
    losses = descend(rates)
    return measure(rates, lambda step: losses[step])


def best_rate(descend: Descent) -> float:
    """The constant rate with the lowest losses after 300 steps."""
    grid = np.geomspace(1e-4, LIMIT, 60).tolist()
    runs = [descend([rate] * 300) for rate in grid]
    return grid[int(np.argmin([np.mean(run[-20:]) if len(run) == 300 else np.inf for run in runs]))]


@pytest.mark.parametrize("num_steps", [60, 100, 200])
@pytest.mark.parametrize("noise", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_the_suggestion_is_stable_and_near_the_best(seed: int, noise: float, num_steps: int) -> None:
    descend = noisy_quadratic(seed, noise)
    suggestion = suggest(range_test(descend, num_steps))
    assert suggestion is not None
    assert suggestion.rate < LIMIT
    best = best_rate(descend)
    assert best / 10 < suggestion.rate < best * 10


def test_rates_rise_by_the_same_factor_from_the_first_to_the_last() -> None:
    rates = rising_rates(1e-5, 1.0, 51)
    assert rates[0] == pytest.approx(1e-5) and rates[-1] == pytest.approx(1.0) and len(rates) == 51
    assert np.diff(np.log10(rates)) == pytest.approx(0.1)


def test_smoothing_is_not_drawn_to_zero_at_first() -> None:
    curve = measure(rising_rates(1e-6, 1.0, 50), lambda step: 7.0)
    assert curve.smoothed == pytest.approx([7.0] * 50)
    assert curve.end == "all steps are made"


def test_a_test_ends_where_the_loss_explodes_or_is_not_finite() -> None:
    rates = rising_rates(1e-6, 1.0, 100)
    exploding = measure(rates, lambda step: 1.0 if step < 50 else 100.0)
    assert 50 < len(exploding.losses) < 60
    assert exploding.smoothed[-1] > EXPLOSION * min(exploding.smoothed) >= exploding.smoothed[-2]
    assert "explodes at" in exploding.end
    broken = measure(rates, lambda step: 1.0 if step < 30 else math.nan)
    assert len(broken.losses) == len(broken.rates) == 30 and "not finite" in broken.end
    ended = measure(rates, lambda step: 1.0 if step < 10 else None)
    assert len(ended.losses) == 10 and ended.end == "the input has ended"


def test_ctrl_c_leaves_what_was_measured() -> None:
    def step(index: int) -> float:
        if index == 40:
            raise TrainingStopped(signal.SIGINT)
        return 10.0 - index / 10

    curve = measure(rising_rates(1e-6, 1.0, 100), step)
    assert curve.is_interrupted and len(curve.losses) == 40
    suggestion = suggest(curve)
    assert suggestion is not None and suggestion.rate == pytest.approx(curve.rates[39] / 10, rel=0.05)
    assert "still falling at the end (interrupted)" in suggestion.warning


def test_nothing_is_suggested_from_too_few_steps_or_a_loss_that_only_rises() -> None:
    rates = rising_rates(1e-6, 1.0, 100)
    assert suggest(measure(rates[:19], lambda step: 10.0 - step)) is None
    assert suggest(measure(rates, lambda step: 1.0 + step / 100)) is None
    assert suggest(RangeCurve((), (), (), "interrupted", True)) is None


def test_a_fall_within_the_noise_is_told() -> None:
    random = np.random.default_rng(0)
    curve = measure(rising_rates(1e-6, 1.0, 100), lambda step: 10.0 + float(random.normal()))
    suggestion = suggest(curve)
    assert suggestion is not None and "no more than batches differ" in suggestion.warning


def test_the_plot_has_the_curve_and_the_suggestion_where_they_belong() -> None:
    curve = range_test(noisy_quadratic(0, 0.1))
    suggestion = suggest(curve)
    assert suggestion is not None
    image = draw_range(curve, suggestion, "t")
    assert isinstance(image, Image.Image) and image.size == (1200, 640)
    pixels = np.asarray(image)
    # The mark is a dashed line at the suggested rate, on an axis that is logarithmic.
    marked = np.nonzero((pixels[70:550] == (0xC2, 0x45, 0x2D)).all(-1).sum(0) > 150)[0]
    first, last = math.log10(curve.rates[0]), math.log10(curve.rates[-1])
    expected = 130 + (math.log10(suggestion.rate) - first) / (last - first) * (1160 - 130)
    assert len(marked) and abs(marked.mean() - expected) <= 1.5
    rows, columns = np.nonzero((pixels == (0x1F, 0x5F, 0xA8)).all(-1))
    assert columns.min() == pytest.approx(130, abs=3) and columns.max() == pytest.approx(1160, abs=3)
    lowest_column = columns[rows == rows.max()].mean()
    assert lowest_column == pytest.approx(expected + 1030 / (last - first), abs=25)  # a power of ten to the right
