"""A detector of the tests' red and blue blocks with three weights: windows, as sure as they are coloured."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

from export.saved_model import export
from export.signatures import BakedThresholds
from tests.small_models import ssd_settings
from train.models.detector import Detector
from train.models.post_processing import batch_non_max_suppression, with_raw
from train.pipeline import Pipeline

SIDE, WINDOW, STRIDE = 96, (32, 24), 8


class OneLayer(tf_keras.Sequential):
    """A network that is its own trunk."""

    @property
    def checkpoint_items(self):
        return {"backbone": self}


class ColourDetector(Detector):
    """Slides a window over the image; NMS, raw outputs and anchors are the product's own."""

    input_shape = (SIDE, SIDE)
    num_classes = 2
    loss_names = ()

    def __init__(self) -> None:
        self.settings = ssd_settings(f"image_resizer {{ fixed_shape_resizer {{ height: {SIDE} width: {SIDE} }} }}")
        self.network = OneLayer([tf_keras.layers.Dense(1, use_bias=False, input_shape=(None, None, 3))])
        self.network.set_weights([np.array([[1 / 180], [0], [-1 / 180]], np.float32)])
        self._nms = dataclasses.replace(
            self.settings.post_processing.batch_non_max_suppression,
            score_threshold=0.01,
            iou_threshold=0.4,
            max_detections_per_class=10,
            max_total_detections=12,
        )
        tops, lefts = (np.arange(0, SIDE - side + 1, STRIDE) for side in WINDOW)
        corners = np.stack(np.meshgrid(tops, lefts, indexing="ij"), axis=-1).reshape(-1, 2)
        self._boxes = np.concatenate([corners, corners + WINDOW], axis=1).astype(np.float32)

    def preprocess(self, images, true_image_shape):
        return images

    def compute_losses(self, images, labels, *, training):
        return {}

    def detect(self, images, true_image_shape):
        found = self.detect_with_raw(images, true_image_shape)
        return {name: value for name, value in found.items() if not name.startswith("raw_")}

    def detect_with_raw(self, images, true_image_shape, *, with_anchors=False):
        redness = self.network(images)
        colours = tf.clip_by_value(tf.concat([redness, -redness], axis=-1), 0.0, 1.0)
        count = tf.shape(images)[0]
        scores = tf.reshape(tf.nn.avg_pool2d(colours, WINDOW, STRIDE, "VALID"), [count, -1, 2])
        boxes = tf.tile(self._boxes[np.newaxis], [count, 1, 1])
        found = batch_non_max_suppression(
            boxes[:, :, tf.newaxis], scores, true_image_shape, self._nms, with_anchors=with_anchors
        )
        return with_raw(found, boxes / SIDE, scores)


def export_colour_detector(pipeline: Pipeline, folder: Path, baked: BakedThresholds | None = None, **more) -> None:
    """Writes `folder`/exported and `folder`/versions/1, compared with the detector on the first evaluation records."""
    export(
        pipeline=pipeline,
        detector=ColourDetector(),
        input_types=["encoded_image_string_tensor"],
        output_directory=folder / "exported",
        version_directory=folder / "versions" / "1",
        baked=baked,
        **more,
    )
