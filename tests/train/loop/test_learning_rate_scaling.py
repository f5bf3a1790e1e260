"""The linear rule: every rate of a schedule times how much larger the batch became, and nothing else."""

from __future__ import annotations

import re

import numpy as np
import pytest

from configs.schema.pipeline_file import merge, parse_pipeline_config
from configs.settings.declaration import SettingsError
from configs.settings.extensions import Extensions
from configs.settings.optimizers import Optimizer
from configs.settings.reading import read_settings
from train.loop.learning_rate_scaling import scale_to_batch_size
from train.loop.optimization import build_optimizer

SCHEDULES = {
    "constant": "constant_learning_rate { learning_rate: 0.02 }",
    "exponential": """exponential_decay_learning_rate {
        initial_learning_rate: 0.02 decay_steps: 4 decay_factor: 0.5 burnin_learning_rate: 0.001 burnin_steps: 3
        min_learning_rate: 0.0005 }""",
    "exponential without burn-in": "exponential_decay_learning_rate { initial_learning_rate: 0.02 decay_steps: 4 }",
    "manual": """manual_step_learning_rate { initial_learning_rate: 0.001 warmup: true
        schedule { step: 5 learning_rate: 0.02 } schedule { step: 9 learning_rate: 0.004 } }""",
    "cosine": """cosine_decay_learning_rate { learning_rate_base: 0.02 total_steps: 20 warmup_learning_rate: 0.004
        warmup_steps: 6 hold_base_rate_steps: 2 }""",
}


def config_with(schedule: str, kind: str = "momentum_optimizer"):
    return parse_pipeline_config(
        f"train_config {{ batch_size: 16 num_steps: 20 optimizer {{ {kind} {{ learning_rate {{ {schedule} }} }} }} }}"
    )


def rates(config) -> np.ndarray:
    _, schedule = build_optimizer(read_settings(Optimizer, config.train_config.optimizer))
    return schedule(np.arange(25)).numpy()


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=list(SCHEDULES))
@pytest.mark.parametrize("batch_size", [64, 4])
def test_every_rate_is_multiplied_and_steps_stay(schedule, batch_size):
    config = config_with(schedule)
    before = config.SerializeToString()
    scaled, words = scale_to_batch_size(config, batch_size)
    np.testing.assert_allclose(rates(scaled), rates(config) * batch_size / 16, rtol=1e-5)
    assert scaled.train_config.batch_size == batch_size
    assert scaled.train_config.num_steps == 20
    assert config.SerializeToString() == before
    assert f"batch_size 16 -> {batch_size}" in words


def test_what_was_changed_is_said():
    _, words = scale_to_batch_size(config_with(SCHEDULES["manual"], "adam_optimizer"), 32)
    assert words == (
        "linear rule, 2 times the batch size and manual_step_learning_rate: train_config.batch_size 16 -> 32, "
        "initial_learning_rate 0.001 -> 0.002, schedule[0].learning_rate 0.02 -> 0.04, "
        "schedule[1].learning_rate 0.004 -> 0.008; steps stay as written"
    )


@pytest.mark.parametrize("text", ["", "train_config { batch_size: 2 optimizer { adam_optimizer {} } }"])
def test_without_a_rate_there_is_nothing_to_scale(text):
    with pytest.raises(SettingsError, match=r"train_config\.optimizer.*: is not set"):
        scale_to_batch_size(parse_pipeline_config(text), 4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("one_cycle { max_learning_rate: 0.02 total_steps: 20 }", "one_cycle: .*, max_learning_rate 0.02 -> 0.08;"),
        (
            "polynomial_decay { learning_rate_base: 0.02 total_steps: 20 warmup_learning_rate: 0.001 warmup_steps: 3 }",
            "learning_rate_base 0.02 -> 0.08, warmup_learning_rate 0.001 -> 0.004;",
        ),
    ],
)
def test_the_schedule_in_extensions_is_the_one_that_is_scaled(text, words):
    config = merge(config_with(SCHEDULES["cosine"]), f"extensions {{ learning_rate {{ {text} }} }}")
    scaled, said = scale_to_batch_size(config, 64)
    assert re.search(words, said)
    before, after = (read_settings(Extensions, one.extensions).learning_rate for one in (config, scaled))
    steps = np.arange(25.0)
    np.testing.assert_allclose(after.rate(steps, np), 4 * before.rate(steps, np), rtol=1e-5)
    assert scaled.train_config.optimizer == config.train_config.optimizer
