"""Learning rate schedules as `pipeline.config` describes them, for tf_keras' optimizers.

The formulas are those of `configs.settings.learning_rates`. A schedule is called with the number of optimizer steps
made so far (a scalar or a tensor of any shape, so that a whole curve can be had at once) and returns float32 of the
same shape.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf
import tf_keras

from configs.settings.learning_rates import Schedule


class LearningRate(tf_keras.optimizers.schedules.LearningRateSchedule):
    """A schedule of `configs.settings.learning_rates`, computed by TensorFlow."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def __call__(self, step: Any) -> tf.Tensor:
        """The rate at `step`, float32."""
        return self._schedule.rate(tf.cast(step, tf.float32), tf)

    def get_config(self) -> dict[str, Any]:
        """The schedule's kind and numbers."""
        numbers = dataclasses.asdict(self._schedule)
        del numbers["written"]
        return {"kind": type(self._schedule).__name__, **numbers}
