"""The check of a machine's devices: short trainings on each, whose losses must be those of the CPU."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from data_prep.runtime.command_line import UserError
from train.experiments.device_trial import Measurement, Trial, run_trial
from train.pipeline import Pipeline

# How far from the CPU's float32 loss a step's may be, as a share of it. On GPUs, float32 convolutions have
# TensorFloat-32's 10 bits of mantissa; float16 has as many everywhere, and leaves out the first steps until its loss
# scale is found; bfloat16 has 7.
# Loss scaling leaves out the first steps of float16, until it has found a scale: its losses lag behind.
TOLERANCES = {"float32": 0.01, "mixed_float16": 0.1, "mixed_bfloat16": 0.05}
# With the steps, rounding grows into another course of the training: only the first ones are compared.
COMPARED_STEPS = 5
_HEAD = ("model", "precision", "devices", "steps/s", "waiting", "memory", "loss, first to last", "off the CPU's")
_WIDTHS = (14, 15, 12, 9, 8, 10, 20, 0)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a trial went.

    Attributes:
        trial: The trial.
        measurement: None where it failed, or was not run.
        difference: The largest difference of the first losses from the reference's, as a share of them; None for a
            reference, and where there is no measurement.
        problem: What is wrong, as a sentence; empty where nothing is.
    """

    trial: Trial
    measurement: Measurement | None
    difference: float | None = None
    problem: str = ""

    def row(self) -> str:
        """The trial's line in the table."""
        cells = [self.trial.model, self.trial.precision, _shortened(self.trial.devices)]
        measured = self.measurement
        if measured is not None:
            rate = measured.steps_per_second
            memory = "" if measured.peak_bytes is None else f"{measured.peak_bytes / 2**30:.2f} GiB"
            cells += ["", ""] if math.isnan(rate) else [f"{rate:.2f}", f"{measured.waiting:.0%}"]
            cells += [memory, f"{measured.losses[0]:.4f} to {measured.losses[-1]:.4f}"]
        else:
            cells += [""] * 4
        cells.append("reference" if self.trial.is_reference else "")
        if self.difference is not None:
            cells[-1] = f"{self.difference:.2%} of {TOLERANCES[self.trial.precision]:.0%} allowed"
        cells[-1] += f"{' ' if cells[-1] else ''}{self.problem and 'FAILED: ' + self.problem}"
        return _line(cells)


def check_devices(
    pipelines: Mapping[str, Pipeline],
    *,
    accelerators: Sequence[str],
    cpus: Sequence[str],
    precisions: Sequence[str],
    num_steps: int,
    seconds: float,
    say: Callable[[str], None] = print,
) -> list[Outcome]:
    """Trains each model on the first accelerator in each precision, and on all of them, mirrored, where there are two.

    Args:
        pipelines: What to train, by name.
        accelerators: Logical devices to check, such as `GPU:0`.
        cpus: Logical CPUs, as many as accelerators: references are trained on them.
        precisions: Keys of `TOLERANCES`.
        num_steps: Of each trial; references make those that are compared.
        seconds: How long all may take; what would begin later is not run.
        say: Told the table, a line a trial.
    """
    deadline = time.monotonic() + seconds
    say(_line(_HEAD))
    outcomes = []
    for name, pipeline in pipelines.items():
        for outcome in _check_model(name, pipeline, accelerators, cpus, precisions, num_steps, deadline):
            say(outcome.row())
            outcomes.append(outcome)
    return outcomes


def _check_model(
    name: str,
    pipeline: Pipeline,
    accelerators: Sequence[str],
    cpus: Sequence[str],
    precisions: Sequence[str],
    num_steps: int,
    deadline: float,
) -> Iterator[Outcome]:
    groups = [(tuple(accelerators[:1]), tuple(cpus[:1]), tuple(precisions))]
    if len(accelerators) > 1:
        groups.append((tuple(accelerators), tuple(cpus[: len(accelerators)]), ("float32",)))
    weights = None
    for devices, reference_devices, own_precisions in groups:
        reference = Trial(name, "float32", reference_devices, is_reference=True)
        try:
            expected, weights = run_trial(
                reference, pipeline, num_steps=min(COMPARED_STEPS, num_steps), deadline=deadline, weights=weights
            )
        except UserError as error:
            yield Outcome(reference, None, problem=str(error))
            return
        yield Outcome(reference, expected)
        for precision in own_precisions:
            trial = Trial(name, precision, devices)
            if time.monotonic() > deadline:
                yield Outcome(trial, None, problem="not run, for the time is over; --max_minutes allows more")
                continue
            try:
                measured, _ = run_trial(trial, pipeline, num_steps=num_steps, deadline=deadline, weights=weights)
            except UserError as error:
                yield Outcome(trial, None, problem=str(error))
                continue
            difference = largest_difference(measured.losses, expected.losses)
            problem = "" if difference <= TOLERANCES[precision] else "the losses are not the CPU's"
            yield Outcome(trial, measured, difference, problem)


def largest_difference(losses: Sequence[float], reference: Sequence[float]) -> float:
    """The largest difference of losses from a reference's, as a share of it, over the steps that are compared."""
    pairs = list(zip(losses, reference, strict=False))[:COMPARED_STEPS]
    return max(abs(loss - wanted) / abs(wanted) for loss, wanted in pairs)


def _shortened(devices: Sequence[str]) -> str:
    return devices[0] if len(devices) == 1 else f"{len(devices)} {devices[0].partition(':')[0]}s"


def _line(cells: Sequence[str]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True)).rstrip()
