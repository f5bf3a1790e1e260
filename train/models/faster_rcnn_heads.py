"""Faster R-CNN's heads: the region proposal network's, and the second stage's box predictor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from configs.settings import heads
from configs.settings.layers import Hyperparams
from train.models.api_objects import place, tree
from train.models.dropout import RepeatableDropout
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
        hyperparams: Hyperparams,
        depth: int,
        kernel_size: int,
        dilation_rate: int,
        anchors_per_location: Sequence[int],
        levels: Sequence[str],
        **kwargs: Any,
    ) -> None:
        """Creates the layers.

        Args:
            hyperparams: `first_stage_box_predictor_conv_hyperparams`.
            depth: Filters of the convolution.
            kernel_size: Of the convolution.
            dilation_rate: Of the convolution, `first_stage_atrous_rate`.
            anchors_per_location: Anchors in each cell, one number a level.
            levels: Names of the feature maps to predict on, finest first.
            **kwargs: Of the Keras layer.
        """
        super().__init__(**kwargs)
        self._levels = list(levels)
        read = LayerHyperparams(hyperparams)
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

    @property
    def api_objects(self) -> dict[str, Any]:
        """Its layers in the trees in which the API's checkpoints hold them: two of its model's attributes."""
        return {
            "_first_stage_box_predictor_first_conv": tree(
                **{"layer_with_weights-0": self._convolution, "layer_with_weights-1": self._norm}
            ),
            "_first_stage_box_predictor": tree(
                _prediction_heads={
                    "box_encodings": [tree(_box_encoder_layers=[self._boxes[level]]) for level in self._levels],
                    "class_predictions_with_background": [
                        tree(_class_predictor_layers=[self._objectness[level]]) for level in self._levels
                    ],
                }
            ),
        }

    def shared_features(self, features: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Output of the convolution that levels share for one feature map, [B, height, width, depth]."""
        return tf.nn.relu6(self._norm(self._convolution(features), training=training))

    def call(
        self, features: Mapping[str, tf.Tensor], training: bool | None = None
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Predicts at every level.

        Args:
            features: For each level's name, [B, height, width, channels].
            training: Whether batch norm trains.

        Returns:
            Objectness logits by level [B, height, width, anchors * 2], background before object, and box codes by
            level [B, height, width, anchors * 4].
        """
        logits, codes = {}, {}
        for level in self._levels:
            shared = self.shared_features(features[level], training)
            logits[level], codes[level] = self._objectness[level](shared), self._boxes[level](shared)
        return logits, codes


class MaskRcnnBoxPredictor(tf_keras.layers.Layer):
    """The second stage after its features: a spatial mean, dropout and a dense layer, for classes and for boxes.

    As the API's predictors/mask_rcnn_keras_box_predictor.py, without masks. Model Garden's `DetectionHead` knows
    neither conv5 as its trunk nor dropout, and gives background a box.
    """

    def __init__(self, *, settings: heads.MaskRcnnBoxPredictor, num_classes: int, **kwargs: Any) -> None:
        """Creates the layers.

        Args:
            settings: Of the head.
            num_classes: Classes without background.
            **kwargs: Of the Keras layer.
        """
        super().__init__(**kwargs)
        read = LayerHyperparams(settings.fc_hyperparams)
        # Classes and boxes drop different features, as the API's two heads do.
        self._drops = settings.use_dropout
        rate = 1.0 - settings.dropout_keep_probability if self._drops else 0.0
        self._class_dropout, self._box_dropout = RepeatableDropout(rate), RepeatableDropout(rate)
        boxes = 1 if settings.share_box_across_classes else num_classes
        self._class_predictor = tf_keras.layers.Dense(
            num_classes + 1, name="class_predictor", **read.convolution_arguments()
        )
        self._box_predictor = tf_keras.layers.Dense(4 * boxes, name="box_predictor", **read.convolution_arguments())
        self._class_norm, self._box_norm = read.batch_norm("class_norm"), read.batch_norm("box_norm")

    @property
    def api_objects(self) -> tf.Module:
        """Its layers in the tree in which the API's checkpoints hold them: what `_mask_rcnn_box_predictor` is there."""
        # Flattening comes first there, and dropout where there is some.
        before = [place() for _ in range(1 + self._drops)]
        return tree(
            _box_prediction_head=tree(_box_encoder_layers=[*before, self._box_predictor, self._box_norm]),
            _class_prediction_head=tree(_class_predictor_layers=[*before, self._class_predictor, self._class_norm]),
        )

    def call(self, features: tf.Tensor, training: bool | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Classifies and refines proposals.

        Args:
            features: [N, height, width, channels] or [N, channels].
            training: Whether dropout acts and batch norm trains.

        Returns:
            Class logits [N, classes + 1], background first, and box codes [N, 1 or classes, 4].
        """
        if features.shape.rank == 4:
            features = tf.reduce_mean(features, axis=[1, 2])
        logits = self._class_norm(
            self._class_predictor(self._class_dropout(features, training=training)), training=training
        )
        codes = self._box_norm(self._box_predictor(self._box_dropout(features, training=training)), training=training)
        return logits, tf.reshape(codes, [-1, codes.shape[-1] // 4, 4])
