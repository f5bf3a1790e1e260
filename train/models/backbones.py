"""Model Garden's backbones: EfficientNet-Lite0, and any other by Model Garden's own name."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras
from official.vision.configs import backbones, common
from official.vision.modeling.backbones import efficientnet, factory

from train.models.feature_extractors import pixels
from train.models.hyperparams import LayerHyperparams

LITE0 = "ssd_efficientnet-lite0_fpn_keras"
ANY_BACKBONE = "ssd_model_garden_fpn"
MODEL_GARDEN_TYPES = (LITE0, ANY_BACKBONE)
# Without `override_base_feature_extractor_hyperparams`, as EfficientNet-Lite0 was trained.
_LITE_MOMENTUM, _LITE_EPSILON = 0.99, 1e-3


def normalization_of(feature_extractor_type: str) -> Callable[[tf.Tensor], tf.Tensor]:
    """What maps float32 RGB 0..255 to what a network of this type was trained on; Model Garden's all have one."""
    return pixels.lite_centered if feature_extractor_type == LITE0 else pixels.standardized


def build_backbone(extractor: Any, backbone: Any, *, height: int | None, width: int | None) -> tf_keras.Model:
    """Builds the backbone that a feature extractor's message describes.

    With `override_base_feature_extractor_hyperparams` its layers are as `conv_hyperparams` says; else they are the
    network's own, but for the kernels' regularizer.

    Args:
        extractor: An `SsdFeatureExtractor` message.
        backbone: The `ModelGardenBackbone` message of `ssd_model_garden_fpn`.
        height: Of the input, in pixels; None where it varies.
        width: Of the input, in pixels; None where it varies.

    Returns:
        A network with `output_specs` by level.

    Raises:
        KeyError: No such type.
        ValueError: Model Garden has no such backbone, or it has no such parameter.
    """
    if extractor.type not in MODEL_GARDEN_TYPES:
        raise KeyError(extractor.type)
    hyperparams = LayerHyperparams.from_config(extractor.conv_hyperparams)
    override = extractor.override_base_feature_extractor_hyperparams
    input_specs = tf_keras.layers.InputSpec(shape=[None, height, width, 3])
    if extractor.type == LITE0:
        # Lite: no squeeze and excitation, ReLU6 throughout. At B0's scale its stem and head are not scaled either way.
        network = efficientnet.EfficientNet(
            model_id="b0",
            input_specs=input_specs,
            se_ratio=0.0,
            activation=hyperparams.activation if override else "relu6",
            use_sync_bn=override and hyperparams.is_synchronized,
            norm_momentum=hyperparams.norm_momentum if override else _LITE_MOMENTUM,
            norm_epsilon=hyperparams.norm_epsilon if override else _LITE_EPSILON,
            kernel_initializer=hyperparams.initializer_config() if override else "VarianceScaling",
            kernel_regularizer=hyperparams.regularizer(),
        )
    else:
        network = factory.build_backbone(
            input_specs,
            model_garden_config(backbone),
            common.NormActivation(
                activation=hyperparams.activation if override else "relu",
                use_sync_bn=override and hyperparams.is_synchronized,
                norm_momentum=hyperparams.norm_momentum if override else 0.99,
                norm_epsilon=hyperparams.norm_epsilon if override else 1e-3,
            ),
            hyperparams.regularizer(),
        )
        missing = [
            str(level)
            for level in range(extractor.fpn.min_level, min(5, extractor.fpn.max_level) + 1)
            if str(level) not in network.output_specs
        ]
        if missing:
            raise ValueError(
                f"extensions.model_garden_backbone.type: {backbone.type!r} gives feature maps of levels "
                f"{', '.join(network.output_specs)}, and feature_extractor.fpn needs {', '.join(missing)} too"
            )
    if override:
        hyperparams.apply_to_batch_norms(network)
    return network


def model_garden_config(message: Any) -> backbones.Backbone:
    """Reads a `ModelGardenBackbone` message in Model Garden's terms.

    Raises:
        ValueError: Model Garden has no such backbone, or it has no such parameter.
    """
    where = "extensions.model_garden_backbone"
    kinds = sorted(field.name for field in dataclasses.fields(backbones.Backbone) if field.name != "type")
    if message is None or message.type not in kinds:
        given = repr(message.type) if message is not None and message.type else "not set"
        raise ValueError(f"{where}.type is {given}; write one of Model Garden's: {', '.join(kinds)}")
    config = backbones.Backbone(type=message.type)
    parameters = config.get()
    for index, text in enumerate(message.parameter):
        name, _, value = text.partition(":")
        name = name.strip()
        if not value or name not in parameters.as_dict():
            raise ValueError(
                f"{where}.parameter[{index}]: {text!r} names no parameter of {message.type}; write NAME: VALUE, with "
                f"one of {', '.join(sorted(parameters.as_dict()))}"
            )
        try:
            parameters.override({name: _parameter_value(value.strip())})
        except (ValueError, TypeError) as error:
            raise ValueError(f"{where}.parameter[{index}]: {text!r}: {str(error).splitlines()[0]}") from error
    return config


def _parameter_value(text: str) -> Any:
    """A number, boolean, null or quoted text as JSON has it; anything else is text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def pyramid_features(backbone: tf_keras.Model) -> tf_keras.Model:
    """Cuts a Model Garden classifier's last layers off, which a detector never runs.

    Args:
        backbone: With `output_specs` by level.

    Returns:
        The same layers up to the coarsest of those levels; a checkpoint of it has the names of the whole backbone's.
    """
    if not isinstance(backbone.output, dict):
        return backbone
    outputs = {level: backbone.output[level] for level in backbone.output_specs}
    return tf_keras.Model(backbone.inputs, outputs, name="backbone")
