"""TensorFlow Lite models of a detector: what an app gets from the file alone, and how near it is to the checkpoint."""

import dataclasses
import io
import json
import zipfile

import flatbuffers
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from configs.schema.pipeline_file import read_pipeline_config
from data_prep.runtime.command_line import UserError
from export.export_saved_model import main as export_saved_model
from export.export_tflite import main as export
from export.parity_images import read_record_images
from export.tflite.check import ask_checkpoint, check_model
from export.tflite.graph import NmsOptions
from serving.local_detector import LocalDetector
from serving.local_server import LocalServer
from tests.conftest import block_image
from tests.small_models import build_detector
from train.evaluate import main as evaluate
from train.evaluation.tflite_detector import check_labels
from train.pipeline import load_pipeline

QUANTIZATIONS = ("float", "dynamic_range", "full_integer")


def spread_scores(detector):
    """Makes an untrained network see differences: batch norm learns from one batch, and logits are drawn apart."""
    norms = [layer for layer in detector.network.submodules if isinstance(layer, tf_keras.layers.BatchNormalization)]
    for layer in norms:
        layer.momentum = 0.0
    photos = tf.stack([tf.io.decode_jpeg(block_image(number)[0])[:, :96] for number in range(4)])
    images = tf.cast(photos, tf.float32)
    detector.network(detector.preprocess(images, tf.constant([[96, 96, 3]] * 4)), training=True)
    for layer in norms:  # channels that hardly vary would blow rounding up
        layer.moving_variance.assign(tf.maximum(layer.moving_variance, tf.reduce_mean(layer.moving_variance)))
    for variable in detector.network.trainable_variables:
        if "class_predictor" in variable.name:
            variable.assign(variable * (1.5 if variable.shape.rank > 1 else 0.3))


@pytest.fixture(scope="module")
def exported(block_config, block_records, tmp_path_factory):
    """A detector whose scores lie apart, its checkpoint, and the models that the command makes of it."""
    config_path = block_config("ssd")
    # Whose gradient is a function of its own, which a SavedModel of constants cannot hold.
    config_path.write_text(config_path.read_text().replace("RELU_6", "SWISH"))
    tf_keras.utils.set_random_seed(3)
    detector = build_detector(read_pipeline_config(config_path))
    spread_scores(detector)
    folder = tmp_path_factory.mktemp("tflite")
    tf.train.Checkpoint(model=detector.network).write(str(folder / "model" / "ckpt-0"))
    words = [
        "--pipeline_config_path", str(config_path), "--trained_checkpoint_dir", str(folder / "model" / "ckpt-0"),
        "--output_directory", str(folder / "models"), "--quantization", *QUANTIZATIONS, "--max_detections", "7",
        "--ssd_use_regular_nms", "--iou_threshold", "0.5", "--check_min_score", "0.05",
        "--representative_records", str(block_records / "train.record-*"),
        "--num_representative_pictures", "4",  # its earlier name
    ]  # fmt: skip
    assert export(words) == 0
    return folder / "models", words, load_pipeline(str(config_path)), detector


def interpreter_of(folder, quantization):
    interpreter = Interpreter(model_path=str(folder / f"model_{quantization}.tflite"), num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def answer(interpreter, image):
    """Boxes, classes, scores and their number, by position, as phones' programs take them."""
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def metadata_of(path):
    """The root table of the metadata inside a model."""
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes())
    (entry,) = (entry for entry in model.metadata if entry.name == b"TFLITE_METADATA")
    content = bytes(model.buffers[entry.buffer].data)
    assert content[4:8] == b"M001"
    return flatbuffers.table.Table(content, flatbuffers.encode.Get(flatbuffers.packer.uoffset, content, 0))


def table_in(table, slot):
    return flatbuffers.table.Table(table.Bytes, table.Indirect(table.Pos + table.Offset(4 + 2 * slot)))


def tables_in(table, slot):
    offset = table.Offset(4 + 2 * slot)
    return [
        flatbuffers.table.Table(table.Bytes, table.Indirect(table.Vector(offset) + 4 * row))
        for row in range(table.VectorLen(offset))
    ]


