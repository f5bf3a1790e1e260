"""The feature pyramid between a backbone and the heads: Model Garden's, as a feature extractor's settings have it."""

from __future__ import annotations

import tf_keras
from official.vision.modeling.decoders import fpn

from configs.settings.extractors import FeaturePyramidNetworks, SsdFeatureExtractor
from train.models.hyperparams import LayerHyperparams


def build_pyramid(backbone: tf_keras.Model, settings: SsdFeatureExtractor) -> tf_keras.Model:
    """Builds a pyramid on a backbone's levels.

    Args:
        backbone: With `output_specs` by level.
        settings: Of the feature extractor.

    Each level is added to the next finer one upsampled by 2, so the input's sides must be multiples of the coarsest
    backbone level's stride (`settings.stride`); padding makes them so. Sides may be None.

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
