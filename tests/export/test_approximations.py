"""Exports that give up a little: kernels in half precision, JPEGs decoded at a fraction of their size."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from PIL import Image
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from configs.schema.pipeline_file import read_pipeline_config
from data_prep.runtime.command_line import UsageError, UserError
from export.approximation import Approximation
from export.export_saved_model import main as export
from export.image_inputs import decode_image
from export.scaled_jpeg import scaled_decoder
from export.score_thresholds import nms_from, with_thresholds
from export.signatures import IMAGE_RESIZER
from export.weights_dtype import rounded_weights
from tests.benchmarks.serving_graph import spread_scores
from tests.small_models import build_detector, ssd_settings
from train.evaluation.thresholds_file import ClassThresholds

INPUT_TYPES = ["encoded_image_string_tensor", "image_tensor"]
IDENTITY = "identity_resizer {}"


def photograph(number: int) -> bytes:
    """A JPEG of 512x384 pixels of which no part looks like another, so that no two anchors score the same."""
    random = np.random.default_rng(number)
    noise = Image.fromarray(random.integers(0, 256, (48, 64, 3), np.uint8)).resize((512, 384), Image.Resampling.BICUBIC)
    content = io.BytesIO()
    noise.save(content, "JPEG", quality=95)
    return content.getvalue()


@pytest.fixture(scope="module")
def detector(block_config):
    """An SSD with random weights whose scores spread, and its config."""
    path = block_config("ssd")
    tf_keras.utils.set_random_seed(3)
    detector = build_detector(read_pipeline_config(path))
    spread_scores(detector)
    return detector, path


@pytest.fixture(scope="module")
def exported(detector, tmp_path_factory):
    """What the command writes with float16 weights and scaled decoding, of photographs four times the input's size."""
    detector, config_path = detector
    folder = tmp_path_factory.mktemp("half")
    tf.train.Checkpoint(model=detector.network).write(str(folder / "model" / "ckpt-0"))
    for number in range(2):
        (folder / f"{number}.jpg").write_bytes(photograph(number))
    words = [
        "--pipeline_config_path", str(config_path), "--trained_checkpoint_dir", str(folder / "model" / "ckpt-0"),
        "--output_directory", str(folder / "exported"), "--input_type", *INPUT_TYPES,
        "--weights_dtype", "float16", "--scaled_jpeg_decode", "--check_min_score", "0.02", "--min_agreement", "0.3",
        "--parity_pictures", str(folder / "0.jpg"), str(folder / "1.jpg"),  # its earlier name
    ]  # fmt: skip
    assert export(words) == 0
    return folder / "exported", words


