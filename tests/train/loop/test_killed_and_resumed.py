"""A training that is killed and started again ends with the weights of one that was left alone, bit for bit."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.train.loop.training_processes import run, start, values


def words(config: Path, model_dir: Path, num_steps: int) -> list[str]:
    return [
        *("--pipeline_config_path", str(config), "--model_dir", str(model_dir), "--num_train_steps", str(num_steps)),
        *("--checkpoint_every_n", "3", "--log_every_n", "1", "--no_evaluation", "--seed", "7"),
    ]


def kill_after_steps(command: list[str], log: Path, steps: int) -> bool:
    """Runs a training until it has told of so many steps, and kills it a moment later; returns whether it was alive."""
    process = start(command, log)
    deadline = time.monotonic() + 300
    while process.poll() is None and log.read_text().count("\nstep ") < steps:
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.01)
    time.sleep(random.random() * 0.2)
    was_alive = process.poll() is None
    process.kill()
    process.wait()
    return was_alive


@pytest.mark.parametrize(
    ("family", "kills", "num_steps"),
    [
        ("ssd", 1, 8),
        pytest.param("ssd", 20, 80, marks=pytest.mark.slow),
        pytest.param("faster_rcnn", 4, 16, marks=pytest.mark.slow),
    ],
)
def test_weights_statistics_and_slots_are_the_same_to_the_last_bit(block_config, tmp_path, family, kills, num_steps):
    config = block_config(family)  # 8 images in batches of 2; Faster R-CNN with dropout
    run(words(config, tmp_path / "alone", num_steps), tmp_path / "alone.log")
    again = words(config, tmp_path / "killed", num_steps)
    moments = random.Random(kills)
    killed = sum(kill_after_steps(again, tmp_path / f"{kill}.log", moments.randint(1, 6)) for kill in range(kills))
    assert killed >= kills * 3 // 4
    output = run(again, tmp_path / "last.log")
    assert "going on from" in output or killed == 1
    ours, theirs = (values(tmp_path / name / f"ckpt-{num_steps}") for name in ("alone", "killed"))
    assert ours.keys() == theirs.keys() and len(ours) > 100
    different = [key for key in ours if ours[key].tobytes() != theirs[key].tobytes()]
    assert not different
