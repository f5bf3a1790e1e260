"""The anchor generator of plain SSD, as the API's anchor_generators/multiple_grid_anchor_generator.py."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from configs.settings import anchors
from train.models.anchor_grid import AnchorGenerator, Shape, tile_anchors


@dataclasses.dataclass(frozen=True)
class SsdAnchorGenerator(AnchorGenerator):
    """Scales that grow linearly from map to map (Liu et al., "SSD", section 2.2)."""

    settings: anchors.SsdAnchorGenerator

    def _generate_normalized_map(self, index: int, feature_shape: Shape, input_shape: Shape) -> tf.Tensor:
        ssd = self.settings
        sides = [tf.cast(side, tf.float32) for side in input_shape]
        shorter = tf.minimum(*sides)
        if ssd.height_stride:
            strides = (ssd.height_stride[index], ssd.width_stride[index])
            stride = [pixels / side for pixels, side in zip(strides, sides, strict=True)]
        else:
            stride = [1.0 / tf.cast(cells, tf.float32) for cells in feature_shape]
        if ssd.height_offset:
            offsets = (ssd.height_offset[index], ssd.width_offset[index])
            offset = [pixels / side for pixels, side in zip(offsets, sides, strict=True)]
        else:
            offset = [0.5 * step for step in stride]
        base = (ssd.base_anchor_height, ssd.base_anchor_width)
        base_size = [shorter / side * part for side, part in zip(sides, base, strict=True)]
        return tile_anchors(
            feature_shape,
            sizes=ssd.sizes[index],
            base_size=(base_size[0], base_size[1]),
            stride=(stride[0], stride[1]),
            offset=(offset[0], offset[1]),
        )

    def _generate_map(self, index: int, feature_shape: Shape, input_shape: Shape) -> tf.Tensor:
        sides = [tf.cast(side, tf.float32) for side in input_shape]
        return self._generate_normalized_map(index, feature_shape, input_shape) * tf.stack(sides * 2)