def text_in(table, slot):
    return table.String(table.Pos + table.Offset(4 + 2 * slot)).decode()


def floats_in(table, slot):
    return table.GetVectorAsNumpy(flatbuffers.number_types.Float32Flags, table.Offset(4 + 2 * slot)).tolist()


def test_all_models_are_written_with_a_report(exported):
    folder, *_ = exported
    report = json.loads((folder / "tflite_report.json").read_text())
    assert {path.name for path in folder.iterdir()} == {
        "tflite_report.json", "model_float.tflite", "model_dynamic_range.tflite", "model_full_integer.tflite"
    }  # fmt: skip
    first, *quantized = report["models"]
    assert len(report["images"]) == 6
    assert first["alike"]["num_compared"] > 0 and not first["alike"]["unmatched"]
    assert first["before_suppression"]["num_beyond_rounding"] == 0
    assert first["agreement_share"] == 1.0 and first["agreement"]["num_matched"] > 0
    for model in quantized:
        assert model["num_bytes"] < 0.5 * first["num_bytes"]
        assert 1e-6 < model["before_suppression"]["mean_score"] < 0.02
        assert model["agreement_share"] > 0.6


def test_local_detector_gives_what_an_app_computes(exported):
    folder, *_ = exported
    content = block_image(50)[0]
    pixels = tf.io.decode_jpeg(content)
    height, width = pixels.shape[:2]
    resized = tf.compat.v1.image.resize_bilinear(pixels[tf.newaxis], [96, 96]).numpy()
    boxes, classes, scores, _ = answer(interpreter_of(folder, "float"), (resized - 127.5) / np.float32(127.5))
    with LocalDetector(folder / "model_float.tflite", min_score=0.05) as detector:
        found = detector.detect(pixels.numpy())  # a JPEG's own decoder here rounds otherwise than TensorFlow's
        by_file = list(detector.detect_many([content, b"text", content]))
    assert by_file[0] == by_file[2] and by_file[1].failure is not None
    assert by_file[0].detections[0].score == pytest.approx(found.detections[0].score, abs=0.03)
    assert (found.width, found.height) == (width, height)
    kept = [row for row, score in enumerate(scores[0]) if score >= 0.05]
    assert len(found.detections) == len(kept) > 0
    for row, detection in zip(kept, found.detections, strict=True):
        assert detection.score == pytest.approx(scores[0][row], abs=1e-5)
        assert detection.class_id == classes[0][row] + 1
        assert detection.name == ("Red block", "Blue block")[detection.class_id - 1]
        in_pixels = np.clip(boxes[0][row], 0, 1) * [height, width, height, width]
        np.testing.assert_allclose(detection.box_pixels, in_pixels, atol=1e-2)
    with LocalDetector(folder / "model_full_integer.tflite", min_score=0.0) as detector:
        assert detector.detect(np.asarray(pixels)).detections


def test_the_float_model_answers_an_app_with_what_the_checkpoint_detects(exported):
    folder, _, _, detector = exported
    pixels = tf.image.resize(tf.io.decode_jpeg(block_image(50)[0])[tf.newaxis], [96, 96])
    options = table_in(tables_in(tables_in(tables_in(metadata_of(folder / "model_float.tflite"), 3)[0], 2)[0], 4)[0], 1)
    mean, deviation = floats_in(options, 0), floats_in(options, 1)
    interpreter = interpreter_of(folder, "float")
    assert interpreter.get_input_details()[0]["dtype"] == np.float32
    boxes, classes, scores, count = answer(interpreter, (pixels.numpy() - mean[0]) / np.float32(deviation[0]))
    assert (boxes.shape, classes.shape, scores.shape, count.shape) == ((1, 7, 4), (1, 7), (1, 7), (1,))

    own = detector.settings
    nms = dataclasses.replace(own.post_processing.batch_non_max_suppression, iou_threshold=0.5)
    processing = dataclasses.replace(own.post_processing, batch_non_max_suppression=nms)
    detector.settings = dataclasses.replace(own, post_processing=processing)
    try:
        expected = detector.detect(pixels, tf.constant([[96, 96, 3]]))
    finally:
        detector.settings = own
    assert count[0] == 7
    np.testing.assert_allclose(scores[0], expected["detection_scores"][0, :7], atol=1e-4)
    np.testing.assert_array_equal(classes[0] + 1.0, expected["detection_classes"][0, :7])
    np.testing.assert_allclose(np.clip(boxes[0], 0, 1), expected["detection_boxes"][0, :7], atol=1e-3)


