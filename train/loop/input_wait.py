"""The time that steps wait for their input: measured inside the graph, and said in one line where it is much."""

from __future__ import annotations

import os
import time
from collections import deque
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow.python.framework import config  # asking whether determinism is on has no public name

from configs.settings.pipeline import PipelineSettings
from data_prep.runtime.worker_pool import default_num_processes
from train.loop.core_use import CoreMeter, CoreUse

SECONDS_PER_STEP = "seconds_per_step"
WAIT_PER_STEP = "input_wait_seconds_per_step"
_ENOUGH_READERS = 8  # more hardly help


class LoopTime(NamedTuple):
    """The time that a loop of steps took.

    Attributes:
        num_steps: Of the loop.
        seconds_per_step: Their mean.
        wait_per_step: How many of these seconds the input was waited for.
        cores: That were at work meanwhile.
    """

    num_steps: int
    seconds_per_step: float
    wait_per_step: float
    cores: CoreUse


class InputWait:
    """Takes batches for steps, and counts for how long that stood still.

    The clock is read by two operations of the step's graph, before the batch is asked for and when all of it is there;
    they and the sum cost microseconds. A worker measures its own replicas' input.

    Attributes:
        loop: The time of the last loop.
    """

    def __init__(self) -> None:
        """Makes the sum, which is the process' own: no strategy mirrors it."""
        with tf.device("/cpu:0"):
            self._waited = tf.Variable(0.0, trainable=False, dtype=tf.float64)
        self._started = time.monotonic()
        self._meter = CoreMeter()
        self.loop = LoopTime(0, 0.0, 0.0, CoreUse(0.0, 0.0))

    def begin_loop(self) -> None:
        """Starts anew."""
        self._waited.assign(0.0)
        self._started = time.monotonic()
        self._meter.begin()

    def take(self, iterator: Any) -> Any:
        """Takes a batch; to be traced into a step."""
        before = _clock()
        with tf.control_dependencies([before]):
            batch = next(iterator)
        with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
            after = _clock()
        self._waited.assign_add(after - before)
        return batch

    def end_loop(self, num_steps: int) -> dict[str, float]:
        """Returns the seconds of a step, and how many of them it waited, as means over the loop."""
        seconds = time.monotonic() - self._started
        waited = float(self._waited.numpy())
        self.loop = LoopTime(num_steps, seconds / num_steps, waited / num_steps, self._meter.end())
        return {SECONDS_PER_STEP: self.loop.seconds_per_step, WAIT_PER_STEP: self.loop.wait_per_step}


def _clock() -> tf.Tensor:
    """The time in seconds, float64. Where operations must be repeatable, TensorFlow's own clock refuses to be read."""
    if config.is_op_determinism_enabled():
        return tf.ensure_shape(tf.numpy_function(time.time, [], tf.float64), [])
    return tf.timestamp()


class InputBottleneck:
    """Says once that the input is what a training waits for, and again if that has changed.

    Where other processes leave it too few cores for its input, it is these that are said, once.
    """

    # The share of the time that is waited from which on it is said, and up to which it is said that it is over.
    SHARE = 0.2
    SHARE_AFTER = 0.1
    # A verdict is about so many steps and so many seconds at least: the first batches always are waited for.
    NUM_STEPS = 20
    SECONDS = 5.0
    # Others are what it waits for where it had less than this share of its cores, and no more than that were idle.
    OWN_CORES = 0.75
    IDLE_CORES = 0.1

    def __init__(self, settings: PipelineSettings) -> None:
        """Starts without a verdict.

        Args:
            settings: Say what there is to change.
        """
        self._settings = settings
        self._loops: deque[tuple[int, float, float, float, float]] = deque()
        self._num_cores = default_num_processes()
        self._is_bottleneck = False
        self._has_told_of_others = False
        self._skipped_first = False

    def sentence(self, loop: LoopTime) -> str:
        """Takes a loop into account; returns what there is to say, mostly nothing."""
        if not self._skipped_first:  # The first loop traces the step, and its input fills the buffers.
            self._skipped_first = True
            return ""
        seconds = loop.num_steps * loop.seconds_per_step
        of_cores = (seconds * loop.cores.own, seconds * loop.cores.idle)
        self._loops.append((loop.num_steps, seconds, loop.num_steps * loop.wait_per_step, *of_cores))
        steps, seconds, waited, own, idle = self._sums()
        while len(self._loops) > 1 and self._is_enough(steps - self._loops[0][0], seconds - self._loops[0][1]):
            self._loops.popleft()
            steps, seconds, waited, own, idle = self._sums()
        if not self._is_enough(steps, seconds):
            return ""
        share = waited / seconds
        if not self._is_bottleneck and share > self.SHARE:
            if self._is_crowded_out(own / seconds, idle / seconds):
                return self._about_others(share, own / seconds, steps)
            self._is_bottleneck = True
            return (
                f"the input is the bottleneck: of {seconds / steps:.2f} s a step {waited / steps:.2f} s ({share:.0%}) "
                f"went by waiting for it in the last {steps} steps; what helps: {'; '.join(self._remedies())}"
            )
        if self._is_bottleneck and share < self.SHARE_AFTER:
            self._is_bottleneck = False
            return f"the input keeps up again: {share:.0%} of the last {steps} steps went by waiting for it"
        return ""

    def _is_crowded_out(self, own_cores: float, idle_cores: float) -> bool:
        """Whether other processes had the cores that this one could have used."""
        is_full = idle_cores < self.IDLE_CORES * (os.cpu_count() or 1)
        return is_full and own_cores < self.OWN_CORES * self._num_cores

    def _about_others(self, share: float, own_cores: float, steps: int) -> str:
        if self._has_told_of_others:
            return ""
        self._has_told_of_others = True
        return (
            f"the machine is busy with other processes: this one had {own_cores:.1f} of {self._num_cores} cores, and "
            f"waited for its input for {share:.0%} of the last {steps} steps; whether the input is slow, an idle "
            "machine tells"
        )

    def _is_enough(self, steps: int, seconds: float) -> bool:
        return steps >= self.NUM_STEPS and seconds >= self.SECONDS

    def _sums(self) -> tuple[int, float, float, float, float]:
        steps, seconds, waited, own, idle = zip(*self._loops, strict=True)
        return sum(steps), sum(seconds), sum(waited), sum(own), sum(idle)

    def _remedies(self) -> list[str]:
        remedies = ["smaller images in the records (data_prep.validate_images --max_dimension)"]
        train_config, reader = self._settings.train_config, self._settings.train_input_reader
        if train_config is not None and train_config.data_augmentation_options:
            remedies.append(f"fewer augmentations (there are {len(train_config.data_augmentation_options)})")
        remedies.append(f"more CPU cores (there are {os.cpu_count()})")
        if reader is not None and reader.num_readers < _ENOUGH_READERS:
            remedies.append(f"train_input_reader.num_readers: {_ENOUGH_READERS} (it is {reader.num_readers})")
        if self._settings.extensions.cache is None:
            remedies.append("extensions { cache { } } where the records lie on a slow disk")
        return remedies
