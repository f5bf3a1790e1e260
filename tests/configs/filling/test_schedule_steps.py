"""Schedules stretched with the number of steps: the rate at the same share of the training stays the same."""

from __future__ import annotations

import numpy as np
import pytest

from configs.filling.changes import changed_text
from configs.filling.schedule_steps import steps_of_recipe, stretched
from configs.schema.pipeline_file import parse_pipeline_config
from configs.settings.loading import examine

SCHEDULES = {
    "cosine": "cosine_decay_learning_rate { learning_rate_base: 0.1 total_steps: 1000 warmup_learning_rate: 0.01 "
    "warmup_steps: 100 hold_base_rate_steps: 50 }",
    "exponential": "exponential_decay_learning_rate { initial_learning_rate: 0.1 decay_steps: 100 decay_factor: 0.5 "
    "burnin_learning_rate: 0.01 burnin_steps: 50 }",
    "manual": "manual_step_learning_rate { initial_learning_rate: 0.01 warmup: true "
    "schedule { step: 100 learning_rate: 0.1 } schedule { step: 600 learning_rate: 0.05 } }",
    "constant": "constant_learning_rate { learning_rate: 0.1 }",
}
ANNEALED = {
    "one cycle": "one_cycle { max_learning_rate: 0.1 total_steps: 1000 }",
    "polynomial": "polynomial_decay { learning_rate_base: 0.1 total_steps: 1000 warmup_steps: 100 power: 2.0 }",
}


def with_schedule(recipe_text: str, schedule: str, annealed: str = "") -> str:
    start = recipe_text.index("cosine_decay_learning_rate")
    end = recipe_text.index("}", start) + 1
    text = recipe_text[:start] + schedule + recipe_text[end:]
    text = text.replace("num_steps: 240", "num_steps: 1000")
    return text.replace("extensions {", f"extensions {{\n  learning_rate {{ {annealed} }}") if annealed else text


def rates(text: str, num_steps: int) -> np.ndarray:
    settings = examine(parse_pipeline_config(text), "a.config").settings
    assert settings is not None
    schedule = settings.extensions.schedule_over(settings.train_config.optimizer)
    return schedule.rate(np.linspace(0.0, num_steps, 51), np)


@pytest.mark.parametrize("after", [3000, 500])
@pytest.mark.parametrize("name", [*SCHEDULES, *ANNEALED])
def test_a_schedule_has_the_same_course_over_more_or_fewer_steps(recipe_text: str, name: str, after: int) -> None:
    text = with_schedule(recipe_text, SCHEDULES.get(name, SCHEDULES["constant"]), ANNEALED.get(name, ""))
    config = parse_pipeline_config(text)
    assert steps_of_recipe(config) == 1000
    changed = changed_text(text, config, stretched(config, 1000, after), "a.config")
    np.testing.assert_allclose(rates(changed, after), rates(text, 1000), rtol=1e-5)


@pytest.mark.parametrize("name", [*SCHEDULES, *ANNEALED])
@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_few_steps_still_make_a_config_that_can_be_used(recipe_text: str, name: str, after: int) -> None:
    text = with_schedule(recipe_text, SCHEDULES.get(name, SCHEDULES["constant"]), ANNEALED.get(name, ""))
    config = parse_pipeline_config(text)
    changed_text(text, config, stretched(config, 1000, after), "a.config")
    assert not examine(config, "a.config").problems


def test_what_is_not_written_is_stretched_by_its_default(recipe_text: str) -> None:
    text = with_schedule(recipe_text, "cosine_decay_learning_rate { learning_rate_base: 0.1 total_steps: 20000 }")
    config = parse_pipeline_config(text)
    changes = {change.path.rpartition(".")[2]: change.value for change in stretched(config, 1000, 100)}
    assert changes["warmup_steps"] == 1000  # of 10000, the schema's default
    assert changes["total_steps"] == 2000


def test_intervals_follow_but_checkpoints_do_not_become_rare(recipe_text: str) -> None:
    config = parse_pipeline_config(recipe_text)
    changes = {change.path: change.value for change in stretched(config, 240, 24_000)}
    assert changes["extensions.evaluate_every_n_steps"] == 12_000
    assert changes["extensions.checkpoint_every_n_steps"] == 1000


def test_a_recipe_without_num_steps_is_as_long_as_its_schedule(recipe_text: str) -> None:
    config = parse_pipeline_config(
        recipe_text.replace("num_steps: 240", "").replace("total_steps: 240", "total_steps: 90")
    )
    assert steps_of_recipe(config) == 90
    config.train_config.optimizer.adam_optimizer.learning_rate.constant_learning_rate.learning_rate = 0.1
    assert steps_of_recipe(config) == 0
