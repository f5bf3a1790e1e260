"""Learning rate schedules as `pipeline.config` describes them, with the Object Detection API's values at every step.

A schedule is called with the number of optimizer steps made so far (a scalar or a tensor of any shape, so that a whole
curve can be had at once) and returns float32 of the same shape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from data_prep.command_line import UsageError


class ConstantLearningRate(tf_keras.optimizers.schedules.LearningRateSchedule):
    """The same rate at every step."""

    def __init__(self, learning_rate: float) -> None:
        self._learning_rate = learning_rate

    def __call__(self, step: Any) -> tf.Tensor:
        """The rate at `step`."""
        return tf.fill(tf.shape(step), tf.constant(self._learning_rate, tf.float32))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"learning_rate": self._learning_rate}


class ExponentialDecay(tf_keras.optimizers.schedules.LearningRateSchedule):
    """A rate multiplied by `decay_factor` every `decay_steps`, after a burn-in at a rate of its own.

    Attributes mirror `ExponentialDecayLearningRate`: decay is counted from the end of the burn-in; a
    `burnin_learning_rate` of 0 means the initial rate; no rate falls below `min_learning_rate`.
    """

    def __init__(
        self,
        *,
        initial_learning_rate: float,
        decay_steps: int,
        decay_factor: float,
        staircase: bool = True,
        burnin_learning_rate: float = 0.0,
        burnin_steps: int = 0,
        min_learning_rate: float = 0.0,
    ) -> None:
        """Checks and keeps the arguments.

        Raises:
            ValueError: `decay_steps` or `decay_factor` is not positive.
        """
        if decay_steps < 1:
            raise ValueError(f"decay_steps: {decay_steps} must be at least 1")
        if decay_factor <= 0:
            raise ValueError(f"decay_factor: {decay_factor:g} must be greater than 0")
        self._config = {
            "initial_learning_rate": initial_learning_rate,
            "decay_steps": decay_steps,
            "decay_factor": decay_factor,
            "staircase": staircase,
            "burnin_learning_rate": burnin_learning_rate,
            "burnin_steps": burnin_steps,
            "min_learning_rate": min_learning_rate,
        }

    def __call__(self, step: Any) -> tf.Tensor:
        """The rate at `step`."""
        config = self._config
        step = tf.cast(step, tf.float32)
        periods = (step - config["burnin_steps"]) / config["decay_steps"]
        if config["staircase"]:
            periods = tf.floor(periods)
        decayed = config["initial_learning_rate"] * tf.pow(tf.constant(config["decay_factor"], tf.float32), periods)
        burnin = config["burnin_learning_rate"] or config["initial_learning_rate"]
        return tf.maximum(tf.where(step < config["burnin_steps"], burnin, decayed), config["min_learning_rate"])

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return dict(self._config)


class ManualSteps(tf_keras.optimizers.schedules.LearningRateSchedule):
    """Rates that change at given steps: `rates[0]` before `boundaries[0]`, `rates[i + 1]` from `boundaries[i]` on.

    With `warmup`, the rate rises linearly from `rates[0]` at step 0 to `rates[1]` at `boundaries[0]`.
    """

    def __init__(self, *, boundaries: Sequence[int], rates: Sequence[float], warmup: bool = False) -> None:
        """Checks and keeps the arguments.

        Args:
            boundaries: Strictly increasing steps from 1.
            rates: One rate more than there are boundaries.
            warmup: Whether the first stretch is a ramp.

        Raises:
            ValueError: The boundaries do not rise from 1 on, or the number of rates is another.
        """
        if len(rates) != len(boundaries) + 1:
            raise ValueError(f"schedule: {len(boundaries)} steps need {len(boundaries) + 1} rates, not {len(rates)}")
        if boundaries and boundaries[0] < 1:
            raise ValueError(f"schedule[0].step: {boundaries[0]} must be at least 1")
        for index in range(1, len(boundaries)):
            if boundaries[index] <= boundaries[index - 1]:
                raise ValueError(
                    f"schedule[{index}].step: {boundaries[index]} must be greater than the step before it, "
                    f"{boundaries[index - 1]}"
                )
        self._boundaries = list(boundaries)
        self._rates = list(rates)
        self._warmup = warmup

    def __call__(self, step: Any) -> tf.Tensor:
        """The rate at `step`."""
        step = tf.cast(step, tf.float32)
        rate = tf.fill(tf.shape(step), tf.constant(self._rates[0], tf.float32))
        if self._warmup and self._boundaries:
            rate += step * ((self._rates[1] - self._rates[0]) / self._boundaries[0])
        for boundary, next_rate in zip(self._boundaries, self._rates[1:], strict=True):
            rate = tf.where(step >= boundary, next_rate, rate)
        return rate

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"boundaries": self._boundaries, "rates": self._rates, "warmup": self._warmup}


class CosineDecay(tf_keras.optimizers.schedules.LearningRateSchedule):
    """A linear warm-up, the base rate held, then half a cosine down to 0 at `total_steps`, and 0 after it.

    From Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", https://arxiv.org/abs/1608.03983,
    without restarts.
    """

    def __init__(
        self,
        *,
        learning_rate_base: float,
        total_steps: int,
        warmup_learning_rate: float = 0.0,
        warmup_steps: int = 0,
        hold_base_rate_steps: int = 0,
    ) -> None:
        """Checks and keeps the arguments.

        Raises:
            ValueError: The warm-up is longer than the whole, or begins above the base rate.
        """
        if total_steps < warmup_steps:
            raise ValueError(f"total_steps: {total_steps} must not be less than warmup_steps, {warmup_steps}")
        if warmup_steps and learning_rate_base < warmup_learning_rate:
            raise ValueError(
                f"warmup_learning_rate: {warmup_learning_rate:g} must not be greater than learning_rate_base, "
                f"{learning_rate_base:g}"
            )
        self._config = {
            "learning_rate_base": learning_rate_base,
            "total_steps": total_steps,
            "warmup_learning_rate": warmup_learning_rate,
            "warmup_steps": warmup_steps,
            "hold_base_rate_steps": hold_base_rate_steps,
        }

    def __call__(self, step: Any) -> tf.Tensor:
        """The rate at `step`."""
        config = self._config
        base, warmup_steps, total_steps = config["learning_rate_base"], config["warmup_steps"], config["total_steps"]
        held_until = warmup_steps + config["hold_base_rate_steps"]
        step = tf.cast(step, tf.float32)
        # The span is empty where the base rate is held to the end; nothing is then read from the cosine but its start.
        progress = (step - held_until) / max(total_steps - held_until, 1)
        rate = tf.where(step > held_until, 0.5 * base * (1.0 + tf.cos(math.pi * progress)), base)
        if warmup_steps:
            slope = (base - config["warmup_learning_rate"]) / warmup_steps
            rate = tf.where(step < warmup_steps, config["warmup_learning_rate"] + slope * step, rate)
        return tf.where(step > total_steps, 0.0, rate)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return dict(self._config)


def build_learning_rate(
    config: Any, where: str = "learning_rate"
) -> tf_keras.optimizers.schedules.LearningRateSchedule:
    """Makes the schedule that a `LearningRate` message asks for.

    Args:
        config: The message; read by attribute and `WhichOneof`.
        where: The message's path in the pipeline config, for errors.

    Raises:
        UsageError: No schedule is set, or its numbers contradict each other.
    """
    kind = config.WhichOneof("learning_rate")
    if kind is None:
        raise UsageError(f"{where}: no schedule is set; write for example cosine_decay_learning_rate {{ ... }}")
    chosen = getattr(config, kind)
    try:
        schedule = _build(kind, chosen)
    except ValueError as error:
        raise UsageError(f"{where}.{kind}.{error}") from error
    return schedule


def _build(kind: str, config: Any) -> tf_keras.optimizers.schedules.LearningRateSchedule:
    if kind == "constant_learning_rate":
        return ConstantLearningRate(_rate(config, "learning_rate"))
    if kind == "exponential_decay_learning_rate":
        return ExponentialDecay(
            initial_learning_rate=_rate(config, "initial_learning_rate"),
            decay_steps=config.decay_steps,
            decay_factor=config.decay_factor,
            staircase=config.staircase,
            burnin_learning_rate=_rate(config, "burnin_learning_rate"),
            burnin_steps=config.burnin_steps,
            min_learning_rate=_rate(config, "min_learning_rate"),
        )
    if kind == "manual_step_learning_rate":
        if not config.schedule:
            raise ValueError("schedule: is empty; write schedule { step: ... learning_rate: ... }, or a constant rate")
        return ManualSteps(
            boundaries=[entry.step for entry in config.schedule],
            rates=[
                _rate(config, "initial_learning_rate"),
                *(_rate(entry, "learning_rate", f"schedule[{index}].") for index, entry in enumerate(config.schedule)),
            ],
            warmup=config.warmup,
        )
    if kind == "cosine_decay_learning_rate":
        return CosineDecay(
            learning_rate_base=_rate(config, "learning_rate_base"),
            total_steps=config.total_steps,
            warmup_learning_rate=_rate(config, "warmup_learning_rate"),
            warmup_steps=config.warmup_steps,
            hold_base_rate_steps=config.hold_base_rate_steps,
        )
    raise ValueError("schedule of this kind is not known")


def _rate(config: Any, field: str, prefix: str = "") -> float:
    value = float(getattr(config, field))
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{prefix}{field}: {value:g} is not a learning rate (a finite number from 0)")
    return value
