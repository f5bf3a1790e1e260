"""Trust: many clients at once, some of them hostile; memory, stops, kills and swaps of versions under load.

The short versions run with every suite. The long ones are `slow`; SOAK_SECONDS and SOAK_CLIENTS change how long and how
many (`SOAK_SECONDS=30 pytest -m slow -s tests/serving/test_soak.py` prints their figures).
"""

from __future__ import annotations

import base64
import collections
import itertools
import os
import random
import signal
import struct
import threading
import time
import zlib
from pathlib import Path

import grpc
import numpy as np
import pytest
import requests

from data_prep.runtime.command_line import UserError
from serving.client_library.detection_client import DetectionClient, ImageRequestError
from serving.wire.messages import (
    GetModelStatusRequest,
    GetModelStatusResponse,
    ModelServerConfig,
    PredictRequest,
    PredictResponse,
    ReloadConfigRequest,
    ReloadConfigResponse,
)
from serving.wire.server_files import parse_server_file

SECONDS = float(os.environ.get("SOAK_SECONDS", "120"))
CLIENTS = int(os.environ.get("SOAK_CLIENTS", "200"))
TIMEOUT_SECONDS = 120
DT_FLOAT, DT_STRING = 1, 7
OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
BATCHING = """max_batch_size { value: 16 } batch_timeout_micros { value: 2000 } num_batch_threads { value: 2 }
max_enqueued_batches { value: 100 }"""


def box_of(number):
    left = 2 + number % 40
    return (left, 5, left + 10, 30)


def predict_request(content, *, name="detector", signature="", input_name="input_tensor", dtype=DT_STRING, rank=1):
    request = PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = name, signature
    tensor = request.inputs[input_name]
    tensor.dtype = dtype
    for _ in range(rank):
        tensor.tensor_shape.dim.add(size=1)
    if dtype == DT_STRING:
        tensor.string_val.append(content)
    else:
        tensor.float_val.append(1.0)
    return request


def png_bomb(width, height):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\x00" * 100)) + chunk(b"IEND", b"")


class Channel:
    """One client's own connection."""

    def __init__(self, address):
        self._channel = grpc.insecure_channel(address, options=OPTIONS)

        def method(path, request_class, response_class):
            return self._channel.unary_unary(
                f"/tensorflow.serving.{path}",
                request_serializer=request_class.SerializeToString,
                response_deserializer=response_class.FromString,
            )

        self.predict = method("PredictionService/Predict", PredictRequest, PredictResponse)
        self.status = method("ModelService/GetModelStatus", GetModelStatusRequest, GetModelStatusResponse)
        self.reload = method("ModelService/HandleReloadConfigRequest", ReloadConfigRequest, ReloadConfigResponse)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._channel.close()


