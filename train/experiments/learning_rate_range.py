"""The learning rate range test: the loss while the rate rises from step to step, and which rate that suggests.

Smith, "Cyclical Learning Rates for Training Neural Networks", 2017, https://arxiv.org/abs/1506.01186, section 3.3, with
rates that rise by a factor a step instead of by a summand, so that each power of ten gets as many steps.

The rate suggested is a tenth of the one at which the smoothed loss was lowest: there the loss is about to rise, and a
tenth of it is the usual margin. The rate of the steepest fall, the other usual choice, moves with the number of steps,
and noise in the losses throws it anywhere: on noisy 30-dimensional quadratics, on which gradient descent did best with
0.3 to 0.7, it was 1e-6 to 0.2 after 100 steps, and a tenth of the lowest 0.3 to 0.4.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

from data_prep.runtime.progress import progress
from train.loop.stopping import TrainingStopped

# A test ends where the smoothed loss has become so many times its lowest.
EXPLOSION = 4.0
MARGIN = 10.0
# Losses of fewer steps say nothing.
FEWEST_STEPS = 20
MOST_STEPS = 200
# The smoothing looks back over this share of the steps.
_SPAN = 0.1
# A fall of the smoothed loss by less, in standard deviations of what the smoothing took away, may be noise.
_NOISE = 1.0


@dataclasses.dataclass(frozen=True)
class RangeCurve:
    """What a range test saw.

    Attributes:
        rates: Of the steps made, rising.
        losses: Of each step's batch, before its update.
        smoothed: Exponential averages of the losses, corrected for beginning at 0.
        end: Why the test ended, as a part of a sentence.
        is_interrupted: Whether a person ended it.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    end: str
    is_interrupted: bool = False

    @property
    def lowest(self) -> int:
        """The step at which the smoothed loss is lowest."""
        return min(range(len(self.smoothed)), key=self.smoothed.__getitem__)

    @property
    def noise(self) -> float:
        """The standard deviation of the losses around the smoothed ones, up to the lowest."""
        upto = self.lowest + 1
        pairs = zip(self.losses[:upto], self.smoothed[:upto], strict=True)
        return math.sqrt(sum((loss - smooth) ** 2 for loss, smooth in pairs) / upto)


@dataclasses.dataclass(frozen=True)
class Suggestion:
    """A learning rate that a range test suggests.

    Attributes:
        rate: With two significant digits.
        reason: Where it comes from, as a sentence.
        warning: What speaks against it, as a sentence; empty for nothing.
    """

    rate: float
    reason: str
    warning: str = ""


def rising_rates(lowest: float, highest: float, num_steps: int) -> list[float]:
    """The rate of each step, from one to the other by the same factor a step."""
    return [lowest * (highest / lowest) ** (step / (num_steps - 1)) for step in range(num_steps)]


def measure(rates: Sequence[float], loss_of_step: Callable[[int], float | None]) -> RangeCurve:
    """Makes steps with rising rates until the loss explodes, the input ends, Ctrl-C, or all are made.

    Args:
        rates: Of the steps, as the optimizer's schedule has them.
        loss_of_step: Makes the step of an index and returns the loss of its batch before the update, which need not be
            finite; None where the input has ended.
    """
    decay = 1.0 - 1.0 / max(_SPAN * len(rates), 2.0)
    losses: list[float] = []
    smoothed: list[float] = []
    average = 0.0
    end = "all steps are made"
    is_interrupted = False
    try:
        for step, rate in enumerate(progress(rates, description="range test", unit="step")):
            loss = loss_of_step(step)
            if loss is None:
                end = "the input has ended"
                break
            if not math.isfinite(loss):
                end = f"the loss is not finite at {rate:.2g}"
                break
            average = decay * average + (1.0 - decay) * loss
            losses.append(loss)
            smoothed.append(average / (1.0 - decay ** (step + 1)))
            if smoothed[-1] > EXPLOSION * min(smoothed):
                end = f"the loss explodes at {rate:.2g}"
                break
    except TrainingStopped:
        end, is_interrupted = "interrupted", True
    return RangeCurve(tuple(rates[: len(losses)]), tuple(losses), tuple(smoothed), end, is_interrupted)


def suggest(curve: RangeCurve) -> Suggestion | None:
    """Says which rate a curve suggests.

    Returns:
        None where it suggests none: there are too few steps, or the loss only rose.
    """
    lowest = curve.lowest if curve.smoothed else 0
    if len(curve.losses) < FEWEST_STEPS or lowest == 0:
        return None
    first, least = curve.smoothed[0], curve.smoothed[lowest]
    reason = (
        f"a tenth of {curve.rates[lowest]:.2g}, where the smoothed loss is lowest ({least:.4g}, from {first:.4g}) and "
        "about to rise"
    )
    warning = ""
    if first - least < _NOISE * curve.noise:
        warning = (
            f"the loss fell by {first - least:.2g}, no more than batches differ ({curve.noise:.2g}): more --num_steps "
            "or a larger train_config.batch_size would tell more"
        )
    elif lowest == len(curve.smoothed) - 1:
        warning = f"the loss was still falling at the end ({curve.end}): higher rates may do, see --highest_rate"
    return Suggestion(float(f"{curve.rates[lowest] / MARGIN:.2g}"), reason, warning)
