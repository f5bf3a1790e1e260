"""A large file in blocks of whole lines, so in bounded memory; while one is worked on, the next is read."""

from __future__ import annotations

import zlib
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import numpy as np

from data_prep.metadata.csv_rows import MAX_LINE_LENGTH, REPLACEMENT, refuse_long_line
from data_prep.runtime.command_line import UserError

_PIECE_BYTES = 256 * 1024  # of a block, looked at while it is in a processor's cache
Block = tuple[int, bytes]  # the number of its first line, from 1, and whole lines, the last of which ends too


def read_blocks(stream: IO[bytes], source: Path, block_bytes: int) -> Generator[Block, None, None]:
    """Yields a file's blocks; a thread reads the next one meanwhile.

    The text is UTF-8 without NUL and has Unix line ends: Polars and the csv module then see the same.

    Args:
        stream: The file, opened.
        source: Its path, for messages.
        block_bytes: About how long a block is.

    Raises:
        UsageError: A line has over a million characters.
        UserError: The file is damaged.
    """
    blocks = _blocks(stream, source, block_bytes)
    with ThreadPoolExecutor(1) as executor:
        coming = executor.submit(next, blocks, None)
        while (block := coming.result()) is not None:
            coming = executor.submit(next, blocks, None)
            yield block


def _blocks(stream: IO[bytes], source: Path, block_bytes: int) -> Iterator[Block]:
    line, kept = 1, 0
    buffer = bytearray(block_bytes + MAX_LINE_LENGTH)
    while True:
        try:
            size = stream.readinto(memoryview(buffer)[kept : kept + block_bytes])  # type: ignore[attr-defined]
        except (EOFError, zlib.error, OSError) as error:
            raise UserError(f"{source}: damaged at line {line}: {error}; fetch it again") from error
        if not size:
            break
        size += kept
        end = buffer.rfind(b"\n", kept, size) + 1
        if end:
            data, num_lines = _with_plain_characters(bytes(memoryview(buffer)[:end]))
            yield line, data
            line += num_lines
        kept = size - end
        if kept > MAX_LINE_LENGTH:
            refuse_long_line(source, line)
        buffer[:kept] = buffer[end:size]
    if kept:
        yield line, _with_plain_characters(bytes(buffer[:kept]) + b"\n")[0]


def _with_plain_characters(data: bytes) -> tuple[bytes, int]:
    """Returns `data` as UTF-8 without NUL and with Unix line ends, and how many lines there are."""
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    num_lines, is_plain = 0, True
    for start in range(0, len(data), _PIECE_BYTES):  # many times as fast as to count in the whole of it
        characters = np.frombuffer(data, np.uint8, min(_PIECE_BYTES, len(data) - start), start)
        num_lines += int(np.count_nonzero(characters == ord("\n")))
        is_plain = is_plain and characters.min() > 0 and characters.max() < 128
    if is_plain:
        return data, num_lines
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        data = data.decode("utf-8", "replace").encode("utf-8")
    return data.replace(b"\0", REPLACEMENT.encode()), num_lines
