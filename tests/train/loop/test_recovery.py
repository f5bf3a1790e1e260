"""Going on after a loss that is not finite."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from data_prep.runtime.command_line import UserError
from tests.train.loop.one_box import OneBox, Run
from train.loop.failures import NonFiniteLossError
from train.loop.recovery import Recovered, Recoveries

BAD_IMAGE = "photo3"
RECOVERY = "extensions { recovery { max_trials: 2 } }"


class BadOnOneImage(OneBox):
    """Its loss is no number for one image, and it remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def compute_losses(self, images, labels, *, training):
        losses = super().compute_losses(images, labels, training=training)
        if not training:
            return losses

        def remember(source_ids: np.ndarray) -> np.float32:
            names = [name.decode() for name in source_ids.numpy()]
            self.seen += names
            return np.float32(np.nan if BAD_IMAGE in names else 0.0)

        extra = tf.py_function(remember, [labels["source_id"]], tf.float32)
        return {name: value + tf.ensure_shape(extra, []) for name, value in losses.items()}


def test_a_run_goes_back_to_its_checkpoint_and_on_past_the_batch(block_config, tmp_path, capsys):
    config = block_config("ssd")  # 8 images in batches of 2: one of 4 batches is bad in each pass
    made = Run(config, tmp_path, RECOVERY, num_steps=6, detector=BadOnOneImage, seed=3, max_trials=9)
    made.run.to_the_end()
    bad = made.detector.seen.index(BAD_IMAGE) // 2
    first = json.loads((tmp_path / "recoveries.json").read_text())[0]
    assert first["step"] == bad - bad % 4 and BAD_IMAGE in first["reason"]
    assert first["num_batches"] == bad + 1 - first["step"]
    # Whatever a bad batch interrupts, the batches are those of the run's order, none twice and none left out.
    batches = Run(config, tmp_path / "other", seed=3).batches_from(0).take(len(made.detector.seen) // 2)
    order = [name.decode() for _, labels in batches for name in labels["source_id"].numpy()]
    assert made.detector.seen == order
    assert json.loads((tmp_path / "training_ended.json").read_text())["step"] == 6
    out = capsys.readouterr().out
    assert f"a loss is not finite at step {bad}" in out and BAD_IMAGE in out and "recovery 1 of 9" in out


def test_the_last_trial_ends_in_the_loss_that_was_not_finite(block_config, tmp_path):
    made = Run(block_config("ssd"), tmp_path, RECOVERY, num_steps=12, detector=BadOnOneImage, seed=3, max_trials=1)
    with pytest.raises(NonFiniteLossError, match=r"a loss is not finite at step .*went back once before"):
        made.run.to_the_end()
    assert len(json.loads((tmp_path / "recoveries.json").read_text())) == 1


def test_without_recovery_the_first_such_loss_ends_the_run(block_config, tmp_path):
    made = Run(block_config("ssd"), tmp_path, num_steps=12, detector=BadOnOneImage, seed=3)
    with pytest.raises(NonFiniteLossError, match=BAD_IMAGE):
        made.run.to_the_end()
    assert not (tmp_path / "recoveries.json").exists()


def test_batches_are_left_out_from_the_step_on_that_a_run_went_back_to(tmp_path):
    recoveries = Recoveries(tmp_path, 5)
    recoveries.made = [Recovered(10, 4, ""), Recovered(30, 1, "")]
    assert [recoveries.batch_of(step) for step in (0, 9, 10, 29, 30)] == [0, 9, 14, 33, 35]


def test_a_file_of_recoveries_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "recoveries.json").write_text("[{}]")
    with pytest.raises(UserError, match=r"recoveries.json cannot be read"):
        Recoveries(tmp_path, 1)
