"""The range test on a network, and python -m train.find_learning_rate."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data_prep.runtime.command_line import UsageError
from train.experiments.learning_rate_range import measure, rising_rates, suggest
from train.experiments.range_training import field_of_largest_rate, with_rising_rate
from train.find_learning_rate import main
from train.loop.optimization import build_optimizer
from train.pipeline import load_pipeline

ROOT = Path(__file__).resolve().parents[3]
SCHEDULE = "learning_rate { %s }"
COSINE = (
    "cosine_decay_learning_rate { learning_rate_base: 0.5 total_steps: 100 warmup_learning_rate: 0.1 warmup_steps: 9 }"
)
STEPS = (
    "manual_step_learning_rate { initial_learning_rate: 0.1 schedule { step: 9 learning_rate: 0.5 } "
    "schedule { step: 50 learning_rate: 0.2 } }"
)


def optimizer_text(kind: str, schedule: str = COSINE) -> str:
    """An override that puts an optimizer in the place of the config's own."""
    return f"train_config {{ optimizer {{ {kind} {{ learning_rate {{ {schedule} }} }} use_moving_average: false }} }}"


def everything_in(*folders: Path) -> set[Path]:
    return {path for folder in folders for path in folder.rglob("*")}


@pytest.mark.parametrize("kind", ["momentum_optimizer", "adam_optimizer", "rms_prop_optimizer"])
def test_on_a_linear_layer_the_suggestion_is_below_what_diverges(kind: str, block_config) -> None:
    """A least-squares problem: with plain descent it diverges above 2 / largest curvature."""
    config = load_pipeline(str(block_config("ssd")), optimizer_text(kind))
    rates = rising_rates(1e-6, 10.0, 100)
    inputs = tf.random.stateless_normal([64, 8], seed=[1, 2]) * tf.constant([4.0] + [1.0] * 7)
    outputs = inputs @ tf.random.stateless_normal([8, 1], seed=[3, 4])

    def descend(pipeline, num_steps: int) -> list[float]:
        optimizer, _ = build_optimizer(pipeline.train_config.optimizer)
        weights = tf.Variable(tf.zeros([8, 1]))

        @tf.function
        def step() -> tf.Tensor:
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(inputs @ weights - outputs))
            optimizer.apply_gradients([(tape.gradient(loss, weights), weights)])
            return loss

        return [float(step()) for _ in range(num_steps)]

    losses = descend(with_rising_rate(config, rates[0], rates[-1], len(rates)), len(rates))
    suggestion = suggest(measure(rates, lambda index: losses[index]))
    assert suggestion is not None

    def trained_with(rate: float) -> float:
        text = optimizer_text(kind, f"constant_learning_rate {{ learning_rate: {rate} }}")
        return descend(load_pipeline(str(block_config("ssd")), text), 200)[-1]

    grid = np.geomspace(1e-3, 3.0, 12).tolist()
    finals = [trained_with(rate) for rate in grid]
    best = grid[int(np.nanargmin(finals))]
    assert trained_with(suggestion.rate) < 0.1 * losses[0], "it trains"
    assert best / 30 < suggestion.rate < best * 30
    if kind == "momentum_optimizer":
        curvature = float(tf.linalg.svd(inputs, compute_uv=False)[0] ** 2) * 2 / 64
        assert suggestion.rate < 2 * (1 + 0.9) / curvature, "the limit of descent with momentum 0.9"


@pytest.mark.parametrize("kind", ["momentum_optimizer", "adam_optimizer", "rms_prop_optimizer"])
def test_the_optimizers_rate_rises_as_told(kind: str, block_config) -> None:
    pipeline = with_rising_rate(load_pipeline(str(block_config("ssd")), optimizer_text(kind)), 1e-5, 1.0, 51)
    _, learning_rate = build_optimizer(pipeline.train_config.optimizer)
    np.testing.assert_allclose(learning_rate(tf.range(51)), rising_rates(1e-5, 1.0, 51), rtol=1e-4)


