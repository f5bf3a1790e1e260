"""Input files: texts within bounds; pipes are read where one reading is enough, and never waited for without end.

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

from data_prep.runtime.command_line import UsageError

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


class TooLargeError(Exception):
    """A file is larger than what it should be ever is."""


def read_bounded_text(path: str | os.PathLike[str], max_bytes: int) -> str:
    """Returns the text of a small file, which may be a pipe; `read_text` has errors for people.

    Args:
        path: The file: UTF-8, with or without a byte order mark.
        max_bytes: A larger file is refused.

    Raises:
        OSError: It cannot be read.
        TooLargeError: It is too large.
        UnicodeDecodeError: It is not UTF-8; `line_and_column` says where.
    """
    with open_input(path) as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise TooLargeError(f"{path}: larger than {max_bytes} bytes")
    return content.decode("utf-8-sig")


def line_and_column(error: UnicodeDecodeError) -> tuple[int, int]:
    """Returns where the first byte is that is no text, both from 1; the column in bytes."""
    before = error.object[: error.start]
    return before.count(b"\n") + 1, error.start - before.rfind(b"\n")


def read_text(path: str | os.PathLike[str], what: str, *, max_bytes: int) -> str:
    """Returns the text of a small file, which may be a pipe.

    Args:
        path: The file: UTF-8, with or without a byte order mark.
        what: What it should be, such as `label map`, for errors.
        max_bytes: A larger file is refused.

    Raises:
        UsageError: It cannot be read, is too large, or is not UTF-8; with the file, and the line where there is one.
    """
    try:
        return read_bounded_text(path, max_bytes)
    except OSError as error:
        raise UsageError(f"{what} {path}: {error.strerror or error}") from error
    except TooLargeError as error:
        raise UsageError(f"{what} {path}: larger than {max_bytes // 2**20} MiB, so not a {what}") from error
    except UnicodeDecodeError as error:
        line, _ = line_and_column(error)
        raise UsageError(f"{path}:{line}: not UTF-8 text (byte {error.start}); save the {what} as UTF-8") from error


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
