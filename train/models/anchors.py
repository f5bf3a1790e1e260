"""Anchor generators: the four that a config can name.

See `train.models.anchor_grid` for the order and the units of what they give. Meanings are those of the API's
anchor_generators and builders/anchor_generator_builder.py.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from configs.settings import anchors
from train.models.anchor_grid import AnchorGenerator, Shape, tile_anchors
from train.models.ssd_anchors import SsdAnchorGenerator


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