class Crowd:
    """Clients that ask until they are told to stop, and what came of it."""

    def __init__(self, server, rest_port, image, *, clients, hostile_every):
        self.images = [image(box_of(number)) for number in range(40)]
        self.good, self.wrong, self.failed = 0, [], collections.Counter()
        self.hostile, self.misjudged = collections.Counter(), []
        self.seconds: list[float] = []
        self._address, self._rest = server.address, f"http://localhost:{rest_port}/v1/models/detector:predict"
        self._every, self._numbers, self._kinds = hostile_every, itertools.count(1), itertools.count()
        self._lock, self._done = threading.Lock(), threading.Event()
        jpeg = image((1, 2, 3, 4), (640, 480), "JPEG")
        invalid = {"INVALID_ARGUMENT"}
        self._hostile = {
            "empty": (predict_request(b""), invalid),
            "truncated": (predict_request(jpeg[:-1500]), invalid),
            "not an image": (predict_request(b"\xff\xd8\xff nothing"), invalid),
            "400 megapixels": (predict_request(png_bomb(20_000, 20_000)), invalid),
            "wrong type": (predict_request(b"", dtype=DT_FLOAT), invalid),
            "wrong rank": (predict_request(self.images[0], rank=2), invalid),
            "unknown model": (predict_request(self.images[0], name="nope"), {"NOT_FOUND"}),
            "unknown signature": (predict_request(self.images[0], signature="nope"), {"FAILED_PRECONDITION"}),
            "unknown input": (predict_request(self.images[0], input_name="nope"), invalid),
            "60 megabytes": (predict_request(b"\x00" * 60_000_000), invalid),
            "over the limit": (predict_request(b"\x00" * 70_000_000), {"RESOURCE_EXHAUSTED"}),
            "cancelled": (predict_request(self.images[0]), {"CANCELLED", "OK"}),
            "expired": (predict_request(self.images[0]), {"DEADLINE_EXCEEDED"}),
            "no JSON": (b"[" * 10_000, {400}),
        }
        self._threads = [threading.Thread(target=self._ask_for_ever, args=(number,)) for number in range(clients)]
        for thread in self._threads:
            thread.start()

    def stop(self):
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _ask_for_ever(self, client):
        chance = random.Random(client)
        with Channel(self._address) as channel, requests.Session() as session:
            while not self._done.is_set():
                if next(self._numbers) % self._every == 0:
                    self._ask_hostilely(channel, session)
                else:
                    self._ask_well(channel, session, chance.randrange(40), by_rest=client % 10 == 0)

    def _ask_well(self, channel, session, number, *, by_rest):
        started = time.monotonic()
        try:
            if by_rest:
                document = {"instances": [{"b64": base64.b64encode(self.images[number]).decode()}]}
                answer = session.post(self._rest, json=document, timeout=TIMEOUT_SECONDS)
                answer.raise_for_status()
                (row,) = answer.json()["predictions"]
                box, kind, version = row["detection_boxes"][0], row["detection_classes"][0], None
            else:
                response = channel.predict(predict_request(self.images[number]), timeout=TIMEOUT_SECONDS)
                box = response.outputs["detection_boxes"].float_val[:4]
                kind = response.outputs["detection_classes"].float_val[0]
                version = response.model_spec.version.value
        except (grpc.RpcError, requests.RequestException) as error:
            with self._lock:
                self.failed[
                    f"{error.code()}: {error.details()}" if isinstance(error, grpc.RpcError) else str(error)
                ] += 1
            return
        left, top, right, bottom = box_of(number)
        expected = [top / 48, left / 64, bottom / 48, right / 64]
        right_answer = all(abs(a - b) < 1e-4 for a, b in zip(box, expected, strict=True)) and version in (None, kind)
        with self._lock:
            self.seconds.append(time.monotonic() - started)
            if right_answer:
                self.good += 1
            else:
                self.wrong.append((number, list(box), kind, version))

    def _ask_hostilely(self, channel, session):
        kind = list(self._hostile)[next(self._kinds) % len(self._hostile)]
        request, expected = self._hostile[kind]
        if kind == "no JSON":
            outcome = session.post(self._rest, data=request, timeout=TIMEOUT_SECONDS).status_code
        else:
            call = channel.predict.future(request, timeout=0.0005 if kind == "expired" else TIMEOUT_SECONDS)
            if kind == "cancelled":
                time.sleep(0.005)
                call.cancel()
            outcome = call.code().name
        with self._lock:
            self.hostile[kind] += 1
            if outcome not in expected:
                self.misjudged.append((kind, outcome))


class Memory:
    """A process's resident memory in megabytes, looked at twice a second."""

    def __init__(self, process_id):
        self.samples: list[float] = []
        self._status = Path(f"/proc/{process_id}/statm")
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self):
        while not self._done.wait(0.5):
            pages = int(self._status.read_text().split()[1])
            self.samples.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)

    def stop(self):
        self._done.set()
        self._thread.join()

    def medians(self, parts, after=0.0):
        """Returns the median of each of so many parts of the time, `after` being the share that is left out before."""
        samples = self.samples[int(after * len(self.samples)) :]
        return [float(np.median(part)) for part in np.array_split(samples, parts)]


def soak(start_server, encoded_model, image, folder, rest_port, *, clients, seconds, hostile_every):
    """Runs a crowd at a server of its own, sends SIGTERM, and returns what came of it."""
    (folder / "batching.config").write_text(BATCHING)
    flags = ["--enable_batching", "--batching_parameters_file", str(folder / "batching.config")]
    flags += ["--max_message_mebibytes", "64"]
    with start_server(encoded_model, *flags, "--rest_api_port", str(rest_port)) as server:
        memory = Memory(server.process.pid)
        crowd = Crowd(server, rest_port, image, clients=clients, hostile_every=hostile_every)
        time.sleep(seconds)
        crowd.stop()
        memory.stop()
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        server.wait_for_line("^stopped")
        assert server.process.wait(30) == 0
        stop_seconds = time.monotonic() - started
        assert not any("Traceback" in line for line in server.lines), "".join(server.lines)
    p50, p99 = np.percentile(crowd.seconds, (50, 99))
    print(
        f"\n{clients} clients for {seconds:.0f} s: {crowd.good} good requests answered rightly, {len(crowd.wrong)} "
        f"wrongly, {crowd.failed.total()} not; {sum(crowd.hostile.values())} hostile ones, {len(crowd.misjudged)} "
        f"misjudged\nlatency p50 {p50:.3f} s, p99 {p99:.3f} s\n"
        f"memory, medians of twelfths of the time: {' '.join(f'{part:.0f}' for part in memory.medians(12))} MB, "
        f"most {max(memory.samples):.0f} MB\n"
        f"stopped {stop_seconds:.1f} s after SIGTERM; load average {os.getloadavg()[0]:.1f}\n"
        f"hostile: {', '.join(f'{count} {kind}' for kind, count in sorted(crowd.hostile.items()))}"
    )
    assert crowd.failed == {} and crowd.wrong == [] and crowd.misjudged == []
    return crowd, memory


