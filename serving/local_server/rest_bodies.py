"""Bodies of HTTP requests, with a length or in chunks, plain or gzip: read within a size and the server's memory."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from email.message import Message
from io import BufferedIOBase

import grpc

from serving.local_server.request_memory import HeldMemory
from serving.saved_models.status_errors import StatusError, invalid_argument

_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")
_MAX_LINE_BYTES = 8192  # of a chunk's size, or of a field after the last chunk
_MAX_TRAILER_LINES = 100


class UnreadBodyError(StatusError):
    """A refusal that leaves the body, or its rest, on the connection, which can therefore not be used again."""


def is_chunked(headers: Message) -> bool:
    """Says whether a body comes in chunks, so that its length is not known before.

    Raises:
        UnreadBodyError: INVALID_ARGUMENT: it comes in another way.
    """
    encoding = headers.get("Transfer-Encoding")
    if encoding is None:
        return False
    # With both headers, two servers in a row may not agree on where a request ends.
    if encoding.strip().lower() != "chunked" or "Content-Length" in headers:
        raise UnreadBodyError(
            grpc.StatusCode.INVALID_ARGUMENT, "a body comes with its Content-Length, or chunked, and not otherwise"
        )
    return True


def length_of(headers: Message, max_bytes: int) -> int:
    """Returns how long a body is that is not chunked.

    Raises:
        UnreadBodyError: INVALID_ARGUMENT: its length is no number; RESOURCE_EXHAUSTED: it is too long.
    """
    lengths = headers.get_all("Content-Length", ["0"])
    if len(set(lengths)) > 1 or not re.fullmatch(r"\d{1,15}", lengths[0]):
        raise UnreadBodyError(grpc.StatusCode.INVALID_ARGUMENT, "Content-Length is no number")
    if int(lengths[0]) > max_bytes:
        raise _too_long(f"is of {lengths[0]} bytes", max_bytes)
    return int(lengths[0])


def read_chunks(stream: BufferedIOBase, max_bytes: int, hold: Callable[[int], object]) -> bytes:
    """Reads a body in chunks, and what follows the last of them.

    Args:
        stream: Where they come from.
        max_bytes: How long the body may become.
        hold: Called with the size of each chunk before it is read; may wait, or refuse.

    Raises:
        UnreadBodyError: INVALID_ARGUMENT: they are not chunks, or cut off; RESOURCE_EXHAUSTED: too many bytes.
        StatusError: As `hold`.
    """
    body = bytearray()
    while size := _chunk_size(stream):
        if len(body) + size > max_bytes:
            raise _too_long(f"is of more than {len(body) + size - 1} bytes", max_bytes)
        hold(size)
        chunk = stream.read(size)
        if len(chunk) < size or stream.readline(_MAX_LINE_BYTES) not in (b"\r\n", b"\n"):
            raise _no_chunks()
        body += chunk
    for _ in range(_MAX_TRAILER_LINES):
        line = stream.readline(_MAX_LINE_BYTES)
        if line in (b"\r\n", b"\n"):
            return bytes(body)
        if not line.endswith(b"\n"):
            break
    raise _no_chunks()


def inflated(body: bytes, encoding: str, max_bytes: int, memory: HeldMemory, check: Callable[[], object]) -> bytes:
    """Returns a body as it was before it was compressed.

    Args:
        body: What was sent.
        encoding: Its Content-Encoding: `identity` or `gzip`.
        max_bytes: How long it may become.
        memory: What the request holds; what the body takes is added.
        check: As for `HeldMemory.grow`.

    Raises:
        StatusError: INVALID_ARGUMENT: it is compressed otherwise, broken or cut off; RESOURCE_EXHAUSTED: it becomes
            too long, or there is no memory.
    """
    encoding = encoding.strip().lower()
    if encoding == "identity":
        return body
    if encoding != "gzip":
        raise invalid_argument(f"Content-Encoding {encoding[:40]} is not taken")
    # A gzip ends with the length of what is in it. It may lie, so that no more than that is made of it.
    size = min(int.from_bytes(body[-4:], "little"), max_bytes)
    memory.grow(size, check)
    inflate = zlib.decompressobj(wbits=31)
    try:
        content = inflate.decompress(body, size + 1)
    except zlib.error as error:
        raise invalid_argument("the request is no gzip") from error
    if len(content) > size == max_bytes:
        raise StatusError(
            grpc.StatusCode.RESOURCE_EXHAUSTED, f"the request inflates to more than {max_bytes} bytes, the most taken"
        )
    if len(content) > size or not inflate.eof:
        raise invalid_argument("the request's gzip is cut off, or of several parts")
    return content


def _chunk_size(stream: BufferedIOBase) -> int:
    match = _CHUNK_SIZE.fullmatch(stream.readline(_MAX_LINE_BYTES))
    if match is None:
        raise _no_chunks()
    return int(match[1], 16)


def _no_chunks() -> UnreadBodyError:
    return UnreadBodyError(grpc.StatusCode.INVALID_ARGUMENT, "the request's chunks are broken or cut off")


def _too_long(what: str, max_bytes: int) -> UnreadBodyError:
    return UnreadBodyError(
        grpc.StatusCode.RESOURCE_EXHAUSTED, f"the request {what}; at most {max_bytes} bytes are taken"
    )
