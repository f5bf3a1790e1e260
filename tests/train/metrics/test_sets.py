"""All metric sets at once, from records to TensorBoard, through the real command; and the rest of eval_config."""

from __future__ import annotations

import dataclasses
import json
import math
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.python.eager import context

from configs.settings.declaration import SettingsError
from configs.settings.evaluation import EvalConfig
from configs.settings.reading import read_settings_text
from data_prep.formats.label_map import read_label_map
from data_prep.formats.tf_example import make_example
from data_prep.runtime.command_line import UsageError, UserError
from tests.small_models import build_detector
from train.evaluate import main as evaluate
from train.evaluation.detected_image import DetectedImage
from train.evaluation.evaluator import ByCategory, CheckpointEvaluator, EvaluationResult, evaluation_folder
from train.evaluation.summary_images import EvaluationImages
from train.inputs.class_labels import VerifiedLabelReader
from train.inputs.reader import build_evaluation_dataset
from train.metrics.measured_image import measured_image
from train.metrics.report import metrics_table
from train.metrics.sets import MetricSets
from train.pipeline import load_pipeline
from train.tracking.recorder import Recorder
from train.tracking.tensorboard_tracker import TensorBoardTracker

NAMES = {1: "Red block", 2: "Blue block"}
SETS = (
    "coco_detection_metrics",
    "pascal_voc_detection_metrics",
    "weighted_pascal_voc_detection_metrics",
    "precision_at_recall_detection_metrics",
    "open_images_V2_detection_metrics",
    "oid_challenge_detection_metrics",
)
MEANS = (
    "DetectionBoxes_Precision/mAP",
    "PascalBoxes_Precision/mAP@0.5IOU",
    "WeightedPascalBoxes_Precision/mAP@0.5IOU",
    "PrecisionAtRecallBoxes_Precision/mAP@0.5IOU@[0.0,0.9]Recall",
    "OpenImagesV2_Precision/mAP@0.5IOU",
    "OpenImagesDetectionChallenge_Precision/mAP@0.5IOU",
)
A, B = [0, 0, 50, 50], [60, 60, 90, 90]  # ymin xmin ymax xmax


def eval_config(text: str = ""):
    return read_settings_text(EvalConfig, text)


def image(source_id="a", **more):
    return measured_image(
        source_id,
        groundtruth_boxes=[A, B],
        groundtruth_classes=[1, 2],
        detection_boxes=[A],
        detection_scores=[0.9],
        detection_classes=[1],
        **more,
    )


def test_sets_are_measured_together_and_each_once():
    both = "".join(f'metrics_set: "{name}" ' for name in (*SETS, "oid_V2_detection_metrics"))
    sets = MetricSets(eval_config(both + "recall_upper_bound: 0.9"), NAMES)
    for source_id in ("a", "b", "b"):
        sets.add(image(source_id, groundtruth_is_crowd=[0, source_id == "a"]))
    metrics = sets.evaluate()
    assert [name for name in metrics if name in MEANS] == list(MEANS)
    assert metrics["PascalBoxes_Precision/mAP@0.5IOU"] == 0.5
    assert sets.groundtruth_counts() == {"Red block": 3, "Blue block": 2}
    assert (sets.num_images, sets.num_repeated_ids) == (3, 1)
    rows = [line.split() for line in metrics_table(metrics, sets.groundtruth_counts()).splitlines()]
    assert rows[0] == ["class", "boxes", "AP", "AP@.50", "VOC", "VOC-w", "P@R", "OID-V2", "OID-ch"]
    assert rows[1] == [
        "Red",
        "block",
        "3",
        "1.000",
        "1.000",
        "1.000",
        "1.000",
        "0.667",
        "1.000",
        "1.000",
    ]
    # Two of the three red blocks lie within a recall of 0.9.
    assert not any("ByCategory" in word for row in rows for word in row)


def test_no_set_means_cocos_and_another_alone_leaves_coco_out():
    assert "DetectionBoxes_Precision/mAP" in MetricSets(eval_config(), NAMES).evaluate()
    sets = MetricSets(eval_config('metrics_set: "oid_challenge_detection_metrics"'), NAMES)
    sets.add(image(verified_class_ids=[1]))
    metrics = sets.evaluate()
    assert all(name.startswith("OpenImagesDetectionChallenge_") for name in metrics)
    assert metrics_table(metrics, sets.groundtruth_counts()).splitlines()[0].split() == ["class", "boxes", "OID-ch"]


