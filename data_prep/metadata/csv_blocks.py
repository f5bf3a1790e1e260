"""A large file in blocks of whole lines, so in bounded memory; while one is worked on, the next is read."""

from __future__ import annotations

import zlib
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from data_prep.command_line import UserError
from data_prep.metadata.csv_rows import MAX_LINE_LENGTH, REPLACEMENT, refuse_long_line

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
            data = _with_plain_characters(bytes(memoryview(buffer)[:end]))
            yield line, data
            line += data.count(b"\n")
        kept = size - end
        if kept > MAX_LINE_LENGTH:
            refuse_long_line(source, line)
        buffer[:kept] = buffer[end:size]
    if kept:
        yield line, _with_plain_characters(bytes(buffer[:kept]) + b"\n")


def _with_plain_characters(data: bytes) -> bytes:
    """Returns `data` as UTF-8 without NUL and with Unix line ends."""
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not data.isascii():
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            data = data.decode("utf-8", "replace").encode("utf-8")
    return data.replace(b"\0", REPLACEMENT.encode()) if b"\0" in data else data
