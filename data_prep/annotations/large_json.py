"""A large JSON from anywhere, plain or gzipped, read whole within bounds."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_prep.metadata.csv_rows import open_bytes
from data_prep.runtime.command_line import UsageError

MAX_BYTES = 4 * 1024**3  # unpacked; instances_train2017.json has 0.45e9, LVIS' training set 1.1e9

_PIECE_BYTES = 64 * 1024


def read_json(path: Path, with_pairs: Callable[[list[tuple[str, Any]]], Any]) -> Any:
    """Returns what a JSON holds.

    Args:
        path: The file.
        with_pairs: Takes the keys and values of each object, the innermost first, and returns what is to stand for it:
            what it drops never piles up in memory.

    Raises:
        UsageError: It cannot be read, is larger than `MAX_BYTES`, or is not JSON.
    """
    try:
        with open_bytes(path) as file:
            content = bytearray()
            while len(content) <= MAX_BYTES and (piece := file.read(_PIECE_BYTES)):
                content += piece
    except (EOFError, zlib.error) as error:
        raise UsageError(f"{path}: damaged: {error}; fetch it again") from error
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    if len(content) > MAX_BYTES:
        raise UsageError(f"{path}: larger than {MAX_BYTES // 2**30} GiB; split it by image")
    try:
        text = content.decode("utf-8-sig")
        del content  # hundreds of megabytes, before as many are made of them
        return json.loads(text, object_pairs_hook=with_pairs)
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except RecursionError as error:
        raise UsageError(f"{path}: nested too deeply for annotations") from error
    except ValueError as error:  # a whole number of thousands of digits
        raise UsageError(f"{path}: not JSON: {error}") from error
