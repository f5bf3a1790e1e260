"""The local server on TensorFlow Serving's files: models, batching, monitoring, TLS; and a config that is reloaded."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import grpc
import pytest
import requests

from data_prep.runtime.command_line import UserError
from serving.client_library.detection_client import DetectionClient
from serving.local_server import LoadingOptions, LocalServer, RestOptions, ServerOptions
from serving.local_server.listening import credentials_of
from serving.local_server.models import Models
from serving.operating.model_server_config import ServedModel, VersionPolicy, served_models
from serving.saved_models.status_errors import StatusError
from serving.wire.messages import (
    GetModelStatusRequest,
    GetModelStatusResponse,
    ModelServerConfig,
    ReloadConfigRequest,
    ReloadConfigResponse,
)
from serving.wire.server_files import SSLConfig, parse_server_file
from tests.serving.certificates import certificate

AVAILABLE, END = 30, 50


@pytest.fixture(scope="module")
def base_path(tmp_path_factory, write_model) -> Path:
    """Versions 1, 2 and 3, of which 1 and 3 answer class 1 and 2 answers class 2."""
    folder = tmp_path_factory.mktemp("versions")
    write_model(folder / "1", class_id=1)
    write_model(folder / "2", class_id=2)
    shutil.copytree(folder / "1", folder / "3")
    return folder


def config_text(*models: str) -> str:
    return "model_config_list { " + " ".join(models) + " }"


def model_text(base_path, policy="", labels=None, name="detector") -> str:
    words = "".join(f' version_labels {{ key: "{key}" value: {value} }}' for key, value in (labels or {}).items())
    policy = f" model_version_policy {{ {policy} }}" if policy else ""
    return f'config {{ name: "{name}" base_path: "{base_path}" model_platform: "tensorflow"{policy}{words} }}'


def call(server, method, request, response_class):
    with grpc.insecure_channel(server.address) as channel:
        return channel.unary_unary(
            f"/tensorflow.serving.ModelService/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=response_class.FromString,
        )(request, timeout=60)


def reload(server, *models):
    request = ReloadConfigRequest(config=parse_server_file(config_text(*models), ModelServerConfig, "test"))
    return call(server, "HandleReloadConfigRequest", request, ReloadConfigResponse)


def states(server, name="detector"):
    request = GetModelStatusRequest()
    request.model_spec.name = name
    response = call(server, "GetModelStatus", request, GetModelStatusResponse)
    return {entry.version: entry.state for entry in response.model_version_status}


def wait_until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def class_of(server, content, **choice):
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    request = predict_pb2.PredictRequest()
    request.model_spec.name = "detector"
    if "version" in choice:
        request.model_spec.version.value = choice["version"]
    if "label" in choice:
        request.model_spec.version_label = choice["label"]
    request.inputs["input_tensor"].dtype = 7
    request.inputs["input_tensor"].tensor_shape.dim.add(size=1)
    request.inputs["input_tensor"].string_val.append(content)
    with grpc.insecure_channel(server.address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        return stub.Predict(request, timeout=60).outputs["detection_classes"].float_val[0]


def test_a_canary_is_loaded_labelled_promoted_and_rolled_back_by_reloads(base_path, image):
    asked = image((1, 2, 3, 4))
    first = ServedModel("detector", str(base_path), VersionPolicy("specific", versions=(1,)))
    with LocalServer([first], ServerOptions(rest=RestOptions(), loading=LoadingOptions(poll_wait_seconds=0))) as server:
        assert states(server) == {1: AVAILABLE}
        # Labelling what is loaded in the same request is refused, as TensorFlow Serving refuses it; nothing changes.
        with pytest.raises(grpc.RpcError) as error:
            reload(server, model_text(base_path, "specific { versions: [1, 2] }", {"canary": 2}))
        assert error.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert error.value.details() == (
            "Request to assign label to version 2 of model detector, which is not currently available for inference"
        )
        assert reload(server, model_text(base_path, "specific { versions: [1, 2] }", {"stable": 1})).HasField("status")
        wait_until(lambda: states(server).get(2) == AVAILABLE)
        reload(server, model_text(base_path, "specific { versions: [1, 2] }", {"stable": 1, "canary": 2}))
        assert [class_of(server, asked, label=label) for label in ("stable", "canary")] == [1, 2]
        assert [class_of(server, asked, version=version) for version in (1, 2)] == [1, 2]
        assert class_of(server, asked) == 2  # the highest, where nothing is named
        label = f"{server.rest_address}/v1/models/detector/labels/stable"
        assert [entry["version"] for entry in requests.get(label, timeout=60).json()["model_version_status"]] == ["1"]
        reload(server, model_text(base_path, "specific { versions: [1, 2] }", {"stable": 2, "canary": 2}))
        assert class_of(server, asked, label="stable") == 2
        reload(server, model_text(base_path, "specific { versions: [1] }", {"stable": 1}))
        wait_until(lambda: states(server)[2] == END)
        assert class_of(server, asked) == class_of(server, asked, label="stable") == 1
        with pytest.raises(grpc.RpcError) as error:
            class_of(server, asked, label="canary")
        assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_models_come_and_go_and_a_config_that_cannot_be_served_changes_nothing(base_path, image, tmp_path):
    asked = image((1, 2, 3, 4))
    with LocalServer.of_model(
        "detector", base_path, ServerOptions(loading=LoadingOptions(poll_wait_seconds=0))
    ) as server:
        reload(
            server, model_text(base_path, "latest { num_versions: 2 }"), model_text(base_path, "all {}", name="both")
        )
        assert states(server, "both") == {1: AVAILABLE, 2: AVAILABLE, 3: AVAILABLE}
        wait_until(lambda: states(server) == {2: AVAILABLE, 3: AVAILABLE})
        for models, code in (
            ([model_text(base_path), model_text(base_path)], "INVALID_ARGUMENT"),
            ([model_text("relative")], "INVALID_ARGUMENT"),
            ([model_text("gs://bucket/model")], "INVALID_ARGUMENT"),
            ([model_text(base_path).replace('"tensorflow"', '"caffe"')], "INVALID_ARGUMENT"),
            ([model_text(base_path, "specific {}")], "INVALID_ARGUMENT"),
            ([model_text(tmp_path)], "UNKNOWN"),  # another base path, with nothing in it
        ):
            with pytest.raises(grpc.RpcError) as error:
                reload(server, *models)
            assert error.value.code().name == code and "\n" not in error.value.details()
            assert class_of(server, asked) == 1
        reload(server, model_text(base_path))
        with pytest.raises(grpc.RpcError) as error:
            states(server, "both")
        assert error.value.code() is grpc.StatusCode.NOT_FOUND
        with pytest.raises(grpc.RpcError, match="Only ModelConfigList is currently supported"):
            call(server, "HandleReloadConfigRequest", ReloadConfigRequest(), ReloadConfigResponse)


def test_labels_at_the_start_need_the_flag_as_they_do_there(base_path):
    models = served_models(
        parse_server_file(
            config_text(model_text(base_path, "specific { versions: 1 }", {"stable": 1})), ModelServerConfig, "test"
        )
    )
    strict = Models(load=lambda name, folder: pytest.fail("nothing is loaded"))
    with pytest.raises(StatusError, match="not currently available") as error:
        strict.configure(models)
    assert error.value.code is grpc.StatusCode.FAILED_PRECONDITION


def self_signed(folder: Path) -> tuple[str, str]:
    key, certificate_path = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate_path)),
        ],
        check=True,
        capture_output=True,
    )
    return key.read_text(), certificate_path.read_text()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl on the path: it makes a certificate")
def test_the_command_takes_the_files_of_the_real_server(base_path, image, start_server, tmp_path, free_port):
    key, pem = self_signed(tmp_path)
    ssl_config = SSLConfig(server_key=key, server_cert=pem)
    (tmp_path / "ssl.config").write_text(str(ssl_config))
    (tmp_path / "monitoring.config").write_text('prometheus_config { enable: true path: "/metrics" }')
    (tmp_path / "batching.config").write_text("max_batch_size { value: 4 } num_batch_threads { value: 1 }")
    models_file = tmp_path / "models.config"
    models_file.write_text(config_text(model_text(base_path, "specific { versions: 1 }", {"stable": 1})))
    flags = ["--model_config_file", models_file, "--allow_version_labels_for_unavailable_models=true"]
    flags += ["--model_config_file_poll_wait_seconds", 1, "--rest_api_port", free_port]
    flags += ["--monitoring_config_file", tmp_path / "monitoring.config", "--ssl_config_file", tmp_path / "ssl.config"]
    flags += ["--enable_batching", "--batching_parameters_file", tmp_path / "batching.config"]
    with start_server(None, *map(str, flags), model_name=None) as server:
        from serving.wire.messages import PredictRequest, PredictResponse

        request = PredictRequest()
        request.model_spec.name, request.model_spec.version_label = "detector", "stable"
        request.inputs["input_tensor"].dtype = 7
        request.inputs["input_tensor"].tensor_shape.dim.add(size=1)
        request.inputs["input_tensor"].string_val.append(image((1, 2, 3, 4)))
        credentials = grpc.ssl_channel_credentials(pem.encode())
        with grpc.secure_channel(server.address, credentials) as channel:
            predict = channel.unary_unary(
                "/tensorflow.serving.PredictionService/Predict",
                request_serializer=PredictRequest.SerializeToString,
                response_deserializer=PredictResponse.FromString,
            )
            assert predict(request, timeout=60).model_spec.version.value == 1
            text = requests.get(f"http://localhost:{free_port}/metrics", timeout=60).text
            assert ':tensorflow:serving:request_count{model_name="detector",status="OK"} 1' in text
            assert ":tensorflow:serving:batching_session:processed_batch_size_count" in text
            # The file is followed: the version first, the label once it is available.
            models_file.write_text(config_text(model_text(base_path, "specific { versions: [1, 2] }", {"stable": 1})))
            status = f"http://localhost:{free_port}/v1/models/detector"
            wait_until(lambda: len(requests.get(status, timeout=60).json()["model_version_status"]) == 2)
            models_file.write_text("model_config_list { nonsense }")
            wait_until(lambda: any("is not followed" in line for line in server.lines))
            models_file.write_text(config_text(model_text(base_path, "specific { versions: [1, 2] }", {"stable": 2})))

            def promoted():
                return predict(request, timeout=60).model_spec.version.value == 2

            wait_until(promoted)
        with grpc.insecure_channel(server.address) as channel, pytest.raises(grpc.FutureTimeoutError):
            grpc.channel_ready_future(channel).result(timeout=1)


def test_warm_up_can_be_left_out(base_path, tmp_path, image):
    shutil.copytree(base_path / "1", tmp_path / "1")
    (tmp_path / "1" / "assets.extra").mkdir()
    (tmp_path / "1" / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"no TFRecord, but long enough")
    no_warm_up = LoadingOptions(poll_wait_seconds=0, warm_up_iterations=0)
    with (
        LocalServer.of_model("detector", tmp_path, ServerOptions(loading=no_warm_up)) as server,
        DetectionClient(server.address, "detector", min_score=0.0) as client,
    ):
        assert len(client.detect(image((1, 2, 3, 4))).detections) == 2


@pytest.mark.parametrize(
    ("key", "reason"), [("stranger.key", "the key is not the certificate's"), ("server.pem", "both are PEM")]
)
def test_a_key_that_is_another_certificate_s_is_told_as_that(key, reason, tmp_path):
    for name in ("server", "stranger"):
        certificate(tmp_path, name)
    server_cert = (tmp_path / "server.pem").read_text()
    with pytest.raises(UserError, match=f"--ssl_config_file: server_key and server_cert: .*{reason}"):
        credentials_of(SSLConfig(server_key=(tmp_path / key).read_text(), server_cert=server_cert))
