"""Labels moved on servers over gRPC: two that do what TensorFlow Serving's ModelService does, and the local server."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from concurrent import futures
from pathlib import Path

import grpc
import pytest

from data_prep.runtime.command_line import UsageError, UserError
from serving.make_server_config import main as make_server_config
from serving.promote import every_address, main
from serving.wire.server_files import read_models_file

LOADING_SECONDS = 0.5


class ModelService:
    """What TensorFlow Serving does with versions and labels, and nothing else, in TensorFlow Serving's own messages."""

    def __init__(self, on_disk: set[int]) -> None:
        self.on_disk = on_disk
        self.loaded_at: dict[int, float] = {}
        self.labels: dict[str, int] = {}
        self.reloads = 0
        self.refuse = ""
        self.models: list[str] = []
        self._lock = threading.Lock()

    def state(self, version: int) -> int:
        from tensorflow_serving.apis import get_model_status_pb2

        states = get_model_status_pb2.ModelVersionStatus
        return states.AVAILABLE if time.monotonic() >= self.loaded_at[version] else states.LOADING

    def available(self, version: int) -> bool:
        return version in self.loaded_at and self.state(version) == 30

    def get_model_status(self, request, context):
        from tensorflow_serving.apis import get_model_status_pb2

        response = get_model_status_pb2.GetModelStatusResponse()
        if request.model_spec.name not in self.models:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Could not find any versions of model {request.model_spec.name}")
        for version in self.loaded_at:
            response.model_version_status.add(version=version, state=self.state(version))
        return response

    def get_model_metadata(self, request, context):
        from tensorflow_serving.apis import get_model_metadata_pb2

        if request.model_spec.version_label not in self.labels:
            context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"Unrecognized servable version label: {request.model_spec.version_label}",
            )
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.version.value = self.labels[request.model_spec.version_label]
        return response

    def reload(self, request, context):
        from tensorflow_serving.apis import model_management_pb2

        with self._lock:
            self.reloads += 1
            config = request.config.model_config_list.config
            wanted = config[0]
            if self.refuse in ("always", f"labels {dict(wanted.version_labels)}"):
                context.abort(grpc.StatusCode.INTERNAL, "told to refuse")
            for label, version in wanted.version_labels.items():
                if not self.available(version) and self.labels.get(label, version) != version:
                    context.abort(
                        grpc.StatusCode.FAILED_PRECONDITION,
                        f"Request to assign label to version {version} of model {wanted.name}, "
                        "which is not currently available for inference",
                    )
            self.models = [model.name for model in config]
            self.labels = dict(wanted.version_labels)
            versions = set(wanted.model_version_policy.specific.versions)
            self.loaded_at = {
                version: self.loaded_at.get(version, time.monotonic() + LOADING_SECONDS)
                for version in sorted(versions & self.on_disk)
            }
        return model_management_pb2.ReloadConfigResponse()


@contextlib.contextmanager
def serve(service: ModelService):
    from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_management_pb2

    def method(function, request_class):
        return grpc.unary_unary_rpc_method_handler(
            function, request_class.FromString, lambda response: response.SerializeToString()
        )

    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                "tensorflow.serving.ModelService",
                {
                    "GetModelStatus": method(service.get_model_status, get_model_status_pb2.GetModelStatusRequest),
                    "HandleReloadConfigRequest": method(service.reload, model_management_pb2.ReloadConfigRequest),
                },
            ),
            grpc.method_handlers_generic_handler(
                "tensorflow.serving.PredictionService",
                {
                    "GetModelMetadata": method(
                        service.get_model_metadata, get_model_metadata_pb2.GetModelMetadataRequest
                    )
                },
            ),
        )
    )
    port = server.add_insecure_port("localhost:0")
    server.start()
    try:
        yield f"localhost:{port}"
    finally:
        server.stop(None).wait()


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """models.config with detector's versions 1 and 2, stable at 1, and another model that must survive."""
    flags = ["--model", "detector=/models/detector", "--version_policy", "detector=specific:1,2"]
    flags += ["--version_label", "detector:stable=1", "--model", "rooms=/models/rooms"]
    assert make_server_config(["--output_directory", str(tmp_path), *flags]) == 0
    return tmp_path / "models.config"


