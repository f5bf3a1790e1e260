"""Box predictors: the layers that turn feature maps, or crops of them, into class logits and box codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from train.models.hyperparams import LayerHyperparams


class WeightSharedConvolutionalBoxPredictor(tf_keras.layers.Layer):
    """RetinaNet's heads as a `weight_shared_convolutional_box_predictor` describes them.

    Model Garden's `RetinaNetHead` fixes its initializers, has no common tower and no kernel size, all of which the
    message can say; so this stands in its place, with its calling convention.
    """

    def __init__(
        self, *, config: Any, num_classes: int, anchors_per_location: int, min_level: int, max_level: int, **kwargs: Any
    ) -> None:
        """Creates the layers.

        Args:
            config: A `WeightSharedConvolutionalBoxPredictor` message.
            num_classes: Classes without background.
            anchors_per_location: Anchors in each cell.
            min_level: The finest feature map's level.
            max_level: The coarsest feature map's level.
            **kwargs: Of the Keras layer.
        """
        super().__init__(**kwargs)
        self._levels = [str(level) for level in range(min_level, max_level + 1)]
        self._config = config
        self._hyperparams = LayerHyperparams.from_config(config.conv_hyperparams)
        self._activation = tf_keras.activations.get(self._hyperparams.activation)
        self._shares_tower = config.share_prediction_tower
        self._towers: dict[str, list[Any]] = {}
        self._norms: dict[str, dict[str, list[Any]]] = {}
        for tower in ["shared"] if self._shares_tower else ["classes", "boxes"]:
            depth = range(config.num_layers_before_predictor)
            self._towers[tower] = [self._convolution(config.depth, f"{tower}_tower_{i}") for i in depth]
            self._norms[tower] = {
                level: [self._norm(f"{tower}_tower_{i}_norm_{level}") for i in depth] for level in self._levels
            }
        self._class_predictor = self._convolution(
            num_classes * anchors_per_location,
            "class_predictor",
            bias=tf_keras.initializers.Constant(config.class_prediction_bias_init),
        )
        self._box_predictor = self._convolution(4 * anchors_per_location, "box_predictor", bias="zeros")

    def _convolution(self, filters: int, name: str, bias: Any = None) -> tf_keras.layers.Layer:
        hyperparams = self._hyperparams
        has_bias = bias is not None or not hyperparams.has_batch_norm or self._config.conv_hyperparams.force_use_bias
        shared = {
            "filters": filters,
            "kernel_size": self._config.kernel_size,
            "padding": "same",
            "use_bias": has_bias,
            "bias_initializer": bias or "zeros",
            "name": name,
        }
        if self._config.use_depthwise:
            return tf_keras.layers.SeparableConv2D(
                depthwise_initializer=hyperparams.initializer(),
                pointwise_initializer=hyperparams.initializer(),
                depthwise_regularizer=hyperparams.regularizer(),
                pointwise_regularizer=hyperparams.regularizer(),
                **shared,
            )
        return tf_keras.layers.Conv2D(
            kernel_initializer=hyperparams.initializer(), kernel_regularizer=hyperparams.regularizer(), **shared
        )

    def _norm(self, name: str) -> tf_keras.layers.Layer:
        if self._hyperparams.has_batch_norm:
            return self._hyperparams.batch_norm(name)
        return tf_keras.layers.Activation("linear", name=name)

    def _run_tower(self, tower: str, level: str, features: tf.Tensor) -> tf.Tensor:
        for convolution, norm in zip(self._towers[tower], self._norms[tower][level], strict=True):
            features = self._activation(norm(convolution(features)))
        return features

    def call(self, features: Mapping[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor], dict]:
        """Predicts at every level.

        Args:
            features: For each level's name, [B, height, width, channels].

        Returns:
            Class logits by level [B, height, width, anchors * classes], box codes by level
            [B, height, width, anchors * 4], and an empty dictionary where Model Garden has attributes.
        """
        logits, codes = {}, {}
        for level in self._levels:
            for_classes = self._run_tower("shared" if self._shares_tower else "classes", level, features[level])
            for_boxes = for_classes if self._shares_tower else self._run_tower("boxes", level, features[level])
            logits[level] = self._class_predictor(for_classes)
            codes[level] = self._box_predictor(for_boxes)
        return logits, codes, {}


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
