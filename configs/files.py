"""Writing a file whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_bytes_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Writes under a temporary name beside `path`, then renames; the folder is made if missing.

    data_prep.runtime.atomic_files does this for the rest of the project; this room stands on its own, without it.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".partial-{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
