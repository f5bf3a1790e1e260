"""From thresholds that an evaluation chose to a model that applies them, and gives what was promised."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from configs.schema.pipeline_file import read_pipeline_config
from data_prep.runtime.command_line import UsageError, UserError
from export.export_saved_model import main as export
from export.parity import LOADERS, check_parity
from export.score_thresholds import with_thresholds
from export.signatures import ALL_DETECTIONS, OUTPUT_NAMES, BakedThresholds
from export.warmup import replay_warmup
from tests.conftest import block_image
from tests.small_models import build_detector
from train.evaluate import main as evaluate
from train.evaluation.thresholds_file import ClassThresholds, read_thresholds

NAMES = {1: "Red block", 2: "Blue block"}
FIGURES = "OperatingPoint_PerformanceByCategory"


def class_thresholds(tmp_path, first: float, second: float) -> ClassThresholds:
    return ClassThresholds(tmp_path / "t.json", "", {1: first, 2: second}, NAMES)


@pytest.fixture(scope="module")
def chosen(block_config, tmp_path_factory):
    """A detector with random weights, and the thresholds that an evaluation of its checkpoint chose."""
    config_path = block_config("ssd")
    tf_keras.utils.set_random_seed(4)
    detector = build_detector(read_pipeline_config(config_path))
    folder = tmp_path_factory.mktemp("thresholds")
    tf.train.Checkpoint(model=detector.network).write(str(folder / "ckpt-0"))
    words = ["--pipeline_config_path", str(config_path)]
    evaluation = [
        *words, "--checkpoint_dir", str(folder / "ckpt-0"), "--once", "--eval_dir", str(folder / "eval"),
        "--operating_point", "f1", "--thresholds_path", str(folder / "chosen.json"),
    ]  # fmt: skip
    assert evaluate(evaluation) == 0
    return folder, [*words, "--trained_checkpoint_dir", str(folder / "ckpt-0")], detector


@pytest.fixture(scope="module")
def exported(chosen):
    folder, words, _detector = chosen
    more = [
        "--thresholds", str(folder / "chosen.json"), "--also_all_detections", "--also_frozen_graph",
        "--output", "detection_class_names", "detection_multiclass_scores", "detection_anchor_indices",
        "--output_directory", str(folder / "exported"), "--model_base_path", str(folder / "versions"),
        "--warmup_batch_sizes", "2",
    ]  # fmt: skip
    assert export([*words, *more]) == 0
    return folder / "exported"


def figures_of(eval_dir) -> dict[str, float]:
    metrics = json.loads(next(eval_dir.rglob("metrics.json")).read_text())["metrics"]
    return {name: value for name, value in metrics.items() if name.startswith(FIGURES)}


def test_the_export_gives_the_promised_precision_and_recall(chosen, exported, capsys):
    folder, words, _detector = chosen
    eval_dir = folder / "eval_exported"
    evaluation = [*words[:2], "--saved_model_dir", str(exported), "--eval_dir", str(eval_dir)]
    assert evaluate(evaluation) == 0
    told = capsys.readouterr().out
    assert f"thresholds of {exported}/saved_model/assets/thresholds.json, for f1" in told
    promised, found = figures_of(folder / "eval"), figures_of(eval_dir)
    written = {entry["name"]: entry for entry in json.loads((folder / "chosen.json").read_text())["classes"]}
    assert any(entry["recall"] for entry in written.values())
    for name, entry in written.items():
        for kind in ("Precision", "Recall", "F1", "Threshold"):
            assert found[f"{FIGURES}/{kind}/{name}"] == promised[f"{FIGURES}/{kind}/{name}"], (kind, name)
        assert found[f"{FIGURES}/Recall/{name}"] == (entry["recall"] or 0)
