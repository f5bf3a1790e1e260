"""How many steps a training gets."""

from __future__ import annotations

from typing import Any

import pytest

from configs.filling.step_count import count_steps
from data_prep.runtime.command_line import UsageError


def count(num_images: int, **changes: Any) -> tuple[int, str]:
    given: dict[str, Any] = {"batch_size": 8, "recipe_steps": 240, "recipe_batch_size": 8, **changes}
    chosen = count_steps(num_images=num_images, **given)
    return chosen.steps, chosen.why


@pytest.mark.parametrize(
    ("num_images", "changes", "steps", "said"),
    [
        (120, {}, 240, "as the recipe has it, 16 passes over 120 images in batches of 8"),
        (12, {}, 240, "as the recipe has it, 160 passes"),
        (6, {}, 240, "320 passes"),  # never fewer than the recipe's, where those are fewer than 300
        (1000, {}, 2000, "16 passes over 1000 images in batches of 8; the recipe's 240 steps are for another"),
        (1_700_000, {}, 100_000, "0.47 passes over 1700000 images in batches of 8, as no more than 100000 steps"),
        (60, {"recipe_steps": 50_000}, 1500, "200 passes over 60 images"),
        (60, {"recipe_steps": 25_000, "recipe_batch_size": 64, "batch_size": 64}, 300, "no fewer than 300"),
        (1_000_000, {"recipe_steps": 400_000}, 2_000_000 // 5, "as the recipe has it, 3.2 passes"),
        (120, {"batch_size": 2}, 960, "as many images as in the recipe, 16 passes over 120 images in batches of 2"),
        (1000, {"recipe_steps": 0}, 2000, "16 passes over 1000 images in batches of 8"),
        (78, {"recipe_steps": 100, "starts_as_detector": True}, 100, "as the recipe has it, 10 passes over 78 images"),
        (128, {"recipe_steps": 100, "starts_as_detector": True}, 100, "as the recipe has it, 6.2 passes"),
        (128, {"recipe_steps": 100}, 256, "16 passes over 128 images"),
        (1000, {"recipe_steps": 100, "starts_as_detector": True}, 625, "5 passes over 1000 images in batches of 8"),
        (1000, {"recipe_steps": 0, "starts_as_detector": True}, 2000, "16 passes over 1000 images in batches of 8"),
        (1000, {"num_epochs": 0.5}, 63, "0.5 passes over 1000 images in batches of 8"),
        (1000, {"num_epochs": 1e-9}, 1, "1e-09 passes"),
        (1000, {"num_steps": 7}, 7, "as asked for, 0.056 passes over 1000 images"),
    ],
)
def test_the_number_of_steps_and_why(num_images: int, changes: dict[str, Any], steps: int, said: str) -> None:
    chosen, why = count(num_images, **changes)
    assert chosen == steps
    assert said in why


def test_more_steps_than_can_be_counted_are_refused() -> None:
    with pytest.raises(UsageError, match="more than can be counted"):
        count(1000, num_epochs=1e9)
    with pytest.raises(UsageError, match="more than can be counted"):
        count(1000, num_steps=2**31)