def test_what_a_set_is_told_reaches_it():
    text = 'metrics_set: "coco_detection_metrics" super_categories { key: "all" value: "Red block, Blue block" } '
    sets = MetricSets(eval_config(text + "all_metrics_per_category: true"), NAMES)
    sets.add(image())
    metrics = sets.evaluate()
    assert metrics["DetectionBoxes_PerformanceBySuperCategory/all"] == pytest.approx(0.5)
    # As in the API, all metrics of each category are a part of the metrics of each category.
    assert not any(" ByCategory" in name for name in metrics)
    text += "all_metrics_per_category: true include_metrics_per_category: true"
    assert "DetectionBoxes_Recall/AR@1 ByCategory/Red block" in MetricSets(eval_config(text), NAMES).evaluate()
    with pytest.raises(SettingsError, match=r'metrics_set\[0\]: "coco_masks" is not known'):
        eval_config('metrics_set: "coco_masks"')
    for empty_to_ones, expected in (("true", 0.5), ("false", 1.0)):
        text = f'metrics_set: "oid_challenge_detection_metrics" image_classes_field_map_empty_to_ones: {empty_to_ones}'
        sets = MetricSets(eval_config(text), NAMES)
        # A red block where none is: wrong, unless nobody looked for red blocks there. The other image's is found.
        sets.add(
            measured_image(
                "a",
                groundtruth_boxes=[B],
                groundtruth_classes=[2],
                detection_boxes=[A],
                detection_scores=[0.95],
                detection_classes=[1],
            )
        )
        sets.add(image("b"))
        name = "OpenImagesDetectionChallenge_PerformanceByCategory/AP@0.5IOU/Red block"
        assert sets.evaluate()[name] == expected


def test_without_ground_truth_nothing_is_measured():
    sets = MetricSets(eval_config("ignore_groundtruth: true"), NAMES)
    sets.add(image())
    assert sets.evaluate() == {}
    assert sets.num_images == 1
    assert metrics_table({"fps": 5.0}, sets.groundtruth_counts()).split() == ["fps", "5.000"]


def test_diverged_detections_and_unknown_classes_name_the_image():
    with pytest.raises(UserError, match="image 'x': detections that are not numbers"):
        measured_image("x", groundtruth_boxes=[], groundtruth_classes=[], detection_boxes=[A],
                       detection_scores=[math.nan], detection_classes=[1])  # fmt: skip
    with pytest.raises(UserError, match="image 'a': ground truth class id 2 is not in the label map"):
        MetricSets(eval_config('metrics_set: "oid_V2_detection_metrics"'), {1: "Bed"}).add(image())
    with pytest.raises(ValueError, match="1 boxes, but 2 values of detection_scores"):
        measured_image("x", groundtruth_boxes=[], groundtruth_classes=[], detection_boxes=[A],
                       detection_scores=[0.5, 0.5], detection_classes=[1])  # fmt: skip


