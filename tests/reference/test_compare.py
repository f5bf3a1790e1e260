"""Models beside the API's stored values, where those are; and the comparison itself, on a folder made here."""

from __future__ import annotations

import json
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest

from data_prep.runtime.command_line import UserError
from tests.reference.compare import main
from tests.reference.folder import ReferenceFolder
from tests.reference.verdict import Comparison, of_range, of_values, table, worst

REFERENCES = Path(__file__).resolve().parents[2].parent / "shared" / "odapi_fixtures"
# One in every run; together they take minutes.
MODELS = [
    "ssd_mobilenet_v2_fpnlite_320",
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in (
            "ssd_mobilenet_v2_320",
            "ssd_resnet50_v1_fpn_320",
            "ssd_efficientdet_d0_512",
            "faster_rcnn_resnet50_v1_320",
            "faster_rcnn_resnet50_v1_fpn_320",
        )
    ),
]


def folder_of(name: str) -> Path:
    if not (REFERENCES / name).is_dir():
        pytest.skip("no ../shared/odapi_fixtures: values that the API computed")
    return REFERENCES / name


@pytest.mark.parametrize("name", MODELS)
def test_inference_and_losses_are_the_apis(name, capsys):
    assert main(["--inference_only", str(folder_of(name))]) == 0, capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("name", [model if isinstance(model, str) else model.values[0] for model in MODELS])
def test_training_is_the_apis(name, capsys):
    code, out = main([str(folder_of(name))]), capsys.readouterr().out
    assert code == 0, out
    assert ("three steps of SGD" if name.startswith("ssd") else "gradients") in out


CONFIG = """
model { ssd {
  num_classes: 3 encode_background_as_zeros: true
  normalize_loss_by_num_matches: true normalize_loc_loss_by_codesize: true
  image_resizer { fixed_shape_resizer { height: 64 width: 64 } }
  feature_extractor {
    type: "ssd_mobilenet_v2_fpn_keras" use_depthwise: true depth_multiplier: 0.35 min_depth: 8
    fpn { min_level: 3 max_level: 5 additional_layer_depth: 8 }
    conv_hyperparams { activation: RELU_6 batch_norm { scale: true } regularizer { l2_regularizer { weight: 0.1 } } }
  }
  box_coder { faster_rcnn_box_coder {} }
  matcher { argmax_matcher { matched_threshold: 0.5 unmatched_threshold: 0.4 force_match_for_each_row: true } }
  similarity_calculator { iou_similarity {} }
  anchor_generator { multiscale_anchor_generator {
    min_level: 3 max_level: 5 anchor_scale: 4.0 aspect_ratios: [1.0, 2.0] scales_per_octave: 1
  } }
  box_predictor { weight_shared_convolutional_box_predictor {
    depth: 8 num_layers_before_predictor: 1 kernel_size: 3 use_depthwise: true
    conv_hyperparams { activation: RELU_6 batch_norm { scale: true } }
  } }
  loss { classification_loss { weighted_sigmoid_focal {} } localization_loss { weighted_smooth_l1 {} } }
  post_processing {
    batch_non_max_suppression { score_threshold: 1e-8 max_detections_per_class: 10 max_total_detections: 10 }
    score_converter: SIGMOID
  }
} }
"""