def test_the_integer_model_takes_pixels_as_they_are(exported):
    folder, _, _, detector = exported
    interpreter = interpreter_of(folder, "full_integer")
    (details,) = interpreter.get_input_details()
    assert details["dtype"] == np.uint8 and details["quantization"] == (pytest.approx(1.0, abs=1e-6), 0)
    model = schema.ModelT.InitFromPackedBuf((folder / "model_full_integer.tflite").read_bytes())
    (graph,) = model.subgraphs
    codes = [model.operatorCodes[operator.opcodeIndex].builtinCode for operator in graph.operators]
    types = {
        graph.tensors[operator.outputs[0]].type
        for operator, code in zip(graph.operators, codes, strict=True)
        if code == schema.BuiltinOperator.CONV_2D
    }
    assert types == {schema.TensorType.INT8}
    pixels = tf.image.resize(tf.io.decode_jpeg(block_image(50)[0])[tf.newaxis], [96, 96])
    scores = answer(interpreter, tf.cast(tf.round(pixels), tf.uint8).numpy())[2]
    expected = detector.detect(pixels, tf.constant([[96, 96, 3]]))["detection_scores"][:, :7]
    np.testing.assert_allclose(scores, expected, atol=0.15)


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_a_model_carries_its_labels_and_what_its_tensors_mean(exported, quantization):
    folder, *_ = exported
    path = folder / f"model_{quantization}.tflite"
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        (info,) = archive.infolist()
        assert info.filename == "labels.txt" and info.compress_type == zipfile.ZIP_STORED
        assert archive.read(info).decode() == "Red block\nBlue block\n"
    root = metadata_of(path)
    (subgraph,) = tables_in(root, 3)
    (image,) = tables_in(subgraph, 2)
    stats = table_in(image, 5)
    expected = ([255.0], [0.0]) if quantization == "full_integer" else ([1.0], [-1.0])
    assert (floats_in(stats, 0), floats_in(stats, 1)) == expected
    outputs = tables_in(subgraph, 3)
    assert [text_in(output, 0) for output in outputs] == ["location", "category", "score", "number of detections"]
    (labels,) = tables_in(outputs[1], 6)
    assert text_in(labels, 0) == "labels.txt"


def test_weights_may_be_read_where_they_lie(exported):
    folder, *_ = exported
    content = (folder / "model_float.tflite").read_bytes()
    model = schema.Model.GetRootAs(content)
    lengths = [model.Buffers(row).DataLength() for row in range(model.BuffersLength())]
    large = [model.Buffers(row) for row, length in enumerate(lengths) if length >= 16]
    assert len(large) > 20
    for buffer in large:
        start = buffer._tab.Vector(buffer._tab.Offset(4))
        assert start % 16 == 0


def test_another_models_file_is_found_out(exported, block_records):
    folder, _, _pipeline, detector = exported
    nms = NmsOptions.from_settings(
        detector.settings.post_processing.batch_non_max_suppression, max_detections=7, use_regular_nms=True
    )
    images = read_record_images(str(block_records / "validation.record-*"), 2, flag="--check_records")
    head = [v for v in detector.network.trainable_variables if "class_predictor" in v.name]
    right = [variable.numpy() for variable in head]
    for variable in head:
        variable.assign(0.5 - 2 * variable)
    try:
        expected = ask_checkpoint(detector, nms, images)
    finally:
        for variable, value in zip(head, right, strict=True):
            variable.assign(value)
    checks = {
        name: check_model(folder / f"model_{name}.tflite", name, detector, expected, min_score=0.05)
        for name in ("float", "full_integer")
    }
    assert "differ by more than rounding before the NMS" in checks["float"].problem(0.0)
    assert "--min_agreement is 1" in checks["full_integer"].problem(1.0)
    assert not checks["full_integer"].problem(0.0)


