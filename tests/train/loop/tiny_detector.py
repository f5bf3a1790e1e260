"""A model whose variables have the names that detectors' have."""

from __future__ import annotations

import tensorflow as tf
import tf_keras


class TinyDetector(tf_keras.Model):
    """A backbone with batch norm and a head, named as detectors name their parts."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = tf_keras.Sequential(
            [
                tf_keras.layers.Conv2D(2, 3, name="stem", input_shape=(8, 8, 3)),
                tf_keras.layers.BatchNormalization(name="stem_norm"),
                tf_keras.layers.Conv2D(2, 3, name="last"),
            ]
        )
        self.head = tf_keras.layers.Dense(2, name="class_predictor")
        self.call(tf.zeros([1, 8, 8, 3]))

    def call(self, images):
        return self.head(self.backbone(images))

    @property
    def checkpoint_items(self):
        return {"backbone": self.backbone, "head": self.head}