@pytest.fixture
def replicas(config_file: Path):
    """Two servers that have taken the file; versions 1, 2 and 3 are on their disk."""
    from tensorflow_serving.apis import model_management_pb2

    services = [ModelService({1, 2, 3}), ModelService({1, 2, 3})]
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(serve(service)) for service in services]
        request = model_management_pb2.ReloadConfigRequest()
        request.config.ParseFromString(read_models_file(config_file).SerializeToString())
        for service in services:
            service.reload(request, None)
            service.loaded_at = dict.fromkeys(service.loaded_at, 0.0)
        yield services, servers


def labels_in(path: Path) -> dict[str, int]:
    return dict(read_models_file(path).model_config_list.config[0].version_labels)


def promote(config_file: Path, servers: list[str], *flags: str) -> int:
    told = ["--model_config_file", str(config_file), "--model_name", "detector", "--timeout_seconds", "20"]
    return main([*told, "--server", *servers, *flags])


def test_a_canary_becomes_stable_and_the_move_is_taken_back(config_file, replicas, capsys):
    services, servers = replicas
    assert promote(config_file, servers, "--version", "2", "--label", "canary") == 0
    assert [service.labels for service in services] == [{"stable": 1, "canary": 2}] * 2
    capsys.readouterr()

    assert promote(config_file, servers) == 0  # stable follows canary
    printed = capsys.readouterr().out
    assert f"before  {servers[0]}  detector: 1 AVAILABLE, 2 AVAILABLE; canary -> 2, stable -> 1" in printed
    assert f"after   {servers[1]}  detector: 1 AVAILABLE, 2 AVAILABLE; canary -> 2, stable -> 2" in printed
    assert [service.labels for service in services] == [{"stable": 2, "canary": 2}] * 2
    assert labels_in(config_file) == {"stable": 2, "canary": 2}
    assert services[0].models == ["detector", "rooms"]  # a reload replaces everything: the other model is kept

    assert promote(config_file, servers, "--rollback") == 0
    assert [service.labels for service in services] == [{"stable": 1, "canary": 2}] * 2
    assert promote(config_file, servers, "--rollback") == 0  # and the canary before it
    assert [service.labels for service in services] == [{"stable": 1}] * 2
    assert labels_in(config_file) == {"stable": 1}
    with pytest.raises(UsageError, match="no move of detector's labels to take back"):
        promote(config_file, servers, "--rollback")

    entries = [json.loads(line) for line in Path(f"{config_file}.history.jsonl").read_text().splitlines()]
    assert [(entry["action"], entry["after"].get("stable")) for entry in entries] == [
        ("promote", 1),
        ("promote", 2),
        ("rollback", 1),
        ("rollback", 1),
    ]
    assert entries[1]["servers"] == servers


def test_a_version_that_one_replica_lacks_moves_nothing(config_file, replicas):
    services, servers = replicas
    services[1].loaded_at.pop(2)
    reloads = [service.reloads for service in services]
    before = config_file.read_bytes()
    with pytest.raises(UserError, match=rf"version 2 of detector is not available at {servers[1]}, which has 1 AVAIL"):
        promote(config_file, servers, "--version", "2")
    assert [service.reloads for service in services] == reloads
    assert config_file.read_bytes() == before


def test_a_version_is_loaded_before_its_label_moves(config_file, replicas, capsys):
    services, servers = replicas
    with pytest.raises(UserError, match="--load loads it first"):
        promote(config_file, servers, "--version", "3")
    assert promote(config_file, servers, "--version", "3", "--load") == 0
    assert [service.labels for service in services] == [{"stable": 3}] * 2
    assert list(read_models_file(config_file).model_config_list.config[0].model_version_policy.specific.versions) == [
        1,
        2,
        3,
    ]
    assert "1 AVAILABLE, 2 AVAILABLE, 3 AVAILABLE; stable -> 3" in capsys.readouterr().out


