"""Moving averages of the weights: `train_config.optimizer.use_moving_average`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import tf_keras
from official.modeling.optimization import ema_optimizer


class MovingAverage(ema_optimizer.ExponentialMovingAverage):
    """Model Garden's moving average, which a loss-scaling optimizer can hold too.

    Model Garden's `apply_gradients` does not take the argument that `LossScaleOptimizer` hands on, so that with
    `MIXED_FLOAT16` its first step fails.
    """

    def apply_gradients(
        self, grads_and_vars: Any, name: str | None = None, experimental_aggregate_gradients: bool = True
    ) -> Any:
        """Applies gradients by the optimizer inside, then moves the averages."""
        applied = self._optimizer.apply_gradients(
            grads_and_vars, name=name, experimental_aggregate_gradients=experimental_aggregate_gradients
        )
        ema_optimizer.maybe_merge_call(self.update_average, tf.distribute.get_strategy())
        return applied


def _averager(optimizer: Any) -> MovingAverage | None:
    if isinstance(optimizer, tf_keras.mixed_precision.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    return optimizer if isinstance(optimizer, MovingAverage) else None


def start_moving_average(optimizer: Any, model: tf_keras.Model) -> None:
    """Makes the moving averages of `model`'s trainable variables, each beginning at its variable's value.

    Model Garden begins them at 0, so that evaluating before the first step would find an empty network. Call this in
    the strategy's scope, after a fine-tune checkpoint and before resuming. Does nothing for an optimizer without
    averages.
    """
    averager = _averager(optimizer)
    if averager is None:
        return
    averager.shadow_copy(model)
    for variable in model.trainable_variables:
        averager.get_slot(variable, "average").assign(variable)


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
