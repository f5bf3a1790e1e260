"""Faster R-CNN's heads: what proposes regions, and what classifies and refines them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from train.models.hyperparams import LayerHyperparams


class RegionProposalPredictor(tf_keras.layers.Layer):
    """The first stage: a convolution that all feature maps share, then objectness and box codes map by map.

    As the API's meta_architectures/faster_rcnn_meta_arch.py, whose convolution ends in ReLU6 whatever the hyperparams'
    activation is, and whose objectness is a softmax over background and object. Model Garden's `RPNHead` has one logit
    and shares all of its layers over levels.
    """

    def __init__(
        self,
        *,
        hyperparams: Any,
        depth: int,
        kernel_size: int,
        dilation_rate: int,
        anchors_per_location: Sequence[int],
        levels: Sequence[str],
        **kwargs: Any,
    ) -> None:
        """Creates the layers.

        Args:
            hyperparams: The `first_stage_box_predictor_conv_hyperparams` message.
            depth: Filters of the convolution.
            kernel_size: Of the convolution.
            dilation_rate: Of the convolution, `first_stage_atrous_rate`.
            anchors_per_location: Anchors in each cell, one number a level.
            levels: Names of the feature maps to predict on, finest first.
            **kwargs: Of the Keras layer.
        """
        super().__init__(**kwargs)
        self._levels = list(levels)
        read = LayerHyperparams.from_config(hyperparams)
        self._convolution = tf_keras.layers.Conv2D(
            depth,
            kernel_size,
            dilation_rate=dilation_rate,
            padding="same",
            use_bias=read.use_bias,
            name="convolution",
            **read.convolution_arguments(),
        )
        self._norm = read.batch_norm("norm")

        def predictors(numbers: int, name: str) -> dict[str, tf_keras.layers.Layer]:
            return {
                level: tf_keras.layers.Conv2D(
                    count * numbers, 1, name=f"{name}_{level}", **read.convolution_arguments()
                )
                for level, count in zip(levels, anchors_per_location, strict=True)
            }

        self._objectness = predictors(2, "objectness")
        self._boxes = predictors(4, "boxes")

    def call(self, features: Mapping[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Predicts at every level.

        Args:
            features: For each level's name, [B, height, width, channels].

        Returns:
            Objectness logits by level [B, height, width, anchors * 2], background before object, and box codes by
            level [B, height, width, anchors * 4].
        """
        logits, codes = {}, {}
        for level in self._levels:
            shared = tf.nn.relu6(self._norm(self._convolution(features[level])))
            logits[level], codes[level] = self._objectness[level](shared), self._boxes[level](shared)
        return logits, codes


class MaskRcnnBoxPredictor(tf_keras.layers.Layer):
    """The second stage: a trunk over each crop, then dropout and a dense layer, for classes and for boxes.

    As the API's predictors/mask_rcnn_keras_box_predictor.py, without masks. Model Garden's `DetectionHead` knows
    neither conv5 as its trunk nor dropout, and gives background a box.
    """

    def __init__(self, *, config: Any, num_classes: int, trunk: tf_keras.Model, **kwargs: Any) -> None:
        """Creates the layers.

        Args:
            config: A `MaskRCNNBoxPredictor` message.
            num_classes: Classes without background.
            trunk: Maps crops [N, size, size, channels] to [N, features].
            **kwargs: Of the Keras layer.
        """
        super().__init__(**kwargs)
        read = LayerHyperparams.from_config(config.fc_hyperparams)
        self.trunk = trunk
        # Classes and boxes drop different features, as the API's two heads do.
        rate = 1.0 - config.dropout_keep_probability if config.use_dropout else 0.0
        self._class_dropout, self._box_dropout = tf_keras.layers.Dropout(rate), tf_keras.layers.Dropout(rate)
        boxes = 1 if config.share_box_across_classes else num_classes
        self._class_predictor = tf_keras.layers.Dense(
            num_classes + 1, name="class_predictor", **read.convolution_arguments()
        )
        self._box_predictor = tf_keras.layers.Dense(4 * boxes, name="box_predictor", **read.convolution_arguments())
        self._class_norm, self._box_norm = read.batch_norm("class_norm"), read.batch_norm("box_norm")

    def call(self, crops: tf.Tensor, training: bool | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Classifies and refines proposals.

        Args:
            crops: [B, N, size, size, channels].
            training: Whether dropout acts and batch norm trains.

        Returns:
            Class logits [B, N, classes + 1], background first, and box codes [B, N, 1 or classes, 4].
        """
        batch_size, num_proposals = tf.shape(crops)[0], tf.shape(crops)[1]
        features = self.trunk(tf.reshape(crops, [-1, *crops.shape[2:]]), training=training)
        logits = self._class_norm(self._class_predictor(self._class_dropout(features, training=training)))
        codes = self._box_norm(self._box_predictor(self._box_dropout(features, training=training)))
        return (
            tf.reshape(logits, [batch_size, num_proposals, logits.shape[-1]]),
            tf.reshape(codes, [batch_size, num_proposals, codes.shape[-1] // 4, 4]),
        )