def record(number: int, **more) -> bytes:
    """An image with a red block in its left half, difficult, and a group of blue ones in its right."""
    image = tf.fill([96, 128, 3], tf.constant(number, tf.uint8))
    return make_example(
        encoded_image=tf.io.encode_jpeg(image).numpy(), image_format="jpeg", source_id=f"folder/image {number}",
        height=96, width=128, boxes_ymin_xmin_ymax_xmax=[[0.25, 0.125, 0.75, 0.375], [0.0, 0.5, 1.0, 1.0]],
        class_labels=[1, 2], class_texts=["Red block", "Blue block"], difficult=[True, False], group_of=[False, True],
        **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def evaluated(block_records, block_config, tmp_path_factory):
    """A config with every metric set on records with flags and verified labels, and the folder of a checkpoint."""
    folder = tmp_path_factory.mktemp("evaluated")
    with tf.io.TFRecordWriter(str(folder / "flags.record-00000-of-00001")) as writer:
        writer.write(record(1, image_class_labels=[2, 0], image_class_texts=["Blue block", "Unicorn"]))
        writer.write(record(2))
        writer.write(record(3, image_class_labels=[1, 1], image_class_texts=["", ""]))
    config = block_config("ssd")
    text = config.read_text()
    text, count = re.subn(r'input_path: "[^"]*validation.record-\*"', f'input_path: "{folder}/flags.record-*"', text)
    assert count == 1
    text = text.replace('metrics_set: "coco_detection_metrics"', "".join(f'metrics_set: "{name}" ' for name in SETS))
    text = text.replace("eval_config {", "eval_config { recall_upper_bound: 0.9 ")
    head, reader = text.split("eval_input_reader {", 1)
    config.write_text(f'{head}eval_input_reader {{ name: "flags" {reader} eval_input_reader {{ name: "other" {reader}')
    detector = build_detector(load_pipeline(str(config)).config)
    step = tf.Variable(7, dtype=tf.int64)
    tf.train.Checkpoint(model=detector.network, global_step=step).save(str(folder / "model" / "ckpt"))
    return config, folder / "model", detector


def scalars(folder) -> dict[str, float]:
    found = {}
    for path in sorted(folder.glob("events*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "scalars":
                    found[value.tag] = float(tf.make_ndarray(value.tensor))
    return found


def test_flags_and_verified_labels_come_from_the_records(evaluated, block_records):
    config, _, _ = evaluated
    pipeline = load_pipeline(str(config))
    ((_, labels),) = build_evaluation_dataset(pipeline.settings, batch_size=3)
    assert labels["groundtruth_difficult"][:, :2].numpy().tolist() == [[True, False]] * 3
    assert labels["groundtruth_group_of"][:, :2].numpy().tolist() == [[False, True]] * 3
    # Unknown names are left out, names go before ids, and each class stands once.
    assert labels["verified_class_ids"].numpy().tolist() == [[2, 0], [0, 0], [1, 0]]
    read = VerifiedLabelReader(read_label_map(block_records / "label_map.pbtxt"), num_classes=2)
    mixed = record(4, image_class_labels=[2, 1, 9], image_class_texts=["Red block", "", ""])
    assert read(tf.constant(mixed)).numpy().tolist() == [1, 0]
    only_ids = VerifiedLabelReader(None, num_classes=4)
    assert only_ids(tf.constant(mixed)).numpy().tolist() == [2, 1, 0, 0]


def test_all_sets_at_once_through_the_command(evaluated, capsys):
    config, model_dir, _ = evaluated
    words = ["--pipeline_config_path", str(config), "--checkpoint_dir", str(model_dir), "--once", "--eval_index", "1"]
    assert evaluate(words) == 0
    out = capsys.readouterr().out
    assert "evaluating on eval_input_reader[1] of 2" in out
    assert "VOC-w" in out
    written = json.loads((model_dir / "eval" / "other" / "metrics.json").read_text())
    assert (written["step"], written["num_images"]) == (7, 3)
    metrics, in_tensorboard = written["metrics"], scalars(model_dir / "eval" / "other")
    for name in MEANS:
        assert name in out
        assert metrics[name] == pytest.approx(in_tensorboard[name], abs=1e-6)
    by_category = "PerformanceByCategory/AP@0.5IOU"
    # Red blocks are all difficult and blue ones all groups: nothing to find for Pascal VOC and for Open Images V2.
    assert metrics[f"PascalBoxes_{by_category}/Red block"] is None
    assert metrics[f"PascalBoxes_{by_category}/Blue block"] is not None
    assert metrics[f"OpenImagesV2_{by_category}/Blue block"] is None
    assert metrics[f"OpenImagesDetectionChallenge_{by_category}/Blue block"] is not None
    assert f"OpenImagesDetectionChallenge_{by_category}/Blue block" in in_tensorboard
    assert "DetectionBoxes_PerformanceByCategory/mAP/Red block" in metrics
    assert "DetectionBoxes_PerformanceByCategory/mAP/Red block" in in_tensorboard
    assert "DetectionBoxes_PerformanceByCategory/mAP@.50IOU/Red block" not in in_tensorboard
    assert "Loss/total_loss" in in_tensorboard


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", {"mAP/Red block"}),
        ("include_metrics_per_category: true", {"mAP/Red block", "mAP@.50IOU/Red block"}),
        ("include_metrics_per_category: false", set()),
    ],
)
def test_tensorboard_gets_the_ap_of_each_class_and_what_the_config_says(tmp_path, text: str, shown: set[str]):
    prefix = "DetectionBoxes_PerformanceByCategory/"
    metrics = {f"{prefix}mAP/Red block": 0.5, f"{prefix}mAP@.50IOU/Red block": 0.75, "other": math.nan, "all": 1.0}
    result = EvaluationResult(metrics, {"Red block": 1}, [], 1, ByCategory.of(eval_config(text)))
    with Recorder([TensorBoardTracker(tmp_path)]) as recorder:
        result.record(recorder, "eval", step=1)
    found = scalars(tmp_path / "eval")
    assert {name.removeprefix(prefix) for name in found} == {"all", *shown}
    assert all(found[name] == metrics[name] for name in found)
    result.write(tmp_path, step=1, source="here")
    assert json.loads((tmp_path / "metrics-1.json").read_text())["metrics"] == {**metrics, "other": None}


def test_images_alone_without_ground_truth_and_exported(evaluated, tmp_path):
    config, _, detector = evaluated
    pipeline = load_pipeline(
        str(config),
        f'eval_config {{ visualization_export_dir: "{tmp_path}/images" num_examples: 2 ignore_groundtruth: true '
        "keep_image_id_for_visualization_export: true }",
    )
    result = CheckpointEvaluator(pipeline, detector).evaluate()
    assert list(result.metrics) == ["images_per_second"]
    assert result.num_images == 2
    assert result.table().split()[0] == "images_per_second"
    names = sorted(path.name for path in (tmp_path / "images").iterdir())
    assert names == ["export-image-0-folder_image_1.png", "export-image-1-folder_image_2.png"]
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "images" / names[1])), result.images[1])