def test_a_version_that_never_loads_leaves_the_old_config(config_file, replicas):
    services, servers = replicas
    with pytest.raises(UserError, match=r"does not know version 9 of detector after 1 s; every server has its old"):
        promote(config_file, servers, "--version", "9", "--load", "--timeout_seconds", "1")
    assert [sorted(service.loaded_at) for service in services] == [[1, 2]] * 2
    assert labels_in(config_file) == {"stable": 1}


def test_where_one_replica_refuses_the_others_are_put_back(config_file, replicas):
    services, servers = replicas
    services[1].refuse = "labels {'stable': 2}"
    with pytest.raises(UserError, match=r"INTERNAL: told to refuse; every server has its old configuration"):
        promote(config_file, servers, "--version", "2")
    assert [service.labels for service in services] == [{"stable": 1}] * 2
    assert labels_in(config_file) == {"stable": 1}
    assert not Path(f"{config_file}.history.jsonl").exists()

    services[1].refuse = "always"
    with pytest.raises(UserError, match=rf"the old configuration could not be put back: {servers[1]}"):
        promote(config_file, servers, "--version", "2")
    assert services[0].labels == {"stable": 1}


def test_the_same_again_and_a_dry_run_do_nothing(config_file, replicas, capsys):
    services, servers = replicas
    reloads = [service.reloads for service in services]
    assert promote(config_file, servers, "--version", "1") == 0
    assert "has stable -> 1 already; nothing was done" in capsys.readouterr().out
    assert promote(config_file, servers, "--version", "2", "--dry_run") == 0
    assert "would make it stable -> 2" in capsys.readouterr().out
    assert [service.reloads for service in services] == reloads


def test_servers_that_were_moved_by_another_hand_are_told_of(config_file, replicas, capsys):
    services, servers = replicas
    services[1].loaded_at[3] = 0.0
    services[1].labels = {"stable": 3}
    assert promote(config_file, servers, "--version", "2") == 0
    assert f"note: {config_file} says stable -> 1, which is not what {servers[1]} has" in capsys.readouterr().out
    assert services[1].labels == {"stable": 2}


def test_a_file_changed_since_is_not_rolled_over(config_file, replicas):
    _, servers = replicas
    assert promote(config_file, servers, "--version", "2") == 0
    config_file.write_text(config_file.read_text().replace("value: 2", "value: 1"))
    with pytest.raises(UsageError, match="somebody else changed it since"):
        promote(config_file, servers, "--rollback")


def test_mistakes_are_told_in_one_line(config_file, replicas, tmp_path):
    _, servers = replicas
    with pytest.raises(UsageError, match="give --version: detector has stable -> 1"):
        promote(config_file, servers)
    with pytest.raises(UsageError, match="version 'two'"):
        promote(config_file, servers, "--version", "two")
    with pytest.raises(UsageError, match="give --model_name; its models are detector, rooms"):
        main(["--model_config_file", str(config_file), "--server", *servers])
    with pytest.raises(UsageError, match="leave --version and --label out"):
        promote(config_file, servers, "--rollback", "--version", "1")
    with pytest.raises(UserError, match="localhost:1 does not say what it serves: UNAVAILABLE"):
        promote(config_file, ["localhost:1"], "--version", "2")
    broken = tmp_path / "broken.config"
    broken.write_text("model_config_list { config { nane: 'x' } }")
    with pytest.raises(UserError, match=r'broken.config is no ModelServerConfig: 1:30 : .*no field named "nane"'):
        main(["--model_config_file", str(broken), "--version", "1"])
    Path(f"{config_file}.history.jsonl").write_text('{"model_name": 3}\n')
    with pytest.raises(UserError, match=r"history.jsonl, line 1 is no change of labels"):
        promote(config_file, servers, "--rollback")


