"""Signatures of a detector that takes images of any size: batches of different ones, padded to the largest."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from PIL import Image

from configs.schema.pipeline_file import read_pipeline_config
from export.parity import check_parity
from export.saved_model import export
from export.signatures import ServingModule, detection_function
from tests.small_models import ssd_settings
from train.models.detector import Detector
from train.pipeline import load_pipeline

RESIZERS = {
    "keep": "keep_aspect_ratio_resizer { min_dimension: 20 max_dimension: 30 }",
    "multiple": "pad_to_multiple_resizer { multiple: 16 }",
    "identity": "identity_resizer {}",
}


class OneLayer(tf_keras.Sequential):
    """A network that is its own trunk."""

    @property
    def checkpoint_items(self):
        return {"backbone": self}


class MeanColour(Detector):
    """Finds the whole image, and is as sure as it is red: a network that any size suits, with a weight to freeze."""

    input_shape = (None, None)
    num_classes = 1
    loss_names = ()

    def __init__(self, resizer: str) -> None:
        self.settings = ssd_settings(f"image_resizer {{ {resizer} }}")
        self.network = OneLayer([tf_keras.layers.Dense(1, use_bias=False, input_shape=(3,))])
        self.network.set_weights([np.array([[1 / 255], [0], [0]], np.float32)])

    def preprocess(self, images, true_image_shape):
        return images

    def compute_losses(self, images, labels, *, training):
        return {}

    def detect(self, images, true_image_shape):
        pixels = tf.cast(true_image_shape[:, 0] * true_image_shape[:, 1], tf.float32)
        mean = tf.reduce_sum(images, axis=[1, 2]) / pixels[:, tf.newaxis]
        count = tf.shape(images)[0]
        # The sides are given out, so that a test sees what the batch was padded to.
        sides = tf.cast(tf.stack([*tf.unstack(tf.shape(images)[1:3]), 0, 0])[tf.newaxis, tf.newaxis], tf.float32)
        return {
            "detection_boxes": tf.tile(sides, [count, 1, 1]) / 1000.0,
            "detection_scores": self.network(mean),
            "detection_classes": tf.ones([count, 1]),
            "num_detections": tf.ones([count]),
        }


def encoded(red: int, height: int, width: int, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (red, 0, 0)).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(("name", "largest"), [("keep", (30, 30)), ("multiple", (80, 96)), ("identity", (80, 81))])
def test_a_batch_of_different_images_is_padded_to_its_largest(name, largest, tmp_path):
    module = ServingModule(MeanColour(RESIZERS[name]), ["encoded_image_string_tensor"])
    tf.saved_model.save(module, str(tmp_path), signatures=module.signatures)
    signature = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    images = [encoded(255, 80, 40), encoded(51, 40, 81), encoded(102, 40, 40)]
    answers = signature(input_tensor=tf.constant(images))
    # Padding counts for nothing: each image is as red as it is alone.
    np.testing.assert_allclose(answers["detection_scores"][:, 0], [1.0, 0.2, 0.4], atol=2e-3)
    np.testing.assert_allclose(answers["detection_boxes"][0, 0, :2] * 1000, largest, atol=1e-3)
    alone = signature(input_tensor=tf.constant(images[2:]))
    np.testing.assert_allclose(alone["detection_scores"][:, 0], [0.4], atol=2e-3)


def test_records_of_different_images_are_padded_to_the_largest_too():
    detect = detection_function(MeanColour(RESIZERS["multiple"]), "tf_example")
    records = []
    for image in (encoded(255, 80, 40), encoded(51, 40, 81)):
        feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[image]))
        example = tf.train.Example(features=tf.train.Features(feature={"image/encoded": feature}))
        records.append(example.SerializeToString())
    answers = detect(tf.constant(records))
    np.testing.assert_allclose(answers["detection_scores"][:, 0], [1.0, 0.2], atol=5e-3)
    np.testing.assert_allclose(answers["detection_boxes"][0, 0, :2] * 1000, (80, 96), atol=1e-3)


def test_pixels_of_any_size_are_answered_too():
    detect = detection_function(MeanColour(RESIZERS["keep"]), "image_tensor")
    answers = detect(tf.constant(np.full([2, 40, 80, 3], [204, 0, 0], np.uint8)))
    np.testing.assert_allclose(answers["detection_scores"][:, 0], [0.8, 0.8], atol=1e-5)
    np.testing.assert_allclose(answers["detection_boxes"][0, 0, :2] * 1000, [15, 30], atol=1e-3)


def test_parity_is_checked_for_sizes_that_vary(tmp_path):
    detector = MeanColour(RESIZERS["keep"])
    module = ServingModule(detector, ["encoded_image_string_tensor"])
    tf.saved_model.save(module, str(tmp_path), signatures=module.signatures)
    assert check_parity(tmp_path, detector, ["encoded_image_string_tensor"]).num_detections == 3


def test_an_exported_config_does_not_ask_for_averages_that_are_the_weights_already(block_config, tmp_path):
    pipeline = load_pipeline(str(block_config("ssd")), "eval_config { use_moving_averages: true }")
    export(
        pipeline=pipeline,
        detector=MeanColour(RESIZERS["keep"]),
        input_types=["image_tensor"],
        output_directory=tmp_path / "exported",
    )
    assert not read_pipeline_config(tmp_path / "exported" / "pipeline.config").eval_config.use_moving_averages
    assert pipeline.config.eval_config.use_moving_averages


def test_swish_whose_gradient_holds_a_variable_is_exported(block_config, tmp_path):
    detector = MeanColour(RESIZERS["keep"])
    detector.network = OneLayer([tf_keras.layers.Dense(1, activation="swish", input_shape=(3,))])
    export(
        pipeline=load_pipeline(str(block_config("ssd"))),
        detector=detector,
        input_types=["encoded_image_string_tensor"],
        output_directory=tmp_path / "exported",
    )
    assert (tmp_path / "exported" / "saved_model" / "saved_model.pb").is_file()
