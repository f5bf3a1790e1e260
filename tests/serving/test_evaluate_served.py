"""train.evaluate of a model behind a server, and of the same model's folder: the same figures."""

from __future__ import annotations

import json

import pytest

from data_prep.runtime.command_line import UsageError, UserError
from serving.local_server import LocalServer
from serving.local_server.options import ServerOptions
from serving.wire.server_files import SSLConfig
from tests.serving.certificates import certificate
from train.evaluate import main as evaluate
from train.evaluation.record_evaluation import detected_records
from train.evaluation.saved_model_folder import find_saved_model
from train.evaluation.served_detector import ServedDetector
from train.pipeline import load_pipeline


@pytest.fixture
def config(block_config) -> str:
    return str(block_config("ssd"))


def metrics_in(folder):
    metrics = json.loads((folder / "metrics.json").read_text())["metrics"]
    return {name: value for name, value in metrics.items() if name != "images_per_second"}


def test_a_served_model_measures_as_its_folder(config, write_model, tmp_path):
    base = tmp_path / "base"
    write_model(base / "1", class_id=2)
    write_model(base / "10", class_id=1)  # the newest, which no order of letters has last
    words = ["--pipeline_config_path", config]
    assert evaluate([*words, "--saved_model_dir", str(base), "--eval_dir", str(tmp_path / "newest")]) == 0
    assert evaluate([*words, "--saved_model_dir", str(base / "1"), "--eval_dir", str(tmp_path / "first")]) == 0
    with LocalServer.of_model("detector", base) as server:
        more = ["--server", server.address, "--model_name", "detector", "--eval_dir", str(tmp_path / "served")]
        assert evaluate([*words, *more]) == 0
    newest = metrics_in(tmp_path / "newest")
    assert newest["DetectionBoxes_PerformanceByCategory/mAP@.50IOU/Red block"] > 0.9
    assert metrics_in(tmp_path / "first")["DetectionBoxes_Precision/mAP"] == 0.0
    assert metrics_in(tmp_path / "served") == pytest.approx(newest, nan_ok=True)


def test_a_server_behind_tls_is_asked_with_the_clients_flags(config, write_model, tmp_path):
    write_model(tmp_path / "base" / "1")
    authority = certificate(tmp_path, "authority")
    certificate(tmp_path, "server", authority)
    certificate(tmp_path, "client", authority)
    pem = {name: (tmp_path / name).read_text() for name in ("server.key", "server.pem", "authority.pem")}
    ssl_config = SSLConfig(
        server_key=pem["server.key"], server_cert=pem["server.pem"], custom_ca=pem["authority.pem"], client_verify=True
    )
    options = ServerOptions(ssl_config=ssl_config)
    with LocalServer.of_model("detector", tmp_path / "base", options) as server:
        words = ["--pipeline_config_path", config, "--server", server.address, "--model_name", "detector"]
        words += ["--eval_dir", str(tmp_path / "served"), "--ca_file", str(tmp_path / "authority.pem")]
        own = ["--client_certificate_file", str(tmp_path / "client.pem"), "--client_key_file"]
        assert evaluate([*words, *own, str(tmp_path / "client.key")]) == 0
        with pytest.raises(UserError, match=server.address):
            evaluate(words)
    assert metrics_in(tmp_path / "served")["DetectionBoxes_PerformanceByCategory/mAP@.50IOU/Red block"] > 0.9


@pytest.mark.parametrize("flags", [["--tls"], ["--api_key_file", "key"], ["--version_label", "stable"]])
def test_flags_of_a_server_without_one_are_refused(config, flags):
    with pytest.raises(UsageError, match=f"{flags[0]} goes with --server"):
        evaluate(["--pipeline_config_path", config, "--checkpoint_dir", "model", *flags])


def test_a_server_that_goes_away_is_said_in_a_line(config, write_model, tmp_path):
    write_model(tmp_path / "base" / "1")
    pipeline = load_pipeline(config)
    with LocalServer.of_model("detector", tmp_path / "base") as server:
        detector = ServedDetector(server.address, "detector", pipeline, timeout_seconds=6.0)
        images = detected_records(pipeline, detector, 0)
        next(images)
    with (
        detector,
        pytest.raises(
            UserError, match=r"detector at .*, image 'photo101' \(after 1 answers\): (no server answers|timed out)"
        ),
    ):
        list(images)
    with pytest.raises(UserError, match="localhost:1"):
        ServedDetector("localhost:1", "detector", pipeline, timeout_seconds=1.0)


def test_a_model_of_other_classes_is_refused(config, write_model, tmp_path):
    write_model(tmp_path / "base" / "1", class_id=7)
    with LocalServer.of_model("detector", tmp_path / "base") as server:
        words = ["--pipeline_config_path", config, "--server", server.address, "--model_name", "detector"]
        with pytest.raises(UserError, match=r"class 7 .* in image 'photo100' is not in the config's label map"):
            evaluate([*words, "--eval_dir", str(tmp_path / "e")])


def test_a_version_that_is_still_being_written_does_not_count(tmp_path):
    (tmp_path / "2").mkdir()
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"")
    assert find_saved_model(tmp_path) == tmp_path / "1"
    assert find_saved_model(tmp_path / "2") is None
