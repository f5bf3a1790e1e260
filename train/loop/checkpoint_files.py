"""Checkpoint files that a training run writes and an evaluation follows, the best one, and the mark of its end."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from data_prep.runtime.atomic_files import write_json
from train.checkpoints.files import newest_checkpoint
from train.checkpoints.object_checkpoint import ObjectCheckpoint
from train.checkpoints.restore import restore
from train.metrics.report import write_metrics_json
from train.models.detector import Detector

POLL_SECONDS = 2.0
END_NAME = "training_ended.json"
BEST_FOLDER = "best"
METRICS_NAME = "metrics.json"


@dataclasses.dataclass(frozen=True)
class TrainingEnd:
    """That a training has ended.

    Attributes:
        step: Its last.
        reason: Why it was the last, as a sentence.
    """

    step: int
    reason: str


def write_training_end(model_dir: Path, end: TrainingEnd) -> None:
    """Tells those who wait for checkpoints that no more will come."""
    write_json(model_dir / END_NAME, dataclasses.asdict(end))


def forget_training_end(model_dir: Path) -> None:
    """Takes that back, for a training that goes on."""
    (model_dir / END_NAME).unlink(missing_ok=True)


def read_training_end(folder: str | Path) -> TrainingEnd | None:
    """Returns how the training into a folder ended, or None where it has not, or does not say so."""
    try:
        written = json.loads((Path(folder) / END_NAME).read_text())
        return TrainingEnd(int(written["step"]), str(written["reason"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def wait_for_new_checkpoint(
    folder: str, seen: str | None, timeout_seconds: float, say: Callable[[str], None] = print
) -> str | None:
    """Waits until a folder has a checkpoint other than `seen`.

    Args:
        folder: Where a training writes them.
        seen: The last one that was taken, or None.
        timeout_seconds: How long to wait.
        say: Told once what is waited for, and until when.

    Returns:
        The new checkpoint's prefix, or None when the time is up, or the training has ended with the one that was seen.
    """
    deadline = time.time() + timeout_seconds
    told = False
    while True:
        # Asked before looking: a training says so only after its last checkpoint is there.
        end = read_training_end(folder)
        newest = newest_checkpoint(folder)
        if newest is not None and newest != seen:
            return newest
        if seen is not None and end is not None:
            return None
        if time.time() >= deadline:
            return None
        if not told:
            what = f"one newer than {seen}" if seen else "a first one"
            until = time.strftime("%H:%M:%S", time.localtime(deadline))
            say(f"waiting for a checkpoint in {folder} ({what}) until {until}")
            told = True
        time.sleep(min(POLL_SECONDS, max(deadline - time.time(), 0.0)))


def restore_trained(detector: Detector, prefix: str, *, moving_averages: bool = False) -> int:
    """Gives a detector's network all the values of one of its own checkpoints.

    Args:
        detector: Built from the config that the checkpoint was trained with.
        prefix: The checkpoint.
        moving_averages: Takes the optimizer's moving averages.

    Returns:
        The step that it was saved at, or 0 where it does not say.

    Raises:
        UserError: The checkpoint is of another network.
    """
    report = restore(detector.network, prefix, "full", moving_averages=moving_averages, exact=True)
    if report.trunk_agrees is False:
        print(f"warning: {prefix}: {report.trunk_check}", file=sys.stderr)
    step = ObjectCheckpoint(prefix).step
    if step is not None:
        return step
    number = re.search(r"-(\d+)$", prefix)
    return int(number.group(1)) if number else 0


class BestCheckpoint:
    """The checkpoint of the step whose evaluation was the best: `MODEL_DIR/best/ckpt-STEP` and `best/metrics.json`."""

    def __init__(self, model_dir: Path, checkpoint: tf.train.Checkpoint, checkpoint_name: str) -> None:
        """Writes nothing yet.

        Args:
            model_dir: The run's folder.
            checkpoint: What is saved, all of it: training can go on from the best, too.
            checkpoint_name: What files begin with.
        """
        self._folder = model_dir / BEST_FOLDER
        self._manager = tf.train.CheckpointManager(
            checkpoint, str(self._folder), max_to_keep=1, checkpoint_name=checkpoint_name
        )

    def save(self, step: int, metrics: dict[str, float], metric: str) -> str:
        """Saves the network as it stands in place of the best so far.

        Args:
            step: Where training is.
            metrics: What the evaluation found.
            metric: The one by which it is the best.

        Returns:
            The checkpoint's prefix.
        """
        path = self._manager.save(checkpoint_number=step, check_interval=False)
        write_metrics_json(self._folder / METRICS_NAME, metrics, {"step": step, "source": path, "best_by": metric})
        return str(path)
