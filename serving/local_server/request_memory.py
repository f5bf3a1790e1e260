"""A bound on the memory of all requests together: who needs more than is free waits, for a bounded time."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc

from serving.client_library.channels import MEBIBYTE
from serving.saved_models.status_errors import StatusError, invalid_argument

FLAG = "--max_request_memory_mebibytes"
SECONDS_TO_WAIT = 30.0
# A request holds bytes in several forms at a time. Peaks of the process's memory, as measured: messages of uint8 pixels
# took 6 to 7.4 times their bytes until they were answered (message, array, float32 of it, what the resizer makes), an
# encoded image 28 bytes a pixel.
COPIES_OF_TENSOR = 8
BYTES_OF_DECODED_PIXEL = 28
# JSON's text is there as bytes, as text and as one string of it, or two. What it holds becomes objects, whose size has
# little to do with the text's: `[[]],` was measured at 38 times its bytes, an image in base64 at 3.
_COPIES_OF_JSON_TEXT = 3
_BYTES_OF_JSON_OBJECT = {b",": 48, b"[": 96, b"{": 128, b'"': 64}  # a value, a list, an object, half a string
_BYTES_OF_CHARACTER = 4  # of a text that is not all ASCII, at most

_SECONDS_BETWEEN_LOOKS = 0.25
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


class RequestMemory:
    """So many bytes for all requests that are on their way or worked on; any thread may ask for some."""

    def __init__(self, total_bytes: int) -> None:
        """Nothing is held yet.

        Args:
            total_bytes: What all requests together may hold.
        """
        self.total_bytes = total_bytes
        self._used = 0
        self._holders = 0
        self._growing = 0
        self._freed = threading.Condition()

    @contextlib.contextmanager
    def hold(self, size: int, check: Callable[[], object], seconds: float = SECONDS_TO_WAIT) -> Iterator[HeldMemory]:
        """Waits until `size` bytes are free and holds them.

        Args:
            size: In bytes.
            check: Called while it waits; what it raises ends the wait: the caller has gone, or its deadline passed.
            seconds: How long to wait at most.

        Raises:
            StatusError: RESOURCE_EXHAUSTED: they were not free in time; INVALID_ARGUMENT: there are never so many.
        """
        held = HeldMemory(self)
        with self._freed:
            self._take(size, check, seconds)
            self._holders += 1
            held.size = size
        try:
            yield held
        finally:
            with self._freed:
                self._used -= held.size
                held.size = 0
                self._holders -= 1
                self._freed.notify_all()

    def grow(self, held: HeldMemory, size: int, check: Callable[[], object], seconds: float) -> None:
        """Lets `held` hold `size` bytes more; `HeldMemory.grow` says how."""
        with self._freed:
            self._growing += 1
            try:
                self._take(size, check, seconds, holds_already=held.size)
            finally:
                self._growing -= 1
            held.size += size

    def shrink(self, held: HeldMemory, size: int) -> None:
        """Lets `held` hold `size` bytes from now on."""
        with self._freed:
            self._used -= max(0, held.size - size)
            held.size = min(held.size, size)
            self._freed.notify_all()

    def _take(self, size: int, check: Callable[[], object], seconds: float, holds_already: int = 0) -> None:
        if holds_already + size > self.total_bytes:
            raise invalid_argument(
                f"the request takes about {_mebibytes(holds_already + size)} MiB of memory; all together may hold "
                f"{_mebibytes(self.total_bytes)}: send fewer or smaller images, or start the server with more {FLAG}"
            )
        end = time.monotonic() + seconds
        while self._used + size > self.total_bytes:
            check()
            # When all who hold something wait for more, no one would ever give any back.
            stuck = holds_already > 0 and self._growing == self._holders
            if stuck or time.monotonic() >= end:
                raise StatusError(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    f"the server's memory for requests, {_mebibytes(self.total_bytes)} MiB ({FLAG}), is in use",
                )
            self._freed.wait(_SECONDS_BETWEEN_LOOKS)
        self._used += size


class HeldMemory:
    """The part of a request in a `RequestMemory`.

    Attributes:
        size: In bytes.
    """

    def __init__(self, memory: RequestMemory | None = None) -> None:
        """Holds nothing; without a memory any size is granted, as for a version's own warm-up requests."""
        self.size = 0
        self._memory = memory

    def grow(self, size: int, check: Callable[[], object], seconds: float = SECONDS_TO_WAIT) -> None:
        """Holds `size` bytes more, as `RequestMemory.hold` does.

        Raises:
            StatusError: As there; RESOURCE_EXHAUSTED at once where all others who hold memory wait for more as well.
        """
        if self._memory is not None:
            self._memory.grow(self, size, check, seconds)

    def shrink(self, size: int) -> None:
        """Holds no more than `size` bytes from now on."""
        if self._memory is not None:
            self._memory.shrink(self, size)


def bytes_of_json(body: bytes) -> int:
    """Returns how much memory it takes at most to read a body of JSON into arrays, in bytes."""
    width = 1 if body.isascii() else _BYTES_OF_CHARACTER
    objects = sum(body.count(mark) * size for mark, size in _BYTES_OF_JSON_OBJECT.items())
    return len(body) * width * _COPIES_OF_JSON_TEXT + objects


def half_of_memory() -> int:
    """Returns half of what this process may have, in bytes: of the machine's memory, or of its container's limit."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for path in _CGROUP_LIMITS:
        with contextlib.suppress(OSError, ValueError):  # no such group, or "max"
            memory = min(memory, int(path.read_text("ascii")))
    return memory // 2


def _mebibytes(size: int) -> int:
    return -(-size // MEBIBYTE)
