"""Stopping a training by a signal."""

from __future__ import annotations

import os
import signal
import time

import pytest
import tensorflow as tf

from tests.train.loop.one_box import OneBox, Run
from tests.train.loop.training_processes import start
from train.loop.stopping import StopRequests, TrainingStopped


def signals_itself(at_call: int, number: int, *, training: bool) -> type[OneBox]:
    """A network that sends its own process a signal: in so many-th call, of training or of an evaluation."""

    class SignalsItself(OneBox):
        def __init__(self) -> None:
            super().__init__()
            self.calls = 0

        def _call(self) -> float:
            self.calls += 1
            if self.calls == at_call:
                os.kill(os.getpid(), number)
            return 0.0

        def compute_losses(self, images, labels, *, training):
            losses = super().compute_losses(images, labels, training=training)
            return self._heard(losses) if training else losses

        def detect(self, images, true_image_shape):
            found = super().detect(images, true_image_shape)
            return found if self._in_training else self._heard(found)

        def _heard(self, values):
            nothing = tf.ensure_shape(tf.py_function(self._call, [], tf.float32), [])
            return {name: value + nothing for name, value in values.items()}

        _in_training = training

    if not training:
        SignalsItself.compute_losses = OneBox.compute_losses  # type: ignore[method-assign]
    return SignalsItself


def test_a_step_is_ended_then_all_is_saved_and_the_next_run_goes_on_from_there(block_config, tmp_path, capfd):
    config = block_config("ssd")
    made = Run(config, tmp_path, detector=signals_itself(6, signal.SIGTERM, training=True))
    with pytest.raises(TrainingStopped) as stopped, made.stop.listening():
        made.run.to_the_end()
    assert stopped.value.exit_code == 143
    assert (tmp_path / "ckpt-6.index").is_file() and not (tmp_path / "training_ended.json").exists()
    printed = capfd.readouterr()
    assert "SIGTERM: stopping after this step" in printed.err
    assert "stopped by SIGTERM at step 6: it is saved, and the same command goes on from step 6" in printed.out
    again = Run(config, tmp_path)
    assert int(again.trainer.global_step) == 6
    again.run.to_the_end()
    assert int(again.trainer.global_step) == 12


def test_an_evaluation_is_left_at_once_and_where_training_was_is_saved(block_config, tmp_path, capsys):
    made = Run(block_config("ssd"), tmp_path, detector=signals_itself(1, signal.SIGINT, training=False))
    with pytest.raises(TrainingStopped) as stopped, made.stop.listening():
        made.run.to_the_end()
    assert stopped.value.exit_code == 130
    assert (tmp_path / "ckpt-3.index").is_file() and not (tmp_path / "evaluations.json").exists()
    assert "stopped by SIGINT at step 3" in capsys.readouterr().out


def test_signals_mean_what_they_did_before_once_nobody_listens():
    before = signal.getsignal(signal.SIGTERM)
    stop = StopRequests()
    with stop.listening(), stop.deferred():
        assert signal.getsignal(signal.SIGTERM) != before
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(TrainingStopped, match="SIGTERM"):
            stop.check()
    assert signal.getsignal(signal.SIGTERM) == before


def wait_for(log, text: str, timeout_seconds: float = 120.0) -> None:
    deadline = time.monotonic() + timeout_seconds
    while text not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def test_the_command_ends_with_the_signals_code_and_the_second_signal_ends_it_at_once(block_config, tmp_path):
    words = ["--pipeline_config_path", str(block_config("ssd")), "--model_dir", str(tmp_path / "model")]
    words += ["--num_train_steps", "100000", "--no_evaluation", "--log_every_n", "1"]
    process = start(words, tmp_path / "log")
    try:
        wait_for(tmp_path / "log", "step 3/")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
        said = (tmp_path / "log").read_text().splitlines()[-1]
        assert said.startswith("stopped by SIGTERM at step ") and "the same command goes on from step" in said
        step = int(said.split("at step ")[1].split(":")[0])
        process = start(words, tmp_path / "again")
        wait_for(tmp_path / "again", f"step {step + 2}/")
        assert f"ckpt-{step}, step {step}" in (tmp_path / "again").read_text()
        # Stopped, it hears nothing in between, so that both arrive together.
        process.send_signal(signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
        assert process.wait(60) in (-signal.SIGINT, -signal.SIGTERM)
        assert "stopped by" not in (tmp_path / "again").read_text()
    finally:
        process.kill()
