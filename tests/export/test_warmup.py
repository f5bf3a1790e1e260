"""Warm-up files of real SavedModels, read as TensorFlow Serving reads them and run by the local server."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import prediction_log_pb2

from data_prep.formats.tf_example import IMAGE_ENCODED
from data_prep.runtime.command_line import UsageError, UserError
from export.parity_images import read_images
from export.warmup import WARMUP_PATH, replay_warmup, write_warmup
from export.write_warmup import main

OUTPUTS = ("detection_boxes", "detection_classes", "detection_scores", "num_detections")


class Brightness(tf.Module):
    """Answers with the detectors' outputs, computed from each image, for all four inputs that exports have."""

    def answer(self, mean):
        boxes = tf.reshape(mean, [-1, 1, 1]) / 255.0 * tf.ones([1, 2, 4])
        scores = boxes[..., 0]
        four = dict(zip(OUTPUTS, (boxes, tf.ones_like(scores), scores, tf.ones_like(scores[:, 0])), strict=True))
        return {**four, "raw_detection_boxes": boxes}

    def decoded(self, encoded):
        def one(image):
            return tf.reduce_mean(tf.cast(tf.io.decode_image(image, 3, expand_animations=False), tf.float32))

        return self.answer(tf.map_fn(one, encoded, fn_output_signature=tf.float32))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="input_tensor")])
    def encoded(self, input_tensor):
        return self.decoded(input_tensor)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="input_tensor")])
    def example(self, input_tensor):
        parsed = tf.io.parse_example(input_tensor, {IMAGE_ENCODED: tf.io.FixedLenFeature((), tf.string)})
        return self.decoded(parsed[IMAGE_ENCODED])

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="input_tensor")])
    def pixels(self, input_tensor):
        return self.answer(tf.reduce_mean(tf.cast(input_tensor, tf.float32), [1, 2, 3]))

    @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3], tf.float32, name="input_tensor")])
    def one_float(self, input_tensor):
        four = self.answer(tf.reduce_mean(input_tensor, [1, 2, 3]))
        return {name: four[name] for name in OUTPUTS}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, name="input_tensor")])
    def numbers(self, input_tensor):
        return self.answer(tf.cast(input_tensor, tf.float32))


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base path with version 1, of four signatures."""
    base_path = tmp_path_factory.mktemp("versions")
    model = Brightness()
    signatures = {
        "serving_default": model.encoded,
        "tf_example": model.example,
        "image_tensor": model.pixels,
        "float_image_tensor": model.one_float,
    }
    tf.saved_model.save(model, str(base_path / "1"), signatures=signatures)
    return base_path


@pytest.fixture
def version(versions: Path, tmp_path: Path) -> Path:
    shutil.copytree(versions / "1", tmp_path / "models" / "1")
    return tmp_path / "models" / "1"


@pytest.fixture(scope="module")
def image_paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three JPEGs and PNGs of different sizes, one of them larger than what requests of pixels hold."""
    folder = tmp_path_factory.mktemp("images")
    paths = []
    for number, (name, size) in enumerate((("a.jpg", (1280, 960)), ("b.png", (64, 48)), ("c.jpg", (50, 70)))):
        noise = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / name)
        paths.append(folder / name)
    return paths


def requests_in(path: Path):
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        assert log.WhichOneof("log_type") == "predict_log"
        yield log.predict_log.request


def test_every_signature_and_batch_size_has_its_requests(version, image_paths):
    report = write_warmup(version, read_images(image_paths), batch_sizes=[4, 1, 2], model_name="rooms")
    found = {}
    for request in requests_in(version / WARMUP_PATH):
        assert request.model_spec.name == "rooms"
        array = tf.make_ndarray(request.inputs["input_tensor"])
        asked = "four" if sorted(request.output_filter) == sorted(OUTPUTS) else "all"
        assert asked == "four" or not request.output_filter
        found.setdefault((request.model_spec.signature_name, asked), []).append(array)
    sizes = {key: [len(array) for array in arrays] for key, arrays in found.items()}
    # Clients that want the four ask for a graph of their own, unless the four are all there is. One takes one image.
    assert sizes == {
        ("serving_default", "all"): [1, 2, 4],
        ("serving_default", "four"): [1, 2, 4],
        ("tf_example", "all"): [1, 2, 4],
        ("tf_example", "four"): [1, 2, 4],
        ("image_tensor", "all"): [1, 2, 4],
        ("image_tensor", "four"): [1, 2, 4],
        ("float_image_tensor", "all"): [1],
    }
    assert len(report.requests) == 19
    shapes = {Image.open(io.BytesIO(encoded)).size for encoded in found["serving_default", "all"][2]}
    assert len(shapes) == 3  # the images of one batch differ in size
    assert found["serving_default", "all"][0][0] == image_paths[0].read_bytes()  # and are the real ones
    parsed = tf.train.Example.FromString(found["tf_example", "all"][0][0])
    assert parsed.features.feature[IMAGE_ENCODED].bytes_list.value[0] == image_paths[0].read_bytes()
    assert found["image_tensor", "all"][0].shape == (1, 480, 640, 3)
    assert found["float_image_tensor", "all"][0].dtype == np.float32


