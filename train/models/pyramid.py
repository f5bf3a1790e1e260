"""The feature pyramid between a backbone and the heads: Model Garden's FPN, as a feature extractor's message has it."""

from __future__ import annotations

from typing import Any

import tf_keras
from official.vision.modeling.decoders import fpn

from train.models.hyperparams import LayerHyperparams


def build_pyramid(backbone: tf_keras.Model, extractor: Any, *, use_depthwise: bool = False) -> tf_keras.Model:
    """Builds a pyramid on a backbone's levels.

    Args:
        backbone: With `output_specs` by level.
        extractor: An `SsdFeatureExtractor` message.
        use_depthwise: Whether its convolutions are separable.

    Each level is added to the next finer one upsampled by 2, so the input's sides must be multiples of the coarsest
    backbone level's stride (see `pyramid_stride`); padding makes them so. Sides may be None.

    Returns:
        Maps features by level to features by level, from `fpn.min_level` to `fpn.max_level`.
    """
    hyperparams = LayerHyperparams.from_config(extractor.conv_hyperparams)
    pyramid = fpn.FPN(
        input_specs=backbone.output_specs,
        min_level=extractor.fpn.min_level,
        max_level=extractor.fpn.max_level,
        num_filters=extractor.fpn.additional_layer_depth,
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


def pyramid_stride(extractor: Any) -> int:
    """The stride, in pixels, of the coarsest backbone level that a feature extractor's pyramid adds up."""
    return 2 ** min(5, extractor.fpn.max_level)
