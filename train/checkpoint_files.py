"""Finding the checkpoints of a run, and giving a detector's network their values."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from data_prep.command_line import UserError
from train.models.detector import Detector
from train.models.restore import restore

POLL_SECONDS = 2.0


def find_checkpoint(path: str) -> str | None:
    """Returns the prefix that `path` means: itself, or the newest checkpoint in a folder or in its `checkpoint/`.

    Args:
        path: A prefix such as `M/ckpt-300`, or a folder.

    Returns:
        None where there is no checkpoint (yet).
    """
    if Path(path + ".index").is_file():
        return path
    for folder in (Path(path), Path(path) / "checkpoint"):
        if folder.is_dir() and (newest := tf.train.latest_checkpoint(str(folder))):
            return newest
    return None


def require_checkpoint(path: str) -> str:
    """Returns the prefix that `path` means.

    Raises:
        UserError: There is none.
    """
    prefix = find_checkpoint(path)
    if prefix is None:
        raise UserError(f"{path} holds no checkpoint; train.train writes them into its --model_dir")
    return prefix


def wait_for_new_checkpoint(
    path: str, seen: str | None, timeout_seconds: float, say: Callable[[str], None] = print
) -> str | None:
    """Waits until a folder has a checkpoint other than `seen`.

    Args:
        path: The folder.
        seen: The last one that was taken, or None.
        timeout_seconds: How long to wait.
        say: Told once what is waited for, and until when.

    Returns:
        The new checkpoint's prefix, or None when the time is up.
    """
    deadline = time.time() + timeout_seconds
    told = False
    while True:
        newest = find_checkpoint(path)
        if newest is not None and newest != seen:
            return newest
        if time.time() >= deadline:
            return None
        if not told:
            what = f"one newer than {seen}" if seen else "a first one"
            until = time.strftime("%H:%M:%S", time.localtime(deadline))
            say(f"waiting for a checkpoint in {path} ({what}) until {until}")
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
    restore(detector.network, prefix, "full", moving_averages=moving_averages)
    reader = tf.train.load_checkpoint(prefix)
    key = "global_step/.ATTRIBUTES/VARIABLE_VALUE"
    if reader.has_tensor(key):
        return int(reader.get_tensor(key))
    number = re.search(r"-(\d+)$", prefix)
    return int(number.group(1)) if number else 0
