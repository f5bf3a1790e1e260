"""Runs a module as `python -m` does, in a process that ends with the one that started it.

It is a program of its own, as nothing can safely be done between fork and exec in a process that has threads.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with(parent_pid: int) -> None:
    """Has the system kill this process when its parent ends, on Linux; elsewhere there is no such thing.

    Args:
        parent_pid: The parent's number, which tells whether it has ended already.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(128 + signal.SIGKILL)


if __name__ == "__main__":
    parent, module, *words = sys.argv[1:]
    end_with(int(parent))
    sys.argv[1:] = words
    runpy.run_module(module, run_name="__main__", alter_sys=True)
