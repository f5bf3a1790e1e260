"""What the flags of model_main_tf2.py do in train.train and train.evaluate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tensorflow as tf

from train.evaluate import main as evaluate
from train.train import main as train


@pytest.fixture(scope="module")
def trained(block_config, tmp_path_factory):
    config = block_config("ssd")
    model_dir = tmp_path_factory.mktemp("trained")
    words = ["-pipeline_config_path", str(config), "--model-dir", str(model_dir), "--norecord_summaries", "--seed=1"]
    words += ["--config_override", "train_config { summarize_gradients: true }"]
    assert train([*words, "--num_train_steps=2", "--checkpoint_every_n", "2", "--log_every_n", "1"]) == 0
    return config, model_dir


def metrics(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def test_without_summaries_losses_are_written_and_no_images_or_histograms(trained) -> None:
    _, model_dir = trained
    tags = {
        value.tag
        for path in (model_dir / "train").glob("events*")
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
    }
    assert {"Loss/total_loss", "learning_rate"} <= tags
    assert not [tag for tag in tags if tag.startswith(("inputs", "gradients"))]


def test_a_checkpoint_folder_has_training_evaluate_instead(trained, tmp_path: Path, capsys) -> None:
    config, model_dir = trained
    words = ["--pipeline_config_path", str(config), "--model_dir", str(tmp_path), "--checkpoint_dir", str(model_dir)]
    assert train([*words, "--run_once", "--alsologtostderr"]) == 0
    out = capsys.readouterr().out
    assert f"note: --checkpoint_dir {model_dir}: evaluating, not training" in out
    assert "note: --alsologtostderr has no effect" in out and "DetectionBoxes_Precision/mAP" in out
    assert metrics(tmp_path / "eval")["num_images"] == 6
    assert not list(tmp_path.glob("ckpt*"))


def test_evaluating_instead_ends_at_the_last_step_that_is_told(trained, tmp_path: Path, capsys) -> None:
    config, model_dir = trained
    words = ["--pipeline_config_path", str(config), "--model_dir", str(tmp_path), "--checkpoint_dir", str(model_dir)]
    assert train([*words, "--num_train_steps", "2", "--eval_timeout", "600"]) == 0
    assert "step 2 is --num_train_steps: the training has ended" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "folder", "num_images"),
    [
        (["--sample_1_of_n_eval_examples=4"], "eval", 2),
        (["--eval_on_train_data", "--sample_1_of_n_eval_on_train_examples", "3"], "eval/training_data", 3),
        (["--eval_training_data=true"], "eval/training_data", 2),  # one of five, as there
    ],
)
def test_every_nth_example_or_the_trainings_input_is_measured(
    trained, tmp_path: Path, flags: list[str], folder: str, num_images: int
) -> None:
    config, model_dir = trained
    words = ["--pipeline_config_path", str(config), "--model_dir", str(tmp_path), "--checkpoint_dir", str(model_dir)]
    assert train([*words, "--run_once=true", *flags]) == 0
    assert metrics(tmp_path / folder)["num_images"] == num_images


def test_the_command_for_evaluating_takes_them_too(trained, tmp_path: Path) -> None:
    config, model_dir = trained
    words = ["--pipeline_config_path", str(config), "--checkpoint_dir", str(model_dir), "--eval_dir", str(tmp_path)]
    assert evaluate([*words, "--once", "--eval_on_train_data", "--sample_1_of_n_eval_on_train_examples=2"]) == 0
    assert metrics(tmp_path)["num_images"] == 4