@pytest.fixture(scope="module")
def made_folder(tmp_path_factory) -> Path:
    """A folder like the reference's, of this code's own values, for a tiny model."""
    import tensorflow as tf

    from configs.schema.pipeline_file import parse_pipeline_config
    from tests.reference.labels import labels_of
    from tests.small_models import build_detector
    from train.checkpoints.object_paths import variables_by_path

    root = tmp_path_factory.mktemp("references")
    folder = root / "tiny"
    folder.mkdir()
    (folder / "pipeline.config").write_text(CONFIG)
    random = np.random.RandomState(0)
    photos = {
        name: random.randint(0, 256, (count, 64, 64, 3)).astype(np.uint8) for name, count in (("batch", 2), ("odd", 1))
    }
    np.savez(root / "inputs.npz", **photos)
    detector = build_detector(parse_pipeline_config(CONFIG))
    entries, state = {}, {}
    variables = variables_by_path(detector.network.api_objects)
    for path, variable in variables.items():
        key = f"model/{path}/.ATTRIBUTES/VARIABLE_VALUE"
        entries[key] = {"shape": list(variable.shape), "dtype": "float32", "name": variable.name.split(":")[0]}
        if "kernel" in path:
            seed, scale = zlib.crc32(path.encode()) % 1000, 0.3
            entries[key] |= {"seed": seed, "scale": scale}
            value = np.random.RandomState(seed).randn(*variable.shape).astype(np.float32) * np.float32(scale)
        else:
            entries[key] |= {"stored": True}
            value = state[key] = variable.numpy()
        variable.assign(value)
    (folder / "variables.json").write_text(json.dumps(entries))
    np.savez(folder / "state.npz", **state)

    def sampled(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
        index = np.arange(0, values.size, max(1, values.size // 50)).astype(np.int32)
        found = {"shape": np.array(values.shape, np.int32), "index": index, "value": values.ravel()[index]}
        return {f"{name}/{key}": value for key, value in found.items()} | {
            f"{name}/mean": values.mean(dtype=np.float64),
            f"{name}/std": values.std(dtype=np.float64),
        }

    for name, batch in photos.items():
        images, shapes = tf.constant(batch, tf.float32), tf.constant([[64, 64, 3]] * len(batch))
        normalized = detector.preprocess(images, shapes)
        rows = np.array([0, 40], np.int32)
        arrays = {
            "true_image_shapes": shapes.numpy(),
            "preprocessed/shape": np.array(normalized.shape),
            "preprocessed/rows": rows,
            "preprocessed/value": normalized.numpy()[:, rows],
            "preprocessed/mean": normalized.numpy().mean((1, 2), dtype=np.float64),
            "preprocessed/std": normalized.numpy().std((1, 2), dtype=np.float64),
        }
        maps = detector.network.feature_maps(normalized, training=False)
        for index, value in enumerate(maps.values()):
            arrays |= sampled(f"feature_maps/{index}", value.numpy())
        logits, codes, anchors = (value.numpy() for value in detector.predict(images, normalized, training=False))
        chosen = np.tile(np.arange(0, len(anchors), 3, dtype=np.int32), (len(batch), 1))
        boxes = detector.box_coder.decode(tf.constant(codes), tf.constant(anchors[np.newaxis])).numpy()
        found = {key: value.numpy() for key, value in detector.detect(images, shapes).items()}
        arrays |= {
            "anchor_index": chosen,
            "box_encodings": codes[:, chosen[0]],
            "class_predictions_with_background": logits[:, chosen[0]],
            "post/raw_detection_boxes": boxes[:, chosen[0]],
            "post/detection_boxes": found["detection_boxes"],
            "post/detection_scores": found["detection_scores"],
            "post/detection_classes": found["detection_classes"] - 1,
            "post/num_detections": found["num_detections"],
        }
        if name == "batch":
            arrays |= {
                "anchors": anchors,
                "gt/boxes_0": np.array([[0.1, 0.1, 0.6, 0.5], [0.3, 0.5, 0.9, 0.9]], np.float32),
                "gt/class_index_0": np.array([0, 2], np.int32),
                "gt/boxes_1": np.array([[0.2, 0.2, 0.8, 0.7]], np.float32),
                "gt/class_index_1": np.array([1], np.int32),
            }
            labels = labels_of(arrays, shapes)
            targets = detector.assign_targets(labels)
            matches = targets.matches.numpy()
            image, anchor = np.nonzero(matches >= 0)
            arrays |= {
                "target/image": image,
                "target/anchor": anchor,
                "target/groundtruth": matches[image, anchor],
                "target/box_targets": targets.codes.numpy()[image, anchor],
                "target/box_weights": targets.box_weights.numpy()[image, anchor],
                "target/class_index": targets.class_targets.numpy()[image, anchor].argmax(-1),
                "target/class_sum": targets.class_targets.numpy()[image, anchor].sum(-1),
                "target/counts_positive_negative_ignored": np.stack(
                    [(matches >= 0).sum(1), (matches == -1).sum(1), (matches == -2).sum(1)], axis=1
                ),
            }
            losses = detector.compute_losses(images, labels, training=False)
        np.savez(folder / f"{name}.npz", **arrays)
    report = {
        "loss_inference_mode": {key: float(value) for key, value in losses.items()},
        "regularization_losses": {"sum": float(detector.regularization_loss())},
    }
    (folder / "report.json").write_text(json.dumps(report))
    return folder


@pytest.fixture
def copied(made_folder, tmp_path) -> Path:
    shutil.copy(made_folder.parent / "inputs.npz", tmp_path)
    return Path(shutil.copytree(made_folder, tmp_path / "tiny"))


def change(folder: Path, file: str, key: str, value) -> None:
    with np.load(folder / file) as stored:
        arrays = dict(stored)
    arrays[key] = value(arrays[key])
    np.savez(folder / file, **arrays)


def test_a_model_is_its_own_reference(copied, capsys):
    assert main(["--inference_only", str(copied)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["model", "stage"]
    assert all(line.startswith("tiny ") and "  same" in line for line in lines[1:-1])
    for stage in ("preprocessed input", "feature maps", "class logits", "detections", "target assignment", "losses"):
        assert any(stage in line for line in lines)
    assert lines[-1].startswith("1 models, ") and lines[-1].endswith(" 0 differ")


@pytest.mark.parametrize(
    ("file", "key", "value", "stages"),
    [
        ("batch.npz", "feature_maps/1/value", lambda x: x + 0.02 * np.abs(x).max(), {"batch: feature maps"}),
        ("odd.npz", "post/detection_scores", lambda x: x + 0.01, {"odd: detections"}),
        ("batch.npz", "anchors", lambda x: x * 1.0001, {"batch: anchors"}),
        ("batch.npz", "target/groundtruth", lambda x: x[::-1] + 1, {"target assignment"}),
        ("batch.npz", "target/anchor", lambda x: x + 1, {"target assignment"}),
    ],
)
def test_a_stored_value_that_differs_is_found_and_named(copied, capsys, file, key, value, stages):
    change(copied, file, key, value)
    assert main(["--inference_only", str(copied)]) == 1
    out = capsys.readouterr().out
    assert {line.removeprefix("differs: tiny: ") for line in out.splitlines() if line.startswith("differs")} == stages
    assert "DIFFERS" in out


def test_another_weight_makes_everything_after_it_differ(copied, capsys):
    entries = json.loads((copied / "variables.json").read_text())
    key = next(
        key
        for key in entries
        if "_class_predictor_layers" in key and key.endswith("pointwise_kernel/.ATTRIBUTES/VARIABLE_VALUE")
    )
    entries[key]["scale"] *= 1.05
    (copied / "variables.json").write_text(json.dumps(entries))
    assert main(["--inference_only", str(copied)]) == 1
    out = capsys.readouterr().out
    assert "differs: tiny: batch: class logits" in out
    assert "differs: tiny: losses" in out
    assert "differs: tiny: batch: box encodings" not in out


def test_what_cannot_be_compared_is_said(copied):
    entries = json.loads((copied / "variables.json").read_text())
    removed = next(iter(entries))
    (copied / "variables.json").write_text(json.dumps({key: entries[key] for key in entries if key != removed}))
    with pytest.raises(UserError, match="the folder has no "):
        main([str(copied)])
    (copied / "variables.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        ReferenceFolder.read(copied)
    (copied / "report.json").unlink()
    with pytest.raises(UserError, match=r"report\.json: no such file"):
        ReferenceFolder.read(copied)


def test_differences_are_held_against_the_range_or_each_value():
    assert of_range("x", np.array([1.0, 100.05]), np.array([1.1, 100.0]), 1.1e-3).passed
    assert not of_range("x", np.array([1.0, 100.0]), np.array([1.2, 100.0]), 1e-3).passed
    assert not of_range("x", np.array([np.nan]), np.array([1.0]), 1e-3).passed
    assert not of_range("x", np.zeros(2), np.zeros(3), 1.0).passed
    assert not of_values("x", [1.0, 100.0], [1.1, 100.0], 1e-2).passed
    assert of_values("x", [1e-9], [2e-9], 1e-2, floor=1e-6).passed
    assert not of_values("x", [float("nan")], [1.0], 1e-2).passed
    rows = [Comparison("a", 5.0, 0.5, True), Comparison("b", 0.1, 0.01, False)]
    assert worst("both", rows) == Comparison("both", 0.1, 0.01, False)
    assert table([("m", rows[1])]).splitlines()[1].split() == ["m", "b", "0.1", "0.01", "DIFFERS"]
