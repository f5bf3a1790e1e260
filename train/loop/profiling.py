"""The profile of some steps, for TensorBoard's profile plugin.

The plugin takes each turn of a loop in a graph for a step of its own, and then has none of the steps that are marked.
So a training that is profiled calls its steps one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orbit
import tensorflow as tf

from data_prep.runtime.command_line import UserError


class ProfiledTrainer(orbit.AbstractTrainer):
    """A trainer of which TensorFlow's profiler watches some steps, each a loop of its own and marked by its number."""

    def __init__(
        self,
        trainer: orbit.AbstractTrainer,
        *,
        global_step: tf.Variable,
        first: int,
        last: int,
        folder: Path | None,
        say: Callable[[str], None],
    ) -> None:
        """Profiles nothing yet.

        Args:
            trainer: Makes the steps, each by a call of its own (`orbit.StandardTrainerOptions.use_tf_while_loop`).
            global_step: How many it has made.
            first: The first step to profile, from 1.
            last: The last one.
            folder: The profile goes below it, to `plugins/profile`; None makes the same loops and profiles none, as
                workers must that are not the chief.
            say: Prints a line.
        """
        self._trainer = trainer
        self._global_step = global_step
        self._first, self._last = first, last
        self._folder = folder
        self._say = say
        self._runs = False

    def steps_in_loop(self, step: int, num_steps: int) -> int:
        """Shortens a loop that begins at `step`, so that one ends before the first step and at each of the profile."""
        if step >= self._last:
            return num_steps
        return min(num_steps, max(1, self._first - 1 - step))

    def train(self, num_steps: tf.Tensor) -> Any:
        """Trains; see `orbit.AbstractTrainer`."""
        step = int(self._global_step.numpy())
        if not self._first - 1 <= step < self._last:
            return self._trainer.train(num_steps)
        if self._folder is not None and not self._runs:
            tf.profiler.experimental.start(str(self._folder))
            self._runs = True
        with tf.profiler.experimental.Trace("train", step_num=step + 1, _r=1):
            results = self._trainer.train(num_steps)
        if step + 1 >= self._last:
            self.close()
        return results

    def close(self) -> None:
        """Writes the profile, if one was begun and is not written."""
        if self._runs:
            self._runs = False
            tf.profiler.experimental.stop()
            self._say(f"profiled up to step {int(self._global_step.numpy())}: tensorboard --logdir {self._folder}")


def require_profiled(first: int, last: int, start_step: int, num_steps: int) -> None:
    """Checks that there is something to profile.

    Args:
        first: The first step to profile.
        last: The last one.
        start_step: Where training goes on from.
        num_steps: Where it is to end.

    Raises:
        UserError: The run makes none of these steps.
    """
    if last <= start_step or first > num_steps:
        raise UserError(
            f"--profile_steps {first} {last}: this run makes steps {start_step + 1} to {num_steps} and none of these"
        )
