"""The optimizer and learning rate of a `pipeline.config`.

The optimizers are tf_keras' legacy ones: on a CPU, one step over EfficientNet-Lite0's 147 variables took 5 ms with
momentum where the newer optimizers took 15 (RMSProp 11 and 30, Adam 12 and 15) and they compile three to five times
faster; they checkpoint slots by variable and not by number; and Model Garden's moving average needs them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from configs.settings import optimizers as settings_of
from configs.settings.extensions import Extensions
from configs.settings.learning_rates import Schedule
from train.loop import optimizers
from train.loop.moving_average import MovingAverage


class LearningRate(tf_keras.optimizers.schedules.LearningRateSchedule):
    """A schedule of `configs.settings.learning_rates`, computed by TensorFlow.

    It is called with the number of optimizer steps made so far: a scalar, or a tensor of any shape, so that a whole
    curve can be had at once.
    """

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def __call__(self, step: Any) -> tf.Tensor:
        """The rate at `step`, float32 of its shape."""
        return self._schedule.rate(tf.cast(step, tf.float32), tf)

    def get_config(self) -> dict[str, Any]:
        """The schedule's kind and numbers."""
        numbers = dataclasses.asdict(self._schedule)
        del numbers["written"]
        return {"kind": type(self._schedule).__name__, **numbers}


def build_optimizer(
    settings: settings_of.Optimizer,
    extensions: Extensions | None = None,
    rate_multipliers: Mapping[Any, float] | None = None,
) -> tuple[tf_keras.optimizers.legacy.Optimizer, tf_keras.optimizers.schedules.LearningRateSchedule]:
    """Makes the optimizer that a config asks for, and its learning rate schedule.

    Two differences from the API, both towards what its messages say: `rms_prop_optimizer.decay` is the decay of the
    average of squared gradients (the API's TensorFlow 2 loop handed it to Keras as a decay of the learning rate), and
    that average starts at 0, as in Keras, where TensorFlow 1 started it at 1.

    Args:
        settings: `train_config.optimizer`.
        extensions: What may take the place of its kind and of its schedule.
        rate_multipliers: What the rate of a variable is multiplied by, by its `ref()`; 1 for one that is not there.

    Returns:
        The optimizer, which with `use_moving_average` is a `MovingAverage` around it (call
        `start_moving_average` once the model's variables have their first values), and the schedule.
    """
    if extensions is None:
        chosen: settings_of.AnyOptimizer = settings.optimizer
        schedule = LearningRate(settings.optimizer.learning_rate)
    else:
        chosen = extensions.optimizer_over(settings)
        schedule = LearningRate(extensions.schedule_over(settings))
    optimizer = _build(chosen, schedule)
    optimizer.multiply_rates(rate_multipliers or {})
    if settings.use_moving_average:
        share = 0.0 if extensions is None else extensions.moving_average_share_of_start
        return MovingAverage(optimizer, settings.moving_average_decay, share_of_start=share), schedule
    return optimizer, schedule


def _build(chosen: settings_of.AnyOptimizer, schedule: LearningRate) -> Any:
    match chosen:
        case settings_of.MomentumOptimizer():
            return optimizers.Momentum(schedule, momentum=chosen.momentum_optimizer_value)
        case settings_of.AdamOptimizer():
            return optimizers.Adam(schedule, epsilon=chosen.epsilon)
        case settings_of.RmsPropOptimizer():
            return optimizers.RmsProp(
                schedule, rho=chosen.decay, momentum=chosen.momentum_optimizer_value, epsilon=chosen.epsilon
            )
    kind = optimizers.AdamW if isinstance(chosen, settings_of.AdamW) else optimizers.Lamb
    return kind(
        schedule,
        beta_1=chosen.beta_1,
        beta_2=chosen.beta_2,
        epsilon=chosen.epsilon,
        weight_decay_rate=chosen.weight_decay,
    )


def create_slots(optimizer: Any, variables: Sequence[tf.Variable]) -> None:
    """Makes the optimizer's variables now and not in the first step, which would trace its graph a second time.

    To be called in the strategy's scope. On MobileNetV2's 230 variables the second trace took four seconds.
    """
    optimizer._create_all_weights(variables)  # what apply_gradients calls; there is no public name
