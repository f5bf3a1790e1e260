"""The steps of a learning rate range test: a training as its config describes it, but for the rate, written nowhere."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import tensorflow as tf
import tf_keras

from configs.settings.learning_rates import ManualSteps, rate_names
from data_prep.runtime.command_line import UsageError, UserError
from train.experiments.learning_rate_range import RangeCurve, measure, rising_rates
from train.loop.accumulation import require_parts
from train.loop.devices import describe_strategy, pick_strategy, require_divisible
from train.loop.failures import explained_failures
from train.loop.learning_rate_scaling import schedule_and_path
from train.loop.moving_average import start_moving_average
from train.loop.optimization import create_slots
from train.loop.parts import build_parts, build_trainer, distribute_training_input, restore_fine_tune_checkpoint
from train.loop.step import NOT_FINITE, TOTAL_LOSS
from train.loop.stopping import StopRequests
from train.loop.strategies import AUTO
from train.loop.workers import Workers
from train.pipeline import Pipeline


def run_range_test(
    pipeline: Pipeline,
    *,
    lowest_rate: float,
    highest_rate: float,
    num_steps: int,
    seed: int | None = None,
    strategy_name: str = AUTO,
    virtual_devices: int | None = None,
) -> RangeCurve:
    """Trains from the fine-tune checkpoint with rising rates, and forgets what was trained.

    Args:
        pipeline: What to train, and on what; its learning rate is left out.
        lowest_rate: Of the first step.
        highest_rate: Of the last.
        num_steps: How many steps to make at most.
        seed: Makes batches and initial weights repeatable; None draws new ones.
        strategy_name: One of `strategies.STRATEGIES`.
        virtual_devices: Splits the CPU into so many devices.

    Raises:
        UserError: The checkpoint does not fit, or a record is broken.
    """
    strategy = pick_strategy(strategy_name, virtual_devices=virtual_devices)
    if seed is not None:
        tf_keras.utils.set_random_seed(seed)
    train_config = pipeline.train_config
    require_divisible(train_config.batch_size, strategy)
    rising = with_rising_rate(pipeline, lowest_rate, highest_rate, num_steps)
    parts = build_parts(rising, strategy)
    micro_batches = pipeline.settings.extensions.micro_batches
    require_parts(train_config.batch_size, micro_batches, strategy.num_replicas_in_sync, parts.detector.network)
    with strategy.scope():
        if train_config.fine_tune_checkpoint:
            print(restore_fine_tune_checkpoint(rising, parts).summary())
        start_moving_average(parts.optimizer, parts.detector.network)
        create_slots(parts.optimizer, parts.variables)
    dataset = distribute_training_input(rising, strategy, seed=seed)
    stop = StopRequests()
    trainer = build_trainer(rising, parts, dataset, Workers(strategy), stop)
    print(
        f"at most {num_steps} steps with rates from {lowest_rate:g} to {highest_rate:g}, on "
        f"{describe_strategy(strategy, train_config.batch_size)}",
        flush=True,
    )

    def loss_of_step(step: int) -> float | None:
        try:
            with explained_failures(pipeline.settings.train_input_reader):
                return float(trainer.train(tf.constant(1))[TOTAL_LOSS])
        except (UserError, tf.errors.OpError) as error:
            # Weights that are not finite fail in many ways, and the loss is only one of them.
            if NOT_FINITE in str(error) or (step and not _are_finite(parts.variables)):
                return math.nan
            if not isinstance(error, tf.errors.OutOfRangeError):
                raise
            if step == 0:
                raise UsageError(
                    "the training input ended before its first batch: it has fewer records than train_config.batch_size"
                ) from None
            return None

    with stop.deferred(), stop.listening():
        return measure(rising_rates(lowest_rate, highest_rate, num_steps), loss_of_step)


def with_rising_rate(pipeline: Pipeline, lowest_rate: float, highest_rate: float, num_steps: int) -> Pipeline:
    """Returns the pipeline with a rate that rises by the same factor a step, in place of its schedule."""
    config = type(pipeline.config)()
    config.CopyFrom(pipeline.config)
    optimizer = getattr(config.train_config.optimizer, pipeline.train_config.optimizer.path_of("optimizer"))
    optimizer.ClearField("learning_rate")
    schedule = optimizer.learning_rate.exponential_decay_learning_rate
    schedule.initial_learning_rate = lowest_rate
    schedule.decay_steps, schedule.decay_factor = num_steps - 1, highest_rate / lowest_rate
    schedule.staircase = False
    config.extensions.ClearField("learning_rate")
    return dataclasses.replace(pipeline, config=config)


def field_of_largest_rate(pipeline: Pipeline) -> str:
    """The path of the config's field with the largest learning rate: where to write what was found."""
    schedule, path = schedule_and_path(pipeline.config, pipeline.train_config)
    rates = {name: getattr(schedule, name) for name in rate_names(schedule)}
    if isinstance(schedule, ManualSteps):
        rates |= {
            f"schedule[{index}].learning_rate": step.learning_rate for index, step in enumerate(schedule.schedule)
        }
    return ".".join([*path, max(rates, key=rates.__getitem__)])


def _are_finite(variables: Sequence[tf.Variable]) -> bool:
    return all(bool(tf.reduce_all(tf.math.is_finite(variable))) for variable in variables)
