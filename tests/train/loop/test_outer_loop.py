"""The outer loop of a training, on a network that trains in moments: when it saves, evaluates and stops."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from data_prep.records.record_files import RecordWriter, read_record_file
from data_prep.runtime.command_line import UserError
from tests.train.loop.one_box import Run
from train.inputs.reader import build_training_dataset
from train.loop.checkpoint_files import read_training_end
from train.loop.run import draw_first_batch
from train.loop.step import REGULARIZATION_LOSS
from train.pipeline import load_pipeline


def steps_saved(folder: Path) -> set[int]:
    return {int(path.stem.split("-")[1]) for path in folder.glob("ckpt-*.index")}


def test_a_run_saves_and_evaluates_at_its_intervals_and_keeps_the_best(block_config, tmp_path, capsys):
    more = "extensions { early_stopping { patience: 9 metric: 'Loss/total_loss' } }"
    Run(block_config("ssd"), tmp_path, more).run.to_the_end()
    assert steps_saved(tmp_path) == {4, 8, 12}
    evaluations = json.loads((tmp_path / "evaluations.json").read_text())["evaluations"]
    assert [entry["step"] for entry in evaluations] == [3, 6, 9, 12]
    losses = [entry["value"] for entry in evaluations]
    best = evaluations[int(np.argmin(losses))]["step"]
    assert steps_saved(tmp_path / "best") == {best}
    kept = json.loads((tmp_path / "best" / "metrics.json").read_text())
    assert (kept["step"], kept["best_by"]) == (best, "Loss/total_loss")
    assert kept["metrics"]["Loss/total_loss"] == pytest.approx(min(losses))
    end = read_training_end(tmp_path)
    assert end is not None and (end.step, end.reason) == (12, "all steps are made")
    assert f"the best checkpoint is of step {best}" in capsys.readouterr().out


def test_it_stops_early_saves_where_it_stopped_and_stays_stopped(block_config, tmp_path, capsys):
    more = "extensions { early_stopping { patience: 2 metric: 'DetectionBoxes_Precision/mAP' } }"
    config = block_config("ssd")
    # The boxes are right nowhere: 0 is the best there is, and never improves.
    Run(config, tmp_path, more, num_steps=100).run.to_the_end()
    assert steps_saved(tmp_path) == {4, 8, 9}
    assert steps_saved(tmp_path / "best") == {3}
    end = read_training_end(tmp_path)
    assert end is not None and end.step == 9 and "has not improved in 2 evaluations" in end.reason
    out = capsys.readouterr().out
    assert "step 9: stopping early: DetectionBoxes_Precision/mAP was 0.0000 at step 3" in out
    assert "ended at step 9 of 100" in out
    again = Run(config, tmp_path, more, num_steps=100)
    assert again.history.reason_to_stop()
    patient = Run(config, tmp_path, "extensions { early_stopping { patience: 3 } }", num_steps=100)
    patient.run.to_the_end()
    assert int(patient.trainer.global_step) == 12


def test_an_evaluation_that_a_kill_took_is_made_up_for(block_config, tmp_path):
    more = "extensions { early_stopping { patience: 9 } }"
    config = block_config("ssd")
    Run(config, tmp_path, more).run.to_the_end()
    history = tmp_path / "evaluations.json"
    written = json.loads(history.read_text())
    history.write_text(json.dumps({**written, "evaluations": written["evaluations"][:-1]}))
    Run(config, tmp_path, more, num_steps=13).run.to_the_end()
    assert [entry["step"] for entry in json.loads(history.read_text())["evaluations"]] == [3, 6, 9, 12, 13]


def test_num_epochs_ends_it(block_config, tmp_path, capsys):
    once = "train_input_reader { num_epochs: 1 }"
    run = Run(block_config("ssd"), tmp_path, once, num_steps=100)
    run.run.to_the_end()
    assert int(run.trainer.global_step) == 4  # 8 records in batches of 2
    assert steps_saved(tmp_path) == {4}
    assert "ended at step 4 of 100: the records have been gone over 1 times" in capsys.readouterr().out
    short = Run(block_config("ssd"), tmp_path / "short", once + " train_config { batch_size: 9 }")
    with pytest.raises(UserError, match=r"fewer records than train_config\.batch_size \(9\)"):
        short.run.to_the_end()


def test_a_run_that_goes_on_behind_its_last_epoch_says_so(block_config, tmp_path):
    pipeline = load_pipeline(block_config("ssd"), "train_input_reader { num_epochs: 1 }")
    nothing = build_training_dataset(pipeline.settings, seed=1, resume_step=4)
    with pytest.raises(UserError, match=r"gone over 1 times, and there is no batch from step 4 on; raise train_input"):
        draw_first_batch(pipeline, nothing, 4)


def test_what_was_cut_is_said_with_the_setting(block_config, tmp_path, capsys):
    Run(block_config("ssd"), tmp_path, "train_input_reader { max_number_of_boxes: 1 }", num_steps=3).run.to_the_end()
    out = capsys.readouterr().out
    setting = "train_input_reader.max_number_of_boxes is 1, and 2 would have kept them all"
    assert f"note: 2 of 4 boxes were cut, in 2 of 2 images: {setting}" in out  # after the first step
    assert f"in all, 6 of 12 boxes were cut, in 6 of 6 images: {setting}" in out


def test_boxes_that_cannot_be_trained_on_are_said_with_an_images_name(block_config, block_records, tmp_path, capsys):
    message = tf.train.Example.FromString(next(read_record_file(f"{block_records}/train.record-00000-of-00001")))
    features = message.features.feature
    for key, value in {"ymin": 0.5, "xmin": 0.25, "ymax": 0.5, "xmax": 0.75}.items():
        features[f"image/object/bbox/{key}"].float_list.value.append(value)
    features["image/object/class/label"].int64_list.value.append(1)
    for key in ("class/text", "area", "is_crowd", "difficult", "group_of"):
        features.pop(f"image/object/{key}")
    with RecordWriter(tmp_path / "one.record") as writer:
        writer.write(message.SerializeToString())
    config = tmp_path / "pipeline.config"
    text = block_config("ssd").read_text()
    for name in ("train", "validation"):
        text = text.replace(f"{block_records}/{name}.record-*", f"{tmp_path}/one.record")
    config.write_text(text)
    Run(config, tmp_path / "run", num_steps=4).run.to_the_end()
    out = capsys.readouterr().out
    box = "image 'photo0': box 2 (ymin xmin ymax xmax 0.5 0.25 0.5 0.75) has no area in the image"
    in_all = f"boxes cannot be trained on and were left out, in {{}} images, such as {box}; python -m data_prep"
    assert f"note: 2 of 6 {in_all.format('2 of 2')}" in out  # after the first step
    assert f"in all, 8 of 24 {in_all.format('8 of 8')}" in out
    assert f"1 of 3 {in_all.format('1 of 1')}" in out  # of the evaluation
    strict = Run(config, tmp_path / "strict", "extensions { strict_records: true }", num_steps=4)
    with pytest.raises(UserError, match=r"^image 'photo0': box 2 .* has no area in the image$"):
        strict.run.to_the_end()


def test_regularization_is_left_out_where_the_config_says_so(block_config, tmp_path):
    config = block_config("ssd")
    without = Run(config, tmp_path / "b", "train_config { add_regularization_loss: false }")
    with_it = Run(config, tmp_path / "a")
    for run in (with_it, without):
        run.trainer.train(tf.constant(1))
    kernels = [run.detector.network.trainable_variables[0].numpy() for run in (with_it, without)]
    # Of the loss, sign / 4 for each coordinate; of the regularizer, 2 * 0.5 * the weight.
    start, gradient = np.array([[0.25, 0.25, 0.75, 0.75]]), np.array([[-0.25, -0.25, 0.25, 0.25]])
    np.testing.assert_allclose(kernels[1], start - 0.01 * gradient, rtol=1e-5)
    np.testing.assert_allclose(kernels[0], start - 0.01 * (gradient + start), rtol=1e-5)
    assert REGULARIZATION_LOSS in with_it.trainer.train_loop_end()
    assert REGULARIZATION_LOSS not in without.trainer.train_loop_end()
    result = without.run.to_the_end()
    assert result is not None and REGULARIZATION_LOSS not in result.metrics


def test_gradients_have_histograms_where_the_config_asks(block_config, tmp_path):
    def histograms(folder: Path) -> list[tuple[str, int]]:
        found = []
        for path in (folder / "train").glob("events*"):
            for event in tf.compat.v1.train.summary_iterator(str(path)):
                found += [
                    (value.tag, event.step)
                    for value in event.summary.value
                    if value.metadata.plugin_data.plugin_name == "histograms"
                ]
        return found

    config = block_config("ssd")
    Run(config, tmp_path / "on", "train_config { summarize_gradients: true }", num_steps=5).run.to_the_end()
    assert histograms(tmp_path / "on") == [("gradients/box/kernel", step) for step in (0, 2, 4)]
    Run(config, tmp_path / "off", num_steps=2).run.to_the_end()
    assert histograms(tmp_path / "off") == []


def test_evaluation_is_of_the_averages_where_the_config_asks(block_config, tmp_path):
    """The loss that evaluation reports is of the averaged weights, and training goes on with its own."""
    averages = """train_config { add_regularization_loss: false optimizer { moving_average_decay: 0.99 } }
                  eval_config { use_moving_averages: true }"""
    config = block_config("ssd")
    losses = []
    for name, more in (("averages", averages), ("own", averages.replace("s: true", "s: false"))):
        run = Run(config, tmp_path / name, more, num_steps=3)
        result = run.run.to_the_end()
        assert result is not None
        losses.append(result.metrics["Loss/localization_loss"])
        kernel = run.detector.network.trainable_variables[0]
        own = float(tf.reduce_mean(tf.abs(kernel - 0.5)))
        average = float(tf.reduce_mean(tf.abs(run.optimizer.get_slot(kernel, "average") - 0.5)))
        assert abs(own - average) > 1e-4
        assert losses[-1] == pytest.approx(average if name == "averages" else own, abs=1e-6)