@pytest.mark.parametrize(
    ("schedule", "field"),
    [
        (COSINE, "cosine_decay_learning_rate.learning_rate_base"),
        (STEPS, "manual_step_learning_rate.schedule[0].learning_rate"),
        ("constant_learning_rate { learning_rate: 0.1 }", "constant_learning_rate.learning_rate"),
    ],
)
def test_the_field_to_write_to_is_that_of_the_largest_rate(schedule: str, field: str, block_config) -> None:
    pipeline = load_pipeline(str(block_config("ssd")), optimizer_text("adam_optimizer", schedule))
    assert field_of_largest_rate(pipeline) == f"train_config.optimizer.adam_optimizer.learning_rate.{field}"


@pytest.mark.parametrize("kind", ["adamw", "lamb"])
def test_an_optimizer_and_a_schedule_of_the_extensions_are_tested_too(kind: str, block_config) -> None:
    text = f"extensions {{ optimizer {{ {kind} {{ }} }} learning_rate {{ one_cycle {{ total_steps: 9 }} }} }}"
    pipeline = load_pipeline(str(block_config("ssd")), text)
    assert field_of_largest_rate(pipeline) == "extensions.learning_rate.one_cycle.max_learning_rate"
    rising = with_rising_rate(pipeline, 1e-5, 1.0, 51)
    _, learning_rate = build_optimizer(rising.train_config.optimizer, rising.settings.extensions)
    np.testing.assert_allclose(learning_rate(tf.range(51)), rising_rates(1e-5, 1.0, 51), rtol=1e-4)


@pytest.mark.parametrize("family", ["ssd", "faster_rcnn"])
def test_the_command_suggests_a_rate_and_leaves_a_plot_alone(
    family: str, block_config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    config = block_config(family)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = everything_in(tmp_path, config.parent)
    assert main([str(config), "--num_steps", "40", "--seed", "1"]) == 0
    out = capsys.readouterr().out
    found = re.search(r"^suggested learning rate: (\S+), a tenth of", out, re.MULTILINE)
    assert found is not None, out
    assert 1e-6 < float(found[1]) < 1.0
    assert "write it to train_config.optimizer.momentum_optimizer.learning_rate.constant_learning_rate" in out
    assert out.splitlines()[-1] == "wrote pipeline.learning_rate_range.png"
    assert everything_in(tmp_path, config.parent) - before == {tmp_path / "pipeline.learning_rate_range.png"}
    with Image.open("pipeline.learning_rate_range.png") as image:
        assert image.format == "PNG"


def test_it_starts_from_the_fine_tune_checkpoint(block_config, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    override = 'train_config { fine_tune_checkpoint: "nowhere/ckpt-1" fine_tune_checkpoint_type: "detection" }'
    with pytest.raises(Exception, match="nowhere"):
        main([str(block_config("ssd")), "--config_override", override, "--output", str(tmp_path / "rates.png")])
    assert list(tmp_path.iterdir()) == []


def test_flags_that_make_no_range_are_refused(block_config) -> None:
    config = str(block_config("ssd"))
    with pytest.raises(UsageError, match=r"--highest_rate 0\.1 must be above --lowest_rate 0\.1"):
        main([config, "--lowest_rate", "0.1", "--highest_rate", "0.1"])
    with pytest.raises(SystemExit):
        main([config, "--num_steps", "201"])


def test_a_network_that_breaks_at_once_is_told_and_nothing_is_written(
    block_config, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    words = ["--lowest_rate", "1e3", "--highest_rate", "1e30", "--seed", "1", "--output", str(tmp_path / "rates.png")]
    assert main([str(block_config("ssd")), *words]) == 1
    *_, end, last = capsys.readouterr().out.splitlines()
    assert re.match(r"steps made: \d+; the loss (explodes|is not finite) at", end)
    assert "try a smaller --lowest_rate" in last and "nothing is written" in last
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_before_enough_steps_writes_nothing(block_config, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "train.find_learning_rate", str(block_config("ssd")), "--output", "rates.png"]
    words += ["--num_steps", "200"]  # their time is what a busy machine has to bring the signal
    process = subprocess.Popen(
        words,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    for line in process.stdout:
        if line.startswith("at most"):
            process.send_signal(signal.SIGINT)
            break
    out, error = process.communicate(timeout=120)
    assert process.returncode == 130, error
    assert "interrupted" in out and "nothing is written" in out
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []
