"""The bound on the memory of all requests together."""

from __future__ import annotations

import contextlib
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import grpc
import pytest

from data_prep.runtime.command_line import UsageError
from serving.local_server.options import MAX_MESSAGE_MEBIBYTES, ServerOptions
from serving.local_server.request_memory import HeldMemory, RequestMemory, bytes_of_json, half_of_memory
from serving.local_server.rest_json import arrays_of, parse_request
from serving.saved_models.status_errors import StatusError
from serving.wire.tensors import DT_STRING

MEBIBYTE = 1 << 20
DT_FLOAT = 1  # types.proto


def nothing() -> None:
    """A caller that is still there."""


def test_who_needs_more_than_is_free_waits_until_it_is():
    memory = RequestMemory(100)
    most = held_now = 0
    lock = threading.Lock()

    def work(size):
        nonlocal most, held_now
        with memory.hold(size, nothing, 30):
            with lock:
                held_now += size
                most = max(most, held_now)
            time.sleep(0.01)
            with lock:
                held_now -= size

    with ThreadPoolExecutor(20) as pool:
        for future in [pool.submit(work, size) for size in (60, 30, 100, 1, 50) * 6]:
            future.result()
    assert 60 < most <= 100


def test_what_a_message_turns_out_not_to_need_is_free_for_others():
    memory = RequestMemory(100)
    with memory.hold(100, nothing) as first:
        with pytest.raises(StatusError) as error, memory.hold(80, nothing, 0.05):
            pass
        assert error.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED and "is in use" in error.value.message
        first.shrink(20)
        with memory.hold(80, nothing, 0.05):
            assert first.size == 20
    with memory.hold(100, nothing, 0.05):
        pass


def test_what_never_fits_is_refused_at_once():
    memory = RequestMemory(10 * MEBIBYTE)
    with pytest.raises(StatusError) as error, memory.hold(11 * MEBIBYTE, nothing):
        pass
    assert error.value.code is grpc.StatusCode.INVALID_ARGUMENT and "about 11 MiB of memory" in error.value.message
    with memory.hold(4 * MEBIBYTE, nothing) as held, pytest.raises(StatusError) as error:
        held.grow(7 * MEBIBYTE, nothing)
    assert "--max_request_memory_mebibytes" in error.value.message


def test_two_that_wait_for_each_other_do_not_wait_for_ever():
    memory = RequestMemory(100)
    together = threading.Barrier(2)

    def work():
        with memory.hold(50, nothing) as held:
            together.wait()
            held.grow(50, nothing, 30)
            return held.size

    started = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(work) for _ in range(2)]
        ended = [future.exception() or future.result() for future in futures]
    assert 100 in ended and time.monotonic() - started < 20
    (refused,) = [end for end in ended if end != 100]
    assert isinstance(refused, StatusError) and refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_caller_who_has_gone_waits_no_longer_and_holds_nothing():
    def gone():
        raise StatusError(grpc.StatusCode.CANCELLED, "the caller has gone")

    memory = RequestMemory(100)
    with memory.hold(60, nothing):
        with pytest.raises(StatusError, match="has gone"), memory.hold(60, gone):
            pass
        with memory.hold(40, nothing, 0.05):
            pass
    HeldMemory().grow(10**18, nothing)  # without a bound


def test_a_message_may_be_a_quarter_of_the_memory_and_never_more_than_protobuf_reads():
    assert 0 < ServerOptions().max_message_bytes <= half_of_memory() // 4
    assert ServerOptions(max_request_memory_mebibytes=100).max_message_bytes == 25 * MEBIBYTE
    large = ServerOptions(max_request_memory_mebibytes=1 << 20)
    assert large.max_message_bytes == MAX_MESSAGE_MEBIBYTES * MEBIBYTE < 1 << 31
    with pytest.raises(UsageError, match="2047"):
        ServerOptions(max_message_mebibytes=2048)
    with pytest.raises(UsageError, match="is above --max_request_memory_mebibytes, 100"):
        ServerOptions(max_message_mebibytes=101, max_request_memory_mebibytes=100)


@pytest.mark.parametrize(
    "part",
    ["1", "0.5", "255", "[12,204,255]", "[]", "[1]", "[[]]", "{}", '{"":0}', '{"b64":"AAAA"}', '""', '"ab"', '"é"'],
)
def test_the_memory_that_json_takes_is_not_underestimated(part):
    values = ",".join([part] * (400_000 // len(part)))
    body = f'{{"instances": [{values}]}}'.encode()
    inputs = {"input_tensor": SimpleNamespace(dtype=DT_STRING if '"' in part else DT_FLOAT)}
    tracemalloc.start()
    try:
        request = parse_request(body)
        with contextlib.suppress(StatusError):  # what is no tensor takes its memory all the same
            arrays_of(request, SimpleNamespace(inputs=inputs), max_bytes=1 << 31)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= bytes_of_json(body) <= 8 * peak


def test_an_image_in_json_takes_three_times_its_text():
    body = b'{"instances": [{"b64": "' + b"A" * 4_000_000 + b'"}]}'
    assert 3 * len(body) < bytes_of_json(body) < 3.01 * len(body)
