"""Progress of a training run on the terminal."""

from __future__ import annotations

import sys
import time
from typing import Any

import orbit
from tqdm import tqdm


class TrainingProgress:
    """Progress of a run: a bar on a terminal, lines elsewhere, and a summary at the end."""

    def __init__(self, start_step: int, num_steps: int, *, is_shown: bool = True) -> None:
        """Starts the clock.

        Args:
            start_step: Where training goes on from.
            num_steps: Where it is to end.
            is_shown: Whether anything is printed at all: of several workers, one speaks.
        """
        self._start_step = start_step
        self._num_steps = num_steps
        self._started = time.monotonic()
        self._losses: list[float] = []
        self._is_shown = is_shown
        self._is_terminal = is_shown and sys.stderr.isatty()
        # Kept, since standard output is Orbit's log while its controller runs.
        self._out = sys.stdout
        self._bar = tqdm(
            total=num_steps, initial=start_step, desc="training", unit="step", disable=not self._is_terminal
        )

    def report(self, step: int, results: dict[str, Any]) -> None:
        """Shows the losses of a loop that ended at `step`."""
        losses = {
            name.removeprefix("Loss/"): float(orbit.utils.get_value(value))
            for name, value in results.items()
            if name.startswith("Loss/")
        }
        self._losses.append(losses["total_loss"])
        if self._is_terminal:
            self._bar.set_postfix(loss=f"{losses['total_loss']:.3f}")
            self._bar.update(step - self._bar.n)
            return
        rate = (step - self._start_step) / (time.monotonic() - self._started)
        minutes_left = (self._num_steps - step) / rate / 60
        words = ", ".join(f"{name} {value:.3f}" for name, value in losses.items())
        self.say(f"step {step}/{self._num_steps}: {words}; {rate:.2f} steps/s, {minutes_left:.1f} min left")

    def say(self, text: str) -> None:
        """Prints without tearing the bar."""
        if not self._is_shown:
            return
        tqdm.write(text, file=self._out)
        self._out.flush()

    def close(self, step: int) -> None:
        """Ends the bar and sums up a run that ended at `step`."""
        self._bar.close()
        seconds = time.monotonic() - self._started
        steps = step - self._start_step
        losses = f"; total loss {self._losses[0]:.3f} at first, {self._losses[-1]:.3f} at last" if self._losses else ""
        self.say(f"trained {steps} steps in {seconds:.0f} s ({steps / seconds:.2f} steps/s, all included){losses}")
