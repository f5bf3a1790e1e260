"""Stopping a training when its process is asked to: SIGTERM, as machines that shut down send it, and Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class TrainingStopped(Exception):  # noqa: N818 - not an error
    """The process was asked to stop.

    Attributes:
        signal_number: By which signal.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.signal_number = signal_number

    @property
    def exit_code(self) -> int:
        """What a process ends with that is ended by the signal, as shells have it."""
        return 128 + self.signal_number


class StopRequests:
    """Listens for signals that ask to stop.

    Outside `deferred`, a signal raises `TrainingStopped` where the program is. Inside, it is only remembered, for
    `requested`, so that what must not be torn apart is ended first. A second signal ends the process at once.
    """

    def __init__(self) -> None:
        """Hears nothing yet."""
        self.requested: int | None = None
        self._defers = 0

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Takes the signals for as long as the context lasts; only a process' main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._hear) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Remembers signals inside this context, instead of raising where the program is."""
        self._defers += 1
        try:
            yield
        finally:
            self._defers -= 1

    def check(self) -> None:
        """Raises `TrainingStopped` if a signal was remembered."""
        if self.requested is not None:
            raise TrainingStopped(self.requested)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.requested is not None:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self.requested = number
        if self._defers:
            # Not print, which must not be called while it is being called.
            os.write(2, f"{signal.Signals(number).name}: stopping after this step\n".encode())
        else:
            raise TrainingStopped(number)
