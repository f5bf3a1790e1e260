"""The commands train.train and train.evaluate on tiny records, for both families."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from data_prep.runtime.command_line import UserError
from train.evaluate import main as evaluate
from train.models.ssd import SsdDetector
from train.train import main as train

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", params=["ssd", "faster_rcnn"])
def trained(request, block_config, tmp_path_factory):
    config = block_config(request.param)
    model_dir = tmp_path_factory.mktemp(request.param)
    words = ["--pipeline_config_path", str(config), "--model-dir", str(model_dir)]
    assert train([*words, "--checkpoint_every_n", "2", "--log_every_n", "2", "--seed", "1"]) == 0
    return config, model_dir


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(folder.glob("events*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "scalars":
                    found.setdefault(value.tag, []).append((event.step, float(tf.make_ndarray(value.tensor))))
    return found


def images(folder: Path) -> dict[str, bytes]:
    found = {}
    for path in folder.glob("events*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "images":
                    found[value.tag] = tf.make_ndarray(value.tensor)[2]
    return found


def test_a_run_leaves_checkpoints_its_config_and_its_label_map(trained):
    _, model_dir = trained
    assert tf.train.latest_checkpoint(str(model_dir)) == str(model_dir / "ckpt-4")
    assert (model_dir / "ckpt-2.index").is_file()
    assert "num_steps: 4" in (model_dir / "pipeline.config").read_text()
    assert "Red block" in (model_dir / "label_map.pbtxt").read_text()


def test_tensorboard_gets_losses_learning_rate_speed_and_images(trained):
    _, model_dir = trained
    found = scalars(model_dir / "train")
    assert {"Loss/total_loss", "Loss/regularization_loss", "learning_rate", "steps_per_second"} <= set(found)
    assert found["learning_rate"][-1] == (4, pytest.approx(0.01))
    assert all(np.isfinite(value) for values in found.values() for _, value in values)
    image = tf.io.decode_png(images(model_dir / "train")["inputs/0"])
    assert image.shape[0] in (64, 96)
    evaluated = scalars(model_dir / "eval")
    assert [step for step, _ in evaluated["DetectionBoxes_Precision/mAP"]] == [2, 4]
    assert "Loss/total_loss" in evaluated
    shown = set(images(model_dir / "eval"))
    assert {"detections/0", "detections/1", "confusion_matrix/0"} <= shown
    assert {name.partition("/")[0] for name in shown} <= {"detections", "confusion_matrix", "worst"}


def test_metrics_have_the_apis_names_and_one_a_class(trained):
    _, model_dir = trained
    written = json.loads((model_dir / "eval" / "metrics.json").read_text())
    assert written["step"] == 4
    assert written["num_images"] == 6
    assert {
        "DetectionBoxes_Precision/mAP",
        "DetectionBoxes_Precision/mAP@.50IOU",
        "DetectionBoxes_Recall/AR@100",
        "DetectionBoxes_PerformanceByCategory/mAP/Red block",
        "DetectionBoxes_PerformanceByCategory/mAP/Blue block",
    } <= set(written["metrics"])


def test_evaluating_the_checkpoint_again_gives_the_same_metrics(trained, tmp_path, capsys):
    config, model_dir = trained
    words = ["--pipeline_config_path", str(config), "--checkpoint_dir", str(model_dir), "--once"]
    assert evaluate([*words, "--eval_dir", str(tmp_path / "again")]) == 0
    first, again = (
        json.loads((folder / "metrics.json").read_text())["metrics"]
        for folder in (model_dir / "eval", tmp_path / "again")
    )
    # Faster R-CNN samples anchors and proposals for its losses; how fast it went is not what was measured.
    measured = [name for name, value in first.items() if value is not None and name.startswith("Detection")]
    assert len(measured) > 10
    for name in measured:
        assert again[name] == pytest.approx(first[name], abs=1e-4), name
    out = capsys.readouterr().out
    assert "Red block" in out and "DetectionBoxes_Precision/mAP" in out


def test_detections_are_a_file_that_gives_the_same_metrics_without_the_checkpoint(trained, tmp_path, capsys):
    config, model_dir = trained
    words = ["--pipeline_config_path", str(config)]
    path, truth_path = tmp_path / "d.json", tmp_path / "d.ground_truth.json"
    more = ["--checkpoint_dir", str(model_dir), "--once", "--detections_path", str(path)]
    assert evaluate([*words, *more, "--eval_dir", str(tmp_path / "model")]) == 0
    assert evaluate([*words, "--from_detections", str(path), "--eval_dir", str(tmp_path / "records")]) == 0
    coco = ["--ground_truth_path", str(truth_path), "--from_detections", str(path)]
    assert evaluate([*coco, "--eval_dir", str(tmp_path / "coco")]) == 0
    assert "in 6 of 6 images" in capsys.readouterr().out
    expected, *others = (
        json.loads((tmp_path / folder / "metrics.json").read_text())["metrics"]
        for folder in ("model", "records", "coco")
    )
    for metrics in others:
        for name, value in metrics.items():
            if name.startswith("Detection"):
                assert value == pytest.approx(expected[name], abs=1e-4), name
    # And pycocotools, which knows nothing of this project, reads both files.
    coco_truth = COCO(str(truth_path))
    evaluation = COCOeval(coco_truth, coco_truth.loadRes(str(path)), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(expected["DetectionBoxes_Precision/mAP"], abs=1e-4)


def test_going_on_starts_at_the_last_step_and_keeps_the_optimizer(trained, capsys):
    config, model_dir = trained
    words = ["--pipeline_config_path", str(config), "--model_dir", str(model_dir)]
    assert train(words) == 0
    assert "already trained to step 4" in capsys.readouterr().out
    assert train([*words, "--num_train_steps", "5", "--no_evaluation"]) == 0
    assert re.search(r"going on from .*ckpt-4, step 4", capsys.readouterr().out)
    reader = tf.train.load_checkpoint(str(model_dir / "ckpt-5"))
    assert reader.get_tensor("global_step/.ATTRIBUTES/VARIABLE_VALUE") == 5
    # With moving averages, the API's default, the optimizer that counts is inside the one that averages.
    assert reader.get_tensor("optimizer/ema_base_optimizer/iter/.ATTRIBUTES/VARIABLE_VALUE") == 5


def test_a_checkpoint_of_another_network_is_refused_in_one_line(trained, block_config, tmp_path):
    config, model_dir = trained
    other = block_config("faster_rcnn" if "ssd" in config.read_text() else "ssd")
    with pytest.raises(UserError) as error:
        evaluate(["--pipeline_config_path", str(other), "--checkpoint_dir", str(model_dir), "--once"])
    assert "\n" not in str(error.value) and "ckpt-" in str(error.value)
    with pytest.raises(UserError) as error:
        train(["--pipeline_config_path", str(other), "--model_dir", str(model_dir), "--num_train_steps", "9"])
    assert "not of the model that the config describes" in str(error.value)


@pytest.mark.parametrize("trained", ["ssd"], indirect=True)  # restoring Faster R-CNN is tested by itself
def test_fine_tuning_with_more_classes_keeps_the_rows_of_common_ones(trained, block_records, tmp_path, capsys):
    config, model_dir = trained
    more = f'train_config {{ fine_tune_checkpoint: "{model_dir}/ckpt-4" fine_tune_checkpoint_type: "full" }}'
    words = ["--pipeline_config_path", str(config), "--config_override", more + " model { ssd { num_classes: 3 } }"]
    words += ["--num_train_steps", "1", "--no_evaluation", "--map_classes", str(block_records / "label_map.pbtxt")]
    assert train([*words, "--model_dir", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "restore_report.json").read_text())
    assert len(report["restored"]) > 100
    assert report["skipped"] == [] and report["missing"] == []
    assert report["notes"] == ["class head: 2 classes keep their rows (Red block, Blue block)"]
    assert report["trunk_agrees"] is True
    out = capsys.readouterr().out
    assert "restored" in out and "class head: 2 classes keep" in out and "those that the checkpoint says" in out


def test_waiting_for_a_checkpoint_ends_and_says_what_for(block_config, tmp_path, capsys):
    words = ["--pipeline_config_path", str(block_config("ssd")), "--checkpoint_dir", str(tmp_path)]
    assert evaluate([*words, "--eval_timeout", "1"]) == 0
    out = capsys.readouterr().out
    assert "waiting for a checkpoint in" in out and "until" in out and "no checkpoint appeared" in out
    with pytest.raises(UserError, match="no checkpoint in this folder"):
        evaluate([*words, "--once"])


def test_a_broken_record_stops_training_and_names_the_image(block_config, tmp_path):
    from data_prep.formats.tf_example import make_example

    encoded = tf.io.encode_jpeg(tf.fill([96, 128, 3], tf.constant(99, tf.uint8))).numpy()
    record = make_example(
        encoded_image=encoded, image_format="jpeg", source_id="reversed-box", height=96, width=128,
        boxes_ymin_xmin_ymax_xmax=[[0.5, 0.5, 0.2, 0.9]], class_labels=[1], class_texts=["Red block"],
    )  # fmt: skip
    with tf.io.TFRecordWriter(str(tmp_path / "bad.record-00000-of-00001")) as writer:
        writer.write(record)
    config = block_config("ssd")
    text = config.read_text()
    config.write_text(re.sub(r'input_path: "[^"]*train.record-\*"', f'input_path: "{tmp_path}/bad.record-*"', text))
    words = ["--pipeline_config_path", str(config), "--model_dir", str(tmp_path / "model")]
    with pytest.raises(UserError, match="reversed-box"):
        train([*words, "--config_override", "extensions { strict_records: true }"])


def test_a_killed_run_goes_on_from_its_last_checkpoint(block_config, tmp_path):
    config = block_config("ssd")
    command = [
        sys.executable, "-m", "train.train", "--pipeline_config_path", str(config), "--model_dir", str(tmp_path),
        "--num_train_steps", "100000", "--checkpoint_every_n", "2", "--no_evaluation",
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while tf.train.latest_checkpoint(str(tmp_path)) is None and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    last = int(tf.train.latest_checkpoint(str(tmp_path)).rsplit("-", 1)[1])
    words = ["--pipeline_config_path", str(config), "--model_dir", str(tmp_path), "--no_evaluation"]
    assert train([*words, "--num_train_steps", str(last + 1)]) == 0
    assert tf.train.latest_checkpoint(str(tmp_path)) == str(tmp_path / f"ckpt-{last + 1}")


def test_flags_and_extensions_of_ours_through_the_commands(block_config, tmp_path, capsys):
    config = block_config("ssd")
    rate = "learning_rate { constant_learning_rate { learning_rate: 0 } }"
    override = f"""
      extensions {{
        class_aware_sampling {{}} early_stopping {{ patience: 1 }}
        evaluate_every_n_steps: 1 checkpoint_every_n_steps: 50
      }}
      train_config {{ optimizer {{ momentum_optimizer {{ {rate} }} }} }}"""
    flags = ["--pipeline_config_path", str(config), "--config_override", override]
    model = ["--model_dir", str(tmp_path), "--num_train_steps", "40", "--scale_learning_rate_to_batch_size", "1"]
    assert train([*flags, *model]) == 0
    out = capsys.readouterr().out
    assert "linear rule, 0.5 times the batch size" in out and "train_config.batch_size 2 -> 1" in out
    assert "class-aware sampling over 8 records with 2 classes" in out
    # Nothing is learned, so the second evaluation is no better than the first; or the third, as batch norm goes on.
    stopped = int(re.search(r"step (\d+): stopping early: DetectionBoxes_Precision/mAP was", out).group(1))
    assert stopped < 40
    assert tf.train.latest_checkpoint(str(tmp_path)) == str(tmp_path / f"ckpt-{stopped}")
    assert len(list((tmp_path / "best").glob("ckpt-*.index"))) == 1
    assert "batch_size: 1" in (tmp_path / "pipeline.config").read_text()
    assert train([*flags, *model]) == 0
    assert f"stopped early at step {stopped}" in capsys.readouterr().out
    # Without --once: the training has ended, and so does following it.
    assert evaluate([*flags, "--checkpoint_dir", str(tmp_path), "--eval_timeout", "600"]) == 0
    assert f"the training has ended at step {stopped}" in capsys.readouterr().out


def test_the_step_is_traced_once_however_long_loops_are(block_config, tmp_path, monkeypatch):
    traces = []
    compute_losses = SsdDetector.compute_losses

    def counted(self, *arguments, **more):
        traces.append(tf.executing_eagerly())
        return compute_losses(self, *arguments, **more)

    monkeypatch.setattr(SsdDetector, "compute_losses", counted)
    words = ["--pipeline_config_path", str(block_config("ssd")), "--model_dir", str(tmp_path), "--no_evaluation"]
    assert train([*words, "--num_train_steps", "5", "--log_every_n", "3"]) == 0  # loops of 1, 2 and 2 steps
    assert traces == [False]
