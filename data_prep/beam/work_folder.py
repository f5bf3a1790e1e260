"""The folder beside the records where a run works, and what becomes of those that killed runs leave."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from data_prep.beam import files
from data_prep.runtime.atomic_files import TEMPORARY_PREFIX

_IN_PROCESS_NAME = "in-process"  # a file by which others see whether its process still runs


@contextlib.contextmanager
def work_folder(folder: str, name: str, *, in_process: bool) -> Iterator[str]:
    """Yields the path of a new folder for one run, which goes when the block ends.

    Interrupted from the keyboard, it stays: a job elsewhere may go on. What runs left that did all in one process, and
    that are gone, is removed; others are named.

    Args:
        folder: Where the records are to be.
        name: What their names begin with.
        in_process: Whether this process does all the work.
    """
    prefix = f"{TEMPORARY_PREFIX}{name}-beam-"
    for left in files.folders_in(folder, prefix):
        if not _remove_if_over(left):
            print(f"note: {left} is another run's; remove it if that is over")
    path = files.join(folder, prefix + secrets.token_hex(6))
    stays = False
    with contextlib.ExitStack() as stack:
        if in_process and not files.is_remote(path):
            stack.enter_context(_held(Path(path)))
        try:
            yield path
        except KeyboardInterrupt:
            stays = not in_process
            raise
        finally:
            if not stays:
                files.remove_folder(path)


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    path.mkdir(parents=True)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # goes with the process, however it ends
        (path / _IN_PROCESS_NAME).touch()
        yield
    finally:
        os.close(descriptor)


def _remove_if_over(path: str) -> bool:
    if files.is_remote(path) or not (Path(path) / _IN_PROCESS_NAME).is_file():
        return False
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        files.remove_folder(path)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
