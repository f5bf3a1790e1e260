"""JSON arrays with an item a line, read and written item by item, so that none is in memory whole."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, NoReturn

from data_prep.runtime.atomic_files import atomic_path, remove_leftovers
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.input_files import open_regular

MAX_LINE_BYTES: Final = 64 * 1024 * 1024  # the fullest image of Open Images has some 700 boxes: 0.2 MB
MAX_WHOLE_BYTES: Final = 2 * 1024 * 1024 * 1024  # of a file that has not an item a line

_BYTE_ORDER_MARK = "\ufeff"
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
    """Yields the items of a JSON file that holds one array.

    A file with an object a line, as this module writes it, is read line by line. One of another layout is read whole.

    Raises:
        UsageError: The file is missing, not UTF-8, not JSON (as NaN and Infinity are not) or no array, or has another
            layout and over 2 GiB; with line and column. Items before the mistake may have been yielded by then.
    """
    source = Path(path)
    count = 0
    with _opened(source) as file:
        for item in _items_of_lines(file):
            if item is None:
                break
            count = item.number
            yield item
        else:
            return
        if os.fstat(file.fileno()).st_size > MAX_WHOLE_BYTES:
            raise UsageError(
                f"{source}:{count + 2 if count else 1}: not an object alone in its line, as a file of over "
                f"{MAX_WHOLE_BYTES // 2**20} MiB must have them"
            )
        with _json_errors(source):  # which are found again, and their places
            file.seek(0)
            yield from itertools.islice(_items_of_text(source, _read_text(source, file)), count, None)


def read_json(path: str | os.PathLike[str]) -> Any:
    """Reads a JSON file, refusing NaN and Infinity, which are no JSON.

    Raises:
        UsageError: The file is missing, not UTF-8, or not JSON; with line and column.
    """
    source = Path(path)
    with _opened(source) as file, _json_errors(source):
        text = _read_text(source, file).removeprefix(_BYTE_ORDER_MARK)
        return json.loads(text, parse_constant=_refuse_constant)


def write_json_array(path: str | os.PathLike[str], items: Iterable[Any]) -> int:
    """Writes `items` as one JSON array, an item a line, whole or not at all; returns how many there were."""
    count = 0
    with json_array_writer(path) as write:
        for count, item in enumerate(items, start=1):  # noqa: B007 - the count is what is returned
            write(item)
    return count


@contextlib.contextmanager
def json_array_writer(path: str | os.PathLike[str]) -> Iterator[Callable[[Any], None]]:
    """Yields a function that writes one item of a JSON array at `path`, an item a line.

    The file takes its place when the block ends well. Items are written as they come, so that an array of millions
    needs no second copy in memory.
    """
    encode = json.JSONEncoder(allow_nan=False).encode
    with encoded_json_array_writer(path) as write:
        yield lambda item: write(encode(item).encode("ascii"))


@contextlib.contextmanager
def encoded_json_array_writer(path: str | os.PathLike[str]) -> Iterator[Callable[[bytes], None]]:
    """Yields a function that writes items that are JSON already, one or several with `,` and a line's end in between.

    Otherwise as `json_array_writer`. What killed runs have left of the file is removed.
    """
    remove_leftovers(path)
    with atomic_path(path) as temporary, temporary.open("wb", buffering=1024 * 1024) as file:
        separator = b"["

        def write(items: bytes) -> None:
            nonlocal separator
            file.write(separator + b"\n")
            file.write(items)
            separator = b","

        yield write
        file.write(b"[]\n" if separator == b"[" else b"\n]\n")


def on_one_line(text: bytes) -> bytes:
    """Returns the JSON of an item without line breaks; these stand only between its tokens."""
    return json.dumps(json.loads(text)).encode("ascii") if b"\n" in text or b"\r" in text else text


def _opened(source: Path) -> IO[bytes]:
    try:
        return open_regular(source)
    except OSError as error:
        raise UsageError(f"{source}: {error.strerror or error}") from error


def _items_of_lines(file: IO[bytes]) -> Iterator[ArrayItem | None]:
    """Yields the items of an array as long as each is an object alone in its line, and then None if it goes on."""
    decode = json.JSONDecoder(parse_constant=_refuse_constant).decode
    number, start, ending = 0, 0, b""  # of the line before: `[`, a comma, or the `}` of an item that none follows
    for line in iter(lambda: file.readline(MAX_LINE_BYTES), b""):
        content = line.rstrip(b" \t\r\n")
        text = content.removesuffix(b",")
        if content == b"]" and ending in (b"[", b"}") and not file.read(1):
            return
        if ending in (b"[", b",") and text.startswith(b"{"):
            try:
                value = decode(text.decode("utf-8"))
            except (ValueError, RecursionError):
                break
            number += 1
            yield ArrayItem(number, value, start, text)
        elif ending or content != b"[":
            break
        start += len(line)
        ending = content[-1:]
    yield None


def _items_of_text(source: Path, text: str) -> Iterator[ArrayItem]:
    """Yields the items of an array in any layout."""
    decode = json.JSONDecoder(parse_constant=_refuse_constant).raw_decode
    at = _after_space(text, len(_BYTE_ORDER_MARK) if text.startswith(_BYTE_ORDER_MARK) else 0)
    if not text.startswith("[", at):
        place = json.JSONDecodeError("", text, at)
        raise UsageError(f"{source}:{place.lineno}:{place.colno}: must be a JSON array with one object an image")
    read_to, start = 0, 0  # in characters and in bytes
    for number in itertools.count(1):
        at = _after_space(text, at + 1)  # what was before is `[` or a comma
        if number == 1 and text.startswith("]", at):
            break
        try:
            value, end = decode(text, at)
        except json.JSONDecodeError:
            raise
        except ValueError as error:  # a NaN, or a whole number of thousands of digits
            raise json.JSONDecodeError(str(error), text, at) from error
        item_text = text[at:end].encode("utf-8")
        start += len(text[read_to:at].encode("utf-8"))
        yield ArrayItem(number, value, start, item_text)
        start += len(item_text)
        read_to, at = end, _after_space(text, end)
        if text.startswith("]", at):
            break
        if not text.startswith(",", at):
            problem = "expected ',' or ']' after an item" if at < len(text) else "the file ends within the array"
            raise json.JSONDecodeError(problem, text, at)
    at = _after_space(text, at + 1)
    if at < len(text):
        raise json.JSONDecodeError("more text after the array's end", text, at)


def _after_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    assert match is not None
    return match.end()


def _read_text(source: Path, file: IO[bytes]) -> str:
    content = file.read()
    if not content.strip():
        raise UsageError(f"{source}: the file is empty; run the step that writes it again")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = content.count(b"\n", 0, error.start) + 1, error.start - content.rfind(b"\n", 0, error.start)
        raise UsageError(f"{source}:{line}:{column}: not UTF-8 text") from error


@contextlib.contextmanager
def _json_errors(source: Path) -> Iterator[None]:
    """Turns what is wrong with a file within the block into UsageErrors."""
    try:
        yield
    except json.JSONDecodeError as error:
        raise UsageError(f"{source}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from error
    except RecursionError as error:
        raise UsageError(f"{source}: nested too deeply to be a file of ours") from error
    except ValueError as error:
        raise UsageError(f"{source}: not JSON: {error}") from error
    except OSError as error:
        raise UsageError(f"{source}: {error.strerror or error}") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")
