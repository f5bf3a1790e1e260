"""Settings of `AnnealedLearningRate` and below: learning rates that the Object Detection API has not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from configs.schema.problem import Problem
from configs.settings.declaration import Choice
from configs.settings.learning_rates import RATE, SEE_THE_PLOT, Schedule, Turn
from configs.settings.values import declared, number


def _total_steps() -> Any:
    return number(at_least=1, reason="steps are no course", instead="write as many as train_config.num_steps")


@dataclasses.dataclass(frozen=True, kw_only=True)
class OneCycle(Schedule, message="OneCycleLearningRate"):
    """A rate that rises and falls once, and then goes far below where it began.

    From Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates", 2018,
    https://arxiv.org/abs/1708.07120: all three parts are linear. Momentum is not cycled against it.
    """

    max_learning_rate: float = declared(RATE)
    total_steps: int = _total_steps()
    rise_share: float = number(above=0.0, at_most=0.5)
    initial_divisor: float = number(at_least=1.0)
    final_divisor: float = number(at_least=1.0)

    def rate(self, step: Any, module: Any) -> Any:
        """See `Schedule.rate`."""
        first = self.max_learning_rate / self.initial_divisor
        last = first / self.final_divisor
        top = self.rise_share * self.total_steps
        slope = (self.max_learning_rate - first) / top
        rate = module.where(step < top, first + slope * step, self.max_learning_rate - slope * (step - top))
        # A rise and a fall of half the steps each leave nothing to go below in.
        slope = (first - last) / ((self.total_steps - 2 * top) or 1.0)
        rate = module.where(step < 2 * top, rate, first - slope * (step - 2 * top))
        return module.where(step < self.total_steps, rate, last)

    def turns(self) -> list[Turn]:
        """See `Schedule.turns`."""
        top = self.rise_share * self.total_steps
        turns = [Turn(0, "rise"), Turn(round(top), "fall"), Turn(round(2 * top), "far below")]
        return [*(turn for turn in turns if turn.step < self.total_steps), Turn(self.total_steps, "held")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PolynomialDecay(Schedule, message="PolynomialDecayLearningRate"):
    """A linear warm-up, then a power of the share of steps that is left, and the end's rate from `total_steps` on."""

    learning_rate_base: float = declared(RATE)
    total_steps: int = _total_steps()
    end_learning_rate: float = declared(RATE)
    power: float = number(above=0.0)
    warmup_learning_rate: float = declared(RATE)
    warmup_steps: int = number()

    def problems(self) -> Iterator[Problem]:
        """See `Settings.problems`: the rate must not end or begin above the base, nor only warm up."""
        yield from self.in_order("end_learning_rate", "learning_rate_base")
        if self.warmup_steps:
            yield from self.in_order("warmup_learning_rate", "learning_rate_base")
        if self.total_steps < self.warmup_steps:
            yield Problem(
                "total_steps",
                f"{self.total_steps} must not be less than warmup_steps, {self.warmup_steps}",
                SEE_THE_PLOT,
            )

    def rate(self, step: Any, module: Any) -> Any:
        """See `Schedule.rate`."""
        base, end = self.learning_rate_base, self.end_learning_rate
        # The span is empty where the warm-up takes all steps; the end's rate comes right after it.
        left = module.maximum((self.total_steps - step) / max(self.total_steps - self.warmup_steps, 1), 0.0)
        rate = end + (base - end) * left**self.power
        if self.warmup_steps:
            slope = (base - self.warmup_learning_rate) / self.warmup_steps
            rate = module.where(step < self.warmup_steps, self.warmup_learning_rate + slope * step, rate)
        return rate

    def turns(self) -> list[Turn]:
        """See `Schedule.turns`."""
        turns = [Turn(0, "warm-up")] if self.warmup_steps else []
        turns.append(Turn(self.warmup_steps, f"falls by the power {self.power:g} of what is left"))
        return [*(turn for turn in turns if turn.step < self.total_steps), Turn(self.total_steps, "held")]


ANNEALED = Choice(
    optional=True,
    missing="is empty",
    required="write one_cycle { ... } or polynomial_decay { ... }, or delete it",
    alternatives={"one_cycle": OneCycle, "polynomial_decay": PolynomialDecay},
)
