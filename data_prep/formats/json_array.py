"""JSON arrays of ours, read item by item and copied as text: a file of gigabytes takes no more memory than an item."""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, NoReturn

from data_prep.runtime.atomic_files import atomic_path
from data_prep.runtime.command_line import UsageError

CHUNK_BYTES: Final = 4 * 1024 * 1024
MAX_ITEM_BYTES: Final = 64 * 1024 * 1024  # the fullest image of Open Images has some 700 boxes: 0.2 MB

_SPACE = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True)
class ArrayItem:
    """One item of an array.

    Attributes:
        number: Its place in the array, from 1.
        value: What it says.
        start: The byte of the file where it begins.
        text: The bytes from there to its end, as they stand in the file.
    """

    number: int
    value: Any
    start: int
    text: bytes


def read_array_items(path: str | os.PathLike[str]) -> Iterator[ArrayItem]:
    """Yields the items of a JSON file that holds one array, reading no further ahead than it must.

    NaN and Infinity, which are no JSON, are refused; line breaks may stand anywhere.

    Raises:
        UsageError: The file is missing, not UTF-8, not JSON or no array, or an item takes over 64 MiB; with line and
            column. Items before the mistake have been yielded by then.
    """
    source = Path(path)
    try:
        file = source.open("rb")
    except OSError as error:
        raise UsageError(f"{source}: {error.strerror or error}") from error
    with file:
        yield from _ArrayReader(source, file).items()


@contextlib.contextmanager
def raw_array_writer(path: str | os.PathLike[str]) -> Iterator[Callable[[bytes], None]]:
    """Yields a function that writes an item, given as its text, to a JSON array at `path`, an item a line.

    The file takes its place when the block ends well.
    """
    with atomic_path(path) as temporary, temporary.open("wb", buffering=1024 * 1024) as file:
        separator = b"["

        def write(text: bytes) -> None:
            nonlocal separator
            if b"\n" in text or b"\r" in text:  # only between tokens: inside of a text, JSON writes them as \n
                text = json.dumps(json.loads(text)).encode("ascii")
            file.write(separator + b"\n" + text)
            separator = b","

        yield write
        file.write(b"[]\n" if separator == b"[" else b"\n]\n")


class _ArrayReader:
    """Holds a window of the file as text in which a character is a byte (Latin-1), so that places are byte offsets.

    What gives JSON its structure is ASCII, and bytes of 128 and more only stand inside texts: where a value ends is the
    same as in UTF-8. An item that has such bytes is decoded again, as UTF-8.
    """

    def __init__(self, source: Path, file: IO[bytes]) -> None:
        self._source = source
        self._file = file
        self._window = ""
        self._window_start = 0  # the byte of the file where the window begins
        self._lines_before = 0  # line breaks before the window
        self._position = 0  # in the window
        self._at_end = False
        self._decode = json.JSONDecoder(parse_constant=_refuse_constant).raw_decode

    def items(self) -> Iterator[ArrayItem]:
        self._begin()
        number = 0
        if self._next_character() == "]":
            self._end()
            return
        while True:
            number += 1
            self._next_character()
            value, end = self._value()
            text = self._window[self._position : end]
            raw = text.encode("latin-1")
            if not text.isascii():
                value = self._as_utf8(raw)
            yield ArrayItem(number, value, self._window_start + self._position, raw)
            self._position = end
            following = self._next_character()
            if following == "]":
                self._end()
                return
            if following != ",":
                self._fail("expected ',' or ']' after an item" if following else "the file ends within the array")
            self._position += 1

    def _begin(self) -> None:
        self._read_more(CHUNK_BYTES)
        if self._window.startswith(codecs.BOM_UTF8.decode("latin-1")):
            self._position = len(codecs.BOM_UTF8)
        first = self._next_character()
        if not first:
            raise UsageError(f"{self._source}: the file is empty; run the step that writes it again")
        if first != "[":
            self._fail("the file must hold a JSON array with one object an image")
        self._position += 1

    def _end(self) -> None:
        self._position += 1
        if self._next_character():
            self._fail("more text after the array's end")

    def _next_character(self) -> str:
        """Goes to the next character that is no space, and returns it; an empty string at the file's end."""
        while True:
            match = _SPACE.match(self._window, self._position)
            assert match is not None
            self._position = match.end()
            if self._position < len(self._window):
                return self._window[self._position]
            if self._at_end:
                return ""
            self._read_more(CHUNK_BYTES)

    def _value(self) -> tuple[Any, int]:
        """Returns the value at the position and where in the window it ends."""
        while True:
            try:
                return self._decode(self._window, self._position)
            except json.JSONDecodeError as error:
                have = len(self._window) - self._position
                if self._at_end:
                    self._position = error.pos
                    self._fail(error.msg)
                if have > MAX_ITEM_BYTES:
                    self._fail(f"not JSON, or an item of over {MAX_ITEM_BYTES // 2**20} MiB")
                self._read_more(max(CHUNK_BYTES, have))
            except RecursionError:
                self._fail("nested too deeply to be a file of ours")
            except ValueError as error:  # a NaN, or a whole number of thousands of digits
                self._fail(str(error))

    def _as_utf8(self, raw: bytes) -> Any:
        try:
            return json.loads(raw.decode("utf-8"))
        except UnicodeDecodeError as error:
            self._position += error.start
            self._fail("not UTF-8 text")

    def _read_more(self, num_bytes: int) -> None:
        """Lets go of what lies before the position and reads on."""
        try:
            chunk = self._file.read(num_bytes)
        except OSError as error:
            raise UsageError(f"{self._source}: {error.strerror or error}") from error
        self._at_end = len(chunk) < num_bytes
        self._lines_before += self._window.count("\n", 0, self._position)
        self._window_start += self._position
        self._window = self._window[self._position :] + chunk.decode("latin-1")
        self._position = 0

    def _fail(self, problem: str) -> NoReturn:
        line = self._lines_before + self._window.count("\n", 0, self._position) + 1
        # In a line that began before the window, the column is counted from where the window begins.
        column = self._position - self._window.rfind("\n", 0, self._position)
        raise UsageError(f"{self._source}:{line}:{column}: not JSON of ours: {problem}")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")
