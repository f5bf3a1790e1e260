"""The feature pyramid of Lin et al., "Feature Pyramid Networks for Object Detection", as the API builds it.

The coarsest map is a bare projection; every finer one is the coarser map, upsampled, added to a projection of the
trunk's and smoothed. Levels beyond the trunk's are strided convolutions on the coarsest map.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf
import tf_keras

from train.models.feature_extractors.conv_blocks import conv_block, run
from train.models.hyperparams import LayerHyperparams


class TopDownPyramid(tf_keras.layers.Layer):
    """Adds coarse feature maps to finer ones, as the API's `KerasFpnTopDownFeatureMaps`, with its attributes' names."""

    def __init__(
        self,
        hyperparams: LayerHyperparams,
        *,
        num_levels: int,
        depth: int,
        use_depthwise: bool = False,
        use_explicit_padding: bool = False,
        freeze_batch_norm: bool = False,
        name: str = "FeatureMaps",
    ) -> None:
        """Creates the layers.

        Args:
            hyperparams: Of the layers.
            num_levels: How many maps come in, and go out.
            depth: Their channels when they go out.
            use_depthwise: Whether smoothing convolutions are separable.
            use_explicit_padding: Pads by the kernel's size.
            freeze_batch_norm: Whether batch norm keeps its moving statistics.
            name: Of the layer.
        """
        super().__init__(name=name)

        def projection(level: int) -> tf_keras.layers.Layer:
            arguments = hyperparams.convolution_arguments()
            return tf_keras.layers.Conv2D(depth, 1, padding="same", name=f"projection_{level}", **arguments)

        self._crops = use_explicit_padding
        self.top_layers = [projection(num_levels)]
        self.residual_blocks = [[projection(level)] for level in range(num_levels - 1, 0, -1)]
        self.conv_layers = [
            conv_block(
                hyperparams,
                depth,
                3,
                name=f"smoothing_{level}",
                use_depthwise=use_depthwise,
                use_explicit_padding=use_explicit_padding,
                freeze_batch_norm=freeze_batch_norm,
            )
            for level in range(num_levels - 1, 0, -1)
        ]

    def call(self, features: Sequence[tf.Tensor], training: bool | None = None) -> list[tf.Tensor]:
        """Runs the pyramid.

        Args:
            features: The trunk's maps, [B, H, W, C], finest first, each twice as fine as the next.
            training: Whether batch norm trains.

        Returns:
            As many maps, [B, H, W, depth], finest first.
        """
        top_down = run(self.top_layers, features[-1], training)
        maps = [top_down]
        for residual, projection, smoothing in zip(
            reversed(features[:-1]), self.residual_blocks, self.conv_layers, strict=True
        ):
            projected = run(projection, residual, training)
            top_down = upsample(top_down)
            if self._crops:
                shape = tf.shape(projected)
                top_down = top_down[:, : shape[1], : shape[2]]
            top_down = run(smoothing, top_down + projected, training)
            maps.append(top_down)
        return maps[::-1]


def coarse_layers(
    hyperparams: LayerHyperparams,
    count: int,
    *,
    depth: int,
    names: Sequence[str],
    use_depthwise: bool = False,
    use_explicit_padding: bool = False,
    freeze_batch_norm: bool = False,
) -> list[list[tf_keras.layers.Layer]]:
    """Makes the strided convolutions that add `count` coarser levels, each a list of layers."""
    return [
        conv_block(
            hyperparams,
            depth,
            3,
            name=names[index],
            strides=2,
            use_depthwise=use_depthwise,
            use_explicit_padding=use_explicit_padding,
            freeze_batch_norm=freeze_batch_norm,
        )
        for index in range(count)
    ]


def upsample(features: tf.Tensor, factor: int = 2) -> tf.Tensor:
    """Repeats every cell of [B, H, W, C] `factor` times in both directions."""
    shape = tf.shape(features)
    sides = [(features.shape[axis] or shape[axis]) * factor for axis in (1, 2)]
    # The nearest neighbour of an integer factor; one fused op where repeating takes two passes over memory.
    return tf.raw_ops.ResizeNearestNeighbor(images=features, size=sides)
