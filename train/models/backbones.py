"""Model Garden's backbones (EfficientNet-Lite, and any other by Model Garden's name) and its feature pyramid."""

from __future__ import annotations

import json
from typing import Any

import tf_keras
from official.vision.configs import backbones, common
from official.vision.modeling.backbones import factory
from official.vision.modeling.decoders import fpn

from configs.settings.backbones import READER as ANY_BACKBONE
from configs.settings.backbones import ModelGardenBackbone
from configs.settings.extractors import FeaturePyramidNetworks, SsdFeatureExtractor
from configs.settings.networks import EFFICIENTNET_LITES
from train.models.efficientnet_lite import EfficientNetLite
from train.models.hyperparams import LayerHyperparams

# Without `override_base_feature_extractor_hyperparams`, as EfficientNet-Lite was trained.
_LITE_MOMENTUM, _LITE_EPSILON = 0.99, 1e-3


def build_backbone(
    settings: SsdFeatureExtractor,
    backbone: ModelGardenBackbone | None,
    *,
    height: int | None,
    width: int | None,
) -> tf_keras.Model:
    """Builds a feature extractor's backbone.

    With `override_base_feature_extractor_hyperparams` its layers are as `conv_hyperparams` says; else they are the
    network's own, but for the kernels' regularizer.

    Args:
        settings: Of the feature extractor.
        backbone: What `ssd_model_garden_fpn` stands on.
        height: Of the input, in pixels; None where it varies.
        width: Of the input, in pixels; None where it varies.

    Returns:
        A network with `output_specs` by level.

    Raises:
        ValueError: The backbone cannot be built, or has other feature maps than the pyramid needs.
    """
    hyperparams = LayerHyperparams(settings.conv_hyperparams)
    override = settings.override_base_feature_extractor_hyperparams
    input_specs = tf_keras.layers.InputSpec(shape=[None, height, width, 3])
    if settings.type != ANY_BACKBONE:
        network = EfficientNetLite(
            EFFICIENTNET_LITES[settings.type],
            input_specs=input_specs,
            activation=hyperparams.activation if override else "relu6",
            use_sync_bn=override and hyperparams.is_synchronized,
            norm_momentum=hyperparams.norm_momentum if override else _LITE_MOMENTUM,
            norm_epsilon=hyperparams.norm_epsilon if override else _LITE_EPSILON,
            kernel_initializer=hyperparams.initializer_config() if override else "VarianceScaling",
            kernel_regularizer=hyperparams.regularizer(),
        )
    else:
        assert backbone is not None, "extensions.model_garden_backbone is not set"
        network = _build_named(
            backbone,
            input_specs,
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
            for level in range(settings.pyramid.min_level, min(5, settings.pyramid.max_level) + 1)
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


def _build_named(settings: ModelGardenBackbone, input_specs: Any, norm: Any, regularizer: Any) -> tf_keras.Model:
    config = backbones.Backbone(type=settings.type)
    try:
        for text in settings.parameter:
            name, _, value = text.partition(":")
            config.get().override({name.strip(): _parameter_value(value.strip())})
        return factory.build_backbone(input_specs, config, norm, regularizer)
    # Model Garden has no one error for values that it cannot use.
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        given = ", ".join(settings.parameter) or "its defaults"
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(
            f"extensions.model_garden_backbone: {settings.type} cannot be built with {given}: {first}"
        ) from error


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


def build_pyramid(backbone: tf_keras.Model, settings: SsdFeatureExtractor) -> tf_keras.Model:
    """Builds the feature pyramid between a backbone and the heads, as a feature extractor's settings have it.

    Each level is added to the next finer one upsampled by 2, so the input's sides must be multiples of the coarsest
    backbone level's stride (`settings.stride`); padding makes them so. Sides may be None.

    Args:
        backbone: With `output_specs` by level.
        settings: Of the feature extractor.

    Returns:
        Maps features by level to features by level, from `fpn.min_level` to `fpn.max_level`.
    """
    hyperparams = LayerHyperparams(settings.conv_hyperparams)
    described, use_depthwise = settings.pyramid, settings.use_depthwise
    assert isinstance(described, FeaturePyramidNetworks)
    pyramid = fpn.FPN(
        input_specs=backbone.output_specs,
        min_level=described.min_level,
        max_level=described.max_level,
        num_filters=described.additional_layer_depth,
        use_separable_conv=use_depthwise,
        activation=hyperparams.activation,
        use_sync_bn=hyperparams.is_synchronized,
        norm_momentum=hyperparams.norm_momentum,
        norm_epsilon=hyperparams.norm_epsilon,
        kernel_initializer=hyperparams.initializer_config(),
        kernel_regularizer=None if use_depthwise else hyperparams.regularizer(),
    )
    if use_depthwise:
        hyperparams.apply_to_separable(pyramid)
    hyperparams.apply_to_batch_norms(pyramid)
    return pyramid
