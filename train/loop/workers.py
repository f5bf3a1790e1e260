"""The processes of one training: which of them writes, and how they come to the same decisions."""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from data_prep.runtime.command_line import UsageError, UserError
from train.checkpoints.files import newest_checkpoint
from train.loop.cluster import Cluster
from train.loop.stopping import StopRequests, TrainingStopped

_TOKEN_NAME = ".workers"
_FOLDER_TIMEOUT_SECONDS = 30.0  # how long a network's file system may take to show a file to the other machines
_ROOT = Path(__file__).resolve().parents[2]
# What TensorFlow's errors say where an exchange between workers failed.
_TASK = re.compile(r"/job:worker/replica:\d+/task:(\d+)")
_COLLECTIVE = "Collective ops is aborted"
_MISMATCH = "expected type"  # of an exchange that the workers do not make in the same order: an error in this code
_PACKAGES = ("configs", "data_prep", "train")


class Workers:
    """The processes of one training; where there is one, it decides alone.

    Attributes:
        strategy: What spreads the steps over them.
        is_chief: Whether this process writes checkpoints, summaries and reports.
    """

    def __init__(self, strategy: tf.distribute.Strategy, cluster: Cluster | None = None) -> None:
        """Remembers who there is."""
        self.strategy = strategy
        self.is_chief = cluster is None or cluster.is_chief
        self._cluster = cluster

    @property
    def are_several(self) -> bool:
        """Whether there are other processes."""
        return self._cluster is not None

    def sum(self, number: int) -> int:
        """Adds up each process' number; all wait for the last one."""
        if self._cluster is None:
            return number
        return int(self.gather([number]).sum())

    def of_chief(self, number: int) -> int:
        """Returns the chief's number in all processes; all wait for the last one."""
        if self._cluster is None:
            return number
        return int(self.gather([number])[0, 0])

    def gather(self, numbers: list[int]) -> np.ndarray:
        """Returns all processes' numbers, int64 [workers, numbers]; all wait for the last one."""
        if self._cluster is None:
            return np.array([numbers], np.int64)
        per_replica = self.strategy.experimental_distribute_values_from_function(
            lambda _: tf.constant([numbers], tf.int64)
        )
        gathered = self.strategy.gather(per_replica, axis=0).numpy()
        return gathered.reshape(self._cluster.num_workers, -1, len(numbers))[:, 0]

    def agree_to_stop(self, stop: StopRequests) -> None:
        """Raises `TrainingStopped`, in all processes after the same step, if one of them was asked to stop."""
        if self._cluster is None:
            stop.check()
        elif number := int(self.gather([stop.requested or 0]).max()):
            raise TrainingStopped(number)

    def require_the_same(self, facts: Mapping[str, str]) -> None:
        """Makes sure that all processes were started with the same.

        Args:
            facts: Texts that must be equal, by what to call them.

        Raises:
            UsageError: They are not; it says of which two processes, and what.
        """
        if self._cluster is None:
            return
        digests = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big") for text in facts.values()]
        table = self.gather(digests)
        for index, row in enumerate(table):
            differing = [name for name, ours, theirs in zip(facts, table[0], row, strict=True) if ours != theirs]
            if differing:
                chief, other = self._cluster.name_of(0), self._cluster.name_of(index)
                raise UsageError(
                    f"{other} has another {' and another '.join(differing)} than {chief}; make them the same"
                )

    def require_shared_folder(self, folder: Path) -> None:
        """Makes sure that all processes see one folder, which they find the checkpoints in.

        Raises:
            UsageError: Some do not see the chief's.
        """
        if self._cluster is None:
            return
        token = self.of_chief(secrets.randbits(60))
        path = folder / _TOKEN_NAME
        if self.is_chief:
            path.write_text(str(token))
        self.sum(0)  # written before anybody looks
        is_seen = self._sees(path, str(token))
        seen_by = self.gather([int(is_seen)])[:, 0]
        if self.is_chief:
            path.unlink(missing_ok=True)
        if not seen_by.all():
            blind = ", ".join(self._cluster.name_of(int(index)) for index in np.flatnonzero(seen_by == 0))
            raise UsageError(
                f"--model_dir {folder} of {self._cluster.name_of(0)} is not that of {blind}: all workers need one "
                "folder, on a file system that they share"
            )

    @staticmethod
    def _sees(path: Path, token: str) -> bool:
        deadline = time.monotonic() + _FOLDER_TIMEOUT_SECONDS
        while True:
            try:
                if path.read_text() == token:
                    return True
            except OSError:
                pass
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)

    @contextlib.contextmanager
    def writing_folder(self, folder: Path) -> Iterator[Path]:
        """The folder to save checkpoints to: `folder`, but for workers that are not the chief a temporary one.

        All must save, since the values of some variables are put together from all workers'; one copy is enough.
        """
        if self.is_chief:
            yield folder
            return
        with tempfile.TemporaryDirectory(prefix="worker-") as temporary:
            yield Path(temporary)

    @contextlib.contextmanager
    def loss_explained(self, folder: Path) -> Iterator[None]:
        """Turns what TensorFlow says when another worker is gone into one line.

        Args:
            folder: The run's, with its checkpoints.

        Raises:
            UserError: Another worker ended, by itself or by somebody's hand, or cannot be reached any more.
        """
        try:
            yield
        except (tf.errors.OpError, RuntimeError) as error:
            found = _TASK.search(str(error))
            if self._cluster is None or not (found or _COLLECTIVE in str(error)) or _MISMATCH in str(error):
                raise
            others = [index for index in range(self._cluster.num_workers) if index != self._cluster.index]
            named = int(found.group(1)) if found else self._cluster.index
            if named in others or len(others) == 1:
                gone = self._cluster.name_of(named if named in others else others[0])
            else:
                gone = "another worker"
            checkpoint = newest_checkpoint(str(folder))
            where = f"go on from {checkpoint}" if checkpoint else "begin again: there is no checkpoint yet"
            raise UserError(
                f"{gone} is gone (its own output says why); run the same command on all workers again: they {where}"
            ) from error


def code_digest() -> str:
    """A number of the code that trains: of this project's files, and TensorFlow's version."""
    digest = hashlib.sha256(tf.__version__.encode())
    for package in _PACKAGES:
        for path in sorted((_ROOT / package).rglob("*.py")):
            digest.update(str(path.relative_to(_ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()