def test_padded_input_and_the_fast_nms_equal_the_checkpoint_and_nothing_is_left_when_the_check_fails(
    exported, tmp_path, capsys
):
    _, words, *_ = exported
    override = """model { ssd { image_resizer { keep_aspect_ratio_resizer {
        min_dimension: 96 max_dimension: 96 pad_to_max_dimension: true } } } }"""
    # Boxes of all classes compete, and the config's class by class: a quantised model has another list for certain.
    other = ["--output_directory", str(tmp_path / "out"), "--quantization", "float", "dynamic_range"]
    other += ["--config_override", override, "--min_agreement", "1", "--check_min_score", "0"]
    with pytest.raises(UserError, match=r"nothing is written.*: model_dynamic_range\.tflite.*--min_agreement is 1"):
        export([*words[:4], *other])
    printed = capsys.readouterr().out
    assert "over all classes at once, at most 10 detections" in printed and "model_float.tflite" in printed
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_thresholds_of_the_classes_are_in_the_file(exported, block_records, tmp_path):
    models, words, pipeline, detector = exported
    pixels = {"float": None, "full_integer": None}
    image = np.asarray(Image.open(io.BytesIO(block_image(3)[0])).resize((96, 96)))[np.newaxis]
    pixels["full_integer"] = image.astype(np.uint8)
    pixels["float"] = detector.preprocess(tf.cast(image, tf.float32), tf.constant([[96, 96, 3]])).numpy()
    _, classes, scores, _ = answer(interpreter_of(models, "float"), pixels["float"])
    thresholds = {1: float(np.median(scores[0][classes[0] == 0])), 2: None}
    path = tmp_path / "t.json"
    entries = [{"id": each, "name": pipeline.names_by_id[each], "threshold": thresholds[each]} for each in (1, 2)]
    path.write_text(json.dumps({"classes": entries}))
    words = list(words)
    words[words.index("--output_directory") + 1] = str(tmp_path / "models")
    del words[words.index("dynamic_range")]
    assert export([*words, "--thresholds", str(path)]) == 0
    for quantization, least in (("float", thresholds[1]), ("full_integer", thresholds[1] - 1 / 256)):
        _, found, kept, count = answer(interpreter_of(tmp_path / "models", quantization), pixels[quantization])
        count = int(count[0])
        assert count > 0 and not found[0][:count].any(), quantization
        assert (kept[0][:count] >= least).all(), quantization
        with zipfile.ZipFile(tmp_path / "models" / f"model_{quantization}.tflite") as archive:
            assert archive.read("thresholds.json") == path.read_bytes()
    assert (tmp_path / "models" / "thresholds.json").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("quantization", ["float", "full_integer"])
def test_an_evaluation_measures_what_the_file_detects(exported, tmp_path, quantization):
    folder, words, pipeline, detector = exported
    model = folder / f"model_{quantization}.tflite"
    path = tmp_path / "detections.json"
    more = ["--tflite_model", str(model), "--detections_path", str(path), "--eval_dir", str(tmp_path / "e")]
    assert evaluate([*words[:2], *more]) == 0
    found = json.loads(path.read_text())
    nms = NmsOptions(
        max_detections=7, use_regular_nms=True, detections_per_class=7, score_threshold=0.0, iou_threshold=0.5
    )
    images = read_record_images(pipeline.settings.eval_input_reader[0].input_paths[0], 6, flag="")
    for number, expected in enumerate(ask_checkpoint(detector, nms, images), start=100):
        count = int(expected.alike["num_detections"])
        of_image = [one for one in found if one["image_id"] == f"photo{number}"]
        scores = sorted((one["score"] for one in of_image), reverse=True)
        wanted = sorted(expected.alike["detection_scores"][:count].tolist(), reverse=True)
        # Eight bits move scores; and TensorFlow decodes a pixel here and there by one apart from the check's decoder,
        # which changes what the NMS leaves further down the list.
        assert scores[0] == pytest.approx(wanted[0], abs=3e-3 if quantization == "float" else 0.1)
        if quantization == "float":
            best = max(of_image, key=lambda one: one["score"])
            ymin, xmin, ymax, xmax = (expected.alike["detection_boxes"][0] * [96, 128, 96, 128]).tolist()
            assert best["bbox"] == pytest.approx([xmin, ymin, xmax - xmin, ymax - ymin], abs=0.5)
            assert best["category_id"] == int(expected.alike["detection_classes"][0])