def optimized(saved_model_dir: Path, signature: str) -> list:
    """The nodes that a session runs for a signature."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta_graph = tf.compat.v1.saved_model.load(session, [tf.saved_model.SERVING], str(saved_model_dir))
        definition = meta_graph.signature_def[signature]
        ran = tf.compat.v1.RunMetadata()
        session.run(
            [output.name for output in definition.outputs.values()],
            {definition.inputs["input_tensor"].name: np.zeros([1, 96, 96, 3], np.uint8)},
            options=tf.compat.v1.RunOptions(output_partition_graphs=True),
            run_metadata=ran,
        )
    return [node for graph in ran.partition_graphs for node in graph.node]


def test_kernels_are_stored_in_half_and_computed_in_float32_without_a_cast_in_any_run(exported, detector):
    saved_model = SavedModel.FromString((exported[0] / "saved_model" / "saved_model.pb").read_bytes())
    library = saved_model.meta_graphs[0].graph_def.library.function
    stored = [node.attr["value"].tensor for function in library for node in function.node_def if node.op == "Const"]
    halves = sum(len(tensor.tensor_content) for tensor in stored if tensor.dtype == tf.float16.as_datatype_enum)
    kernels = [v for v in detector[0].network.variables if v.shape.rank >= 2 and v.shape.num_elements() >= 1024]
    values = sum(kernel.shape.num_elements() for kernel in kernels)
    assert halves == 2 * values  # once, whatever the number of signatures
    assert max(kernel.shape.num_elements() for kernel in kernels) > 2 * 16_384  # of which one is in several pieces
    nodes = optimized(exported[0] / "saved_model", "image_tensor")
    assert len(nodes) > 50
    half = {tf.float16.as_datatype_enum}
    assert not [
        node.name for node in nodes if half & {node.attr[key].type for key in ("dtype", "SrcT") if key in node.attr}
    ]


def test_the_command_tells_what_was_given_up_and_the_checkpoint_keeps_its_weights(exported, detector):
    report = json.loads((exported[0] / "parity.json").read_text())
    told = report["approximation"]
    assert (told["weights_dtype"], told["scaled_jpeg"]) == ("float16", True)
    assert 0 < told["num_matched"] <= told["num_expected"] and 0.3 <= told["share"] <= 1.0
    assert all(not check["differences"]["unmatched"] for check in report["checks"])
    kernel = next(v for v in detector[0].network.variables if v.shape.num_elements() > 16_384)
    written = tf.train.load_checkpoint(str(exported[0] / "checkpoint" / "ckpt-0"))
    shapes = written.get_variable_to_shape_map()
    same = [name for name, shape in shapes.items() if shape == kernel.shape.as_list()]
    assert any(np.array_equal(written.get_tensor(name), kernel.numpy()) for name in same)


def test_a_model_that_has_too_little_in_common_is_not_written(exported, tmp_path):
    folder, words = exported
    other = [word.replace(str(folder), str(tmp_path / "other")) for word in words]
    other[other.index("float16")] = "bfloat16"
    with pytest.raises(UserError, match=r"bfloat16 weights and JPEGs.*--min_agreement is 1; nothing is written"):
        export([*other, "--min_agreement", "1", "--check_min_score", "0.001"])
    assert not (tmp_path / "other").exists()


def test_weights_are_rounded_for_as_long_as_asked_and_no_longer(detector):
    kernels = [v for v in detector[0].network.variables if v.shape.rank >= 2 and v.shape.num_elements() >= 1024]
    before = [kernel.numpy() for kernel in kernels]
    with rounded_weights(detector[0], "bfloat16"):
        for kernel, values in zip(kernels, before, strict=True):
            np.testing.assert_array_equal(kernel, values.astype(tf.bfloat16.as_numpy_dtype).astype(np.float32))
            assert not np.array_equal(kernel, values)
    for kernel, values in zip(kernels, before, strict=True):
        np.testing.assert_array_equal(kernel, values)
    kernels[0].assign(before[0] + 70_000)
    try:
        with (
            pytest.raises(UserError, match=r"float16: .* cannot hold; use bfloat16"),
            rounded_weights(detector[0], "float16"),
        ):
            pass
        np.testing.assert_array_equal(kernels[0], before[0] + 70_000)
    finally:
        kernels[0].assign(before[0])


@pytest.mark.parametrize(
    ("resizer", "size", "decoded"),
    [
        ("fixed_shape_resizer { height: 96 width: 96 }", (1000, 800), (100, 125)),
        ("fixed_shape_resizer { height: 96 width: 96 }", (400, 190), (190, 400)),
        ("fixed_shape_resizer { height: 96 width: 96 }", (401, 193), (97, 201)),
        ("keep_aspect_ratio_resizer { min_dimension: 60 max_dimension: 100 }", (400, 240), (60, 100)),
        ("keep_aspect_ratio_resizer { min_dimension: 60 max_dimension: 100 }", (500, 120), (30, 125)),
        ("conditional_shape_resizer { condition: GREATER size_threshold: 100 }", (240, 400), (100, 60)),
    ],
)
def test_a_jpeg_is_decoded_at_the_least_size_that_the_resizer_still_shrinks(resizer, size, decoded):
    # height, width of the last pixels that stand for a part of one are rounded up
    settings = ssd_settings(f"image_resizer {{ {resizer} }}")
    decode = scaled_decoder(settings.image_resizer, decode_image)
    pixels = np.linspace(0, 255, size[0])[np.newaxis, :, np.newaxis].repeat(size[1], 0).repeat(3, 2).astype(np.uint8)
    for kind, wanted in (("JPEG", decoded), ("PNG", size[::-1])):
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, kind, **({"quality": 95} if kind == "JPEG" else {}))
        found = tf.function(decode)(tf.constant(content.getvalue())).numpy()
        assert found.shape == (*wanted, 3)
        assert abs(found.mean() - pixels.mean()) < 3


def test_scaled_decoding_without_anything_to_scale_is_refused(detector):
    with pytest.raises(UsageError, match="shrinks no image"):
        scaled_decoder(ssd_settings(f"image_resizer {{ {IDENTITY} }}").image_resizer, decode_image)
    with pytest.raises(UsageError, match="image_tensor takes pixels"):
        Approximation(scaled_jpeg=True).require_encoded(["image_tensor"])
    Approximation(scaled_jpeg=True).require_encoded(["image_tensor", "tf_example"])


def test_the_model_tells_what_it_shrinks_images_to(exported):
    signatures = tf.saved_model.load(str(exported[0] / "saved_model")).signatures
    assert set(signatures) == {"serving_default", "image_tensor", IMAGE_RESIZER}
    told = signatures[IMAGE_RESIZER](input_tensor=tf.constant([0, 0]))
    assert {name: value.numpy().tolist() for name, value in told.items()} == {"height": [96, 96], "width": [96, 96]}


def test_thresholds_reach_the_nms_and_change_nothing_but_its_work(detector):
    detector = detector[0]
    opened = (Image.open(io.BytesIO(photograph(number))) for number in range(3))
    pixels = [np.array(image.resize((96, 96)), np.float32) for image in opened]
    images, shapes = tf.constant(np.stack(pixels)), tf.constant([[96, 96, 3]] * len(pixels))
    own = detector.settings
    every = detector.detect_with_raw(images, shapes)
    scores = every["detection_scores"].numpy()
    thresholds = ClassThresholds(
        Path("t.json"), "", {1: float(np.median(scores)), 2: float(scores.max())}, {1: "a", 2: "b"}
    )
    wanted = with_thresholds(every, thresholds, 2)
    with nms_from(detector, thresholds):
        few = detector.detect_with_raw(images, shapes)
        found = with_thresholds(few, thresholds, 2)
    assert detector.settings is own
    assert wanted["num_detections"].numpy().sum() > 0
    assert few["num_detections"].numpy().sum() < every["num_detections"].numpy().sum()
    for name in ("detection_boxes", "detection_scores", "detection_classes", "num_detections"):
        np.testing.assert_array_equal(found[name], wanted[name], err_msg=name)
    none = dataclasses.replace(thresholds, by_class={1: np.inf, 2: np.inf})
    with nms_from(detector, none):
        assert not detector.detect(images, shapes)["num_detections"].numpy().any()