def test_a_crowd_with_hostile_requests_in_it_is_answered_rightly(
    start_server, encoded_model, image, tmp_path, free_port
):
    crowd, _ = soak(start_server, encoded_model, image, tmp_path, free_port, clients=30, seconds=6, hostile_every=10)
    assert crowd.good > 30 and len(crowd.hostile) > 5


@pytest.mark.slow
def test_200_clients_for_two_minutes_are_answered_rightly_and_memory_stays_flat(
    start_server, encoded_model, image, tmp_path, free_port
):
    crowd, memory = soak(
        start_server, encoded_model, image, tmp_path, free_port, clients=CLIENTS, seconds=SECONDS, hostile_every=100
    )
    assert crowd.good > CLIENTS and len(crowd.hostile) > 5
    # The first quarter warms up, with the same mixture; a kilobyte left by each request would show after it.
    earlier, later = memory.medians(2, after=0.25)
    assert later < 1.1 * earlier


def publish_versions(folder, write_model, image):
    """Writes versions 1 and 2, which answer their number as the class, with warm-up requests of ten images."""
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    for version in (1, 2):
        write_model(folder / str(version), class_id=version)
        (folder / str(version) / "assets.extra").mkdir()
        file = folder / str(version) / "assets.extra" / "tf_serving_warmup_requests"
        with tf.io.TFRecordWriter(str(file)) as writer:
            for number in range(10):
                log = prediction_log_pb2.PredictionLog()
                request = predict_request(image(box_of(number)))
                log.predict_log.request.MergeFromString(request.SerializeToString())
                writer.write(log.SerializeToString())


@pytest.mark.slow
def test_two_versions_are_swapped_ten_times_under_load_without_a_lost_or_half_loaded_answer(
    start_server, write_model, image, tmp_path, free_port
):
    base_path = tmp_path / "models"
    publish_versions(base_path, write_model, image)

    def config(version):
        text = f"""model_config_list {{ config {{ name: "detector" base_path: "{base_path}"
            model_platform: "tensorflow" model_version_policy {{ specific {{ versions: {version} }} }} }} }}"""
        return parse_server_file(text, ModelServerConfig, "test")

    (tmp_path / "models.config").write_text(str(config(1)))
    flags = ["--model_config_file", str(tmp_path / "models.config"), "--rest_api_port", str(free_port)]
    with start_server(None, *flags, "--enable_batching") as server, Channel(server.address) as operator:
        crowd = Crowd(server, free_port, image, clients=10, hostile_every=10**9)
        status = GetModelStatusRequest()
        status.model_spec.name = "detector"
        for swap in range(10):
            version = 2 - swap % 2
            operator.reload(ReloadConfigRequest(config=config(version)), timeout=TIMEOUT_SECONDS)
            end = time.monotonic() + TIMEOUT_SECONDS
            while True:
                states = {e.version: e.state for e in operator.status(status, timeout=60).model_version_status}
                if states.get(version) == 30 and states.get(3 - version) == 50:
                    break
                assert time.monotonic() < end, states
                time.sleep(0.05)
            before = crowd.good
            while crowd.good < before + 20 and not crowd.failed:
                time.sleep(0.02)
        crowd.stop()
        print(f"{crowd.good} requests during ten swaps; load average {os.getloadavg()[0]:.1f}")
        assert crowd.failed == {} and crowd.wrong == [] and crowd.good >= 200
        assert sum("is available" in line for line in server.lines) == 11


@pytest.mark.slow
def test_a_kill_under_load_costs_retries_and_no_results(start_server, encoded_model, image):
    images = [image(box_of(number)) for number in range(40)]
    asked_after_kill = threading.Event()
    outcomes, lock = collections.Counter(), threading.Lock()
    with start_server(encoded_model) as server:
        address = server.address

        def ask(client_number):
            with DetectionClient(address, "detector", max_retries=200, timeout_seconds=60, min_score=0.0) as client:
                count = 0
                while not asked_after_kill.is_set():
                    number = (client_number + count) % 40
                    count += 1
                    left, top, right, bottom = box_of(number)
                    try:
                        found = client.detect(images[number]).detections[0].box_pixels
                        same = found == pytest.approx((top, left, bottom, right), abs=0.01)
                        outcome = "right" if same else "wrong"
                    except (ImageRequestError, UserError) as error:
                        outcome = f"lost: {error}"
                    with lock:
                        outcomes[outcome] += 1

        askers = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
        for asker in askers:
            asker.start()
        while outcomes["right"] < 100:
            time.sleep(0.05)
        server.process.kill()
        server.process.wait(30)
        before = outcomes["right"]
        with start_server(encoded_model, port=server.port):
            end = time.monotonic() + TIMEOUT_SECONDS
            while outcomes["right"] < before + 100 and time.monotonic() < end:
                time.sleep(0.05)
            asked_after_kill.set()
            for asker in askers:
                asker.join()
    print(f"outcomes: {dict(outcomes)}")
    assert set(outcomes) == {"right"} and outcomes["right"] >= before + 100
