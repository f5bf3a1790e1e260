"""A training that is tracked, profiled, gone on with and exported, through the commands that people type."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from mlflow import MlflowClient

from data_prep.runtime.command_line import UsageError, UserError
from export.export_saved_model import main as export
from tests.train.tracking.wandb_file import WandbRun, wandb_runs
from train.train import main as train

MEAN = "DetectionBoxes_Precision/mAP"
MORE = """
    eval_config { save_graph: true }
    extensions { summaries { histograms: true } }
"""


class Tracked:
    """A training of six steps in two commands, and what it left where."""

    def __init__(self, config: Path, folder: Path) -> None:
        self.model_dir, self.exported, self.config = folder / "model", folder / "exported", config
        self.words = [
            "--pipeline_config_path",
            str(config),
            "--config_override",
            MORE,
            "--model_dir",
            str(self.model_dir),
        ]
        self.words += ["--checkpoint_every_n", "2", "--log_every_n", "2", "--track", "wandb", "mlflow"]
        assert train([*self.words, "--num_train_steps", "4", "--profile_steps", "2", "3"]) == 0
        assert train([*self.words, "--num_train_steps", "6"]) == 0
        tracked = ["--trained_checkpoint_dir", str(self.model_dir), "--track", "mlflow", "--track", "wandb"]
        written = ["--output_directory", str(self.exported), "--model_base_path", str(folder / "versions")]
        assert export(["--pipeline_config_path", str(config), *tracked, *written]) == 0

    def tensorboard(self, folder: str, plugin: str) -> dict[str, list[tuple[int, Any]]]:
        found: dict[str, list[tuple[int, Any]]] = {}
        for path in sorted((self.model_dir / folder).glob("events*")):
            for event in tf.compat.v1.train.summary_iterator(str(path)):
                for value in event.summary.value:
                    if value.metadata.plugin_data.plugin_name == plugin:
                        found.setdefault(value.tag, []).append((event.step, tf.make_ndarray(value.tensor)))
        return found

    @property
    def wandb(self) -> list[WandbRun]:
        return wandb_runs(self.model_dir)


@pytest.fixture(scope="module")
def tracked(block_config, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("tracked")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        patch.setenv("MLFLOW_EXPERIMENT_NAME", "rooms")
        MlflowClient().create_experiment("rooms", artifact_location=str(folder / "artifacts"))
        yield Tracked(block_config("ssd"), folder)


def test_both_trackers_get_the_scalars_that_tensorboard_gets(tracked: Tracked):
    identity = json.loads((tracked.model_dir / "tracking.json").read_text())
    client, run_id = MlflowClient(), identity["mlflow"]["run_id"]
    first, again, _ = tracked.wandb
    assert first.id == again.id == identity["wandb"]["id"]
    count = 0
    for folder in ("train", "eval"):
        for name, values in tracked.tensorboard(folder, "scalars").items():
            expected = [(step, pytest.approx(float(value), rel=1e-6)) for step, value in values]
            assert first.values(f"{folder}/{name}") + again.values(f"{folder}/{name}") == expected, name
            safe = f"{folder}/{name}".replace("@", "_").replace("(", "").replace(")", "")
            history = client.get_metric_history(run_id, safe)
            assert [(metric.step, metric.value) for metric in history] == expected, name
            count += 1
    assert count > 25


def test_the_scalars_are_of_all_steps_with_every_class_and_the_wait_for_the_input(tracked: Tracked):
    training, evaluation = tracked.tensorboard("train", "scalars"), tracked.tensorboard("eval", "scalars")
    # The first step of each command and each of the profile is a loop of its own.
    assert [step for step, _ in training["Loss/total_loss"]] == [1, 2, 3, 4, 5, 6]
    for (_, seconds), (_, waited) in zip(
        training["seconds_per_step"], training["input_wait_seconds_per_step"], strict=True
    ):
        assert 0 < waited < seconds
    for name in (MEAN, "DetectionBoxes_PerformanceByCategory/mAP/Red block"):
        assert [step for step, _ in evaluation[name]] == [2, 4, 6]


def test_config_images_and_the_exports_folders_are_where_teams_look(tracked: Tracked):
    run_id = json.loads((tracked.model_dir / "tracking.json").read_text())["mlflow"]["run_id"]
    client = MlflowClient()
    run = client.get_run(run_id)
    first, _, exported = tracked.wandb
    versions = tracked.exported.parent / "versions" / "1"
    for told in (run.data.tags, exported.config):
        assert told["exported_model"] == str(tracked.exported)
        assert told["exported_model_version"] == str(versions)
    assert run.info.status == "FINISHED"
    assert run.data.params["feature_extractor"] == first.config["feature_extractor"] == "ssd_mobilenet_v2_fpn_keras"
    assert run.data.params["num_steps"] == "4" and run.data.tags["num_steps from step 4"] == "6"
    config = Path(client.download_artifacts(run_id, "pipeline.config")).read_text()
    assert "ssd_mobilenet_v2_fpn_keras" in config and "histograms: true" in config
    assert "pipeline.config" in first.files
    for name in ("train/inputs/0", "eval/detections/1"):
        assert first.values(f"{name}.path")
        key = name.replace("/", "~")
        assert any(Path(file.path).name.startswith(key) for file in client.list_artifacts(run_id, "images"))


def test_tensorboard_has_texts_histograms_and_the_graph_and_the_profile(tracked: Tracked):
    texts = tracked.tensorboard("train", "text")
    assert [step for step, _ in texts["pipeline.config"]] == [0, 4]
    histograms = tracked.tensorboard("train", "histograms")
    assert len(histograms) > 100
    assert {tuple(step for step, _ in values) for values in histograms.values()} == {(2, 4, 6)}
    graphs = [
        tf.compat.v1.GraphDef.FromString(event.graph_def)
        for path in (tracked.model_dir / "eval").glob("events*")
        for event in tf.compat.v1.train.summary_iterator(str(path))
        if event.graph_def
    ]
    assert len(graphs) == 2  # one a command, not one an evaluation
    assert any("Conv2D" in node.op for node in graphs[0].node)
    (profile,) = tracked.model_dir.glob("plugins/profile/*/*.xplane.pb")
    assert profile.stat().st_size > 100_000


def test_flags_that_cannot_be_honoured_are_one_line(tracked: Tracked, tmp_path: Path):
    with pytest.raises(UsageError, match="--profile_steps 5 3: the first comes after the last; swap them"):
        train([*tracked.words, "--profile_steps", "5", "3"])
    with pytest.raises(UserError, match="--profile_steps 2 6: this run makes steps 7 to 8 and none of these"):
        train([*tracked.words, "--num_train_steps", "8", "--profile_steps", "2", "6"])
    words = ["--pipeline_config_path", str(tracked.config), "--trained_checkpoint_dir", str(tmp_path)]
    with pytest.raises(UsageError, match=f"--track wandb: {tmp_path} was not trained with --track wandb"):
        export([*words, "--output_directory", str(tmp_path / "exported"), "--track", "wandb"])
    assert not (tmp_path / "exported").exists()
