"""Cores at work over a time: those that this process had, and those that nobody used."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Final, NamedTuple

_STAT: Final = Path("/proc/stat")
_IDLE, _WAITS_FOR_DISK = 4, 5  # columns of its line `cpu`


class CoreUse(NamedTuple):
    """Use of the machine's cores over a time, as means.

    Attributes:
        own: Cores that this process had, its threads together.
        idle: Cores of the whole machine that nobody used; infinite where that cannot be known.
    """

    own: float
    idle: float


class CoreMeter:
    """Measures from `begin` to `end`, with the operating system's counters, which cost microseconds."""

    def __init__(self) -> None:
        """Begins."""
        self.begin()

    def begin(self) -> None:
        """Begins anew."""
        self._started, self._own, self._idle = time.monotonic(), time.process_time(), _idle_seconds()

    def end(self) -> CoreUse:
        """Returns the use since `begin`."""
        seconds = max(time.monotonic() - self._started, 1e-9)
        own = (time.process_time() - self._own) / seconds
        return CoreUse(own, (_idle_seconds() - self._idle) / seconds if math.isfinite(self._idle) else math.inf)


def _idle_seconds() -> float:
    """Seconds that cores were idle since the machine started, one counted by another; infinite where no file tells."""
    try:
        words = _STAT.read_text("ascii").split("\n", 1)[0].split()
    except OSError:
        return math.inf
    return (int(words[_IDLE]) + int(words[_WAITS_FOR_DISK])) / os.sysconf("SC_CLK_TCK")
