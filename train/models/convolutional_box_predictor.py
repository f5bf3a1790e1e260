"""SSD's own heads: each feature map has convolutions, and a number of anchors, of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from configs.settings import heads
from train.models.api_objects import place, tree
from train.models.dropout import RepeatableDropout
from train.models.hyperparams import LayerHyperparams
from train.models.weight_shared_box_predictor import Predictions, clip_codes


class ConvolutionalBoxPredictor(tf_keras.layers.Layer):
    """The heads that a `convolutional_box_predictor` describes.

    As the API's ConvolutionalBoxPredictor in predictors/convolutional_keras_box_predictor.py, with its heads in
    predictors/heads/keras_box_head.py and keras_class_head.py: at each map 1x1 convolutions that classes and boxes
    share, dropout for the classes, and a convolution each. Depthwise heads have a depthwise convolution, normalisation
    and activation, then a 1x1 convolution; there the API sets neither the depthwise kernel's initializer and
    regularizer nor the classes' initial bias, whatever the settings say, and so does this. Nor does either know
    `apply_sigmoid_to_scores`, which only the API's TF1 heads do.
    """

    def __init__(
        self,
        *,
        settings: heads.ConvolutionalBoxPredictor,
        num_class_slots: int,
        anchors_per_location: Sequence[int],
        levels: Sequence[str],
        **kwargs: Any,
    ) -> None:
        """Creates the heads.

        Args:
            settings: Of the heads.
            num_class_slots: Class logits an anchor.
            anchors_per_location: Anchors in each cell, one number a level.
            levels: Names of the feature maps, finest first.
            **kwargs: Of the Keras layer.
        """
        super().__init__(**kwargs)
        self._settings = settings
        self._levels = list(levels)
        self._hyperparams = LayerHyperparams(settings.conv_hyperparams)
        self._dropout: tf_keras.layers.Layer | None = None
        if settings.use_dropout:
            self._dropout = RepeatableDropout(1.0 - settings.dropout_keep_probability)
        self._towers: dict[str, list[Any]] = {}
        self._norms: dict[str, list[Any]] = {}
        self._class_depthwise: dict[str, list[Any]] = {}
        self._box_depthwise: dict[str, list[Any]] = {}
        self._class_predictor: dict[str, Any] = {}
        self._box_predictor: dict[str, Any] = {}
        initial_bias = 0.0 if settings.use_depthwise else settings.class_prediction_bias_init
        for level, num_anchors in zip(self._levels, anchors_per_location, strict=True):
            if settings.use_depthwise:
                self._class_depthwise[level] = self._depthwise(f"class_depthwise_{level}")
                self._box_depthwise[level] = self._depthwise(f"box_depthwise_{level}")
            self._class_predictor[level] = self._predicting_convolution(
                num_anchors * num_class_slots, f"class_predictor_{level}", initial_bias
            )
            self._box_predictor[level] = self._predicting_convolution(
                num_anchors * settings.box_code_size, f"box_predictor_{level}", 0.0
            )

    def _depthwise(self, name: str) -> list[tf_keras.layers.Layer]:
        convolution = tf_keras.layers.DepthwiseConv2D(
            self._settings.kernel_size, padding="same", use_bias=self._hyperparams.use_bias, name=name
        )
        return [convolution, self._hyperparams.batch_norm(f"{name}_norm")]

    def _predicting_convolution(self, filters: int, name: str, initial_bias: float) -> tf_keras.layers.Layer:
        return tf_keras.layers.Conv2D(
            filters,
            1 if self._settings.use_depthwise else self._settings.kernel_size,
            padding="same",
            bias_initializer=tf_keras.initializers.Constant(initial_bias),
            name=name,
            **self._hyperparams.convolution_arguments(),
        )

    def build(self, input_shape: Mapping[str, Any]) -> None:
        """Adds the layers before the heads, whose depth is that of the feature map, between the settings' bounds.

        Args:
            input_shape: Each level's, the channels last.
        """
        settings, hyperparams = self._settings, self._hyperparams
        for level in self._levels:
            depth = max(min(input_shape[level][-1], settings.max_depth), settings.min_depth)
            layers = range(settings.num_layers_before_predictor if depth > 0 else 0)
            self._towers[level] = [
                tf_keras.layers.Conv2D(
                    depth,
                    1,
                    use_bias=hyperparams.use_bias,
                    name=f"tower_{level}_{i}",
                    **hyperparams.convolution_arguments(),
                )
                for i in layers
            ]
            self._norms[level] = [hyperparams.batch_norm(f"tower_{level}_{i}_norm") for i in layers]
        super().build(input_shape)

    @property
    def api_objects(self) -> tf.Module:
        """Its layers in the tree in which the API's checkpoints hold them: what `_box_predictor` is there."""

        def layers(depthwise: dict[str, list[Any]], predictor: dict[str, Any], level: str) -> list[Any]:
            before = [*depthwise[level], place()] if self._settings.use_depthwise else []
            return [*before, predictor[level]]

        dropout = [place()] if self._dropout is not None else []
        return tree(
            _prediction_heads={
                "box_encodings": [
                    tree(_box_encoder_layers=layers(self._box_depthwise, self._box_predictor, level))
                    for level in self._levels
                ],
                "class_predictions_with_background": [
                    tree(_class_predictor_layers=dropout + layers(self._class_depthwise, self._class_predictor, level))
                    for level in self._levels
                ],
            },
            _shared_nets=[
                [
                    layer
                    for pair in zip(self._towers[level], self._norms[level], strict=True)
                    for layer in (*pair, place())
                ]
                for level in self._levels
            ],
        )

    def _run_depthwise(self, head: list[Any], features: tf.Tensor, training: bool | None) -> tf.Tensor:
        convolution, norm = head
        return self._hyperparams.activate(norm(convolution(features), training=training))

    def call(self, features: Mapping[str, tf.Tensor], training: bool | None = None) -> Predictions:
        """Predicts at every level.

        Args:
            features: For each level's name, [B, height, width, channels].
            training: Whether dropout acts and batch norm learns.

        Returns:
            Class logits by level [B, height, width, anchors * slots], box codes by level
            [B, height, width, anchors * code size], and an empty dictionary where Model Garden has attributes.
        """
        logits, codes = {}, {}
        for level in self._levels:
            shared = features[level]
            for convolution, norm in zip(self._towers[level], self._norms[level], strict=True):
                shared = self._hyperparams.activate(norm(convolution(shared), training=training))
            for_boxes = for_classes = shared
            if self._dropout is not None:
                for_classes = self._dropout(for_classes, training=training)
            if self._settings.use_depthwise:
                for_boxes = self._run_depthwise(self._box_depthwise[level], for_boxes, training)
                for_classes = self._run_depthwise(self._class_depthwise[level], for_classes, training)
            logits[level] = self._class_predictor[level](for_classes)
            codes[level] = clip_codes(self._box_predictor[level](for_boxes), self._settings.box_encodings_clip_range)
        return logits, codes, {}
