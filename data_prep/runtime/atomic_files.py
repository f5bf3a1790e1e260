"""Files that appear whole or not at all: written under a temporary name beside the target, then renamed."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TEMPORARY_PREFIX = ".partial-"


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path to write to; on success it is renamed to `path`, on an exception it is removed.

    A process killed in between leaves a file whose name begins with `.partial-`, and `path` as it was.

    Args:
        path: The file to make; its folder is made if missing.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = new_temporary_path(target)
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def new_temporary_path(target: Path) -> Path:
    """Makes an empty file beside `target` under a name that no other process uses, with the rights of any new file.

    `tempfile` would make one that only its owner can read, and asking for the umask to mend that is no thread's own
    business: the umask belongs to the whole process.
    """
    while True:
        name = f"{TEMPORARY_PREFIX}{secrets.token_hex(6)}-{target.name[-80:]}"
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
    """Writes `content` to `path` as UTF-8, whole or not at all."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: str | os.PathLike[str], content: Any, *, indent: int | None = None) -> None:
    """Writes `content` to `path` as JSON, whole or not at all."""
    write_text(path, json.dumps(content, indent=indent, allow_nan=False) + "\n")
