"""The learning rate at every step, as `LearningRate` messages describe it: the formulas, written once.

They are written over a module that has `where`, `cos`, `floor`, `maximum` and `zeros_like`: `numpy` for images and
checks, `tensorflow` for training. Values are those of the Object Detection API's utils/learning_schedules.py.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from typing import Any


class ScheduleError(ValueError):
    """Numbers of a schedule that contradict each other.

    Attributes:
        field: Path of the field within the `LearningRate` message; empty where no schedule is set.
        reason: What is wrong with it.
    """

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        self.reason = reason
        super().__init__(f"{field}: {reason}")


@dataclasses.dataclass(frozen=True)
class Turn:
    """Where a schedule's course changes.

    Attributes:
        step: The first step of what comes next.
        what: What comes next, in words.
    """

    step: int
    what: str


@dataclasses.dataclass(frozen=True)
class Schedule(abc.ABC):
    """A learning rate as a function of the step."""

    @abc.abstractmethod
    def rate(self, step: Any, module: Any) -> Any:
        """The rate at each step.

        Args:
            step: Optimizer steps made so far: a floating-point array of `module`, of any shape.
            module: `numpy`, or another module with the same functions, such as `tensorflow`.

        Returns:
            An array of the same shape.
        """

    @abc.abstractmethod
    def turns(self) -> list[Turn]:
        """Where the course changes, from step 0 on, in the order of the steps."""


@dataclasses.dataclass(frozen=True)
class ConstantRate(Schedule):
    """The same rate at every step."""

    learning_rate: float

    def rate(self, step: Any, module: Any) -> Any:
        """See `Schedule.rate`."""
        return module.zeros_like(step) + self.learning_rate

    def turns(self) -> list[Turn]:
        """See `Schedule.turns`."""
        return [Turn(0, "constant")]


@dataclasses.dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """A rate multiplied by `decay_factor` every `decay_steps`, after a burn-in at a rate of its own.

    Decay is counted from the end of the burn-in; a `burnin_learning_rate` of 0 means the initial rate; no rate falls
    below `min_learning_rate`.
    """

    initial_learning_rate: float
    decay_steps: int
    decay_factor: float
    staircase: bool
    burnin_learning_rate: float
    burnin_steps: int
    min_learning_rate: float

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
            ScheduleError: `decay_steps` or `decay_factor` is not positive.
        """
        if self.decay_steps < 1:
            raise ScheduleError("decay_steps", f"{self.decay_steps} must be at least 1")
        if self.decay_factor <= 0:
            raise ScheduleError("decay_factor", f"{self.decay_factor:g} must be greater than 0")

    def rate(self, step: Any, module: Any) -> Any:
        """See `Schedule.rate`."""
        periods = (step - self.burnin_steps) / self.decay_steps
        if self.staircase:
            periods = module.floor(periods)
        # Before the burn-in's end a growing power, of which nothing is taken, must not overflow.
        decayed = self.initial_learning_rate * self.decay_factor ** module.maximum(periods, 0.0)
        burnin = self.burnin_learning_rate or self.initial_learning_rate
        return module.maximum(module.where(step < self.burnin_steps, burnin, decayed), self.min_learning_rate)

    def turns(self) -> list[Turn]:
        """See `Schedule.turns`."""
        how = "falls in stairs" if self.staircase else "falls smoothly"
        falls = f"{how}, times {self.decay_factor:g} every {self.decay_steps} steps"
        turns = [Turn(0, "burn-in")] if self.burnin_steps else []
        turns.append(Turn(self.burnin_steps, falls))
        lowest = self._step_of_minimum()
        return turns if lowest is None else [*turns, Turn(lowest, "held at the minimum")]

    def _step_of_minimum(self) -> int | None:
        """The step from which on `min_learning_rate` holds, if one ever does."""
        if not 0 < self.min_learning_rate < self.initial_learning_rate or self.decay_factor >= 1:
            return None
        periods = math.log(self.min_learning_rate / self.initial_learning_rate) / math.log(self.decay_factor)
        if self.staircase:
            periods = math.ceil(round(periods, 6))
        return self.burnin_steps + math.ceil(periods * self.decay_steps)


