"""Moving averages of the weights: `train_config.optimizer.use_moving_average`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import tf_keras
from official.modeling.optimization import ema_optimizer


class MovingAverage(ema_optimizer.ExponentialMovingAverage):
    """Model Garden's moving average, which may hold on to the weights that training began with.

    With a share of the start, what is kept is not the average but the point between it and the first weights:
    fine-tuned weights pulled back to those that they come from know the new images nearly as well, and more of the
    rest. As in Wortsman et al., "Robust fine-tuning of zero-shot models", 2022, https://arxiv.org/abs/2109.01903.
    Batch norm's statistics are no weights, and stay as training leaves them.

    A loss-scaling optimizer can hold it too: Model Garden's `apply_gradients` does not take the argument that
    `LossScaleOptimizer` hands on, so that with `MIXED_FLOAT16` its first step fails.
    """

    def __init__(self, optimizer: Any, average_decay: float, *, share_of_start: float = 0.0) -> None:
        """Wraps an optimizer.

        Args:
            optimizer: Makes the steps.
            average_decay: What an average keeps of itself in a step; less in the first steps.
            share_of_start: Of the first weights in what is kept, from 0 to below 1.
        """
        super().__init__(optimizer, average_decay=average_decay)
        self._share_of_start = share_of_start

    def apply_gradients(
        self, grads_and_vars: Any, name: str | None = None, experimental_aggregate_gradients: bool = True
    ) -> Any:
        """Applies gradients by the optimizer inside, then moves the averages."""
        applied = self._optimizer.apply_gradients(
            grads_and_vars, name=name, experimental_aggregate_gradients=experimental_aggregate_gradients
        )
        ema_optimizer.maybe_merge_call(self.update_average, tf.distribute.get_strategy())
        return applied

    def start(self, model: tf_keras.Model) -> None:
        """Makes the averages of a model's trainable variables, each beginning at its variable's value."""
        self.shadow_copy(model)
        for variable in model.trainable_variables:
            self.get_slot(variable, "average").assign(variable)
            if self._share_of_start:
                self.add_slot(variable, "start", initializer="zeros").assign(variable)

    def update_average(self, strategy: tf.distribute.Strategy) -> None:
        """Moves the averages towards the variables, or towards the point between them and the first ones."""
        if self._share_of_start:
            self._update_between(strategy)
        else:
            super().update_average(strategy)

    @tf.function
    def _update_between(self, strategy: tf.distribute.Strategy) -> None:
        step = tf.cast(self.iterations, tf.float32)
        pace = 1.0 - tf.minimum(self._average_decay, (1.0 + step) / (10.0 + step))  # as Model Garden's

        def move(average: tf.Variable, variable: tf.Tensor, start: tf.Tensor) -> None:
            aim = variable + self._share_of_start * (start - variable)
            average.assign_add(tf.cast(pace, average.dtype) * (aim - average))

        for average, variable in zip(self._average_weights, self._model_weights, strict=True):
            start = self.get_slot(variable, "start")
            strategy.extended.update(average, move, args=(variable, start), group=False)


def _averager(optimizer: Any) -> MovingAverage | None:
    if isinstance(optimizer, tf_keras.mixed_precision.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    return optimizer if isinstance(optimizer, MovingAverage) else None


def start_moving_average(optimizer: Any, model: tf_keras.Model) -> None:
    """Starts the moving averages that an optimizer keeps, if it keeps any.

    Model Garden begins them at 0, so that evaluating before the first step would find an empty network. Call this in
    the strategy's scope, after a fine-tune checkpoint and before resuming.
    """
    averager = _averager(optimizer)
    if averager is None:
        return
    averager.start(model)


@contextlib.contextmanager
def moving_averages(optimizer: Any, model: tf_keras.Model) -> Iterator[None]:
    """Inside this context `model` has its moving averages; afterwards it has its own values again, to the last bit.

    Model Garden's `swap_weights` adds and subtracts the two in place, which rounds the values that training goes on
    with. Does nothing for an optimizer without averages.
    """
    averager = _averager(optimizer)
    if averager is None:
        yield
        return
    own = [tf.identity(variable) for variable in model.trainable_variables]
    for variable in model.trainable_variables:
        variable.assign(averager.get_slot(variable, "average"))
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, own, strict=True):
            variable.assign(value)
