"""Box predictors: the layers that turn feature maps, or crops of them, into class logits and box codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from train.models.convolutional_box_predictor import ConvolutionalBoxPredictor
from train.models.hyperparams import LayerHyperparams
from train.models.weight_shared_box_predictor import WeightSharedConvolutionalBoxPredictor


def build_ssd_box_predictor(
    message: Any, *, num_class_slots: int, anchors_per_location: Sequence[int], levels: Sequence[str]
) -> tf_keras.layers.Layer:
    """Builds an SSD's heads.

    Args:
        message: A `BoxPredictor` message.
        num_class_slots: Class logits an anchor, background counted where it has one.
        anchors_per_location: Anchors in each cell, one number a level.
        levels: Names of the feature maps, finest first.

    Returns:
        A layer that maps features by level to class logits by level [B, height, width, anchors * slots], box codes by
        level [B, height, width, anchors * code size], and an empty dictionary. It makes its variables when first
        called.

    Raises:
        ValueError: The message describes no SSD's heads, or contradicts itself or the anchors.
    """
    kind = message.WhichOneof("box_predictor_oneof")
    if kind == "convolutional_box_predictor":
        return ConvolutionalBoxPredictor(
            message=message.convolutional_box_predictor,
            num_class_slots=num_class_slots,
            anchors_per_location=anchors_per_location,
            levels=levels,
            name="box_predictor",
        )
    if kind == "weight_shared_convolutional_box_predictor":
        if len(set(anchors_per_location)) != 1:
            raise ValueError(
                "weight_shared_convolutional_box_predictor shares its layers over feature maps, so all must have as "
                f"many anchors a cell; the anchor generator gives {list(anchors_per_location)}; write a "
                "convolutional_box_predictor, or an anchor generator with equal numbers"
            )
        return WeightSharedConvolutionalBoxPredictor(
            message=message.weight_shared_convolutional_box_predictor,
            num_class_slots=num_class_slots,
            anchors_per_location=anchors_per_location[0],
            levels=levels,
            name="box_predictor",
        )
    raise ValueError(
        f"model.ssd.box_predictor is a {kind}; write a convolutional_box_predictor or a "
        "weight_shared_convolutional_box_predictor"
    )


class RegionProposalPredictor(tf_keras.layers.Layer):
    """Faster R-CNN's first stage: a 3x3 convolution, then objectness and box codes, shared over levels."""

    def __init__(
        self,
        *,
        hyperparams: Any,
        depth: int,
        kernel_size: int,
        anchors_per_location: int,
        levels: list[str],
        **kwargs: Any,
    ) -> None:
        """Creates the layers.

        Args:
            hyperparams: The `first_stage_box_predictor_conv_hyperparams` message.
            depth: Filters of the convolution.
            kernel_size: Of the convolution.
            anchors_per_location: Anchors in each cell.
            levels: Names of the feature maps to predict on, finest first.
            **kwargs: Of the Keras layer.
        """
        super().__init__(**kwargs)
        self._levels = levels
        read = LayerHyperparams.from_config(hyperparams)

        def convolution(filters: int, size: int, name: str, activation: str | None = None) -> tf_keras.layers.Layer:
            return tf_keras.layers.Conv2D(
                filters,
                size,
                padding="same",
                activation=activation,
                kernel_initializer=read.initializer(),
                kernel_regularizer=read.regularizer(),
                name=name,
            )

        self._convolution = convolution(depth, kernel_size, "convolution", activation=read.activation)
        self._objectness = convolution(anchors_per_location, 1, "objectness")
        self._boxes = convolution(4 * anchors_per_location, 1, "boxes")

    def call(self, features: Mapping[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Predicts at every level.

        Args:
            features: For each level's name, [B, height, width, channels].

        Returns:
            Objectness logits by level [B, height, width, anchors] and box codes by level
            [B, height, width, anchors * 4].
        """
        scores, codes = {}, {}
        for level in self._levels:
            shared = self._convolution(features[level])
            scores[level], codes[level] = self._objectness(shared), self._boxes(shared)
        return scores, codes


class MaskRcnnBoxPredictor(tf_keras.layers.Layer):
    """Faster R-CNN's second stage: a trunk over each crop, dropout, then classes and boxes.

    Model Garden's `DetectionHead` knows neither conv5 as its trunk nor dropout, and gives background a box.
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
        hyperparams = LayerHyperparams.from_config(config.fc_hyperparams)
        self.trunk = trunk
        keep = config.dropout_keep_probability
        self._dropout = tf_keras.layers.Dropout(1.0 - keep) if config.use_dropout else None

        def dense(units: int, name: str) -> tf_keras.layers.Layer:
            return tf_keras.layers.Dense(
                units,
                kernel_initializer=hyperparams.initializer(),
                kernel_regularizer=hyperparams.regularizer(),
                name=name,
            )

        self._class_predictor = dense(num_classes + 1, "class_predictor")
        self._box_predictor = dense(4 if config.share_box_across_classes else 4 * num_classes, "box_predictor")

    def call(self, crops: tf.Tensor, training: bool | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Classifies and refines proposals.

        Args:
            crops: [B, N, size, size, channels].
            training: Whether dropout acts.

        Returns:
            Class logits [B, N, classes + 1], background first, and box codes [B, N, 4 or classes * 4].
        """
        num_proposals = tf.shape(crops)[1]
        features = self.trunk(tf.reshape(crops, [-1, *crops.shape[2:]]), training=training)
        if self._dropout is not None:
            features = self._dropout(features, training=training)
        logits, codes = self._class_predictor(features), self._box_predictor(features)
        return tuple(tf.reshape(x, [-1, num_proposals, x.shape[-1]]) for x in (logits, codes))
