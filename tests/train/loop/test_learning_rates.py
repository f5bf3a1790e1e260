from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from configs.settings.declaration import SettingsError
from configs.settings.extensions import Extensions
from configs.settings.optimizers import MomentumOptimizer
from configs.settings.reading import read_settings_text
from train.loop.optimization import LearningRate


def schedule_of(text: str):
    return LearningRate(read_settings_text(MomentumOptimizer, f"learning_rate {{ {text} }}").learning_rate)


def annealed(text: str):
    settings = read_settings_text(Extensions, f"learning_rate {{ {text} }}").learning_rate
    assert settings is not None
    return LearningRate(settings)


def rates(text: str, steps: list[int], read=schedule_of) -> list[float]:
    schedule = read(text)
    curve = schedule(tf.constant(steps, tf.int64)).numpy()
    # One step at a time, in a graph, as an optimizer calls it, must give what the whole curve gives.
    in_graph = tf.function(schedule)
    singly = [in_graph(tf.constant(step, tf.int64)).numpy() for step in steps]
    np.testing.assert_allclose(curve, singly, rtol=1e-6)
    assert curve.dtype == np.float32
    return curve.tolist()


def test_constant():
    assert rates("constant_learning_rate { learning_rate: 0.25 }", [0, 1, 10**9]) == [0.25] * 3


def test_exponential_decay_by_stairs_after_a_burn_in():
    text = """exponential_decay_learning_rate { initial_learning_rate: 0.5 decay_steps: 100 decay_factor: 0.5
              burnin_learning_rate: 0.125 burnin_steps: 50 min_learning_rate: 0.1 }"""
    # Decay is counted from the end of the burn-in; the smallest rate holds in the end.
    found = rates(text, [0, 49, 50, 149, 150, 249, 250, 349, 350, 10_000])
    assert found == pytest.approx([0.125, 0.125, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.1, 0.1], rel=1e-6)


def test_exponential_decay_smoothly_and_without_a_rate_for_the_burn_in():
    text = """exponential_decay_learning_rate { initial_learning_rate: 0.5 decay_steps: 100 decay_factor: 0.25
              burnin_steps: 10 staircase: false }"""
    assert rates(text, [0, 9, 10, 60, 110, 160]) == pytest.approx([0.5, 0.5, 0.5, 0.25, 0.125, 0.0625], rel=1e-6)


def test_the_minimum_holds_in_the_burn_in_too():
    text = """exponential_decay_learning_rate { initial_learning_rate: 1 decay_steps: 10 decay_factor: 0.5
              burnin_learning_rate: 0.01 burnin_steps: 5 min_learning_rate: 0.2 }"""
    assert rates(text, [0, 5, 15]) == pytest.approx([0.2, 1.0, 0.5])


def test_manual_steps():
    text = """manual_step_learning_rate { initial_learning_rate: 0.1 schedule { step: 5 learning_rate: 0.01 }
              schedule { step: 10 learning_rate: 0.001 } }"""
    assert rates(text, [0, 4, 5, 9, 10, 999]) == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


def test_manual_steps_may_begin_at_step_0():
    text = """manual_step_learning_rate { initial_learning_rate: 0.1 schedule { step: 0 learning_rate: 0.01 }
              schedule { step: 10 learning_rate: 0.001 } }"""
    assert rates(text, [0, 9, 10]) == pytest.approx([0.01, 0.01, 0.001])


def test_manual_steps_with_a_ramp():
    text = """manual_step_learning_rate { initial_learning_rate: 0.1 warmup: true
              schedule { step: 4 learning_rate: 0.5 } schedule { step: 8 learning_rate: 0.05 } }"""
    assert rates(text, [0, 1, 2, 3, 4, 7, 8]) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.05])


def test_cosine_with_warm_up_and_hold():
    text = """cosine_decay_learning_rate { learning_rate_base: 0.4 total_steps: 140 warmup_learning_rate: 0.1
              warmup_steps: 30 hold_base_rate_steps: 10 }"""
    found = rates(text, [0, 10, 29, 30, 40, 65, 90, 140, 141])
    quarter = 0.2 * (1 + math.cos(math.pi / 4))
    assert found == pytest.approx([0.1, 0.2, 0.39, 0.4, 0.4, quarter, 0.2, 0.0, 0.0], abs=1e-7)


def test_cosine_defaults_are_the_schemas():
    assert rates("cosine_decay_learning_rate { learning_rate_base: 0.02 }", [0, 5000, 10_000]) == pytest.approx(
        [0.0002, 0.0101, 0.02]
    )


