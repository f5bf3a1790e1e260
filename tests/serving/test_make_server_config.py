"""The three files, parsed back: by TensorFlow Serving's own messages where its package has them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import text_format

from data_prep.runtime.command_line import UsageError, UserError
from serving.make_server_config import main
from serving.wire.server_files import (
    BatchingParameters,
    MonitoringConfig,
    read_models_file,
    read_server_file,
    server_file_text,
)

REPOSITORY = Path(__file__).resolve().parents[2]
MODEL = ("--model", "detector=/models/detector")
LABEL_B = ("--version_label", "detector:b=2")


def make(folder: Path, *flags: str) -> Path:
    assert main(["--output_directory", str(folder), *flags]) == 0
    return folder


def test_tensorflow_serving_reads_the_models(tmp_path, capsys):
    from tensorflow_serving.config import model_server_config_pb2

    make(
        tmp_path, *MODEL, "--version_label", "detector:stable=1", "--version_label", "detector:canary=2",
        "--model", "rooms=gs://bucket/rooms", "--version_policy", "rooms=latest:2",
        "--model", "furniture=/models/furniture", "--version_policy", "furniture=all",
    )  # fmt: skip
    config = text_format.Parse(
        (tmp_path / "models.config").read_text(), model_server_config_pb2.ModelServerConfig()
    ).model_config_list.config
    detector, rooms, furniture = config
    assert (detector.name, detector.base_path, detector.model_platform) == (
        "detector",
        "/models/detector",
        "tensorflow",
    )
    assert list(detector.model_version_policy.specific.versions) == [
        1,
        2,
    ]  # the labelled ones, where no policy is given
    assert dict(detector.version_labels) == {"stable": 1, "canary": 2}
    assert rooms.model_version_policy.latest.num_versions == 2
    assert furniture.model_version_policy.WhichOneof("policy_choice") == "all"
    assert read_models_file(tmp_path / "models.config").SerializeToString(deterministic=True) == (
        model_server_config_pb2.ModelServerConfig(
            model_config_list=model_server_config_pb2.ModelConfigList(config=config)
        ).SerializeToString(deterministic=True)
    )
    printed = capsys.readouterr().out
    assert f"--model_config_file={tmp_path}/models.config" in printed
    assert "--allow_version_labels_for_unavailable_models=true" in printed


def test_batching_and_monitoring_are_read_back(tmp_path):
    make(tmp_path, *MODEL, "--device", "gpu", "--batch_timeout_micros", "0", "--metrics_path", "/metrics")
    batching = read_server_file(tmp_path / "batching.config", BatchingParameters)
    assert list(batching.allowed_batch_sizes) == [1, 2, 4, 8, 16]
    assert batching.max_batch_size.value == 16  # TensorFlow Serving wants the last allowed size to be the largest
    assert batching.HasField("batch_timeout_micros") and batching.batch_timeout_micros.value == 0
    assert (batching.num_batch_threads.value, batching.max_enqueued_batches.value) == (2, 32)
    assert not batching.pad_variable_length_inputs  # zeros beside an image would move its boxes
    monitoring = read_server_file(tmp_path / "monitoring.config", MonitoringConfig)
    assert monitoring.prometheus_config.enable and monitoring.prometheus_config.path == "/metrics"
    make(tmp_path / "cpu", *MODEL, "--allowed_batch_sizes", "1", "3", "--num_batch_threads", "8")
    batching = read_server_file(tmp_path / "cpu" / "batching.config", BatchingParameters)
    assert (list(batching.allowed_batch_sizes), batching.max_batch_size.value) == ([1, 3], 3)
    assert batching.num_batch_threads.value == 8


def test_files_as_people_write_them_are_read(tmp_path):
    # As in TensorFlow Serving's own documentation.
    path = tmp_path / "batching.config"
    path.write_text(
        "max_batch_size { value: 128 }\nbatch_timeout_micros { value: 0 }  # none\n"
        "enable_large_batch_splitting { value: true }\nallowed_batch_sizes : [64, 128]\n"
    )
    batching = read_server_file(path, BatchingParameters)
    assert batching.enable_large_batch_splitting.value and list(batching.allowed_batch_sizes) == [64, 128]
    assert text_format.Parse(server_file_text(batching), BatchingParameters()) == batching
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())  # as some editors save
    assert read_server_file(path, BatchingParameters) == batching
    path.write_text("max_batch_sise { value: 1 }")
    with pytest.raises(UserError, match=r'batching.config is no BatchingParameters: 1:1 : .*named "max_batch_sise"'):
        read_server_file(path, BatchingParameters)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="is no text"):
        read_server_file(path, BatchingParameters)
    with pytest.raises(UserError, match="No such file"):
        read_server_file(tmp_path / "none.config", BatchingParameters)
    path.write_bytes(b"#" * (2 << 20))
    with pytest.raises(UserError, match="is larger than"):
        read_server_file(path, BatchingParameters)


def test_moved_labels_are_not_written_over(tmp_path):
    make(tmp_path, *MODEL, "--version_label", "detector:stable=1")
    make(tmp_path, *MODEL, "--version_label", "detector:stable=1")  # the same again changes nothing
    with pytest.raises(UsageError, match="labels that were moved; --overwrite replaces it"):
        make(tmp_path, *MODEL, "--version_label", "detector:stable=2")
    make(tmp_path, *MODEL, "--version_label", "detector:stable=2", "--overwrite")
    assert "value: 2" in (tmp_path / "models.config").read_text()


def test_versions_are_looked_for(tmp_path):
    for version in ("1", "3"):
        (tmp_path / "detector" / version).mkdir(parents=True)
        (tmp_path / "detector" / version / "saved_model.pb").touch()
    check = ("--check_base_path", f"detector={tmp_path / 'detector'}")
    make(tmp_path / "a", *MODEL, "--version_label", "detector:stable=3", *check)
    with pytest.raises(UsageError, match=r"version 2 of detector would not be loaded: .* has 1, 3"):
        make(tmp_path / "b", *MODEL, "--version_label", "detector:stable=2", *check)
    latest = ("--version_policy", "detector=latest", "--version_label", "detector:stable=1")
    with pytest.raises(UsageError, match=r"version 1 of detector would not be loaded: .* of which the policy loads 3"):
        make(tmp_path / "b", *MODEL, *latest, *check)
    with pytest.raises(UserError, match="there is no folder"):
        make(tmp_path / "b", *MODEL, "--check_base_path", f"detector={tmp_path / 'none'}")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--model", "detector"), "--model 'detector': give it as NAME=VALUE"),
        (("--model", "a/b=/m"), "model name 'a/b'"),
        (("--model", "detector=models/detector"), "is relative; give it as the server sees it"),
        ((*MODEL, *MODEL), "--model names detector twice"),
        ((*MODEL, "--version_policy", "detector=newest"), "version policy 'newest': use latest, latest:2, all, or"),
        ((*MODEL, "--version_policy", "detector=latest:0"), "at least one version is kept"),
        ((*MODEL, "--version_policy", "rooms=all"), "--version_policy names rooms, but --model names detector"),
        ((*MODEL, "--version_label", "detector=1"), "give it as NAME:LABEL=VERSION"),
        ((*MODEL, "--version_label", "detector:sta/ble=1"), "label 'sta/ble'"),
        ((*MODEL, "--version_label", "detector:stable=zero"), "version 'zero'"),
        ((*MODEL, "--version_label", "detector:stable=99999999999999999999"), "a version is a whole number from 1"),
        (
            (*MODEL, "--version_policy", "detector=specific:1,2", "--version_label", "detector:stable=3"),
            "label stable of detector names version 3, but only 1, 2 are loaded",
        ),
        (
            (*MODEL, "--version_policy", "detector=latest", "--version_label", "detector:a=1", *LABEL_B),
            "name 2 versions, but latest:1 keeps 1; name the versions with specific:1,2",
        ),
        ((*MODEL, "--allowed_batch_sizes", "4", "2"), "give whole numbers from 1 that ascend"),
        ((*MODEL, "--metrics_path", "metrics"), "metrics path 'metrics'"),
    ],
)  # fmt: skip
def test_mistakes_are_told_and_nothing_is_written(tmp_path, flags, words):
    with pytest.raises(UserError) as error:
        make(tmp_path / "out", *flags)
    assert words in str(error.value)
    assert not (tmp_path / "out").exists()


def test_neither_this_nor_promote_waits_for_tensorflow():
    program = (
        "import sys, serving.make_server_config, serving.promote\n"
        "sys.exit(any(name.partition('.')[0] == 'tensorflow' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, check=False).returncode == 0
