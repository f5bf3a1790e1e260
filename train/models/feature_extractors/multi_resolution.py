"""SSD's first feature maps: some of the trunk's, then ever coarser ones (Liu et al., "SSD", section 2.1)."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
import tf_keras

from train.models.feature_extractors.conv_blocks import conv_block, explicit_padding, normalization, run
from train.models.hyperparams import LayerHyperparams


class MultiResolutionMaps(tf_keras.layers.Layer):
    """Adds coarser maps to the trunk's, as the API's `KerasMultiResolutionFeatureMaps`, with its attributes' names."""

    def __init__(
        self,
        hyperparams: LayerHyperparams,
        *,
        trunk_maps: int,
        depths: Sequence[int],
        base_name: str,
        use_depthwise: bool = False,
        use_explicit_padding: bool = False,
        freeze_batch_norm: bool = False,
        name: str = "FeatureMaps",
    ) -> None:
        """Creates the layers.

        Args:
            hyperparams: Of the layers.
            trunk_maps: How many of the trunk's maps are used as they are.
            depths: Channels of each added map.
            base_name: The trunk's last map, which layers are named after.
            use_depthwise: Whether a strided convolution is a depthwise one and a pointwise one.
            use_explicit_padding: Pads by the kernel's size.
            freeze_batch_norm: Whether batch norm keeps its moving statistics.
            name: Of the layer.
        """
        super().__init__(name=name)
        frozen = {"freeze_batch_norm": freeze_batch_norm}
        self.convolutions: list[list[tf_keras.layers.Layer]] = [[] for _ in range(trunk_maps)]
        for index, depth in enumerate(depths, start=trunk_maps):
            squeeze_name = f"{base_name}_1_Conv2d_{index}_1x1_{depth // 2}"
            layers = conv_block(hyperparams, depth // 2, 1, name=squeeze_name, **frozen)
            expand_name = f"{base_name}_2_Conv2d_{index}_3x3_s2_{depth}"
            if use_depthwise:
                if use_explicit_padding:
                    layers.append(explicit_padding(3))
                layers += _depthwise_block(hyperparams, expand_name, use_explicit_padding, freeze_batch_norm)
                layers += conv_block(hyperparams, depth, 1, name=expand_name, **frozen)
            else:
                layers += conv_block(
                    hyperparams,
                    depth,
                    3,
                    name=expand_name,
                    strides=2,
                    use_explicit_padding=use_explicit_padding,
                    **frozen,
                )
            self.convolutions.append(layers)

    def call(self, features: Sequence[tf.Tensor], training: bool | None = None) -> list[tf.Tensor]:
        """Runs the layers.

        Args:
            features: The trunk's maps, [B, H, W, C], finest first.
            training: Whether batch norm trains.

        Returns:
            Those maps and the added ones, finest first.
        """
        maps = list(features)
        for layers in self.convolutions[len(maps) :]:
            maps.append(run(layers, maps[-1], training))
        return maps


def _depthwise_block(
    hyperparams: LayerHyperparams, name: str, use_explicit_padding: bool, freeze_batch_norm: bool
) -> list[tf_keras.layers.Layer]:
    # The API hands `kernel_initializer` and `kernel_regularizer` to a layer that has depthwise ones only, so that its
    # depthwise kernel has Keras' defaults.
    convolution = tf_keras.layers.DepthwiseConv2D(
        3,
        strides=2,
        padding="valid" if use_explicit_padding else "same",
        use_bias=hyperparams.use_bias,
        name=f"{name}_depthwise_conv",
    )
    norm = normalization(hyperparams, f"{name}_depthwise_batchnorm", freeze_batch_norm=freeze_batch_norm)
    return [convolution, norm, tf_keras.layers.Activation(hyperparams.activation, name=f"{name}_depthwise")]