def test_cosine_held_to_the_end_has_no_nan():
    text = """cosine_decay_learning_rate { learning_rate_base: 0.4 total_steps: 20 warmup_learning_rate: 0.1
              warmup_steps: 10 hold_base_rate_steps: 10 }"""
    assert rates(text, [0, 10, 20, 21]) == pytest.approx([0.1, 0.4, 0.4, 0.0])
    text = "cosine_decay_learning_rate { learning_rate_base: 0.4 total_steps: 10 warmup_steps: 10 }"
    assert rates(text, [9, 10, 11]) == pytest.approx([0.36002, 0.4, 0.0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "learning_rate: is not set"),
        ("constant_learning_rate { learning_rate: -1 }", "constant_learning_rate.learning_rate: -1 is not a learning"),
        (
            "constant_learning_rate { learning_rate: nan }",
            "constant_learning_rate.learning_rate: nan is no finite number",
        ),
        ("exponential_decay_learning_rate { decay_steps: 0 }", "decay_steps: 0 must be at least 1"),
        ("exponential_decay_learning_rate { decay_factor: 0 }", "decay_factor: 0 must be greater"),
        ("manual_step_learning_rate { }", "manual_step_learning_rate.schedule: is empty"),
        (
            "manual_step_learning_rate { warmup: true schedule { step: 0 } }",
            r"schedule\[0\].step: 0 must be at least 1",
        ),
        (
            "manual_step_learning_rate { schedule { step: 5 } schedule { step: 5 } }",
            r"schedule\[1\].step: 5 must be great",
        ),
        (
            "manual_step_learning_rate { schedule { step: 5 learning_rate: inf } }",
            r"manual_step_learning_rate.schedule\[0\].learning_rate: inf is no finite number",
        ),
        (
            "cosine_decay_learning_rate { total_steps: 9 warmup_steps: 10 }",
            "total_steps: 9 must not be less than warmup",
        ),
        (
            "cosine_decay_learning_rate { learning_rate_base: 0.1 warmup_learning_rate: 0.2 }",
            "warmup_learning_rate: 0.2 must not be greater than learning_rate_base, 0.1",
        ),
    ],
)
def test_contradictions_are_refused_by_path(text, message):
    with pytest.raises(SettingsError, match=message):
        schedule_of(text)


def test_a_warm_up_rate_above_the_base_matters_only_where_there_is_a_warm_up():
    text = """cosine_decay_learning_rate { learning_rate_base: 0.1 warmup_learning_rate: 0.2 warmup_steps: 0
              total_steps: 10 }"""
    assert rates(text, [0, 5]) == pytest.approx([0.1, 0.05])


def test_one_cycle_rises_falls_as_long_and_ends_far_below():
    text = """one_cycle { max_learning_rate: 0.5 total_steps: 100 rise_share: 0.4 initial_divisor: 5
              final_divisor: 100 }"""
    found = rates(text, [0, 20, 40, 60, 80, 90, 100, 1000], annealed)
    assert found == pytest.approx([0.1, 0.3, 0.5, 0.3, 0.1, 0.0505, 0.001, 0.001], rel=1e-5)
    curve = annealed(text)(np.arange(101)).numpy()
    # No step is larger than the rise's: nothing jumps.
    assert np.abs(np.diff(curve)).max() == pytest.approx(0.01, rel=1e-3)
    assert curve.argmax() == 40


def test_one_cycle_of_two_halves_and_of_one_step_has_no_nan():
    text = "one_cycle { max_learning_rate: 0.5 total_steps: 10 rise_share: 0.5 initial_divisor: 5 final_divisor: 10 }"
    assert rates(text, [0, 5, 9, 10, 11], annealed) == pytest.approx([0.1, 0.5, 0.18, 0.01, 0.01], rel=1e-5)
    assert rates("one_cycle { max_learning_rate: 1 total_steps: 1 }", [0, 1], annealed) == pytest.approx([0.1, 1e-4])


def test_polynomial_decay_after_a_warm_up():
    text = """polynomial_decay { learning_rate_base: 0.5 total_steps: 110 end_learning_rate: 0.1 power: 2
              warmup_learning_rate: 0.05 warmup_steps: 10 }"""
    found = rates(text, [0, 5, 10, 60, 110, 200], annealed)
    assert found == pytest.approx([0.05, 0.275, 0.5, 0.2, 0.1, 0.1], rel=1e-5)
    line = rates("polynomial_decay { learning_rate_base: 0.5 total_steps: 100 }", [0, 25, 100, 101], annealed)
    assert line == pytest.approx([0.5, 0.375, 0.0, 0.0])
    only_warm_up = "polynomial_decay { learning_rate_base: 0.5 total_steps: 10 warmup_steps: 10 }"
    assert rates(only_warm_up, [0, 5, 10], annealed) == pytest.approx([0.0, 0.25, 0.0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "learning_rate: is empty"),
        ("one_cycle { }", "learning_rate.one_cycle.total_steps: unset, which means 0 steps are no course"),
        ("one_cycle { total_steps: 9 rise_share: 0.6 }", "one_cycle.rise_share: 0.6 must be above 0 and at most 0.5"),
        ("one_cycle { total_steps: 9 initial_divisor: 0.5 }", "one_cycle.initial_divisor: 0.5 must be at least 1"),
        ("polynomial_decay { total_steps: 9 power: 0 }", "polynomial_decay.power: 0 must be above 0"),
        (
            "polynomial_decay { total_steps: 9 end_learning_rate: 0.5 }",
            "polynomial_decay.end_learning_rate: 0.5 is above learning_rate_base, 0.002",
        ),
        (
            "polynomial_decay { total_steps: 9 warmup_steps: 10 }",
            "total_steps: 9 must not be less than warmup_steps, 10",
        ),
    ],
)
def test_contradictions_of_our_schedules_are_refused_by_path(text, message):
    with pytest.raises(SettingsError, match=message):
        annealed(text)
