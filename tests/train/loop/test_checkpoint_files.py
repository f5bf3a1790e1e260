"""Following a training by its folder: checkpoints as they come, and that no more will."""

from __future__ import annotations

import threading
import time

import tensorflow as tf

from train.loop import checkpoint_files
from train.loop.checkpoint_files import (
    TrainingEnd,
    forget_training_end,
    read_training_end,
    wait_for_new_checkpoint,
    write_training_end,
)


def save(folder, number: int) -> str:
    checkpoint = tf.train.Checkpoint(value=tf.Variable(float(number)))
    manager = tf.train.CheckpointManager(checkpoint, str(folder), max_to_keep=2, checkpoint_name="ckpt")
    return str(manager.save(checkpoint_number=number))


def test_waiting_ends_with_the_training(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint_files, "POLL_SECONDS", 0.05)
    first = save(tmp_path, 10)
    assert wait_for_new_checkpoint(str(tmp_path), None, 5.0) == first
    said: list[str] = []

    def end() -> None:
        time.sleep(0.3)
        write_training_end(tmp_path, TrainingEnd(10, "nothing improved"))

    thread = threading.Thread(target=end)
    started = time.monotonic()
    thread.start()
    assert wait_for_new_checkpoint(str(tmp_path), first, 60.0, said.append) is None
    thread.join()
    assert time.monotonic() - started < 30
    assert len(said) == 1 and f"one newer than {first}" in said[0]
    assert read_training_end(tmp_path) == TrainingEnd(10, "nothing improved")


def test_the_last_checkpoint_of_an_ended_training_is_still_given(tmp_path):
    first, last = save(tmp_path, 10), save(tmp_path, 20)
    write_training_end(tmp_path, TrainingEnd(20, "all steps are made"))
    assert wait_for_new_checkpoint(str(tmp_path), first, 5.0) == last
    assert wait_for_new_checkpoint(str(tmp_path), last, 600.0) is None


def test_a_training_that_goes_on_takes_its_end_back(tmp_path):
    forget_training_end(tmp_path)
    write_training_end(tmp_path, TrainingEnd(1, "for now"))
    forget_training_end(tmp_path)
    assert read_training_end(tmp_path) is None
    (tmp_path / checkpoint_files.END_NAME).write_text("{")
    assert read_training_end(tmp_path) is None
