"""The REST API over real HTTP, asked as TensorFlow Serving's would be."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import socket
import struct
import threading
import time
import zlib

import grpc
import numpy as np
import pytest
import requests

from data_prep.formats.example_proto import example_class
from serving.local_server import LoadingOptions, LocalServer, RestOptions, ServerOptions
from serving.local_server.rest_paths import http_status

TIMEOUT_SECONDS = 60
RECEIVE_SECONDS = 1.0
METRICS_PATH = "/monitoring/prometheus/metrics"


@pytest.fixture(scope="module")
def rest(encoded_model):
    """A server in this process that gives a client one second to send its request."""
    rest = RestOptions(
        metrics_path=METRICS_PATH,
        receive_seconds=RECEIVE_SECONDS,
        idle_seconds=2 * RECEIVE_SECONDS,
        max_connections=20,
    )
    options = ServerOptions(max_message_mebibytes=4, rest=rest, loading=LoadingOptions(poll_wait_seconds=0))
    with LocalServer.of_model("detector", encoded_model, options) as server:
        yield server


@pytest.fixture
def url(rest):
    return f"{rest.rest_address}/v1/models/detector"


def b64(content: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(content).decode()}


def post(url, document, **more):
    data = document if isinstance(document, bytes) else json.dumps(document)
    return requests.post(f"{url}:predict", data=data, timeout=TIMEOUT_SECONDS, **more)


def test_rows_are_answered_with_rows_and_columns_with_columns(url, image):
    images = [b64(image((10, 20, 30, 40))), b64(image((100, 50, 300, 200), (640, 480)))]
    rows = post(url, {"instances": images})
    assert rows.status_code == 200 and rows.headers["Content-Type"] == "application/json"
    first, second = rows.json()["predictions"]
    np.testing.assert_allclose(first["detection_boxes"][0], [20 / 48, 10 / 64, 40 / 48, 30 / 64], atol=1e-6)
    np.testing.assert_allclose(second["detection_boxes"][0], [50 / 480, 100 / 640, 200 / 480, 300 / 640], atol=1e-6)
    assert first["detection_scores"][0] == 0.9  # not 0.8999999761581421
    named = post(url, {"signature_name": "serving_default", "instances": [{"input_tensor": one} for one in images]})
    assert named.json() == rows.json()
    columns = post(url, {"inputs": {"input_tensor": images}}).json()["outputs"]
    assert columns["num_detections"] == [2.0, 2.0]
    assert columns["detection_boxes"] == [first["detection_boxes"], second["detection_boxes"]]
    assert post(url, {"inputs": images}).json()["outputs"] == columns


def test_versions_are_asked_by_number(url, image):
    document = {"instances": [b64(image(None))]}
    assert post(f"{url}/versions/1", document).status_code == 200
    answer = post(f"{url}/versions/7", document)
    assert (answer.status_code, answer.json()) == (
        404,
        {"error": "Servable not found for request: Specific(detector, 7)"},
    )
    answer = post(f"{url}/labels/stable", document)
    assert (answer.status_code, answer.json()["error"]) == (400, "Unrecognized servable version label: stable")


def test_status_and_metadata_are_the_models(url, rest):
    status = requests.get(url, timeout=TIMEOUT_SECONDS).json()
    assert status == {
        "model_version_status": [
            {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        ]
    }
    assert requests.get(f"{url}/versions/1", timeout=TIMEOUT_SECONDS).json() == status
    metadata = requests.get(f"{url}/metadata", timeout=TIMEOUT_SECONDS).json()
    assert metadata["model_spec"]["name"] == "detector" and metadata["model_spec"]["version"] == "1"
    signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["input_tensor"]["dtype"] == "DT_STRING"
    assert signature["inputs"]["input_tensor"]["tensor_shape"]["dim"] == [{"size": "-1", "name": ""}]
    for path, code in (("/v1/models/nope", 404), ("/v1/nothing", 400), ("/favicon.ico", 404), (METRICS_PATH, 200)):
        assert requests.get(rest.rest_address + path, timeout=TIMEOUT_SECONDS).status_code == code


@pytest.mark.parametrize(
    ("document", "code", "message"),
    [
        (b"", 400, "JSON Parse error"),
        (b"\xff\xfe", 400, "JSON Parse error"),
        (b"[" * 100_000, 400, "JSON Parse error"),
        (b'{"instances": [' + b"9" * 10_000 + b"]}", 400, ""),
        ([1], 400, "is no object"),
        ({}, 400, "Missing 'inputs' or 'instances' key"),
        ({"instances": [1], "inputs": [1]}, 400, "Not expecting both"),
        ({"instances": []}, 400, "at least one value"),
        ({"instances": {"b64": ""}}, 400, "has to be a list"),
        ({"signature_name": 1, "instances": ["a"]}, 400, "'signature_name' key must be a string"),
        ({"signature_name": "nope", "instances": ["a"]}, 400, 'Serving signature name: "nope" not found'),
        ({"instances": [1.5]}, 400, "input input_tensor has float; DT_STRING is text"),
        ({"instances": [None]}, 400, "input input_tensor has NoneType"),
        ({"instances": [{"b64": "?"}]}, 400, "Unable to base64 decode"),
        ({"instances": [{"b64": 1}]}, 400, "DT_STRING is text"),
        ({"instances": [["a"], ["b", "c"]]}, 400, "not of one size"),
        ({"instances": [["a"], "b"]}, 400, "not of one size"),
        ({"instances": ["b", ["a"]]}, 400, "lists and values at the same level"),
        ({"instances": [["a"]]}, 400, "has the shape [1, 1]"),
        ({"instances": [{"wrong": "a"}]}, 400, "input tensor alias not found in signature: wrong"),
        ({"instances": [{"input_tensor": "a"}, {"other": "a"}]}, 400, "instances[1] has not the same inputs"),
        ({"instances": [b64(b"")]}, 400, "input_tensor[0] is not an image that can be decoded: empty file"),
        ({"instances": [b64(b"\xff\xd8\xff no")]}, 400, "input_tensor[0] is not an image"),
    ],
)
def test_what_is_wrong_is_said_in_json(url, document, code, message):
    answer = post(url, document)
    assert answer.status_code == code
    assert message in answer.json()["error"]


def test_an_image_bomb_is_refused_by_its_header(url):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\x00" * 100)) + chunk(b"IEND", b"")
    answer = post(url, {"instances": [b64(bomb)]})
    assert answer.status_code == 400 and "too many pixels" in answer.json()["error"]
    record = example_class()()
    record.features.feature["image/encoded"].bytes_list.value.append(bomb)
    answer = post(url, {"instances": [b64(record.SerializeToString())]})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("input_tensor[0], image/encoded of its tf.Example, is not an image")


def test_bodies_are_bounded_and_gzip_is_inflated_within_bounds(rest, url, image):
    good = json.dumps({"instances": [b64(image(None))]}).encode()
    assert post(url, gzip.compress(good), headers={"Content-Encoding": "gzip"}).status_code == 200
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < 100_000
    answer = post(url, bomb, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 429 and "inflates to more than 4194304 bytes" in answer.json()["error"]
    assert post(url, gzip.compress(good)[:-20], headers={"Content-Encoding": "gzip"}).status_code == 400
    assert post(url, b"{}", headers={"Content-Encoding": "br"}).status_code == 400
    with socket.create_connection(("127.0.0.1", rest.rest_port), timeout=TIMEOUT_SECONDS) as connection:
        connection.sendall(b"POST /v1/models/detector:predict HTTP/1.1\r\nContent-Length: 5000000\r\n\r\n")
        head = connection.recv(100_000)  # at once: nothing of the body is waited for
        assert head.startswith(b"HTTP/1.1 429 ") and b"Connection: close" in head
    both = {"Transfer-Encoding": "chunked", "Content-Length": str(len(good))}
    assert post(url, good, headers=both).status_code == 400
    answer = requests.post(f"{url}:classify", data=good, timeout=TIMEOUT_SECONDS)
    assert answer.status_code == 501 and "classify is not served" in answer.json()["error"]


def raw_answer(port, *sent: bytes) -> bytes:
    """Returns what is answered to bytes until the connection is closed, or says nothing for a second."""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS) as connection:
        for content in sent:
            connection.sendall(content)
        connection.settimeout(1)
        answer = b""
        with contextlib.suppress(TimeoutError):
            while part := connection.recv(100_000):
                answer += part
        return answer


def test_bodies_in_chunks_are_taken_within_the_same_bounds(rest, url, image):
    good = json.dumps({"instances": [b64(image((10, 20, 30, 40)))]}).encode()
    whole = post(url, good).json()
    pieces = requests.post(f"{url}:predict", data=iter([good[:7], good[7:90], good[90:]]), timeout=TIMEOUT_SECONDS)
    assert pieces.status_code == 200 and pieces.json() == whole
    packed = requests.post(
        f"{url}:predict",
        data=iter([gzip.compress(good)]),
        headers={"Content-Encoding": "gzip"},
        timeout=TIMEOUT_SECONDS,
    )
    assert packed.json() == whole
    head = b"POST /v1/models/detector:predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    extended = b"%x;name=value\r\n%s\r\n0\r\nTrailer: field\r\n\r\n" % (len(good), good)
    status = b"GET /v1/models/detector HTTP/1.1\r\n\r\n"
    answer = raw_answer(rest.rest_port, head, extended, status)  # the next request is found where the chunks end
    assert answer.count(b"HTTP/1.1 200 ") == 2 and b"AVAILABLE" in answer
    answer = raw_answer(rest.rest_port, head, b"5000000\r\n")  # at once: nothing of the chunk is waited for
    assert answer.startswith(b"HTTP/1.1 429 ") and b"Connection: close" in answer
    for broken in (b"nothing\r\n", b"-1\r\n\r\n", b"3\r\nabcdef\r\n0\r\n\r\n", b"9" * 9000):
        answer = raw_answer(rest.rest_port, head, broken)
        assert answer.startswith(b"HTTP/1.1 400 ") and b"Connection: close" in answer, broken


def test_a_connection_of_http_1_0_is_kept_where_the_client_asks_for_that(rest):
    status = b"GET /v1/models/detector HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"
    answer = raw_answer(rest.rest_port, status, status)
    assert answer.count(b"HTTP/1.1 200 ") == answer.lower().count(b"connection: keep-alive") == 2
    answer = raw_answer(rest.rest_port, b"GET /v1/models/detector HTTP/1.0\r\n\r\n")
    assert b"Connection: close" in answer


def test_other_methods_are_answered_as_there(rest, url):
    for method in ("HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"):
        answer = requests.request(method, url, timeout=TIMEOUT_SECONDS)
        assert answer.status_code == 400 and "Access-Control-Allow-Origin" not in answer.headers
        if method == "HEAD":
            assert answer.content == b"" and int(answer.headers["Content-Length"]) > 0
        else:
            assert answer.json() == {"error": f"Malformed request: {method} /v1/models/detector"}
    metrics = requests.head(rest.rest_address + METRICS_PATH, timeout=TIMEOUT_SECONDS)
    assert metrics.status_code == 200 and metrics.content == b""
    assert requests.options(rest.rest_address + "/elsewhere", timeout=TIMEOUT_SECONDS).status_code == 404


def test_statuses_are_translated_as_there():
    codes = ["OK", "INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE", "UNAUTHENTICATED", "PERMISSION_DENIED"]
    codes += ["NOT_FOUND", "ABORTED", "ALREADY_EXISTS", "RESOURCE_EXHAUSTED", "CANCELLED", "UNKNOWN", "INTERNAL"]
    codes += ["DATA_LOSS", "UNIMPLEMENTED", "UNAVAILABLE", "DEADLINE_EXCEEDED"]
    wanted = [200, 400, 400, 400, 401, 403, 404, 409, 409, 429, 499, 500, 500, 500, 501, 503, 504]
    assert [http_status(getattr(grpc.StatusCode, code)) for code in codes] == wanted


def test_pages_of_other_sites_may_ask_where_that_is_allowed(encoded_model, image):
    options = ServerOptions(rest=RestOptions(allow_other_origins=True), loading=LoadingOptions(poll_wait_seconds=0))
    with LocalServer.of_model("detector", encoded_model, options) as server:
        url = f"{server.rest_address}/v1/models/detector"
        asked = {"Origin": "http://page.example", "Access-Control-Request-Method": "POST"}
        preflight = requests.options(f"{url}:predict", headers=asked, timeout=TIMEOUT_SECONDS)
        answer = post(url, {"instances": [b64(image(None))]}, headers=asked)
        refused = post(url, {}, headers=asked)
        assert [one.status_code for one in (preflight, answer, refused)] == [200, 200, 400]
        for one in (preflight, answer, refused):
            assert one.headers["Access-Control-Allow-Origin"] == "*"
            assert one.headers["Access-Control-Allow-Methods"] == "POST, GET"
            assert one.headers["Access-Control-Allow-Headers"] == "Content-Type"


def test_numbers_are_checked_by_type_and_shape(pixel_model, image, red_pixels):
    with LocalServer.of_model(
        "pixels", pixel_model, ServerOptions(rest=RestOptions(), loading=LoadingOptions(poll_wait_seconds=0))
    ) as server:
        url = f"{server.rest_address}/v1/models/pixels"
        pixels = red_pixels(image((10, 20, 30, 40)))
        (row,) = post(url, {"instances": [pixels.tolist()]}).json()["predictions"]
        np.testing.assert_allclose(row["detection_boxes"][0], [20 / 48, 10 / 64, 40 / 48, 30 / 64], atol=1e-6)
        for value, message in (
            ([[[[1, 2, 256]]]], "a number that DT_UINT8 cannot hold"),
            ([[[[1, 2, -1]]]], "a number that DT_UINT8 cannot hold"),
            ([[[[1, 2, 10**30]]]], "a number that DT_UINT8 cannot hold"),
            ([[[[1, 2, 2.5]]]], "has float, not of expected type: DT_UINT8"),
            ([[[[1, 2, True]]]], "has bool, not of expected type: DT_UINT8"),
            ([[[["a" * 1000, 2, 3]]]], "has str, not of expected type: DT_UINT8"),
            ([[[[1, 2, 3]], [[1, 2]]]], "not of one size"),
            ([[[1, 2, 3]]], "has the shape [1, 1, 3]; the signature takes [1, any, any, 3]"),
        ):
            answer = post(url, {"instances": value})
            assert answer.status_code == 400 and message in answer.json()["error"], value


def test_a_client_that_trickles_its_request_is_cut_off_and_others_are_answered(rest, url, image):
    address = ("127.0.0.1", rest.rest_port)
    slow = [socket.create_connection(address) for _ in range(10)]
    started = time.monotonic()
    for connection in slow[:5]:
        connection.sendall(b"POST /v1/models/detector:predict HTTP/1.1\r\nContent-Length: 1000\r\n\r\n")
    assert post(url, {"instances": [b64(image(None))]}).status_code == 200
    ended = []
    for connection in slow:
        connection.settimeout(20 * RECEIVE_SECONDS)
        while connection.recv(1000):
            pass
        ended.append(time.monotonic() - started)
        connection.close()
    assert max(ended) < 15 * RECEIVE_SECONDS
    assert post(url, {"instances": [b64(image(None))]}).status_code == 200


def test_more_connections_than_may_be_are_refused_at_once(rest, url, image):
    opened = [socket.create_connection(("127.0.0.1", rest.rest_port)) for _ in range(30)]
    try:
        answers = []
        for connection in opened[-3:]:
            connection.settimeout(TIMEOUT_SECONDS)
            answers.append(connection.recv(100))
        assert all(answer.startswith(b"HTTP/1.1 503 ") for answer in answers)
    finally:
        for connection in opened:
            connection.close()
    time.sleep(2 * RECEIVE_SECONDS)
    assert post(url, {"instances": [b64(image(None))]}).status_code == 200


def test_requests_are_counted_under_tensorflow_servings_names(rest, url, image):
    def count(pattern):
        lines = requests.get(rest.rest_address + METRICS_PATH, timeout=TIMEOUT_SECONDS).text.splitlines()
        return sum(int(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(pattern))

    good = ':tensorflow:serving:request_count{model_name="detector",status="OK"}'
    unknown = ':tensorflow:serving:request_count{model_name="(unknown)",status="NOT_FOUND"}'
    latency = ':tensorflow:serving:request_latency_count{model_name="detector",API="predict",entrypoint="REST"}'
    before = [count(pattern) for pattern in (good, unknown, latency)]
    for _ in range(3):
        post(url, {"instances": [b64(image(None))]})
    assert post(url, {"instances": [b64(b"broken")]}).status_code == 400  # is no latency
    for name in ("a", "b"):
        post(f"{rest.rest_address}/v1/models/{name}", {"instances": [b64(image(None))]})
    after = [count(pattern) for pattern in (good, unknown, latency)]
    assert [new - old for old, new in zip(before, after, strict=True)] == [3, 2, 3]
    text = requests.get(rest.rest_address + METRICS_PATH, timeout=TIMEOUT_SECONDS).text
    assert "# TYPE :tensorflow:serving:request_latency histogram" in text
    assert '",le="+Inf"} ' in text


def test_stopping_lets_a_running_request_end_and_closes_idle_connections(tmp_path, write_model, image):
    write_model(tmp_path / "1", busy_seconds=1.0)
    server = LocalServer.of_model(
        "detector", tmp_path, ServerOptions(rest=RestOptions(), loading=LoadingOptions(poll_wait_seconds=0))
    ).start()
    idle = requests.Session()
    assert idle.get(f"{server.rest_address}/v1/models/detector", timeout=TIMEOUT_SECONDS).status_code == 200
    url = f"{server.rest_address}/v1/models/detector"
    answers = []
    thread = threading.Thread(target=lambda: answers.append(post(url, {"instances": [b64(image(None))]})))
    thread.start()
    time.sleep(0.3)
    started = time.monotonic()
    assert server.stop(30)
    assert time.monotonic() - started < 15
    thread.join()
    assert answers[0].status_code == 200 and len(answers[0].json()["predictions"]) == 1
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=5)
