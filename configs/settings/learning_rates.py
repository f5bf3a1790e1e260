"""Settings of `LearningRate` and below: the learning rate at every step, with its formulas written once.

They are written over a module that has `where`, `cos`, `floor`, `maximum` and `zeros_like`: `numpy` for images and
checks, `tensorflow` for training. Values are those of the Object Detection API's utils/learning_schedules.py.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Iterator
from typing import Any

from configs.schema.problem import Problem
from configs.settings.declaration import Settings, choice, fields_of, nested
from configs.settings.values import Number, declared, number, scalar

SEE_THE_PLOT = "python -m configs.plot_schedule draws what is written"


@dataclasses.dataclass(frozen=True)
class Turn:
    """Where a schedule's course changes.

    Attributes:
        step: The first step of what comes next.
        what: What comes next, in words.
    """

    step: int
    what: str


RATE = Number(at_least=0.0, reason="is not a learning rate (a finite number from 0)", instead=SEE_THE_PLOT)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule(Settings, abc.ABC):
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConstantRate(Schedule, message="ConstantLearningRate"):
    """The same rate at every step."""

    learning_rate: float = declared(RATE)

    def rate(self, step: Any, module: Any) -> Any:
        """See `Schedule.rate`."""
        return module.zeros_like(step) + self.learning_rate

    def turns(self) -> list[Turn]:
        """See `Schedule.turns`."""
        return [Turn(0, "constant")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExponentialDecay(Schedule, message="ExponentialDecayLearningRate"):
    """A rate multiplied by `decay_factor` every `decay_steps`, after a burn-in at a rate of its own.

    Decay is counted from the end of the burn-in; a `burnin_learning_rate` of 0 means the initial rate; no rate falls
    below `min_learning_rate`.
    """

    initial_learning_rate: float = declared(RATE)
    decay_steps: int = number(at_least=1)
    decay_factor: float = number(above=0.0, reason="must be greater than 0")
    staircase: bool = scalar()
    burnin_learning_rate: float = declared(RATE)
    burnin_steps: int = number()
    min_learning_rate: float = declared(RATE)

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class ManualStep(Settings, message="ManualStepLearningRate.LearningRateSchedule"):
    """A rate, and the step from which on it holds."""

    step: int = number()
    learning_rate: float = declared(RATE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ManualSteps(Schedule, message="ManualStepLearningRate"):
    """Rates that change at given steps, until the first of which the initial one holds.

    With `warmup`, the rate rises linearly from the initial one at step 0 to the first one of the schedule at its step.
    """

    initial_learning_rate: float = declared(RATE)
    schedule: tuple[ManualStep, ...] = nested(
        ManualStep, repeated=True, required="write schedule { step: ... learning_rate: ... }, or a constant rate"
    )
    warmup: bool = scalar()

    def problems(self) -> Iterator[Problem]:
        """See `Settings.problems`: the steps must rise, and a ramp have a length."""
        first = self.schedule[0].step
        if self.warmup and first < 1:
            yield Problem("schedule[0].step", f"{first} must be at least 1: warmup rises until it", SEE_THE_PLOT)
        for index in range(1, len(self.schedule)):
            before, step = self.schedule[index - 1].step, self.schedule[index].step
            if step <= before:
                reason = f"{step} must be greater than the step before it, {before}"
                yield Problem(f"schedule[{index}].step", reason, SEE_THE_PLOT)

    def rate(self, step: Any, module: Any) -> Any:
        """See `Schedule.rate`."""
        rate = module.zeros_like(step) + self.initial_learning_rate
        if self.warmup:
            first = self.schedule[0]
            rate = rate + step * ((first.learning_rate - self.initial_learning_rate) / first.step)
        for change in self.schedule:
            rate = module.where(step >= change.step, change.learning_rate, rate)
        return rate

    def turns(self) -> list[Turn]:
        """See `Schedule.turns`."""
        first = "warm-up" if self.warmup else "initial rate"
        after = [Turn(change.step, f"schedule[{index}]") for index, change in enumerate(self.schedule)]
        return after if self.schedule[0].step == 0 else [Turn(0, first), *after]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CosineDecay(Schedule, message="CosineDecayLearningRate"):
    """A linear warm-up, the base rate held, then half a cosine down to 0 at `total_steps`, and 0 after it.

    From Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", https://arxiv.org/abs/1608.03983,
    without restarts.
    """

    learning_rate_base: float = declared(RATE)
    total_steps: int = number()
    warmup_learning_rate: float = declared(RATE)
    warmup_steps: int = number()
    hold_base_rate_steps: int = number()

    def problems(self) -> Iterator[Problem]:
        """See `Settings.problems`: the warm-up must not be longer than the whole, or begin above the base rate."""
        if self.total_steps < self.warmup_steps:
            reason = f"{self.total_steps} must not be less than warmup_steps, {self.warmup_steps}"
            yield Problem("total_steps", f"{self.unset('total_steps')}{reason}", SEE_THE_PLOT)
        if self.warmup_steps and self.learning_rate_base < self.warmup_learning_rate:
            reason = (
                f"{self.warmup_learning_rate:g} must not be greater than learning_rate_base, "
                f"{self.learning_rate_base:g}"
            )
            yield Problem("warmup_learning_rate", f"{self.unset('warmup_learning_rate')}{reason}", SEE_THE_PLOT)

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


def rate_names(settings: Settings) -> list[str]:
    """The names of a message's fields that are learning rates."""
    return [name for name, spec in fields_of(type(settings)).items() if spec is RATE]


def learning_rate() -> Any:
    """An optimizer's `learning_rate`: a `LearningRate` message, read as the `Schedule` that it chooses."""
    return choice(
        required="use cosine_decay_learning_rate { ... }",
        alternatives={
            "constant_learning_rate": ConstantRate,
            "exponential_decay_learning_rate": ExponentialDecay,
            "manual_step_learning_rate": ManualSteps,
            "cosine_decay_learning_rate": CosineDecay,
        },
    )
