"""One SavedModel with all input types and outputs, and thresholds of its own: asked in both ways."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from PIL import Image

from configs.schema.pipeline_file import read_pipeline_config
from data_prep.formats.label_map import read_label_map
from data_prep.runtime.command_line import UsageError
from export.export_saved_model import INPUT_TYPES, MORE_OUTPUTS
from export.export_saved_model import main as export
from export.parity import LOADERS
from export.signatures import INPUT_SPECS, OUTPUT_NAMES, ServingModule
from export.signatures import MORE_OUTPUTS as MORE_OUTPUTS_OF_GRAPH
from tests.conftest import block_image
from tests.small_models import build_detector

NAMES = ("serving_default", "image_tensor", "float_image_tensor", "tf_example")


@pytest.fixture(scope="module")
def exported(block_config, tmp_path_factory):
    """The folder, the pipeline's config and the detector with random weights that it is of."""
    config_path = block_config("ssd")
    tf_keras.utils.set_random_seed(4)
    detector = build_detector(read_pipeline_config(config_path))
    folder = tmp_path_factory.mktemp("several")
    tf.train.Checkpoint(model=detector.network).write(str(folder / "ckpt-0"))
    words = [
        "--pipeline_config_path", str(config_path), "--trained_checkpoint_dir", str(folder / "ckpt-0"),
        "--output_directory", str(folder / "exported"), "--input_type", INPUT_TYPES[0],
        "--input_type", *INPUT_TYPES[1:], "--output", *MORE_OUTPUTS,
        "--score_threshold", "0.0095", "--max_total_detections", "9",
    ]  # fmt: skip
    assert export(words) == 0
    return folder, config_path, detector


@pytest.fixture(scope="module", params=list(LOADERS))
def ask(request, exported):
    with LOADERS[request.param](exported[0] / "exported" / "saved_model") as loaded:
        yield loaded


def requests_of(record: bytes, encoded: bytes) -> dict[str, np.ndarray]:
    pixels = np.asarray(Image.open(io.BytesIO(encoded)))[np.newaxis]
    return {
        "serving_default": np.array([encoded], object),
        "image_tensor": pixels,
        "float_image_tensor": pixels.astype(np.float32),
        "tf_example": np.array([record], object),
    }


def test_the_command_offers_what_the_graph_has():
    assert set(INPUT_TYPES) == set(INPUT_SPECS)
    assert MORE_OUTPUTS == MORE_OUTPUTS_OF_GRAPH


def test_every_signature_answers_the_same_records_included(ask, block_records):
    path = str(next(block_records.glob("validation.record-*")))
    record = next(iter(tf.data.TFRecordDataset(path).take(1))).numpy()
    fields = tf.io.parse_single_example(record, {"image/encoded": tf.io.FixedLenFeature((), tf.string)})
    png = io.BytesIO()
    # Lossless and from TensorFlow's decoder, so that all signatures see the very same pixels.
    pixels = tf.io.decode_image(fields["image/encoded"]).numpy()
    Image.fromarray(pixels).save(png, "PNG")
    requests = requests_of(record, png.getvalue())
    answers = {name: ask(name, requests[name]) for name in NAMES}
    first = answers["serving_default"]
    assert set(first) == {*OUTPUT_NAMES, *MORE_OUTPUTS} and first["num_detections"] > 0
    for name in NAMES[1:]:
        for output in (*OUTPUT_NAMES, "raw_detection_scores"):
            np.testing.assert_allclose(answers[name][output], first[output], atol=1e-5, err_msg=f"{name} {output}")


def test_thresholds_and_limits_are_baked_in_and_written_down(ask, exported):
    found = ask("serving_default", np.array([block_image(3)[0]], object))
    count = int(found["num_detections"])
    assert found["detection_boxes"].shape == (9, 4)
    assert (found["detection_scores"][:count] > 0.0095).all() and not found["detection_scores"][count:].any()
    written = read_pipeline_config(exported[0] / "exported" / "pipeline.config")
    assert written.model.ssd.post_processing.batch_non_max_suppression.max_total_detections == 9


def test_names_and_anchors_belong_to_the_detections(ask, exported):
    found = ask("serving_default", np.array([block_image(3)[0]], object))
    count = int(found["num_detections"])
    names = {1: b"Red block", 2: b"Blue block"}
    ids = found["detection_classes"].astype(int)[:count]
    assert found["detection_class_names"][:count].tolist() == [names[class_id] for class_id in ids]
    assert not any(found["detection_class_names"][count:])
    rows = found["detection_anchor_indices"].astype(int)[:count]
    raw = found["raw_detection_scores"][rows]
    np.testing.assert_array_equal(found["detection_multiclass_scores"][:count], raw)
    background = raw.shape[1] - 2
    np.testing.assert_array_equal(found["detection_scores"][:count], raw[np.arange(count), ids - 1 + background])
    np.testing.assert_allclose(
        found["detection_boxes"][:count], np.clip(found["raw_detection_boxes"][rows], 0, 1), atol=1e-6
    )


def test_weights_are_written_once_and_the_label_map_is_inside(exported, tmp_path):
    folder, _config_path, detector = exported
    saved = folder / "exported" / "saved_model"
    module = ServingModule(detector, INPUT_TYPES[:1])
    tf.saved_model.save(module, str(tmp_path), signatures=module.signatures)
    sizes = [(path / "saved_model.pb").stat().st_size for path in (saved, tmp_path)]
    weights = sum(variable.numpy().nbytes for variable in detector.network.variables)
    assert sizes[1] > weights > 100_000
    assert sizes[0] - sizes[1] < weights / 2
    assert len(read_label_map(saved / "assets" / "label_map.pbtxt")) == 2


def test_the_report_says_every_way_in(exported):
    written = json.loads((exported[0] / "exported" / "parity.json").read_text())
    assert written["images"] == ["record 0", "record 1", "record 2", "record 3"]
    ways = {(check["signature"], check["read_as"], check["stage"]) for check in written["checks"]}
    assert {(name, how, "after NMS") for name in NAMES for how in LOADERS} < ways
    assert {("serving_default", how, "before NMS") for how in LOADERS} < ways
    assert all(check["differences"]["max_box_pixels"] < 0.1 for check in written["checks"])
    assert not list((exported[0] / "exported").glob("before_nms*"))


def test_an_output_without_a_source_is_one_line(exported):
    with pytest.raises(UsageError, match="--output detection_class_names: there is no label map"):
        ServingModule(exported[2], INPUT_TYPES[:1], more_outputs=["detection_class_names"])