def test_only_a_better_version_is_promoted(replicas, tmp_path, write_model, block_config, capsys):
    """Version 1 calls red things blue, version 2 does not; they are compared on the red and blue blocks."""
    services, servers = replicas
    base = tmp_path / "base"
    write_model(base / "1", class_id=2)
    write_model(base / "2", class_id=1)
    flags = ["--model", f"detector={base}", "--version_policy", "detector=specific:1,2"]
    assert make_server_config(["--output_directory", str(base), *flags, "--version_label", "detector:stable=1"]) == 0
    config_file = base / "models.config"
    asked = ["--require_better_than", "stable", "--pipeline_config_path", str(block_config("ssd"))]
    asked += ["--comparison_directory", str(tmp_path / "comparison"), "--resamples", "50"]
    with pytest.raises(UserError, match=r"version 2 is not better than 1: B is not shown .*; no label was moved"):
        promote(config_file, servers, "--version", "2", *asked, "--min_gain", "0.9")
    with pytest.raises(UsageError, match="has no version 7 on this machine"):
        promote(config_file, servers, "--version", "7", *asked)
    with pytest.raises(UsageError, match="--require_better_than canary: the labels are stable -> 1"):
        promote(config_file, servers, "--version", "2", "--require_better_than", "canary")
    assert labels_in(config_file) == {"stable": 1}
    assert promote(config_file, servers, "--version", "2", *asked) == 0
    assert "B is better than A: in AP in 100.0% of the resamples" in capsys.readouterr().out
    assert [service.labels for service in services] == [{"stable": 2}] * 2


def test_a_name_stands_for_all_its_addresses():
    assert set(every_address(["localhost:8500", "127.0.0.1:8500"])) <= {"127.0.0.1:8500", "[::1]:8500"}
    assert "127.0.0.1:8500" in every_address(["localhost:8500"])
    with pytest.raises(UserError, match="localhost"):
        every_address(["localhost"])


def test_the_local_server_answers_by_the_labels_that_were_moved(tmp_path, write_model, image, capsys):
    """The whole road: files written, a server started on them, a version brought in, promoted, and taken back."""
    from serving.client_library.detection_client import DetectionClient
    from serving.serve import build_parser, local_server_of, settings_of

    base_path = tmp_path / "detector"
    write_model(base_path / "1", class_id=1)
    flags = [
        "--output_directory",
        str(tmp_path),
        "--model",
        f"detector={base_path}",
        "--version_label",
        "detector:stable=1",
    ]
    assert make_server_config(flags) == 0
    config_file = tmp_path / "models.config"
    started_with = [
        f"--{name}={tmp_path / file}"
        for name, file in (
            ("model_config_file", "models.config"),
            ("batching_parameters_file", "batching.config"),
            ("monitoring_config_file", "monitoring.config"),
        )
    ]
    on = ("--enable_batching=true", "--allow_version_labels_for_unavailable_models=true", "--rest_api_port=0")

    def started():
        # As `main` does it, in this process; that the files reach a process is test_server_configs's.
        arguments = build_parser().parse_args(["--backend", "local", "--port", "0", *started_with, *on])
        return local_server_of(settings_of(arguments), arguments)

    with started() as server:
        write_model(tmp_path / "elsewhere", class_id=2)
        (tmp_path / "elsewhere").rename(base_path / "2")

        def class_by_label(label: str) -> int:
            with DetectionClient(server.address, "detector", version_label=label, min_score=0.5) as client:
                (detection,) = client.detect(image((10, 10, 30, 30))).detections
                return detection.class_id

        assert class_by_label("stable") == 1
        with pytest.raises(UserError, match="version 2 of detector is not available"):
            promote(config_file, [server.address], "--version", "2", "--label", "canary")
        assert promote(config_file, [server.address], "--version", "2", "--label", "canary", "--load") == 0
        assert (class_by_label("stable"), class_by_label("canary")) == (1, 2)
        assert promote(config_file, [server.address]) == 0
        assert (class_by_label("stable"), class_by_label("canary")) == (2, 2)
        assert promote(config_file, [server.address], "--rollback") == 0
        assert (class_by_label("stable"), class_by_label("canary")) == (1, 2)
    assert "stable -> 1" in capsys.readouterr().out
    # A server that starts now has what was left.
    with started() as server:
        assert promote(config_file, [server.address], "--version", "1") == 0
        assert "has canary -> 2, stable -> 1 already; nothing was done" in capsys.readouterr().out
