"""From a checkpoint to a SavedModel, a version folder, and answers over gRPC, for both families."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from PIL import Image

from configs.schema.pipeline_file import read_pipeline_config
from data_prep.formats.label_map import read_label_map
from data_prep.runtime.command_line import UsageError, UserError
from export.export_saved_model import main as export
from export.parity import check_parity
from export.saved_model import next_version
from export.signatures import detection_function
from export.warmup import replay_warmup
from serving.client_library.detection_client import DetectionClient
from serving.local_server import LocalServer
from tests.conftest import block_image
from tests.small_models import build_detector
from train.evaluate import main as evaluate


@pytest.fixture(scope="module", params=["ssd", "faster_rcnn"])
def exported(request, block_config, tmp_path_factory):
    """A detector with random weights, its checkpoint, and what the command makes of it."""
    config_path = block_config(request.param)
    config = read_pipeline_config(config_path)
    tf_keras.utils.set_random_seed(3)
    detector = build_detector(config)
    folder = tmp_path_factory.mktemp(f"export_{request.param}")
    tf.train.Checkpoint(model=detector.network).write(str(folder / "model" / "ckpt-0"))
    words = [
        "--pipeline_config_path", str(config_path), "--trained_checkpoint_dir", str(folder / "model" / "ckpt-0"),
        "--output_directory", str(folder / "exported"), "--model_base_path", str(folder / "versions"),
    ]  # fmt: skip
    assert export(words) == 0
    return folder, words, config, detector


def encoded_image(number: int, size: tuple[int, int], kind: str = "JPEG") -> bytes:
    image = Image.open(io.BytesIO(block_image(number)[0])).resize(size)
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def test_the_folder_is_the_object_detection_apis_and_the_version_folder_is_the_servers(exported):
    folder, *_ = exported
    found = {str(path.relative_to(folder / "exported")) for path in (folder / "exported").rglob("*") if path.is_file()}
    assert {
        "pipeline.config", "label_map.pbtxt", "checkpoint/checkpoint", "checkpoint/ckpt-0.index",
        "saved_model/saved_model.pb",
    } <= found  # fmt: skip
    assert (folder / "versions" / "1" / "saved_model.pb").is_file()
    warmup = replay_warmup(folder / "versions" / "1")
    assert [request.batch_size for request in warmup.requests] == [1, 2, 3, 4]
    assert not list(folder.glob(".partial*")) and not list((folder / "versions").glob(".partial*"))


def test_the_signature_has_the_apis_names_and_types(exported):
    folder, *_ = exported
    signature = tf.saved_model.load(str(folder / "versions" / "1")).signatures["serving_default"]
    ((name, spec),) = signature.structured_input_signature[1].items()
    assert (name, spec.dtype, spec.shape.as_list()) == ("input_tensor", tf.string, [None])
    outputs = signature.structured_outputs
    assert set(outputs) == {"detection_boxes", "detection_scores", "detection_classes", "num_detections"}
    assert all(output.dtype == tf.float32 for output in outputs.values())


def test_a_batch_of_different_sizes_and_kinds_answers_as_single_images_do(exported):
    folder, *_ = exported
    signature = tf.saved_model.load(str(folder / "versions" / "1")).signatures["serving_default"]
    images = [encoded_image(1, (128, 96)), encoded_image(2, (61, 140), "PNG"), encoded_image(3, (200, 50))]
    together = signature(input_tensor=tf.constant(images))
    for row, image in enumerate(images):
        alone = signature(input_tensor=tf.constant([image]))
        np.testing.assert_allclose(together["detection_scores"][row], alone["detection_scores"][0], atol=1e-4)


def test_an_existing_version_or_output_is_never_overwritten(exported, tmp_path):
    folder, words, *_ = exported
    before = (folder / "versions" / "1" / "saved_model.pb").stat().st_mtime_ns
    with pytest.raises(UsageError, match="is not empty"):
        export(words)
    other = [*words[:4], "--output_directory", str(tmp_path / "other"), *words[6:]]
    with pytest.raises(UsageError, match=r"version 1 exists.*--model_version 2"):
        export([*other, "--model_version", "1"])
    assert (folder / "versions" / "1" / "saved_model.pb").stat().st_mtime_ns == before
    assert not (tmp_path / "other").exists()
    assert next_version(folder / "versions") == 2


def test_a_difference_is_an_error(exported):
    folder, _, _, detector = exported
    saved = folder / "versions" / "1"
    assert check_parity(saved, detector, ["encoded_image_string_tensor"]).num_detections > 0
    head = [v for v in detector.network.trainable_variables if "class_predictor" in v.name]
    right = [variable.numpy() for variable in head]
    for variable in head:
        variable.assign(0.5 - 2 * variable)
    try:
        with pytest.raises(UserError, match="does not detect what the checkpoint does"):
            check_parity(saved, detector, ["encoded_image_string_tensor"])
    finally:
        for variable, value in zip(head, right, strict=True):
            variable.assign(value)


def test_nothing_is_left_when_the_check_fails(exported, tmp_path):
    _, words, *_ = exported
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(block_image(0)[0][:300])
    out, base = tmp_path / "out", tmp_path / "base"
    arguments = [*words[:4], "--output_directory", str(out), "--model_base_path", str(base)]
    with pytest.raises(UserError, match=r"broken\.jpg is not a JPEG or PNG that decodes"):
        export([*arguments, "--parity_pictures", str(broken)])  # its earlier name
    assert not out.exists() and not (base / "1").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["broken.jpg"]


@pytest.mark.parametrize("exported", ["ssd"], indirect=True)  # the input types do not depend on the family
def test_image_tensor_exports_answer_pixels(exported, tmp_path):
    _, words, _, detector = exported
    arguments = [*words[:4], "--output_directory", str(tmp_path / "out"), "--input_type", "image_tensor"]
    assert export(arguments) == 0
    signature = tf.saved_model.load(str(tmp_path / "out" / "saved_model")).signatures["serving_default"]
    pixels = tf.io.decode_jpeg(block_image(5)[0])[tf.newaxis]
    expected = detection_function(detector, "image_tensor")(pixels)
    np.testing.assert_allclose(
        signature(input_tensor=pixels)["detection_scores"], expected["detection_scores"], atol=1e-4
    )


def test_the_server_answers_over_grpc_with_what_the_checkpoint_detects(exported, block_records, tmp_path):
    folder, _, config, detector = exported
    getattr(config.model, config.model.WhichOneof("model"))
    encoded = block_image(7)[0]
    expected = detection_function(detector, "encoded_image_string_tensor")(tf.constant([encoded]))
    label_map = read_label_map(block_records / "label_map.pbtxt")
    with (
        LocalServer.of_model("blocks", folder / "versions") as server,
        DetectionClient(f"localhost:{server.port}", "blocks", label_map=label_map, min_score=0.0) as client,
    ):
        found = client.detect(encoded)
    count = int(expected["num_detections"][0])
    assert len(found.detections) == count > 0
    np.testing.assert_allclose([d.score for d in found.detections], expected["detection_scores"][0, :count], atol=1e-4)
    assert {d.name for d in found.detections} <= {"Red block", "Blue block"}
    box = found.detections[0].box_pixels
    assert 0 <= box.xmin <= box.xmax <= 128 and 0 <= box.ymin <= box.ymax <= 96


def test_evaluating_the_saved_model_equals_evaluating_the_checkpoint(exported, tmp_path):
    folder, words, *_ = exported
    config = ["--pipeline_config_path", words[1]]
    assert evaluate([*config, "--checkpoint_dir", words[3], "--once", "--eval_dir", str(tmp_path / "a")]) == 0
    saved = str(folder / "exported")
    assert evaluate([*config, "--saved_model_dir", saved, "--eval_dir", str(tmp_path / "b")]) == 0
    first, second = (json.loads((tmp_path / name / "metrics.json").read_text())["metrics"] for name in "ab")
    for name, value in second.items():
        if name.startswith("Detection") and value is not None:
            assert first[name] == pytest.approx(value, abs=2e-3), name


def test_an_unusable_saved_model_is_one_line(block_config, tmp_path):
    with pytest.raises(UsageError, match=r"has no saved_model\.pb"):
        evaluate(["--pipeline_config_path", str(block_config("ssd")), "--saved_model_dir", str(tmp_path)])


def test_no_checkpoint_is_one_line(block_config, tmp_path):
    words = ["--pipeline_config_path", str(block_config("ssd")), "--trained_checkpoint_dir", str(tmp_path)]
    with pytest.raises(UserError, match="no checkpoint in this folder"):
        export([*words, "--output_directory", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
    assert Path(words[1]).is_file()


def test_a_loaded_model_is_callable_as_the_apis_is(exported, tmp_path):
    """`detect_fn = tf.saved_model.load(path)`, then `detect_fn(tensor)`."""
    _, words, _, detector = exported
    outputs = ["raw_detection_boxes", "raw_detection_scores", "detection_multiclass_scores"]
    arguments = [*words[:4], "--output_directory", str(tmp_path / "out"), "--input_type", "image_tensor"]
    assert export([*arguments, "--also_frozen_graph", "--output", *outputs]) == 0
    detect_fn = tf.saved_model.load(str(tmp_path / "out" / "saved_model"))
    pixels = tf.io.decode_jpeg(block_image(5)[0])
    detections = detect_fn(tf.convert_to_tensor(pixels)[tf.newaxis, ...])
    assert set(detections) == {*outputs, "detection_boxes", "detection_scores", "detection_classes", "num_detections"}
    expected = detection_function(detector, "image_tensor")(pixels[tf.newaxis])
    np.testing.assert_allclose(detections["detection_scores"], expected["detection_scores"], atol=1e-4)
    # The functions are there once: nothing of the network was written twice.
    assert (tmp_path / "out" / "saved_model" / "saved_model.pb").stat().st_size < 1.2 * sum(
        variable.numpy().nbytes for variable in detector.network.variables
    ) + 2e6

    graph_def = tf.compat.v1.GraphDef.FromString((tmp_path / "out" / "frozen_inference_graph.pb").read_bytes())
    assert not graph_def.library.function
    with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
        tf.import_graph_def(graph_def, name="")
        image_tensor = graph.get_tensor_by_name("image_tensor:0")
        assert (image_tensor.dtype, image_tensor.shape.as_list()) == (tf.uint8, [None, None, None, 3])
        names = ["detection_boxes", "detection_scores", "detection_classes", "num_detections"]
        found = session.run([f"{name}:0" for name in names], {image_tensor: pixels.numpy()[np.newaxis]})
        np.testing.assert_allclose(found[1], expected["detection_scores"], atol=1e-4)
        np.testing.assert_allclose(found[3], expected["num_detections"])
        assert {f"{name}:0" for name in outputs} <= {f"{node.name}:0" for node in graph_def.node}