def test_dummy_losses_are_none(evaluated):
    config, _, detector = evaluated
    override = "eval_config { num_visualizations: 0 use_dummy_loss_in_eval: true }"
    pipeline = load_pipeline(str(config), override)
    metrics = CheckpointEvaluator(pipeline, detector).evaluate().metrics
    assert set(MEANS) < set(metrics)
    assert not any(name.startswith("Loss/") for name in metrics)


@pytest.mark.parametrize(("onednn", "is_fused"), [("0", True), ("1", False)])
def test_with_onednn_an_evaluation_computes_batch_norms_apart(evaluated, monkeypatch, onednn, is_fused):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", onednn)
    config, _, detector = evaluated
    evaluator = CheckpointEvaluator(
        load_pipeline(str(config), "eval_config { batch_size: 1 num_examples: 1 }"), detector
    )
    context.enable_run_metadata()
    evaluator.evaluate()
    ran = context.export_run_metadata().function_graphs
    context.disable_run_metadata()
    operations = {node.op for function in ran for graph in function.partition_graphs for node in graph.node}
    # oneDNN's own operations, which TensorFlow takes by itself on processors with AVX-512, begin with _MklNative.
    assert any("FusedBatchNormV3" in operation for operation in operations) or is_fused
    assert any("FusedConv2D" in operation for operation in operations) is is_fused
    assert tf.config.optimizer.get_experimental_options().get("remapping", True)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            'eval_config { super_categories { key: "colours" value: "Red block,Green block" } }',
            "'Green block', which is not in the label map",
        ),
        (
            'eval_config { visualize_groundtruth_boxes: true groundtruth_box_visualization_color: "blackish" }',
            "'blackish' is no colour",
        ),
    ],
)
def test_mistakes_in_the_config_are_told_before_anything_runs(evaluated, override, message):
    config, _, detector = evaluated
    with pytest.raises(UsageError, match=message):
        CheckpointEvaluator(load_pipeline(str(config), override), detector)


def test_a_readers_name_is_that_of_a_folder(evaluated):
    config, _, _ = evaluated
    pipeline = load_pipeline(str(config))
    assert [str(evaluation_folder(pipeline, index)) for index in (0, 1)] == ["eval/flags", "eval/other"]
    pipeline.config.eval_input_reader[0].name = "../up"
    with pytest.raises(
        SettingsError, match=r'eval_input_reader\[0\].name: "../up" cannot name the folder of its results'
    ):
        dataclasses.replace(pipeline)
    pipeline.config.eval_input_reader[0].name = ""
    assert str(evaluation_folder(dataclasses.replace(pipeline), 0)) == "eval"


def test_images_are_drawn_as_the_config_says():
    detected = DetectedImage(
        source_id="a",
        image=np.full((90, 120, 3), 120, np.uint8),
        groundtruth={"boxes": np.array([[0.2, 0.2, 0.9, 0.5]]), "classes": np.array([1])},
        detections={"boxes": np.array([[0.3, 0.6, 0.9, 0.9]]), "scores": np.array([0.9]), "classes": np.array([2])},
        original_shape=(90, 120),
        verified_class_ids=np.zeros(2, np.int32),
    )

    def draw(text: str) -> np.ndarray:
        images = EvaluationImages(eval_config(text), NAMES)
        images.add(detected)
        (drawn,) = images.drawn
        return drawn[:, drawn.shape[1] // 2 :]

    plain = draw("")
    assert not np.array_equal(draw("skip_scores: true"), plain)
    assert not np.array_equal(draw("skip_labels: true"), plain)
    assert not np.array_equal(draw("skip_labels: true"), draw("skip_labels: true skip_scores: true"))
    chartreuse = (127, 255, 0)
    under = draw('visualize_groundtruth_boxes: true groundtruth_box_visualization_color: "Chartreuse"')
    assert np.all(under == chartreuse, axis=-1).any()
    assert not np.all(draw('groundtruth_box_visualization_color: "Chartreuse"') == chartreuse, axis=-1).any()
