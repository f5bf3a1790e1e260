"""One large image is decoded at a time, by whichever thread or process of a command, and its memory is given back.

A PNG of 250 kB may hold 100 million pixels, which take 700 MB while they are decoded and turned into RGB. Threads and
processes that each decode one together need more memory than the machine has, and what they free stays with each of
them: glibc keeps it for the thread that had it.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any, Final

LARGE_PIXELS: Final = 32_000_000  # beyond what cameras and telephones mostly give, so that ordinary images never wait

# Of this process; where a command shares its work out to processes, of all of them: see `worker_pool`.
_turn: Any = threading.RLock()


@contextlib.contextmanager
def large_image_turn(num_pixels: int) -> Iterator[None]:
    """Waits, where an image is large, until no other large one is being decoded; others go on at once.

    What the block made must be out of reach when it ends but for its result: call a function in it. What a function
    that failed had made is let go of here, as an error holds it otherwise for as long as somebody holds the error.

    Args:
        num_pixels: What the image's header says, which is to be bounded before.
    """
    if num_pixels <= LARGE_PIXELS:
        yield
        return
    with _turn:
        try:
            yield
        except Exception as error:
            _let_go(error)
            raise
        finally:
            _give_back()


def take_turns_by(lock: Any) -> None:
    """Takes turns by `lock` from now on: a re-entrant one that several processes share."""
    global _turn  # noqa: PLW0603 - decoding is called from everywhere, with no way to hand it a lock
    _turn = lock


def _let_go(error: BaseException | None) -> None:
    """Clears the variables of the functions that an error, or what led to it, came through."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _give_back() -> None:
    if (trim := _malloc_trim()) is not None:
        trim(0)


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    """Returns glibc's function that gives free memory back to the system; None where the C library is another."""
    with contextlib.suppress(OSError, AttributeError):
        function = ctypes.CDLL(None).malloc_trim
        function.argtypes, function.restype = [ctypes.c_size_t], ctypes.c_int
        return function
    return None