@pytest.mark.slow
def test_the_saved_model_the_file_and_the_server_have_one_average_precision(exported, tmp_path):
    """Of an untrained network, so that the ground truth is what it finds, moved by a few pixels."""
    folder, words, *_ = exported
    config, nms = (
        words[:2],
        ["--iou_threshold", "0.5", "--max_total_detections", "7", "--max_detections_per_class", "7"],
    )
    more = ["--output_directory", str(tmp_path / "exported"), "--model_base_path", str(tmp_path / "versions")]
    assert export_saved_model([*words[:4], *nms, *more]) == 0

    def evaluated(name, *source):
        path = tmp_path / f"{name}.json"
        more = ["--detections_path", str(path), "--eval_dir", str(tmp_path / name)]
        assert evaluate([*config, *source, *more]) == 0
        return path

    paths = [
        evaluated("saved_model", "--saved_model_dir", str(tmp_path / "exported")),
        evaluated("file", "--tflite_model", str(folder / "model_float.tflite")),
    ]
    with LocalServer.of_model("blocks", tmp_path / "versions") as server:
        paths.append(evaluated("served", "--server", server.address, "--model_name", "blocks"))
    truth = json.loads((tmp_path / "saved_model.ground_truth.json").read_text())
    found = json.loads(paths[0].read_text())
    truth["annotations"] = []
    for number, one in enumerate(found[::2], start=1):
        x, y, width, height = one["bbox"]
        box = [x + number % 5, y, width, height - number % 3]
        truth["annotations"].append({**one, "id": number, "bbox": box, "area": box[2] * box[3], "iscrowd": 0})
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    averages = []
    for path in paths:
        words = ["--ground_truth_path", str(tmp_path / "truth.json"), "--from_detections", str(path)]
        assert evaluate([*words, "--eval_dir", str(tmp_path / "averages")]) == 0
        metrics = json.loads((tmp_path / "averages" / "metrics.json").read_text())["metrics"]
        averages.append([metrics[f"DetectionBoxes_Precision/{name}"] for name in ("mAP", "mAP@.50IOU", "mAP@.75IOU")])
    assert 0.2 < averages[0][0] < 0.95
    assert averages[2] == averages[0]  # the same graph
    assert averages[1] == pytest.approx(averages[0], abs=0.02)  # scores that rounding puts in another order


def test_an_evaluation_refuses_files_that_are_not_of_the_config(exported, block_config, tmp_path):
    folder, words, *_ = exported
    model = folder / "model_float.tflite"
    labels = {1: "Red block", 2: "Cat"}
    with pytest.raises(UserError, match=r"its class 2 is 'Blue block', but in the config's label map 'Cat'"):
        check_labels(model, model.read_bytes(), labels)
    config = tmp_path / "other.config"
    config.write_text(block_config("ssd").read_text().replace("width: 96", "width: 128"))
    with pytest.raises(UserError, match=r"takes images of 96 x 96 pixels, but the config's network takes 96 x 128"):
        evaluate(["--pipeline_config_path", str(config), "--tflite_model", str(model)])
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(model.read_bytes()[:2000])
    with pytest.raises(UserError, match="LiteRT cannot run it"):
        evaluate([*words[:2], "--tflite_model", str(damaged)])
    (tmp_path / "text.tflite").write_text("no model")
    with pytest.raises(UserError, match="no TensorFlow Lite file"):
        evaluate([*words[:2], "--tflite_model", str(tmp_path / "text.tflite")])