def test_a_server_warms_up_on_what_was_written(version, image_paths, capsys):
    from serving.saved_models.loaded_model import LoadedModel

    assert (
        main(["--version_directory", str(version), "--batch_sizes", "1", "3", "--images", *map(str, image_paths)]) == 0
    )
    printed = capsys.readouterr().out
    assert (
        "13 warm-up requests (float_image_tensor, image_tensor, serving_default, tf_example; batches of 1, 3;"
        in printed
    )
    model = LoadedModel(1, version)
    try:
        records = model.warm_up_requests(version)
        assert len(records) == 13
        for request in requests_in(version / WARMUP_PATH):
            signature = model.signatures[request.model_spec.signature_name]
            array = tf.make_ndarray(request.inputs["input_tensor"])
            outputs = model.run(
                signature, {"input_tensor": array}, list(request.output_filter) or list(signature.outputs)
            )
            assert len(outputs["detection_boxes"]) == len(array)
    finally:
        model.close()
    assert main(["--version_directory", str(version), "--check"]) == 0
    assert f"replayed {version / WARMUP_PATH}" in capsys.readouterr().out


def test_a_file_that_fails_is_never_left_behind(version, image_paths, tmp_path):
    images = read_images(image_paths)
    write_warmup(version, images, batch_sizes=[1])
    before = (version / WARMUP_PATH).read_bytes()
    with pytest.raises(UserError, match="signature serving_default, fails"):
        write_warmup(version, images, batch_sizes=[1], input_types={"serving_default": "tf_example"})
    assert (version / WARMUP_PATH).read_bytes() == before
    assert [path.name for path in (version / "assets.extra").iterdir()] == [WARMUP_PATH.name]
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(image_paths[0].read_bytes()[:200])
    with pytest.raises(UserError, match=r"broken.jpg is not a JPEG or PNG that decodes"):
        write_warmup(version, read_images([broken]))
    assert (version / WARMUP_PATH).read_bytes() == before


def test_a_signature_of_something_else_is_named(versions, image_paths, tmp_path):
    model = Brightness()
    tf.saved_model.save(model, str(tmp_path / "1"), signatures={"serving_default": model.encoded, "sum": model.numbers})
    images = read_images(image_paths)
    with pytest.raises(UserError, match="signature sum takes neither images nor records, but int64; name others"):
        write_warmup(tmp_path / "1", images)
    assert not (tmp_path / "1" / WARMUP_PATH).exists()
    assert len(write_warmup(tmp_path / "1", images, signatures=["serving_default"]).requests) == 8
    with pytest.raises(UsageError, match="there is no signature 'mean'; there are serving_default, sum"):
        write_warmup(tmp_path / "1", images, signatures=["mean"])
    with pytest.raises(UserError, match="holds no SavedModel to serve"):
        write_warmup(tmp_path, images)


def test_a_replay_tells_what_a_server_would_stumble_over(version, image_paths):
    write_warmup(version, read_images(image_paths), batch_sizes=[1])
    path = version / WARMUP_PATH
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    with pytest.raises(UserError, match="truncated record"):
        replay_warmup(version)
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(prediction_log_pb2.PredictionLog().SerializeToString())
    with pytest.raises(UserError, match=r"record 0 is no Predict request for one of float_image_tensor, image_tensor"):
        replay_warmup(version)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="has no record"):
        replay_warmup(version)
    path.unlink()
    with pytest.raises(UserError, match="there is no"):
        replay_warmup(version)


def test_too_much_warm_up_is_refused(version, image_paths, monkeypatch):
    monkeypatch.setattr("export.warmup.MAX_FILE_BYTES", 1 << 20)
    with pytest.raises(UserError, match="more than 1000 requests or 1 MiB; give smaller images"):
        write_warmup(version, read_images(image_paths))
    with pytest.raises(UsageError, match="give --images to make requests from, or --check"):
        main(["--version_directory", str(version)])
    with pytest.raises(UsageError, match="or --check"):
        main(["--version_directory", str(version), "--check", "--pictures", "a.jpg"])  # its earlier name
