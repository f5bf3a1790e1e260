"""Files that appear whole or not at all: written under a temporary name beside the target, then renamed."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

TEMPORARY_PREFIX = ".partial-"
_NAME_LENGTH = 80  # that is kept of a file's name
_START = time.time()
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the last: a limit, or a file system of small files


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path to write to; on success it is renamed to `path`, on an exception it is removed.

    A process killed in between leaves a file whose name begins with `.partial-`, and `path` as it was.

    Args:
        path: The file to make; its folder is made if missing.

    Raises:
        OSError: Also of a disk that is full, for which the system names no file: then it names `path`.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = new_temporary_path(target)
    try:
        with naming_full_disk(target), held(temporary):
            yield temporary
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def naming_full_disk(path: str | os.PathLike[str]) -> Iterator[None]:
    """Names the file that is written where the disk is full: the system's own error of a write names none.

    Raises:
        OSError: Of a disk or a quota that is full, with `path` as its `filename`.
    """
    try:
        yield
    except OSError as error:
        if is_full_disk(error) and (error.filename is None or error.filename2 is not None):  # shutil names the source
            raise OSError(error.errno, os.strerror(error.errno or 0), str(path)) from error
        raise


def is_full_disk(error: OSError) -> bool:
    """Whether an error says that there is no room for a file, or for more of it."""
    return error.errno in _NO_ROOM


@contextlib.contextmanager
def held(temporary: Path) -> Iterator[None]:
    """Marks a file or a folder as one that a live process writes; the mark goes with the process, however that ends."""
    descriptor = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def remove_leftovers(*targets: str | os.PathLike[str]) -> int:
    """Removes what killed runs have left half written of files, and nothing else; returns how many files that were.

    A leftover has a name that this module gives a temporary file of the target, is older than this process, and is
    held by no process. On a file system without locks, where that cannot be told, everything stays.

    Args:
        targets: The files that are about to be written.
    """
    num_removed = 0
    names: dict[Path, list[str]] = {}
    for path in map(Path, targets):
        names.setdefault(path.parent, []).append(re.escape(path.name[-_NAME_LENGTH:]))
    for folder, endings in names.items():
        leftover = re.compile(f"{re.escape(TEMPORARY_PREFIX)}[0-9a-f]{{12}}-({'|'.join(endings)})", re.DOTALL)
        num_removed += _remove_matching(folder, leftover, stat.S_ISREG, Path.unlink)
    return num_removed


def remove_left_folders(parent: Path, prefix: str) -> int:
    """Removes, as `remove_leftovers` does files, folders that `tempfile.mkdtemp` made; returns how many.

    Args:
        parent: Where they are.
        prefix: What their names begin with, `.partial-` and more.
    """
    return _remove_matching(parent, re.compile(re.escape(prefix) + "[a-z0-9_]{8}"), stat.S_ISDIR, shutil.rmtree)


def _remove_matching(
    folder: Path, name: re.Pattern[str], is_kind: Callable[[int], bool], remove: Callable[[Path], object]
) -> int:
    return sum(_remove_if_left(path, is_kind, remove) for path in _paths_in(folder) if name.fullmatch(path.name))


def _paths_in(folder: Path) -> Iterable[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in entries if entry.name.startswith(TEMPORARY_PREFIX)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _remove_if_left(path: Path, is_kind: Callable[[int], bool], remove: Callable[[Path], object]) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # gone meanwhile, a link, or another user's
        return False
    try:
        status = os.fstat(descriptor)
        if not is_kind(status.st_mode) or max(status.st_mtime, status.st_ctime) >= _START:
            return False
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove(path)
    except OSError:  # held by a process that writes it, or not ours to remove
        return False
    finally:
        os.close(descriptor)
    return True


def new_temporary_path(target: Path) -> Path:
    """Makes an empty file beside `target` under a name that no other process uses, with the rights of any new file.

    `tempfile` would make one that only its owner can read, and asking for the umask to mend that is no thread's own
    business: the umask belongs to the whole process.
    """
    while True:
        name = f"{TEMPORARY_PREFIX}{secrets.token_hex(6)}-{target.name[-_NAME_LENGTH:]}"
        temporary = target.with_name(name)
        try:
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            continue
        return temporary


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Writes `content` to `path`, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | os.PathLike[str], content: str) -> None:
    """Writes `content` to `path` as UTF-8, whole or not at all, and removes what killed runs have left of it."""
    remove_leftovers(path)
    write_bytes(path, content.encode("utf-8"))


def write_json(path: str | os.PathLike[str], content: Any, *, indent: int | None = None) -> None:
    """Writes `content` to `path` as JSON, whole or not at all."""
    write_text(path, json.dumps(content, indent=indent, allow_nan=False) + "\n")
