"""Trainings in processes of their own, several of them one training together, for tests."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

ROOT = Path(__file__).resolve().parents[3]


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def start(words: Sequence[str], log: Path, tf_config: str | None = None) -> subprocess.Popen[bytes]:
    """Starts `python -m train.train`, with its output, and what it says of errors, in a file."""
    environment = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
    if tf_config is not None:
        environment["TF_CONFIG"] = tf_config
    with log.open("wb") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "train.train", *words], cwd=ROOT, env=environment, stdout=out, stderr=out
        )


def run(words: Sequence[str], log: Path, timeout_seconds: float = 300.0) -> str:
    """Runs a training to its end, which must be a good one; returns what it printed."""
    code = start(words, log).wait(timeout_seconds)
    assert code == 0, log.read_text()
    return log.read_text()


class Workers:
    """Several processes of one training, on loopback."""

    def __init__(self, words_of_each: Sequence[Sequence[str]], folder: Path) -> None:
        """Starts them.

        Args:
            words_of_each: The command line's words, one list a worker.
            folder: For their output.
        """
        self.addresses = [f"127.0.0.1:{port}" for port in free_ports(len(words_of_each))]
        self.logs = [folder / f"worker-{index}.log" for index in range(len(words_of_each))]
        self.processes = [
            start(
                words,
                log,
                json.dumps({"cluster": {"worker": self.addresses}, "task": {"type": "worker", "index": index}}),
            )
            for index, (words, log) in enumerate(zip(words_of_each, self.logs, strict=True))
        ]

    def wait(self, timeout_seconds: float = 300.0) -> list[int]:
        """Waits for all to end; returns their exit codes."""
        try:
            return [process.wait(timeout_seconds) for process in self.processes]
        except subprocess.TimeoutExpired:
            raise AssertionError("\n\n".join(self.outputs())) from None
        finally:
            self.kill()

    def kill(self) -> None:
        """Ends those that still run."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()

    def outputs(self) -> list[str]:
        """What each has printed so far."""
        return [log.read_text() for log in self.logs]


def values(checkpoint: Path) -> dict[str, np.ndarray]:
    """All numbers of a checkpoint by their keys: weights, statistics, the optimizer's slots and counters."""
    reader = tf.train.load_checkpoint(str(checkpoint))
    found = {key: np.asarray(reader.get_tensor(key)) for key in reader.get_variable_to_shape_map()}
    return {key: value for key, value in found.items() if value.dtype.kind in "fi" and "save_counter" not in key}


def largest_difference(one: Path, other: Path) -> float:
    """The largest difference between two checkpoints' numbers, which must have the same keys."""
    ours, theirs = values(one), values(other)
    assert ours.keys() == theirs.keys() and len(ours) > 100
    return max(float(np.abs(ours[key] - theirs[key]).max(initial=0.0)) for key in ours)