@dataclasses.dataclass(frozen=True)
class ManualSteps(Schedule):
    """Rates that change at given steps: `rates[0]` before `boundaries[0]`, `rates[i + 1]` from `boundaries[i]` on.

    With `warmup`, the rate rises linearly from `rates[0]` at step 0 to `rates[1]` at `boundaries[0]`.
    """

    boundaries: tuple[int, ...]
    rates: tuple[float, ...]
    warmup: bool

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
            ScheduleError: There are no boundaries, they do not rise, or a ramp has no length.
        """
        if not self.boundaries:
            reason = "is empty; write schedule { step: ... learning_rate: ... }, or a constant rate"
            raise ScheduleError("schedule", reason)
        if self.warmup and self.boundaries[0] < 1:
            raise ScheduleError("schedule[0].step", f"{self.boundaries[0]} must be at least 1: warmup rises until it")
        for index in range(1, len(self.boundaries)):
            if self.boundaries[index] <= self.boundaries[index - 1]:
                reason = (
                    f"{self.boundaries[index]} must be greater than the step before it, {self.boundaries[index - 1]}"
                )
                raise ScheduleError(f"schedule[{index}].step", reason)

    def rate(self, step: Any, module: Any) -> Any:
        """See `Schedule.rate`."""
        rate = module.zeros_like(step) + self.rates[0]
        if self.warmup:
            rate = rate + step * ((self.rates[1] - self.rates[0]) / self.boundaries[0])
        for boundary, next_rate in zip(self.boundaries, self.rates[1:], strict=True):
            rate = module.where(step >= boundary, next_rate, rate)
        return rate

    def turns(self) -> list[Turn]:
        """See `Schedule.turns`."""
        first = "warm-up" if self.warmup else "initial rate"
        after = [Turn(step, f"schedule[{index}]") for index, step in enumerate(self.boundaries)]
        return after if self.boundaries[0] == 0 else [Turn(0, first), *after]


@dataclasses.dataclass(frozen=True)
class CosineDecay(Schedule):
    """A linear warm-up, the base rate held, then half a cosine down to 0 at `total_steps`, and 0 after it.

    From Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", https://arxiv.org/abs/1608.03983,
    without restarts.
    """

    learning_rate_base: float
    total_steps: int
    warmup_learning_rate: float
    warmup_steps: int
    hold_base_rate_steps: int

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
            ScheduleError: The warm-up is longer than the whole, or begins above the base rate.
        """
        if self.total_steps < self.warmup_steps:
            reason = f"{self.total_steps} must not be less than warmup_steps, {self.warmup_steps}"
            raise ScheduleError("total_steps", reason)
        if self.warmup_steps and self.learning_rate_base < self.warmup_learning_rate:
            reason = (
                f"{self.warmup_learning_rate:g} must not be greater than learning_rate_base, "
                f"{self.learning_rate_base:g}"
            )
            raise ScheduleError("warmup_learning_rate", reason)

    def rate(self, step: Any, module: Any) -> Any:
        """See `Schedule.rate`."""
        base, held_until = self.learning_rate_base, self.warmup_steps + self.hold_base_rate_steps
        # The span is empty where the base rate is held to the end; nothing is then read from the cosine but its start.
        progress = (step - held_until) / max(self.total_steps - held_until, 1)
        rate = module.where(step > held_until, 0.5 * base * (1.0 + module.cos(math.pi * progress)), base)
        if self.warmup_steps:
            slope = (base - self.warmup_learning_rate) / self.warmup_steps
            rate = module.where(step < self.warmup_steps, self.warmup_learning_rate + slope * step, rate)
        return module.where(step > self.total_steps, 0.0, rate)

    def turns(self) -> list[Turn]:
        """See `Schedule.turns`."""
        turns = [Turn(0, "warm-up")] if self.warmup_steps else []
        if self.hold_base_rate_steps:
            turns.append(Turn(self.warmup_steps, "base rate held"))
        turns.append(Turn(self.warmup_steps + self.hold_base_rate_steps, "cosine"))
        return [*(turn for turn in turns if turn.step < self.total_steps), Turn(self.total_steps, "end of the cosine")]


def build_schedule(message: Any) -> Schedule:
    """Makes the schedule that a `LearningRate` message asks for.

    Args:
        message: The message; read by attribute and `WhichOneof`.

    Raises:
        ScheduleError: No schedule is set, or its numbers contradict each other.
    """
    kind = message.WhichOneof("learning_rate")
    if kind is None:
        raise ScheduleError("", "no schedule is set; write for example cosine_decay_learning_rate { ... }")
    try:
        return _build(kind, getattr(message, kind))
    except ScheduleError as error:
        raise ScheduleError(f"{kind}.{error.field}", error.reason) from None


def _build(kind: str, message: Any) -> Schedule:
    if kind == "constant_learning_rate":
        return ConstantRate(_rate(message, "learning_rate"))
    if kind == "exponential_decay_learning_rate":
        return ExponentialDecay(
            initial_learning_rate=_rate(message, "initial_learning_rate"),
            decay_steps=message.decay_steps,
            decay_factor=message.decay_factor,
            staircase=message.staircase,
            burnin_learning_rate=_rate(message, "burnin_learning_rate"),
            burnin_steps=message.burnin_steps,
            min_learning_rate=_rate(message, "min_learning_rate"),
        )
    if kind == "manual_step_learning_rate":
        return ManualSteps(
            boundaries=tuple(entry.step for entry in message.schedule),
            rates=(
                _rate(message, "initial_learning_rate"),
                *(_rate(entry, "learning_rate", f"schedule[{index}].") for index, entry in enumerate(message.schedule)),
            ),
            warmup=message.warmup,
        )
    return CosineDecay(
        learning_rate_base=_rate(message, "learning_rate_base"),
        total_steps=message.total_steps,
        warmup_learning_rate=_rate(message, "warmup_learning_rate"),
        warmup_steps=message.warmup_steps,
        hold_base_rate_steps=message.hold_base_rate_steps,
    )


def _rate(message: Any, field: str, prefix: str = "") -> float:
    value = float(getattr(message, field))
    if not math.isfinite(value) or value < 0:
        raise ScheduleError(f"{prefix}{field}", f"{value:g} is not a learning rate (a finite number from 0)")
    return value
