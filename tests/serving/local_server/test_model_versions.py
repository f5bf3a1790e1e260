"""Versions come and go under a server in this process while requests go on; only files on the disk change."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

import grpc
import numpy as np
import pytest

from data_prep.runtime.command_line import UserError
from serving.client_library.detection_client import DetectionClient, ImageRequestError
from serving.local_server import LoadingOptions, LocalServer, ServerOptions
from serving.operating.version_folders import find_version_folders
from serving.wire.messages import GetModelStatusRequest, GetModelStatusResponse

POLL_SECONDS = 0.1
AVAILABLE, END = 30, 50


@pytest.fixture(scope="module")
def exported(tmp_path_factory, write_model) -> dict[int, Path]:
    """Finished SavedModels outside of any base path, by the class that they answer."""
    folder = tmp_path_factory.mktemp("exported")
    return {class_id: write_model(folder / f"class_{class_id}", class_id=class_id) for class_id in (1, 2)}


def publish(model: Path, base_path: Path, version: int) -> Path:
    """Puts a version in place as the exporter does: written elsewhere, then renamed."""
    base_path.mkdir(exist_ok=True)
    temporary = base_path / f".writing-{version}"
    shutil.copytree(model, temporary)
    return temporary.rename(base_path / str(version))


def statuses(server: LocalServer) -> dict[int, tuple[int, str]]:
    with grpc.insecure_channel(server.address) as channel:
        call = channel.unary_unary(
            "/tensorflow.serving.ModelService/GetModelStatus",
            request_serializer=GetModelStatusRequest.SerializeToString,
            response_deserializer=GetModelStatusResponse.FromString,
        )
        request = GetModelStatusRequest()
        request.model_spec.name = server.model_name
        response = call(request, timeout=30)
    return {entry.version: (entry.state, entry.status.error_message) for entry in response.model_version_status}


def wait_until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def test_versions_swap_without_a_lost_request_and_old_ones_are_unloaded(tmp_path, exported, image):
    publish(exported[1], tmp_path, 1)
    asked = image((10, 20, 30, 40))
    answers, errors, done = [], [], threading.Event()
    with LocalServer.of_model(
        "detector", tmp_path, ServerOptions(loading=LoadingOptions(poll_wait_seconds=POLL_SECONDS))
    ) as server:

        def ask():
            with DetectionClient(server.address, "detector", max_retries=0, min_score=0.0) as client:
                while not done.is_set():
                    try:
                        (detection, _) = client.detect(asked).detections
                    except (ImageRequestError, UserError) as error:
                        errors.append(error)
                    else:
                        answers.append(detection.class_id)

        askers = [threading.Thread(target=ask) for _ in range(3)]
        for asker in askers:
            asker.start()
        wait_until(lambda: len(answers) > 20)
        for version in (2, 3, 4):
            publish(exported[2 - version % 2], tmp_path, version)
            wait_until(lambda version=version: server.version == version)
            count = len(answers)
            wait_until(lambda count=count: len(answers) > count + 20)
        done.set()
        for asker in askers:
            asker.join()
        assert errors == []
        assert answers[0] == 1 and answers[-1] == 2 and 1 in answers[len(answers) // 3 :]
        wait_until(lambda: [state for state, _ in statuses(server).values()] == [AVAILABLE, END, END, END])
        with (
            DetectionClient(server.address, "detector", model_version=1, min_score=0.0) as client,
            pytest.raises(UserError) as error,
        ):
            client.detect(asked)
        assert "Servable not found for request: Specific(detector, 1)" in str(error.value)


def test_a_version_being_written_waits_and_a_broken_one_is_reported(tmp_path, exported, image, caplog):
    publish(exported[1], tmp_path, 1)
    with (
        LocalServer.of_model(
            "detector", tmp_path, ServerOptions(loading=LoadingOptions(poll_wait_seconds=POLL_SECONDS))
        ) as server,
        DetectionClient(server.address, "detector", min_score=0.0) as client,
    ):
        shutil.copytree(exported[2] / "variables", tmp_path / "2" / "variables")
        (tmp_path / "notes").mkdir()
        time.sleep(5 * POLL_SECONDS)
        assert list(statuses(server)) == [1]
        (tmp_path / "2" / "saved_model.pb").write_bytes(b"not a SavedModel")
        wait_until(lambda: statuses(server).get(2, (0, ""))[1])
        state, message = statuses(server)[2]
        assert state == END and "cannot be loaded" in message and "\n" not in message
        assert server.version == 1 and client.detect(image((1, 2, 3, 4))).detections[0].class_id == 1
        time.sleep(5 * POLL_SECONDS)
        complaints = [record.getMessage() for record in caplog.records if "is not served" in record.getMessage()]
        assert len(complaints) == 1 and "version 1 stays" in complaints[0]
        # Mended in place, it is tried again.
        shutil.copy(exported[2] / "saved_model.pb", tmp_path / "2" / "saved_model.pb")
        wait_until(lambda: server.version == 2)
        assert client.detect(image((1, 2, 3, 4))).detections[0].class_id == 2
        assert statuses(server)[2] == (AVAILABLE, "")


def test_removing_the_newest_version_rolls_back(tmp_path, exported):
    publish(exported[1], tmp_path, 1)
    newest = publish(exported[2], tmp_path, 10)  # as a number, not as text: after 9
    with LocalServer.of_model(
        "detector", tmp_path, ServerOptions(loading=LoadingOptions(poll_wait_seconds=POLL_SECONDS))
    ) as server:
        assert server.version == 10
        shutil.rmtree(newest)
        wait_until(lambda: server.version == 1)
        shutil.rmtree(tmp_path / "1")
        time.sleep(5 * POLL_SECONDS)
        assert server.version == 1  # an empty base path takes nothing away


def test_a_server_whose_newest_version_is_broken_starts_with_the_one_before(tmp_path, exported):
    publish(exported[1], tmp_path, 1)
    (publish(exported[2], tmp_path, 2) / "variables" / "variables.data-00000-of-00001").unlink()
    (publish(exported[2], tmp_path, 3) / "saved_model.pb").write_bytes(b"")
    with LocalServer.of_model(
        "detector", tmp_path, ServerOptions(loading=LoadingOptions(poll_wait_seconds=0))
    ) as server:
        assert server.version in (1, 2)  # a model without variables loads without their file
        assert statuses(server)[3][0] == END


def test_a_server_without_a_version_that_loads_does_not_start(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"\x00")
    with pytest.raises(UserError, match=r"no version of model detector can be served: .*cannot be loaded"):
        LocalServer.of_model("detector", tmp_path).start()


def test_a_server_that_waits_for_its_model_answers_unavailable_until_then(tmp_path, exported, image):
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    base_path = tmp_path / "base"
    with (
        LocalServer.of_model(
            "detector",
            base_path,
            ServerOptions(loading=LoadingOptions(poll_wait_seconds=POLL_SECONDS, wait_for_model=True)),
        ) as server,
        DetectionClient(server.address, "detector", max_retries=0, min_score=0.0) as client,
        grpc.insecure_channel(server.address) as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)
        assert server.version is None
        assert health.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(UserError, match="no version loaded"):
            client.detect(image(None))
        publish(exported[1], base_path, 1)
        wait_until(lambda: server.version == 1)
        assert client.detect(image((1, 2, 3, 4))).detections[0].class_id == 1
        assert health.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING


def write_warm_up(version: Path, *images: bytes) -> None:
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    folder = version / "assets.extra"
    folder.mkdir()
    with tf.io.TFRecordWriter(str(folder / "tf_serving_warmup_requests")) as writer:
        for content in images:
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.name = "detector"
            request.inputs["input_tensor"].CopyFrom(tf.make_tensor_proto(np.array([content], object)))
            writer.write(log.SerializeToString())


def test_warm_up_requests_are_replayed_and_a_version_that_refuses_them_is_not_served(tmp_path, exported, image, caplog):
    caplog.set_level("INFO", "serving")
    write_warm_up(publish(exported[1], tmp_path, 1), image(None), image((1, 2, 3, 4)))
    write_warm_up(publish(exported[2], tmp_path, 2), image(None), b"\xff\xd8\xff")
    (publish(exported[2], tmp_path, 3) / "assets.extra").mkdir()
    (tmp_path / "3" / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"no TFRecord, but long enough")
    with LocalServer.of_model(
        "detector", tmp_path, ServerOptions(loading=LoadingOptions(poll_wait_seconds=0))
    ) as server:
        assert server.version == 1
        assert "warm-up request 1 fails: input_tensor[0] is not an image" in statuses(server)[2][1]
        assert "tf_serving_warmup_requests cannot be read" in statuses(server)[3][1]
    assert any("2 warm-up requests run" in record.getMessage() for record in caplog.records)


def test_only_complete_folders_with_numbers_for_names_are_versions(tmp_path):
    for name in ("1", "002", "10", "v3", "-4", "5.5", "99999999999999999999", "7"):
        (tmp_path / name).mkdir()
        if name != "7":
            (tmp_path / name / "saved_model.pb").touch()
    (tmp_path / "8").touch()
    assert [folder.version for folder in find_version_folders(tmp_path)] == [10, 2, 1]
    assert find_version_folders(tmp_path / "missing") == []
