"""TensorFlow Lite files imported: batch norms unfolded, given statistics, and kept from training without."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from configs.schema.pipeline_file import parse_pipeline_config, read_pipeline_config
from data_prep.runtime.command_line import UsageError, UserError
from tests.small_models import build_detector
from tests.train.checkpoints.tensorflow_1.named_checkpoints import values_by_name, write_graph
from tests.train.importing.small_detector import SHAPE
from tests.train.importing.tflite_files import folded, write_tflite
from train.checkpoints.restore import restore
from train.checkpoints.tensorflow_1.frozen_graph import GraphFacts
from train.import_checkpoint import main
from train.importing.ssd_config import config_text
from train.loop.parts import restore_fine_tune_checkpoint
from train.models.batch_norm import FreezableBatchNorm

EPSILON = 0.001


class Original:
    """A network whose batch norms mean something, and its convolutions with them folded in."""

    def __init__(self) -> None:
        shape = dataclasses.replace(SHAPE, use_depthwise=False, head_kernel=1)
        text, _ = config_text(shape, GraphFacts(image_size=(96, 128)), header=(), folder="x")
        self.network = build_detector(parse_pipeline_config(text)).network
        random = np.random.default_rng(3)
        for layer in self.network._flatten_layers():
            if isinstance(layer, FreezableBatchNorm):
                layer.gamma.assign(random.uniform(0.8, 1.2, layer.gamma.shape))
                layer.beta.assign(random.uniform(-0.3, 0.3, layer.beta.shape))
                layer.moving_mean.assign(random.uniform(-0.2, 0.2, layer.moving_mean.shape))
                layer.moving_variance.assign(random.uniform(0.05, 0.2, layer.moving_variance.shape))
        self.convolutions = folded(values_by_name(self.network), EPSILON)
        self.images = tf.constant(random.uniform(-1, 1, (2, 96, 128, 3)), tf.float32)


@pytest.fixture(scope="module")
def original() -> Original:
    return Original()


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(5)
    for number in range(6):
        blocks = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(blocks).resize((160, 120)).save(folder / f"{number}.jpg")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 cut")
    (folder / "notes.txt").write_text("no image")
    return folder


def flat(outputs) -> np.ndarray:
    return np.concatenate([tensor.numpy().ravel() for tensor in tf.nest.flatten(outputs)])


def network_of(folder):
    network = build_detector(read_pipeline_config(folder / "pipeline.config")).network
    report = restore(network, folder / "checkpoint", "full", exact=True)
    return network, report


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("float16", 2e-2)])
def test_unfolded_batch_norms_give_in_inference_what_the_original_does(original, tmp_path, capsys, dtype, tolerance):
    path = write_tflite(tmp_path / "detect.tflite", original.convolutions, dtype=dtype)
    assert main([str(path), "--output_directory", str(tmp_path / "imported")]) == 0
    printed = capsys.readouterr().out
    assert "batch norms: were folded into convolutions" in printed and "freeze_batchnorm is true" in printed
    config = read_pipeline_config(tmp_path / "imported" / "pipeline.config")
    assert config.model.ssd.freeze_batchnorm and config.model.ssd.image_resizer.fixed_shape_resizer.width == 128
    network, report = network_of(tmp_path / "imported")
    expected = flat(original.network(original.images, training=False))
    assert np.abs(flat(network(original.images, training=False)) - expected).max() < tolerance * np.abs(expected).max()
    assert report.has_folded_norms


def test_statistics_from_images_change_nothing_in_inference_and_hold_in_training(original, images, tmp_path, capsys):
    path = write_tflite(tmp_path / "detect.tflite", original.convolutions)
    assert main([str(path), "--output_directory", str(tmp_path / "plain")]) == 0
    words = ["--calibration_images", str(images)]
    assert main([str(path), "--output_directory", str(tmp_path / "calibrated"), *words]) == 0
    printed = capsys.readouterr().out
    assert "from 6 images" in printed and "6 are few: give 20 or more; not read: broken.jpg" in printed
    config = read_pipeline_config(tmp_path / "calibrated" / "pipeline.config")
    assert not config.model.ssd.freeze_batchnorm
    calibrated, report = network_of(tmp_path / "calibrated")
    assert not report.has_folded_norms
    expected = flat(original.network(original.images, training=False))
    assert np.abs(flat(calibrated(original.images, training=False)) - expected).max() < 1e-4 * np.abs(expected).max()

    plain, _ = network_of(tmp_path / "plain")
    for layer in plain._flatten_layers():
        if isinstance(layer, FreezableBatchNorm):
            layer.frozen = False
    paths = sorted(images.glob("?.jpg"))
    decoded = [np.asarray(Image.open(path).resize((128, 96)), np.float32) / 127.5 - 1 for path in paths]
    images = tf.constant(np.stack(decoded))
    inference = flat(calibrated(images, training=False))

    def correlation(network) -> float:
        return float(np.corrcoef(flat(network(images, training=True)), inference)[0, 1])

    of_plain, of_calibrated = correlation(plain), correlation(calibrated)
    assert of_calibrated > 0.97 and of_plain < of_calibrated


def test_training_without_statistics_needs_frozen_batch_norms(original, tmp_path):
    path = write_tflite(tmp_path / "detect.tflite", original.convolutions)
    assert main([str(path), "--output_directory", str(tmp_path / "imported")]) == 0
    config = read_pipeline_config(tmp_path / "imported" / "pipeline.config")
    train_config = SimpleNamespace(
        fine_tune_checkpoint=str(tmp_path / "imported" / "checkpoint" / "ckpt-0"), checkpoint_type="full"
    )
    pipeline = SimpleNamespace(train_config=train_config)

    def restored():
        return restore_fine_tune_checkpoint(pipeline, SimpleNamespace(detector=build_detector(config)))

    assert restored().restored
    config.model.ssd.freeze_batchnorm = False
    with pytest.raises(UserError, match=r"batch norms were folded .*freeze_batchnorm: true, or import it again with"):
        restored()


def test_files_that_cannot_be_read_are_refused_in_one_line(original, tmp_path):
    few = dict(list(original.convolutions.items())[:3])
    whole = write_tflite(tmp_path / "whole.tflite", few).read_bytes()
    write_tflite(tmp_path / "int8.tflite", few, dtype="int8")
    write_tflite(tmp_path / "none.tflite", {})
    write_tflite(tmp_path / "stranger.tflite", {"my/layer": original.convolutions["BoxPredictor_0/ClassPredictor"]})
    (tmp_path / "short.tflite").write_bytes(whole[: len(whole) // 3])
    (tmp_path / "zip.tflite").write_bytes(b"PK\x03\x04" + bytes(100))
    for name, message in (
        ("int8", "has weights of integers .* give the float16 or float32 file"),
        ("none", "holds no convolutions"),
        ("stranger", "of no network that is known here"),
        ("short", "cut short or damaged|cannot be read"),
        ("zip", "is no TensorFlow Lite file"),
        ("nowhere", "no such file"),
    ):
        with pytest.raises(UserError, match=rf"{name}\.tflite: .*{message}|{name}\.tflite: {message}") as caught:
            main([str(tmp_path / f"{name}.tflite"), "--output_directory", str(tmp_path / "imported")])
        assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match=r"train\.import_checkpoint"):
        restore(original.network, tmp_path / "whole.tflite", "full")
    assert not (tmp_path / "imported").exists()


def test_images_to_calibrate_with_are_for_what_was_folded_and_must_be_there(original, tmp_path):
    path = write_tflite(tmp_path / "detect.tflite", original.convolutions)
    words = ["--output_directory", str(tmp_path / "imported"), "--calibration_images"]
    with pytest.raises(UserError, match="no such folder"):
        main([str(path), *words, str(tmp_path / "nowhere")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no \.jpg"):
        main([str(path), *words, str(tmp_path / "empty")])
    graph = write_graph(tmp_path / "graph.pb", values_by_name(original.network))
    with pytest.raises(UsageError, match="has statistics of its own"):
        main([str(graph), *words, str(tmp_path)])
