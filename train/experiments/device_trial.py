"""A short training on given devices in a given precision: its losses, its speed, its memory."""

from __future__ import annotations

import dataclasses
import functools
import gc
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from data_prep.runtime.command_line import UserError
from train.loop.devices import require_divisible
from train.loop.failures import explained_failures
from train.loop.moving_average import start_moving_average
from train.loop.optimization import create_slots
from train.loop.parts import build_parts, build_trainer, distribute_training_input
from train.loop.step import TOTAL_LOSS, DetectionTrainer
from train.loop.stopping import StopRequests
from train.loop.workers import Workers
from train.models.dropout import repeat_dropout
from train.pipeline import Pipeline

# The first traces, the second may still wait for libraries to choose their algorithms.
_UNTIMED_STEPS = 2
_SEED = 0


@dataclasses.dataclass(frozen=True)
class Trial:
    """A short training.

    Attributes:
        model: What is trained, in words.
        precision: `float32`, `mixed_float16` or `mixed_bfloat16`.
        devices: Logical devices, such as `GPU:0`; several are mirrored.
        is_reference: Whether others are measured against it.
    """

    model: str
    precision: str
    devices: tuple[str, ...]
    is_reference: bool = False


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What a trial measured.

    Attributes:
        losses: Total loss of each step's batch.
        steps_per_second: Without the first steps; nan if there are no others.
        waiting: The share of these steps' time spent waiting for input.
        peak_bytes: The most memory that the busiest device held; None on CPUs, which do not tell.
    """

    losses: tuple[float, ...]
    steps_per_second: float
    waiting: float
    peak_bytes: int | None


def run_trial(
    trial: Trial,
    pipeline: Pipeline,
    *,
    num_steps: int,
    deadline: float,
    weights: list[np.ndarray] | None = None,
) -> tuple[Measurement, list[np.ndarray]]:
    """Trains for a few steps.

    Args:
        trial: On what, and how precisely.
        pipeline: What to train, and on what; its precision is the trial's.
        num_steps: How many steps to make.
        deadline: Of `time.monotonic`; steps that would begin later are left out, but for the first.
        weights: To begin with, as an earlier trial returned them; None draws initial ones.

    Returns:
        What was measured, and the weights that it began with.

    Raises:
        UserError: A loss is not finite, the memory does not suffice, or TensorFlow fails in another way.
    """
    gc.collect()  # what the trial before held, so that it does not count as this one's
    tf_keras.backend.clear_session()
    tf_keras.utils.set_random_seed(_SEED)
    _reset_peak_memory(trial.devices)
    strategy = _strategy(trial.devices, plain=trial.is_reference)
    pipeline = with_precision(pipeline, trial.precision)
    require_divisible(pipeline.train_config.batch_size, strategy)
    parts = build_parts(pipeline, strategy)
    variables = parts.detector.network.variables
    with strategy.scope():
        for variable, value in zip(variables, weights or (), strict=weights is not None):
            variable.assign(value)
        start = weights or [variable.numpy() for variable in variables]
        start_moving_average(parts.optimizer, parts.detector.network)
        create_slots(parts.optimizer, parts.variables)
    repeat_dropout(parts.detector.network, _SEED, parts.global_step)
    dataset = distribute_training_input(pipeline, strategy, seed=_SEED)
    trainer = build_trainer(pipeline, parts, dataset, Workers(strategy), StopRequests())
    losses, seconds, waits = [], [], []
    try:
        with explained_failures(pipeline.settings.train_input_reader), strategy.scope():
            for loss, took, waited in _steps(trainer, dataset):
                losses.append(loss)
                seconds.append(took)
                waits.append(waited)
                if len(losses) == num_steps or time.monotonic() > deadline:
                    break
    except tf.errors.OpError as error:
        raise UserError(f"TensorFlow failed ({type(error).__name__}): {error.message.splitlines()[0]}") from error
    timed = sum(seconds[_UNTIMED_STEPS:])
    return (
        Measurement(
            tuple(losses),
            steps_per_second=(len(losses) - _UNTIMED_STEPS) / timed if timed else float("nan"),
            waiting=sum(waits[_UNTIMED_STEPS:]) / timed if timed else float("nan"),
            peak_bytes=_peak_memory(trial.devices),
        ),
        start,
    )


@functools.cache
def _strategy(devices: tuple[str, ...], *, plain: bool) -> tf.distribute.Strategy:
    """The strategy over devices, the same each time.

    Two over the same devices would both number their collective operations from the start, and TensorFlow would take
    the second's for the first's.

    Args:
        devices: Logical devices.
        plain: Without collective operations, for what may stand beside a strategy that has them.
    """
    names = [f"/{device.lower()}" for device in devices]
    if len(names) == 1:
        return tf.distribute.OneDeviceStrategy(names[0])
    return tf.distribute.MirroredStrategy(names, tf.distribute.ReductionToOneDevice() if plain else None)


def with_precision(pipeline: Pipeline, precision: str) -> Pipeline:
    """Returns the pipeline that trains with a precision, by Keras' name."""
    config = type(pipeline.config)()
    config.CopyFrom(pipeline.config)
    config.train_config.ClearField("use_bfloat16")
    config.extensions.mixed_precision = config.extensions.MixedPrecision.Value(precision.upper())
    return dataclasses.replace(pipeline, config=config)


def _steps(trainer: DetectionTrainer, dataset: Any) -> Iterator[tuple[float, float, float]]:
    """Yields the loss of each step, how long it took with its wait for input, and that wait, in seconds."""

    @tf.function(autograph=False)
    def step(batch: Any) -> None:
        trainer.train_step(iter([batch]))

    batches = iter(dataset)
    while True:
        started = time.monotonic()
        batch = next(batches)
        waited = time.monotonic() - started
        trainer.train_loop_begin()
        step(batch)
        loss = float(trainer.train_loop_end()[TOTAL_LOSS])  # waits until the devices are done
        yield loss, time.monotonic() - started, waited


def _reset_peak_memory(devices: Sequence[str]) -> None:
    for device in devices:
        if device.startswith("GPU"):
            tf.config.experimental.reset_memory_stats(device)


def _peak_memory(devices: Sequence[str]) -> int | None:
    peaks = [
        int(tf.config.experimental.get_memory_info(device)["peak"]) for device in devices if device.startswith("GPU")
    ]
    return max(peaks, default=None)
