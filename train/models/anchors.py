"""Anchor generators: the four that a config can name.

See `train.models.anchor_grid` for the order and the units of what they give. Meanings are those of the API's
anchor_generators and builders/anchor_generator_builder.py.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from configs.settings import anchors
from train.models.anchor_grid import AnchorGenerator, Shape, tile_anchors


@dataclasses.dataclass(frozen=True)
class GridAnchorGenerator(AnchorGenerator):
    """Every scale with every aspect ratio, on one feature map."""

    settings: anchors.GridAnchorGenerator

    def _generate_map(self, index: int, feature_shape: Shape, input_shape: Shape) -> tf.Tensor:
        grid = self.settings
        return tile_anchors(
            feature_shape,
            sizes=grid.sizes[index],
            base_size=(grid.height, grid.width),
            stride=(grid.height_stride, grid.width_stride),
            offset=(grid.height_offset, grid.width_offset),
        )


@dataclasses.dataclass(frozen=True)
class MultiscaleAnchorGenerator(AnchorGenerator):
    """One size a pyramid level, in octaves (RetinaNet).

    The first anchor of a level is centred half a stride in, but on 0 where the input is no multiple of the stride, as
    in the API; where the input's size is known only when the image is there, always half a stride in, as there too.
    """

    settings: anchors.MultiscaleAnchorGenerator

    def _generate_map(self, index: int, feature_shape: Shape, input_shape: Shape) -> tf.Tensor:
        stride = 2 ** (self.settings.min_level + index)
        offset = [0.0 if isinstance(side, int) and side % stride else stride / 2 for side in input_shape]
        side = stride * self.settings.anchor_scale
        return tile_anchors(
            feature_shape,
            sizes=self.settings.sizes[index],
            base_size=(side, side),
            stride=(stride, stride),
            offset=(offset[0], offset[1]),
        )


@dataclasses.dataclass(frozen=True)
class FlexibleGridAnchorGenerator(AnchorGenerator):
    """Every feature map's anchors spelled out."""

    settings: anchors.FlexibleGridAnchorGenerator

    def _generate_map(self, index: int, feature_shape: Shape, input_shape: Shape) -> tf.Tensor:
        grid = self.settings.anchor_grid[index]
        return tile_anchors(
            feature_shape,
            sizes=self.settings.sizes[index],
            base_size=(1.0, 1.0),
            stride=(grid.height_stride, grid.width_stride),
            offset=(grid.height_offset, grid.width_offset),
        )


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


def build_anchor_generator(settings: anchors.AnchorGenerator) -> AnchorGenerator:
    """Builds the generator of settings."""
    match settings:
        case anchors.GridAnchorGenerator():
            return GridAnchorGenerator(settings)
        case anchors.MultiscaleAnchorGenerator():
            return MultiscaleAnchorGenerator(settings)
        case anchors.SsdAnchorGenerator():
            return SsdAnchorGenerator(settings)
        case anchors.FlexibleGridAnchorGenerator():
            return FlexibleGridAnchorGenerator(settings)
