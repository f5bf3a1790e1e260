"""Bodies of HTTP requests, read within a size and the server's memory."""

from __future__ import annotations

import gzip
import io

import grpc
import pytest

from serving.local_server.request_memory import HeldMemory, RequestMemory
from serving.local_server.rest_bodies import UnreadBodyError, inflated, read_chunks
from serving.saved_models.status_errors import StatusError


def nothing() -> None:
    """A caller that is still there."""


def chunks(*parts: bytes) -> io.BufferedReader:
    content = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, b""))
    return io.BufferedReader(io.BytesIO(content))


def test_each_chunk_takes_memory_before_it_is_read():
    memory = RequestMemory(100)
    with memory.hold(0, nothing) as held:
        body = read_chunks(chunks(b"a" * 60, b"b" * 30), 1000, lambda size: held.grow(size, nothing))
        assert body == b"a" * 60 + b"b" * 30 and held.size == 90
    with memory.hold(0, nothing) as held, pytest.raises(StatusError) as error:
        read_chunks(chunks(b"a" * 60, b"b" * 50), 1000, lambda size: held.grow(size, nothing))
    assert error.value.code is grpc.StatusCode.INVALID_ARGUMENT
    with memory.hold(100, nothing):
        pass  # all of it has been given back


def test_too_many_bytes_are_refused_before_they_are_read():
    stream = chunks(b"a" * 60, b"b" * 50)
    with pytest.raises(UnreadBodyError) as error:
        read_chunks(stream, 100, lambda size: None)
    assert error.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert stream.read(1) == b"b"


def test_a_gzip_holds_what_it_says_that_it_becomes_and_no_more_is_made_of_it():
    content = b"x" * 500
    packed = gzip.compress(content)
    memory = RequestMemory(1000)
    with memory.hold(len(packed), nothing) as held:
        assert inflated(packed, "gzip", 600, held, nothing) == content
        assert held.size == len(packed) + 500
    for liar in (packed[:-4] + b"\x01\0\0\0", packed[:-9]):
        with pytest.raises(StatusError) as error:
            inflated(liar, "gzip", 600, HeldMemory(), nothing)
        assert error.value.code is grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(StatusError, match="more than 400 bytes"):
        inflated(packed, "gzip", 400, HeldMemory(), nothing)
