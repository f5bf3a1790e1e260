"""The knee of a load test: how much load a server keeps up with, and what goes wrong beyond it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from serving.load.measurement import Step

KEEPS_UP_FRACTION = 0.9  # of what was offered that is answered; and of the best throughput that is enough


@dataclass(frozen=True)
class Knee:
    """What a load test found.

    Attributes:
        step: The most load that the server kept up with; None where it kept up with none.
        beyond: The next step, at which it no longer did; None where it kept up with all.
        reason: What went wrong at `beyond`, or that nothing did.
    """

    step: Step | None
    beyond: Step | None
    reason: str

    def __str__(self) -> str:
        """Says it in a sentence."""
        if self.step is None:
            return f"no knee: the least load that was measured is too much; {self.reason}"
        if self.beyond is None:
            return f"no knee up to {self.step.pace}, {_figures(self.step)}: {self.reason}"
        return f"knee: {self.step.pace}, {_figures(self.step)}; {self.reason}"


def find_knee(steps: Sequence[Step], max_p99_milliseconds: float | None = None) -> Knee | None:
    """Finds the knee.

    In an open loop, where requests fall due whatever the server does, it is the last step before answers fall behind
    what is offered, or before the 99th percentile crosses its bound. In a closed loop, where nothing is ever behind, it
    is the least load with nine tenths of the best throughput among the steps before that bound is crossed: beyond it
    requests only wait longer.

    Args:
        steps: Of one kind of loop, in any order.
        max_p99_milliseconds: The bound; None for none.

    Returns:
        What was found; None where nothing was answered at all.
    """
    ordered = sorted(steps, key=lambda step: step.pace.value)
    if not any(step.latencies_seconds for step in ordered):
        return None
    kept_up: list[Step] = []
    beyond, reason = None, ""
    for step in ordered:
        reason = _trouble(step, max_p99_milliseconds)
        if reason:
            beyond = step
            break
        kept_up.append(step)
    if not kept_up:
        return Knee(None, beyond, reason)
    if kept_up[0].pace.concurrency is not None:
        best = max(step.requests_per_second for step in kept_up)
        enough = next(step for step in kept_up if step.requests_per_second >= KEEPS_UP_FRACTION * best)
        if enough is not kept_up[-1]:
            after = kept_up[kept_up.index(enough) + 1]
            return Knee(enough, after, "more load brings no more answers, only longer waits")
    if beyond is None:
        reason = "the most that was measured; more load may bring more"
    return Knee(kept_up[-1], beyond, reason)


def _trouble(step: Step, max_p99_milliseconds: float | None) -> str:
    """Returns why a server does not keep up with a step; empty where it does."""
    if step.offered_per_second is not None and step.answered_per_second < KEEPS_UP_FRACTION * step.offered_per_second:
        return (
            f"at {step.pace}, {step.offered_per_second:.1f} requests a second fell due and "
            f"{step.requests_per_second:.1f} were answered, p99 {step.milliseconds_at(99):.1f} ms"
        )
    # A step without an answer has no percentile, and is not within a bound.
    if max_p99_milliseconds is not None and not step.milliseconds_at(99) <= max_p99_milliseconds:
        return f"at {step.pace} p99 is {step.milliseconds_at(99):.1f} ms, above {max_p99_milliseconds:g}"
    return ""


def _figures(step: Step) -> str:
    return f"{step.requests_per_second:.1f} answered a second, p99 {step.milliseconds_at(99):.1f} ms"
