"""Retries, hedging, TLS, keys and labels, in threads and in asyncio alike, against a real gRPC server."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
import pytest

from data_prep.runtime.command_line import UsageError, UserError
from serving.client_library.async_detection_client import AsyncDetectionClient
from serving.client_library.connection import Connection, read_api_key
from serving.client_library.detection_client import DetectionClient, ImageRequestError, ServerError
from serving.client_library.image_sources import NamedImage
from tests.serving.certificates import certificate
from tests.serving.stand_in_detector import StandInDetector

REPOSITORY = Path(__file__).resolve().parents[3]


def in_threads(server, images, **settings):
    with DetectionClient(server, "detector", **settings) as client:
        return list(client.detect_many(images)), client.counts


def in_asyncio(server, images, **settings):
    async def ask():
        async with AsyncDetectionClient(server, "detector", **settings) as client:
            return [result async for result in client.detect_many(images)], client.counts

    return asyncio.run(ask())


@pytest.fixture(params=[in_threads, in_asyncio])
def detect_many(request):
    return request.param


def failing(numbers, code, details=""):
    def before(number, context):
        if number in numbers:
            context.abort(code, details)

    return before


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_a_busy_or_missing_server_is_asked_again(detect_many, image, code):
    with StandInDetector(before=failing({0, 1, 3}, code, "queue is full")) as server:
        results, counts = detect_many(server.address, [image((i, 5, i + 9, 20)) for i in range(6)])
    assert [result.detections[0].box_pixels.xmin for result in results] == pytest.approx(range(6), abs=0.01)
    assert (counts.calls, counts.retries, len(server.requests)) == (7, 3, 9)  # one call asks for the metadata


@pytest.mark.parametrize(
    ("code", "details", "reason"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, "no", "refused by the server"),
        (grpc.StatusCode.INTERNAL, "oops", "failed at the server"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "slow", "timed out"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max (9 vs. 4)", "too much for the server"),
    ],
)
def test_what_would_end_the_same_way_is_not_asked_again_and_costs_one_image(detect_many, image, code, details, reason):
    with StandInDetector(before=failing({1}, code, details)) as server:
        results, counts = detect_many(server.address, [image((9, 5, 19, 20))] * 3, max_in_flight=1)
    assert [result.failure and result.failure.reason for result in results] == [None, reason, None]
    assert counts.retries == 0 and len(server.requests) == 3


def test_retries_end_at_the_deadline_that_they_share(detect_many, image):
    with StandInDetector(before=failing(range(100), grpc.StatusCode.RESOURCE_EXHAUSTED, "full")) as server:
        started = time.monotonic()
        results, counts = detect_many(server.address, [image(None)], timeout_seconds=1.5)
        assert time.monotonic() - started < 4
    assert results[0].failure.reason == "too much for the server"
    assert 1 <= counts.retries <= 5 and len(server.requests) == counts.retries + 1


def test_max_retries_bounds_them(detect_many, image):
    with (
        StandInDetector(before=failing(range(100), grpc.StatusCode.UNAVAILABLE, "going")) as server,
        pytest.raises(ServerError, match=r"no server answers at .*: going"),
    ):
        detect_many(server.address, [image(None)], max_retries=1)
    assert len(server.requests) == 2


def test_a_second_request_overtakes_a_slow_first_when_asked_to(detect_many, image):
    released = threading.Event()

    def first_is_slow(number, context):
        if number == 20:
            released.wait(20)

    with StandInDetector(before=first_is_slow) as server:
        started = time.monotonic()
        images = [image((9, 5, 19, 20))] * 30
        results, counts = detect_many(server.address, images, hedge_after_seconds=2.0, max_in_flight=1)
        took = time.monotonic() - started
        released.set()
    assert all(result.failure is None for result in results)
    assert took < 15 and counts.hedges_won >= 1 and len(server.requests) == 30 + counts.hedges


def test_hedging_is_off_by_default_and_at_most_one_request_in_ten(detect_many, image):
    images = [image(None)] * 40
    with StandInDetector(before=lambda number, context: time.sleep(0.05)) as server:
        _, counts = detect_many(server.address, images)
        assert (counts.hedges, len(server.requests)) == (0, 40)
        _, counts = detect_many(server.address, images, hedge_after_seconds=0.001)
    assert 1 <= counts.hedges <= 4


def test_order_is_kept_requests_overlap_and_memory_is_bounded(detect_many, image):
    taken = 0

    def images():
        nonlocal taken
        for index in range(60):
            taken += 1
            yield NamedImage(f"{index}", image((index % 40, 5, index % 40 + 10, 20)))

    def uneven(number, context):
        time.sleep(0.05 if number % 7 == 0 else 0.005)

    with StandInDetector(before=uneven) as server:
        results, _ = detect_many(server.address, images(), max_in_flight=5)
    assert [result.image for result in results] == [str(index) for index in range(60)]
    assert [result.detections[0].box_pixels.xmin for result in results] == pytest.approx(
        [index % 40 for index in range(60)], abs=0.01
    )
    assert 2 <= server.most_at_once <= 5


def test_asyncio_takes_only_what_it_needs_and_leaves_nothing_behind(image):
    taken = 0

    async def images():
        nonlocal taken
        for _ in range(10_000):
            taken += 1
            yield image(None)

    async def ask():
        async with AsyncDetectionClient(server.address, "detector", max_in_flight=3, batch_size=2) as client:
            answers = client.detect_many(images())
            async for _ in answers:
                break
            await answers.aclose()
            with pytest.raises(ImageRequestError, match="not an image"):
                await client.detect(b"text")
            found = await client.detect(image((9, 5, 19, 20)))
            return found, len(asyncio.all_tasks())

    with StandInDetector() as server:
        found, tasks = asyncio.run(ask())
    assert found.detections[0].name == "red" and tasks == 1
    assert taken <= 2 * 3 * 2 + 2


def test_a_version_label_and_the_output_filter_reach_the_server(detect_many, image):
    with StandInDetector() as server:
        settings = {"version_label": "canary", "extra_outputs": ("detection_class_names",)}
        results, _ = detect_many(server.address, [image((9, 5, 19, 20))], **settings)
        assert server.requests[0].model_spec.version_label == "canary"
        names = {"detection_boxes", "detection_scores", "detection_classes", "num_detections", "detection_class_names"}
        assert set(server.requests[0].output_filter) == names
        assert results[0].as_json()["extra_outputs"] == {"detection_class_names": ["red"]}
        with pytest.raises(ServerError, match="has no output 'masks'; it has: detection_boxes"):
            detect_many(server.address, [image(None)], extra_outputs=("masks",))
        with pytest.raises(UsageError, match="both model version 1 and version label 'canary'"):
            detect_many(server.address, [], version_label="canary", model_version=1)


def test_metadata_and_keys_go_with_every_request(detect_many, image, tmp_path):
    (tmp_path / "key").write_text("s3cret\n")
    metadata = (("x-api-key", read_api_key(tmp_path / "key")), ("x-team", "rooms"))
    with StandInDetector() as server:
        detect_many(Connection(server.address, metadata=metadata), [image(None)])
    assert server.metadata_seen["x-api-key"] == "s3cret" and server.metadata_seen["x-team"] == "rooms"
    assert not Connection("localhost:1", metadata=metadata).sends_metadata_unencrypted
    assert Connection("serving.example:1", metadata=metadata).sends_metadata_unencrypted
    assert not Connection("serving.example:1", metadata=metadata, tls=True).sends_metadata_unencrypted


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metadata": (("X-Key", "a"),)}, "metadata key 'X-Key'"),
        ({"metadata": (("x-key", "s3cret\n"),)}, "value of metadata key 'x-key'"),
        ({"client_key_file": Path("key.pem")}, "given together"),
        ({"tls_server_name": "a"}, "without TLS"),
    ],
)
def test_connections_that_cannot_be_are_refused_without_telling_a_secret(settings, message):
    with pytest.raises(UsageError, match=message) as error:
        Connection("localhost:1", **settings)
    assert "s3cret" not in str(error.value)


def test_tls_checks_the_server_and_proves_the_client(detect_many, image, tmp_path):
    authority = certificate(tmp_path, "authority")
    certificate(tmp_path, "server", authority)
    certificate(tmp_path, "client", authority)
    certificate(tmp_path, "stranger")
    read = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    credentials = grpc.ssl_server_credentials(
        [(read["server.key"], read["server.pem"])], read["authority.pem"], require_client_auth=True
    )
    mutual = {"client_certificate_file": tmp_path / "client.pem", "client_key_file": tmp_path / "client.key"}
    quick = {"max_retries": 0, "timeout_seconds": 5}
    with StandInDetector(credentials=credentials) as server:
        good = Connection(server.address, ca_file=tmp_path / "authority.pem", **mutual)
        results, _ = detect_many(good, [image((9, 5, 19, 20))])
        assert results[0].detections[0].name == "red"
        for bad in (
            Connection(server.address, ca_file=tmp_path / "stranger.pem", **mutual),
            Connection(server.address, ca_file=tmp_path / "authority.pem"),
            Connection(server.address, ca_file=tmp_path / "authority.pem", tls_server_name="elsewhere", **mutual),
            Connection(server.address),
        ):
            with pytest.raises(ServerError):
                detect_many(bad, [image(None)], **quick)
    (tmp_path / "no.pem").write_text("nothing")
    for missing in ("no.pem", "not-there.pem"):
        with pytest.raises(UserError, match=missing):
            detect_many(Connection("localhost:1", ca_file=tmp_path / missing), [])


@contextlib.contextmanager
def stand_in_process(port, delay_seconds):
    command = [sys.executable, "-m", "tests.serving.stand_in_detector", str(port), str(delay_seconds)]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    try:
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


def test_a_server_that_is_killed_twice_under_load_costs_no_image(detect_many, image):
    images = [image((index % 40, 5, index % 40 + 10, 20)) for index in range(120)]
    outcome = {}

    def ask(port):
        outcome["answers"], outcome["counts"] = detect_many(f"localhost:{port}", images, max_in_flight=8)

    with contextlib.ExitStack() as processes:
        process, port = processes.enter_context(stand_in_process(0, 0.1))
        asking = threading.Thread(target=ask, args=(port,))
        asking.start()
        for _ in range(2):
            time.sleep(0.5)
            process.kill()  # SIGKILL
            process.wait(10)
            process, _ = processes.enter_context(stand_in_process(port, 0.1))
        asking.join(60)
        assert not asking.is_alive()
    assert [result.failure for result in outcome["answers"]] == [None] * 120
    assert [result.detections[0].box_pixels.xmin for result in outcome["answers"]] == pytest.approx(
        [index % 40 for index in range(120)], abs=0.01
    )
    assert outcome["counts"].retries >= 8
