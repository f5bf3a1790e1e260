"""python -m configs.plot_schedule: the learning rate as an image and in numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from configs.plot_schedule import main
from configs.schema import pipeline_file
from configs.schema.problem import ConfigError
from configs.settings.annealing import PolynomialDecay
from configs.settings.optimizers import MomentumOptimizer
from configs.settings.reading import read_settings_text
from configs.views.schedule_plot import draw_schedule, round_up
from configs.views.summary import describe_schedule

CONFIGS = Path(pipeline_file.__file__).parents[1]
RECIPE = str(CONFIGS / "ssd_resnet50_v1_fpn_640.config")
CURVE = (0x1F, 0x5F, 0xA8)


def schedule_of(text: str):
    return read_settings_text(MomentumOptimizer, f"learning_rate {{ {text} }}").learning_rate


def curve_heights(image: Image.Image) -> dict[int, float]:
    """For each column of pixels that the curve crosses, the middle of its rows."""
    rows, columns = np.nonzero((np.asarray(image) == CURVE).all(axis=-1))
    return {int(column): float(rows[columns == column].mean()) for column in np.unique(columns)}


def test_writes_an_image_and_prints_the_turning_points(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    output = tmp_path / "rate.png"
    assert main([RECIPE, "--output", str(output)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "step 0: 0.00166667, warm-up",
        "step 1000: 0.005, cosine",
        "step 10000: 0, end of the cosine",
        f"wrote {output}",
    ]
    with Image.open(output) as image:
        assert image.format == "PNG" and image.size == (1200, 640)


def test_the_curve_lies_where_the_rate_says() -> None:
    text = "cosine_decay_learning_rate { learning_rate_base: 1.0 total_steps: 1000 warmup_steps: 100 }"
    heights = curve_heights(draw_schedule(schedule_of(text), 1000, "t"))
    left, right, top, bottom = 130, 1160, 70, 550
    for step, rate in ((50, 0.5), (550, 0.5), (325, 0.853553)):
        column = left + round(step / 1000 * (right - left))
        assert heights[column] == pytest.approx(bottom - rate * (bottom - top), abs=6)


def test_stairs_stay_upright() -> None:
    text = (
        "manual_step_learning_rate { initial_learning_rate: 1.0 schedule { step: 500000 learning_rate: 0.1 } "
        "schedule { step: 900000 learning_rate: 0.01 } }"
    )
    heights = curve_heights(draw_schedule(schedule_of(text), 1_000_000, "t"))
    middle = 130 + 515
    assert heights[middle - 4] == pytest.approx(70, abs=2)
    assert heights[middle + 8] == pytest.approx(550 - 48, abs=2)


@pytest.mark.parametrize(
    ("text", "course"),
    [
        ("constant_learning_rate { learning_rate: 0.25 }", ["step 0: 0.25, constant"]),
        (
            "exponential_decay_learning_rate { initial_learning_rate: 0.5 decay_steps: 100 decay_factor: 0.5 "
            "burnin_learning_rate: 0.125 burnin_steps: 50 min_learning_rate: 0.1 }",
            [
                "step 0: 0.125, burn-in",
                "step 50: 0.5, falls in stairs, times 0.5 every 100 steps",
                "step 350: 0.1, held at the minimum",
            ],
        ),
        (
            "manual_step_learning_rate { initial_learning_rate: 0.0 warmup: true "
            "schedule { step: 10 learning_rate: 0.5 } schedule { step: 20 learning_rate: 0.1 } }",
            ["step 0: 0, warm-up", "step 10: 0.5, schedule[0]", "step 20: 0.1, schedule[1]"],
        ),
        (
            "cosine_decay_learning_rate { learning_rate_base: 0.5 total_steps: 100 warmup_steps: 10 "
            "hold_base_rate_steps: 20 }",
            [
                "step 0: 0.0002, warm-up",
                "step 10: 0.5, base rate held",
                "step 30: 0.5, cosine",
                "step 100: 0, end of the cosine",
            ],
        ),
    ],
)
def test_the_course_in_words(text: str, course: list[str]) -> None:
    assert describe_schedule(schedule_of(text)) == course


def test_a_schedule_that_outlives_the_training_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert (
        main([RECIPE, "--output", str(tmp_path / "x.png"), "--config_override", "train_config { num_steps: 50 }"]) == 0
    )
    assert "training ends at step 50, before 1000: cosine, 10000: end of the cosine" in capsys.readouterr().out


def test_a_contradiction_is_told_by_path(tmp_path: Path) -> None:
    override = (
        "train_config { optimizer { momentum_optimizer { learning_rate { cosine_decay_learning_rate { "
        "total_steps: 5 } } } } }"
    )
    with pytest.raises(ConfigError, match=r"cosine_decay_learning_rate\.total_steps: 5 must not be less"):
        main([RECIPE, "--output", str(tmp_path / "x.png"), "--config_override", override])
    assert list(tmp_path.iterdir()) == []


def test_the_schedule_in_extensions_is_the_one_that_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    override = "extensions { learning_rate { one_cycle { max_learning_rate: 0.5 total_steps: 10000 } } }"
    output = tmp_path / "rate.png"
    assert main([RECIPE, "--output", str(output), "--config_override", override]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "step 0: 0.05, rise",
        "step 4500: 0.5, fall",
        "step 9000: 0.05, far below",
        "step 10000: 5e-05, held",
        f"wrote {output}",
    ]
    course = describe_schedule(
        PolynomialDecay(
            learning_rate_base=0.5,
            total_steps=100,
            end_learning_rate=0.0,
            power=2.0,
            warmup_learning_rate=0.1,
            warmup_steps=10,
        )
    )
    assert course == ["step 0: 0.1, warm-up", "step 10: 0.5, falls by the power 2 of what is left", "step 100: 0, held"]


@pytest.mark.parametrize(("value", "above"), [(0.0, 0.0), (0.04, 0.05), (0.9, 1.0), (2.1, 2.5), (1.0, 1.0)])
def test_axes_end_at_round_numbers(value: float, above: float) -> None:
    assert round_up(value) == pytest.approx(above)
