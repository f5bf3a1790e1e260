"""Memory that one block of a large file leaves, kept for the next."""

from __future__ import annotations

import ctypes
import sys

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8
_KEPT_BYTES = 512 * 1024 * 1024
_LARGEST_KEPT_BYTES = 32 * 1024 * 1024  # more is refused
_STEP_BYTES = 64 * 1024 * 1024


def keep_freed_memory() -> None:
    """Has this process keep what it frees, up to half a gibibyte, where the C library is glibc; else does nothing.

    For a command that takes and frees blocks of many megabytes in several threads until it ends: to hand each back to
    the system, which clears it before it is given out again, was a tenth of the time. To be called before threads are
    started: each would have a heap of its own, which is small, and handed back as a whole.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library
        return
    for what, value in (
        (_ARENA_MAX, 1),
        (_TRIM_THRESHOLD, _KEPT_BYTES),
        (_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES),
        (_TOP_PAD, _STEP_BYTES),
    ):
        mallopt(what, value)
