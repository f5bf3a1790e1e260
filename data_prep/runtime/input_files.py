"""Input files: pipes are read where one reading is enough, and never waited for without end.

`/dev/stdin` and `<(zcat boxes.csv.gz)` are pipes, and so is what `mkfifo` makes, which opens once somebody writes to
it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from concurrent.futures import Future, wait
from io import BufferedReader
from pathlib import Path
from typing import Final

SECONDS_FOR_A_WRITER: Final = 30.0


def open_input(path: str | os.PathLike[str]) -> BufferedReader:
    """Opens a file, a device or a pipe to read it once, from its beginning.

    Raises:
        OSError: It cannot be opened, or is a pipe that nobody writes to.
    """
    source = Path(path)
    if stat.S_ISFIFO(source.stat().st_mode):
        return _open_pipe(source)
    return source.open("rb")


def open_regular(path: str | os.PathLike[str]) -> BufferedReader:
    """Opens a regular file, for readers that go back in it.

    Raises:
        OSError: It cannot be opened, or is something else.
    """
    source = Path(path)
    mode = source.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # of a folder, opening says more
        problem = "not a regular file, as this must be; write its content to one, and name that"
        raise OSError(errno.EINVAL, problem, str(source))
    return source.open("rb")


def _open_pipe(source: Path) -> BufferedReader:
    opened: Future[BufferedReader] = Future()

    def open_when_somebody_writes() -> None:
        try:
            file = source.open("rb")
        except OSError as error:
            opened.set_exception(error)
            return
        if opened.set_running_or_notify_cancel():
            opened.set_result(file)
        else:
            file.close()

    threading.Thread(target=open_when_somebody_writes, daemon=True).start()
    if not wait([opened], SECONDS_FOR_A_WRITER).done and opened.cancel():
        with contextlib.suppress(OSError):  # so that the thread ends: it opens once we write, if only nothing
            os.close(os.open(source, os.O_WRONLY | os.O_NONBLOCK))
        problem = f"a pipe to which nobody has begun to write in {SECONDS_FOR_A_WRITER:g} seconds"
        raise OSError(errno.ETIMEDOUT, problem, str(source))
    return opened.result()
