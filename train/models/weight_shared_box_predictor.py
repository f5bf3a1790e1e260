"""RetinaNet's heads: convolutions that all feature maps share, with each map's own normalisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from configs.settings import heads
from train.models.api_objects import place, tree
from train.models.dropout import RepeatableDropout
from train.models.hyperparams import LayerHyperparams

Predictions = tuple[dict[str, tf.Tensor], dict[str, tf.Tensor], dict[str, tf.Tensor]]


class WeightSharedConvolutionalBoxPredictor(tf_keras.layers.Layer):
    """The heads that a `weight_shared_convolutional_box_predictor` describes.

    As the API's WeightSharedConvolutionalBoxPredictor in predictors/convolutional_keras_box_predictor.py, with the
    heads of predictors/heads/keras_box_head.py and keras_class_head.py: towers of convolution, normalisation and
    activation, one for classes and one for boxes or one for both; dropout before the classes' last convolution; and
    where feature maps differ in depth, a 1x1 convolution that brings each to the commonest.

    Model Garden's `RetinaNetHead` fixes its initializers, has no common tower and no kernel size, all of which the
    settings can say; so this stands in its place, with its calling convention.
    """

    def __init__(
        self,
        *,
        settings: heads.WeightSharedConvolutionalBoxPredictor,
        num_class_slots: int,
        anchors_per_location: int,
        levels: Sequence[str],
        **kwargs: Any,
    ) -> None:
        """Creates the layers.

        Args:
            settings: Of the heads.
            num_class_slots: Class logits an anchor.
            anchors_per_location: Anchors in each cell of every map.
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
        self._projections: dict[str, Any] = {}
        self._projection_norms: dict[str, Any] = {}
        self._towers: dict[str, list[Any]] = {}
        self._norms: dict[str, dict[str, list[Any]]] = {}
        for tower in ["shared"] if settings.share_prediction_tower else ["classes", "boxes"]:
            depth = range(settings.num_layers_before_predictor)
            self._towers[tower] = [self._tower_convolution(f"{tower}_tower_{i}") for i in depth]
            self._norms[tower] = {
                level: [self._hyperparams.batch_norm(f"{tower}_tower_{i}_norm_{level}") for i in depth]
                for level in self._levels
            }
        self._class_predictor = self._predicting_convolution(
            num_class_slots * anchors_per_location,
            "class_predictor",
            tf_keras.initializers.Constant(settings.class_prediction_bias_init),
        )
        self._box_predictor = self._predicting_convolution(
            settings.box_code_size * anchors_per_location, "box_predictor", tf_keras.initializers.Zeros()
        )

    @property
    def _tower_bias(self) -> bool:
        return self._settings.conv_hyperparams.force_use_bias or not self._hyperparams.has_norm

    def _tower_convolution(self, name: str) -> tf_keras.layers.Layer:
        arguments = {
            "filters": self._settings.depth,
            "kernel_size": self._settings.kernel_size,
            "padding": "same",
            "use_bias": self._tower_bias,
            "name": name,
        }
        if self._settings.use_depthwise:
            pointwise = self._settings.apply_conv_hyperparams_pointwise
            return tf_keras.layers.SeparableConv2D(
                **arguments, **self._hyperparams.separable_arguments(pointwise=pointwise)
            )
        return tf_keras.layers.Conv2D(**arguments, **self._hyperparams.convolution_arguments())

    def _predicting_convolution(self, filters: int, name: str, bias: Any) -> tf_keras.layers.Layer:
        arguments = {
            "filters": filters,
            "kernel_size": self._settings.kernel_size,
            "padding": "same",
            "bias_initializer": bias,
            "name": name,
        }
        if self._settings.use_depthwise:
            described = self._settings.apply_conv_hyperparams_to_heads
            return tf_keras.layers.SeparableConv2D(
                **arguments, **self._hyperparams.separable_arguments(depthwise=described, pointwise=described)
            )
        return tf_keras.layers.Conv2D(**arguments, **self._hyperparams.convolution_arguments())

    def build(self, input_shape: Mapping[str, Any]) -> None:
        """Adds the projections, once the feature maps' depths are known.

        Args:
            input_shape: Each level's, the channels last.
        """
        depths = [input_shape[level][-1] for level in self._levels]
        if len(set(depths)) > 1:
            commonest = max(set(depths), key=depths.count)
            for level in self._levels:
                self._projections[level] = tf_keras.layers.Conv2D(
                    commonest,
                    1,
                    use_bias=self._tower_bias,
                    name=f"projection_{level}",
                    **self._hyperparams.convolution_arguments(),
                )
                self._projection_norms[level] = self._hyperparams.batch_norm(f"projection_{level}_norm")
        super().build(input_shape)

    @property
    def api_objects(self) -> tf.Module:
        """Its layers in the tree in which the API's checkpoints hold them: what `_box_predictor` is there."""
        scopes = {"shared": "PredictionTower", "boxes": "BoxPredictionTower", "classes": "ClassPredictionTower"}
        heads = {"shared": "box_encodings", "boxes": "box_encodings", "classes": "class_predictions_with_background"}
        dropout = [place()] if self._dropout is not None else []
        return tree(
            _box_prediction_head=tree(_box_encoder_layers=[self._box_predictor]),
            _prediction_heads={
                "class_predictions_with_background": tree(_class_predictor_layers=[*dropout, self._class_predictor])
            },
            _additional_projection_layers=[self._projection_layers(level) for level in self._levels],
            _base_tower_layers_for_heads={
                heads[tower]: [self._tower_layers(tower, level) for level in self._levels] for tower in self._towers
            },
            _head_scope_conv_layers={scopes[tower]: list(layers) for tower, layers in self._towers.items()},
        )

    def _projection_layers(self, level: str) -> list[Any]:
        return [self._projections[level], self._projection_norms[level]] if level in self._projections else []

    def _tower_layers(self, tower: str, level: str) -> list[Any]:
        """As the API lists them: convolution, normalisation where there is one, activation, and again."""
        layers: list[Any] = []
        for convolution, norm in zip(self._towers[tower], self._norms[tower][level], strict=True):
            layers += [convolution, *([norm] if self._hyperparams.has_norm else []), place()]
        return layers

    def _run_tower(self, tower: str, level: str, features: tf.Tensor, training: bool | None) -> tf.Tensor:
        for convolution, norm in zip(self._towers[tower], self._norms[tower][level], strict=True):
            features = self._hyperparams.activate(norm(convolution(features), training=training))
        return features

    def call(self, features: Mapping[str, tf.Tensor], training: bool | None = None) -> Predictions:
        """Predicts at every level.

        Args:
            features: For each level's name, [B, height, width, channels].
            training: Whether dropout acts and batch norm learns. Where `score_converter` says so, class logits become
                scores only where it does not, as in the API, whose losses take logits in training.

        Returns:
            Class logits by level [B, height, width, anchors * slots], box codes by level
            [B, height, width, anchors * code size], and an empty dictionary where Model Garden has attributes.
        """
        logits, codes = {}, {}
        for level in self._levels:
            at_level = features[level]
            if level in self._projections:
                at_level = self._projection_norms[level](self._projections[level](at_level), training=training)
            if self._settings.share_prediction_tower:
                for_boxes = for_classes = self._run_tower("shared", level, at_level, training)
            else:
                for_boxes = self._run_tower("boxes", level, at_level, training)
                for_classes = self._run_tower("classes", level, at_level, training)
            if self._dropout is not None:
                for_classes = self._dropout(for_classes, training=training)
            logits[level] = self._class_predictor(for_classes)
            if self._settings.score_converter == "SIGMOID" and not training:
                logits[level] = tf.sigmoid(logits[level])
            codes[level] = clip_codes(self._box_predictor(for_boxes), self._settings.box_encodings_clip_range)
        return logits, codes, {}


def clip_codes(codes: tf.Tensor, limits: heads.BoxEncodingsClipRange | None) -> tf.Tensor:
    """Keeps box codes within limits, where there are any."""
    return codes if limits is None else tf.clip_by_value(codes, limits.min, limits.max)
