"""The local server under trouble: slow models, expired deadlines, signals, a kill, a port that is taken."""

from __future__ import annotations

import signal
import socket
import threading
import time

import grpc
import pytest

from data_prep.runtime.command_line import UserError
from serving.client_library.detection_client import DetectionClient, ImageRequestError
from serving.local_server import LoadingOptions, LocalServer, ServerOptions

BUSY_SECONDS = 0.5


@pytest.fixture(scope="module")
def slow_model(tmp_path_factory, write_model):
    """A base path whose version 1 takes half a second for each request."""
    base_path = tmp_path_factory.mktemp("slow")
    write_model(base_path / "1", busy_seconds=BUSY_SECONDS)
    return base_path


def in_background(work):
    result = []
    thread = threading.Thread(target=lambda: result.append(work()))
    thread.start()
    return thread, result


def test_expired_requests_are_not_worked_on(slow_model, image):
    with (
        LocalServer.of_model(
            "detector", slow_model, ServerOptions(max_workers=1, loading=LoadingOptions(poll_wait_seconds=0))
        ) as server,
        DetectionClient(server.address, "detector", timeout_seconds=60, min_score=0.0) as patient,
        DetectionClient(server.address, "detector", timeout_seconds=0.2, min_score=0.0) as hasty,
    ):
        patient.connect()
        hasty.connect()
        started = time.monotonic()
        first, _ = in_background(lambda: patient.detect(image(None)))
        time.sleep(0.1)
        impatient = [in_background(lambda: _reason(hasty, image(None))) for _ in range(6)]
        for thread, _ in impatient:
            thread.join()
        assert [result for _, result in impatient] == [["timed out"]] * 6
        first.join()
        patient.detect(image(None))
        # Two requests' work, not eight's.
        assert time.monotonic() - started < 6 * BUSY_SECONDS


def _reason(client, content):
    try:
        client.detect(content)
    except ImageRequestError as error:
        return error.failure.reason
    return None


def test_stopping_in_time_says_so_and_cuts_off_what_takes_too_long(slow_model, image):
    for grace_seconds, in_time in ((0.1, False), (30, True)):
        server = LocalServer.of_model(
            "detector", slow_model, ServerOptions(loading=LoadingOptions(poll_wait_seconds=0))
        ).start()
        with DetectionClient(server.address, "detector", max_retries=0, min_score=0.0) as client:
            client.connect()
            thread, result = in_background(lambda client=client: _outcome(client, image((1, 2, 3, 4))))
            time.sleep(0.1)
            assert server.stop(grace_seconds) is in_time
            thread.join()
        assert result == ["answered" if in_time else "cut off"]
        server.stop()


def _outcome(client, content):
    try:
        client.detect(content)
    except (ImageRequestError, UserError):
        return "cut off"
    return "answered"


@pytest.mark.slow  # three servers start, each with a model that is slow on purpose
def test_a_kill_costs_retries_and_no_answers_and_sigterm_lets_running_requests_end(start_server, slow_model, image):
    asked = image((10, 20, 30, 40))
    with start_server(slow_model) as server:
        client = DetectionClient(server.address, "detector", max_retries=40, min_score=0.0)
        answers = client.detect_many(asked for _ in range(16))
        collected = [next(answers) for _ in range(4)]
        server.process.kill()
        server.process.wait(30)
        thread, rest = in_background(lambda: list(answers))
        with start_server(slow_model, port=server.port) as started_again:
            thread.join(120)
            collected += rest[0]
            assert len(collected) == 16
            for answer in collected:
                assert answer.failure is None
                assert answer.detections[0].box_pixels == pytest.approx((20, 10, 40, 30), abs=0.01)

            client.max_retries = 0
            thread, result = in_background(lambda: client.detect(asked))
            time.sleep(0.2 * BUSY_SECONDS)
            started_again.process.send_signal(signal.SIGTERM)
            started_again.wait_for_line("stopping: no new requests")
            thread.join()
            assert len(result[0].detections) == 2
            started_again.wait_for_line("^stopped")
            assert started_again.process.wait(30) == 0
    client.max_retries = 1
    with client, pytest.raises(UserError) as error:
        client.detect(asked)
    assert str(error.value).startswith(f"no server answers at localhost:{server.port}: ")
    assert "python -m serving.serve" in str(error.value) and "\n" not in str(error.value)


def test_a_port_in_use_is_said_before_tensorflow_is_loaded(encoded_model):
    with socket.create_server(("localhost", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port} is in use; choose another with --port"):
            LocalServer.of_model("detector", encoded_model, ServerOptions(port=port)).start()


def test_two_servers_do_not_share_a_port(encoded_model):
    with (
        LocalServer.of_model(
            "detector", encoded_model, ServerOptions(loading=LoadingOptions(poll_wait_seconds=0))
        ) as server,
        pytest.raises(UserError, match="choose another"),
    ):
        LocalServer.of_model("detector", encoded_model, ServerOptions(port=server.port)).start()


def test_stopping_twice_and_before_starting_does_nothing(encoded_model):
    server = LocalServer.of_model("detector", encoded_model, ServerOptions(loading=LoadingOptions(poll_wait_seconds=0)))
    server.stop()
    server.start()
    server.stop()
    server.stop()
    with grpc.insecure_channel(server.address) as channel, pytest.raises(grpc.FutureTimeoutError):
        grpc.channel_ready_future(channel).result(timeout=0.5)
