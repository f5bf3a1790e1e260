"""MLflow gets a run as it is, in a store of its own on SQLite."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image

from data_prep.runtime.command_line import UserError
from train.tracking.identity import read_identity
from train.tracking.mlflow_tracker import MlflowTracker, metric_names, record_export
from train.tracking.recorder import Recorder
from train.tracking.tracker import RunDescription

DESCRIPTION = RunDescription(
    hyperparameters={"model": "ssd", "batch_size": 8, "learning_rate": 0.02}, texts={"pipeline.config": "model { }"}
)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty store."""
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "rooms")
    client = MlflowClient(uri)
    client.create_experiment("rooms", artifact_location=str(tmp_path / "artifacts"))
    return uri


def test_a_run_is_stored_gone_on_with_and_told_where_it_was_exported_to(store: str, tmp_path: Path):
    model_dir = tmp_path / "model"
    model_dir.mkdir()
    client = MlflowClient(store)
    image = np.full((20, 30, 3), 200, np.uint8)
    with pytest.raises(KeyboardInterrupt), Recorder([MlflowTracker(model_dir)]) as recorder:
        recorder.start(DESCRIPTION, 0)
        run_id = read_identity(model_dir)["mlflow"]["run_id"]
        assert client.get_run(run_id).info.status == "RUNNING"
        recorder.scalars("eval", {"DetectionBoxes_Precision/mAP@.50IOU": 0.25, "mAP (small)": 0.5}, 3)
        recorder.images("eval", "detections", [image], 3)
        raise KeyboardInterrupt
    run = client.get_run(run_id)
    assert run.info.status == "KILLED"
    assert run.data.params == {"model": "ssd", "batch_size": "8", "learning_rate": "0.02"}
    assert run.data.metrics == {"eval/DetectionBoxes_Precision/mAP_.50IOU": 0.25, "eval/mAP small": 0.5}
    assert run.data.tags["mlflow.runName"] == "model"
    assert client.get_experiment(run.info.experiment_id).name == "rooms"
    assert Path(client.download_artifacts(run_id, "pipeline.config")).read_text() == "model { }"
    stored = [file.path for file in client.list_artifacts(run_id, "images") if file.path.endswith(".png")]
    assert len(stored) == 1 and "detections" in stored[0] and "step" in stored[0]
    np.testing.assert_array_equal(np.asarray(Image.open(client.download_artifacts(run_id, stored[0]))), image)

    longer = RunDescription(hyperparameters={**DESCRIPTION.hyperparameters, "batch_size": 16, "seed": 1})
    with Recorder([MlflowTracker(model_dir)]) as recorder:
        recorder.start(longer, 3)
        recorder.scalars("eval", {"mAP (small)": 0.75}, 6)
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    history = client.get_metric_history(run_id, "eval/mAP small")
    assert [(metric.step, metric.value) for metric in history] == [(3, 0.5), (6, 0.75)]
    assert run.data.params["batch_size"] == "8" and run.data.params["seed"] == "1"
    assert run.data.tags["batch_size from step 3"] == "16"

    line = record_export(model_dir, read_identity(model_dir)["mlflow"], {"exported_model": "/models/1"})
    assert run_id in line
    assert client.get_run(run_id).data.tags["exported_model"] == "/models/1"


def test_the_store_of_the_run_is_found_again_without_the_variable(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with Recorder([MlflowTracker(tmp_path)]) as recorder:
        recorder.start(DESCRIPTION, 0)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    record_export(tmp_path, read_identity(tmp_path)["mlflow"], {"exported_model": "/models/2"})
    run_id = read_identity(tmp_path)["mlflow"]["run_id"]
    assert MlflowClient(store).get_run(run_id).data.tags["exported_model"] == "/models/2"


def test_a_store_that_cannot_be_used_is_one_line_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (tmp_path / "file").touch()
    for uri in ("http://somebody:secret@127.0.0.1:9/", f"sqlite:///{tmp_path}/file/mlflow.db", "gopher://old"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with pytest.raises(UserError) as error:
            MlflowTracker(tmp_path).start(DESCRIPTION, 0)
        line = str(error.value)
        assert line.startswith("--track mlflow: ") and "\n" not in line and "secret" not in line
        assert "set MLFLOW_TRACKING_URI to a store that answers" in line


def test_a_run_that_the_store_does_not_have_is_named_with_the_file_that_names_it(store: str, tmp_path: Path):
    (tmp_path / "tracking.json").write_text(json.dumps({"mlflow": {"run_id": "0" * 32}}))
    with pytest.raises(UserError, match=rf"the run 0+ is named by {tmp_path / 'tracking.json'}"):
        MlflowTracker(tmp_path).start(DESCRIPTION, 0)


def test_a_store_that_breaks_on_the_way_ends_no_training(store: str, tmp_path: Path):
    said: list[str] = []
    recorder = Recorder([MlflowTracker(tmp_path)], say=said.append)
    recorder.start(DESCRIPTION, 0)
    (tmp_path / "mlflow.db").write_bytes(b"no database")
    for step in range(9):
        recorder.scalars("train", {"loss": 1.0}, step)
    assert [line.split(":")[0] for line in said[1:]] == ["note", "note"]
    assert "the training goes on" in said[1] and "gets no more of this run" in said[2]


def test_a_thousand_classes_are_one_evaluation(store: str, tmp_path: Path):
    with Recorder([MlflowTracker(tmp_path)]) as recorder:
        recorder.start(DESCRIPTION, 0)
        recorder.scalars("eval", {f"mAP/class {number}": number / 1500 for number in range(1500)}, 1)
    run_id = read_identity(tmp_path)["mlflow"]["run_id"]
    assert len(MlflowClient(store).get_run(run_id).data.metrics) == 1500


def test_names_of_any_class_are_names_that_mlflow_takes(store: str, tmp_path: Path):
    names = [
        "mAP/Bed",
        "mAP/bed & breakfast",
        "mAP/bed @ breakfast",
        "mAP/..",
        "mAP/a//b/",
        "mAP/./c",
        "mAP/Bücher",
        "/x",
    ]
    made = metric_names(names)
    assert made[0] == "mAP/Bed" and made[1] == "mAP/bed _ breakfast" and made[6] == "mAP/Bücher"
    assert len(set(made)) == len(names)
    with Recorder([MlflowTracker(tmp_path)]) as recorder:
        recorder.start(DESCRIPTION, 0)
        MlflowTracker.scalars(recorder._trackers[0], "eval", dict.fromkeys(names, 1.0), 1)
    run_id = read_identity(tmp_path)["mlflow"]["run_id"]
    assert len(MlflowClient(store).get_run(run_id).data.metrics) == len(names)
