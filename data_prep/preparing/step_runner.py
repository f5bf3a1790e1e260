"""Runs commands one after the other, each in its own process, and says of each what it is and how it ended.

A command's output goes where ours goes, its progress bar included. Signals that stop us are passed on and the command
is waited for; one that outlived us would hold its folder against the next run, so it is killed where we are killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from data_prep.preparing.command_step import CommandStep
from data_prep.runtime.child_environment import command_environment
from data_prep.runtime.command_line import EXIT_DONE, EXIT_FAILED, EXIT_TOO_MANY_REJECTED, EXIT_USAGE, UserError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PROCESS = "data_prep.preparing.step_process"
_MEANINGS = {
    EXIT_USAGE: "which means a flag or file that it cannot use",
    EXIT_TOO_MANY_REJECTED: "which means that more was rejected than --max_failures allows; its ledger names each",
}


class StepFailedError(UserError):
    """A step that did not end well.

    Attributes:
        exit_code: The step's own, so that 2 and 3 mean of the whole what they mean of the step; 1 where a signal that
            was not meant for us ended it; 128 and the signal's number where one that we got did.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class StepRunner:
    """Runs steps and remembers how long each took."""

    def __init__(self, num_steps: int | None = None) -> None:
        """Prepares.

        Args:
            num_steps: How many there will be, to be shown; None where that is not known.
        """
        self._num_steps = num_steps
        self._done: list[tuple[CommandStep, float]] = []

    def run(self, step: CommandStep) -> None:
        """Runs a step to its end; shows its title and its command before.

        Raises:
            StepFailedError: It ended with another exit code than 0.
            KeyboardInterrupt: Ctrl-C ended it.
        """
        number = f"{len(self._done) + 1}" + (f" of {self._num_steps}" if self._num_steps else "")
        print(f"\n== step {number}: {step.title}\n{step.wrapped_command()}", flush=True)
        started = time.monotonic()
        if step.stamp is not None and step.stamp.earlier_notes() is not None:
            print("nothing to do: an earlier run has done it over these files")
        else:
            inputs = step.stamp.inputs_now() if step.stamp is not None else None
            _check(step, number, *_run_process([step.module, *step.words]))
            if step.stamp is not None and inputs is not None:
                step.stamp.write(inputs, {})
        self._done.append((step, time.monotonic() - started))

    def summary_lines(self) -> list[str]:
        """Returns what was run and how long each step took."""
        total = sum(seconds for _, seconds in self._done)
        lines = [f"{len(self._done)} steps in {total:.1f} s:"]
        return lines + [f"{seconds:>9.1f} s  {step.title} ({step.module})" for step, seconds in self._done]


def _check(step: CommandStep, number: str, code: int, stopped_by: int | None) -> None:
    again = "the same command goes on from here"
    if stopped_by == signal.SIGINT and code != EXIT_DONE:
        raise KeyboardInterrupt
    if stopped_by is not None:
        name = signal.Signals(stopped_by).name
        raise StepFailedError(f"stopped by {name} in step {number}, {step.title}; {again}", 128 + stopped_by)
    if code == EXIT_DONE:
        return
    how = f"ended with exit code {code}"
    if code < 0:
        how = f"was ended by {_signal_name(-code)}, as a system that runs out of memory does"
    elif code in _MEANINGS:
        how += f", {_MEANINGS[code]}"
    raise StepFailedError(
        f"step {number}, {step.title}, {how}; once that is mended, {again}; it was: {step.command()}",
        code if code > 0 else EXIT_FAILED,
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _run_process(module_and_words: Sequence[str]) -> tuple[int, int | None]:
    """Runs a module with our files and our terminal; returns its exit code, and the signal that we got meanwhile."""
    command = [sys.executable, "-m", _PROCESS, str(os.getpid()), *module_and_words]
    environment = command_environment()
    received: list[int] = []
    children: list[subprocess.Popen[bytes]] = []

    def pass_on(number: int, frame: Any) -> None:
        # A terminal sends its Ctrl-C to the child as well, and two would not let it end in order. A second one from
        # elsewhere is passed on all the same.
        is_the_childs_too = number == signal.SIGINT and not received and _is_of_terminal()
        received.append(number)
        if children and not is_the_childs_too:
            children[0].send_signal(number)

    with _handling(pass_on):
        child = subprocess.Popen(command, env=environment)
        children.append(child)
        if received and not _is_of_terminal():
            child.send_signal(received[-1])
        code = child.wait()
    return code, received[-1] if received else None


@contextlib.contextmanager
def _handling(handler: Callable[[int, Any], None]) -> Iterator[None]:
    earlier = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, before in earlier.items():
            signal.signal(number, before)


def _is_of_terminal() -> bool:
    """Tells whether we are what a terminal's Ctrl-C stops."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
