"""Anchor generators: the four that an `AnchorGenerator` message can name.

See `train.models.anchor_grid` for the order and the units of what they give. Meanings are those of the API's
anchor_generators and builders/anchor_generator_builder.py.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from train.models.anchor_grid import AnchorGenerator, Shape, tile_anchors
from train.models.ssd_anchors import SsdAnchorGenerator


@dataclasses.dataclass(frozen=True)
class GridAnchorGenerator(AnchorGenerator):
    """A `grid_anchor_generator`: every scale with every aspect ratio, on one feature map.

    Attributes:
        scales: Relative to `base_size`; the inner loop.
        aspect_ratios: Width over height; the outer loop.
        base_size: Height and width of an anchor of scale and aspect ratio 1, in pixels.
        stride: Pixels between neighbouring cells, down and across.
        offset: Pixels to the first cell's centre, down and across.
    """

    scales: tuple[float, ...]
    aspect_ratios: tuple[float, ...]
    base_size: tuple[float, float]
    stride: tuple[float, float]
    offset: tuple[float, float]

    @classmethod
    def from_config(cls, config: Any) -> GridAnchorGenerator:
        """Reads a `GridAnchorGenerator` message."""
        return cls(
            scales=tuple(config.scales),
            aspect_ratios=tuple(config.aspect_ratios),
            base_size=(config.height, config.width),
            stride=(config.height_stride, config.width_stride),
            offset=(config.height_offset, config.width_offset),
        )

    @property
    def num_anchors_by_map(self) -> list[int]:
        """See `AnchorGenerator.num_anchors_by_map`."""
        return [len(self.scales) * len(self.aspect_ratios)]

    def _generate_map(self, index: int, feature_shape: Shape, input_shape: Shape) -> tf.Tensor:
        return tile_anchors(
            feature_shape,
            sizes=[(scale, ratio) for ratio in self.aspect_ratios for scale in self.scales],
            base_size=self.base_size,
            stride=self.stride,
            offset=self.offset,
        )


@dataclasses.dataclass(frozen=True)
class MultiscaleAnchorGenerator(AnchorGenerator):
    """A `multiscale_anchor_generator`: one size a pyramid level, in octaves (RetinaNet).

    The first anchor of a level is centred half a stride in, but on 0 where the input is no multiple of the stride, as
    in the API; where the input's size is known only when the image is there, always half a stride in, as there too.

    Attributes:
        min_level, max_level: The stride of level n is 2**n pixels.
        anchor_scale: Side of the base anchor, in strides.
        aspect_ratios: Width over height; the outer loop.
        scales_per_octave: Sizes between a level's and the next one's; the inner loop.
    """

    min_level: int
    max_level: int
    anchor_scale: float
    aspect_ratios: tuple[float, ...]
    scales_per_octave: int

    @classmethod
    def from_config(cls, config: Any) -> MultiscaleAnchorGenerator:
        """Reads a `MultiscaleAnchorGenerator` message.

        `normalize_coordinates` says in which units the API's own parts pass anchors on, and changes nothing here.
        """
        return cls(
            config.min_level,
            config.max_level,
            config.anchor_scale,
            tuple(config.aspect_ratios),
            config.scales_per_octave,
        )

    @property
    def num_anchors_by_map(self) -> list[int]:
        """See `AnchorGenerator.num_anchors_by_map`."""
        return [len(self.aspect_ratios) * self.scales_per_octave] * (self.max_level - self.min_level + 1)

    def _generate_map(self, index: int, feature_shape: Shape, input_shape: Shape) -> tf.Tensor:
        stride = 2 ** (self.min_level + index)
        offset = [0.0 if isinstance(side, int) and side % stride else stride / 2 for side in input_shape]
        scales = [2 ** (octave / self.scales_per_octave) for octave in range(self.scales_per_octave)]
        return tile_anchors(
            feature_shape,
            sizes=[(scale, ratio) for ratio in self.aspect_ratios for scale in scales],
            base_size=(stride * self.anchor_scale, stride * self.anchor_scale),
            stride=(stride, stride),
            offset=(offset[0], offset[1]),
        )


@dataclasses.dataclass(frozen=True)
class FlexibleGridAnchorGenerator(AnchorGenerator):
    """A `flexible_grid_anchor_generator`: every feature map's anchors spelled out.

    Attributes:
        sizes: For each feature map, each anchor's side in pixels and its aspect ratio (width over height).
        strides: For each feature map, pixels between neighbouring cells, down and across.
        offsets: For each feature map, pixels to the first cell's centre, down and across.
    """

    sizes: tuple[tuple[tuple[float, float], ...], ...]
    strides: tuple[tuple[int, int], ...]
    offsets: tuple[tuple[int, int], ...]

    @classmethod
    def from_config(cls, config: Any) -> FlexibleGridAnchorGenerator:
        """Reads a `FlexibleGridAnchorGenerator` message, of which `normalize_coordinates` changes nothing here.

        Raises:
            ValueError: A grid has not as many sizes as aspect ratios.
        """
        for index, grid in enumerate(config.anchor_grid):
            if len(grid.base_sizes) != len(grid.aspect_ratios):
                raise ValueError(
                    f"flexible_grid_anchor_generator.anchor_grid[{index}] has {len(grid.base_sizes)} base_sizes and "
                    f"{len(grid.aspect_ratios)} aspect_ratios: each size goes with the ratio at its place"
                )
        grids = config.anchor_grid
        return cls(
            sizes=tuple(tuple(zip(grid.base_sizes, grid.aspect_ratios, strict=True)) for grid in grids),
            strides=tuple((grid.height_stride, grid.width_stride) for grid in grids),
            offsets=tuple((grid.height_offset, grid.width_offset) for grid in grids),
        )

    @property
    def num_anchors_by_map(self) -> list[int]:
        """See `AnchorGenerator.num_anchors_by_map`."""
        return [len(anchors) for anchors in self.sizes]

    def _generate_map(self, index: int, feature_shape: Shape, input_shape: Shape) -> tf.Tensor:
        return tile_anchors(
            feature_shape,
            sizes=self.sizes[index],
            base_size=(1.0, 1.0),
            stride=self.strides[index],
            offset=self.offsets[index],
        )


_GENERATORS: dict[str, Any] = {
    "grid_anchor_generator": GridAnchorGenerator,
    "multiscale_anchor_generator": MultiscaleAnchorGenerator,
    "ssd_anchor_generator": SsdAnchorGenerator,
    "flexible_grid_anchor_generator": FlexibleGridAnchorGenerator,
}


def build_anchor_generator(message: Any) -> AnchorGenerator:
    """Builds the generator that an `AnchorGenerator` message names.

    Raises:
        ValueError: The message names none, or its lists do not belong together.
    """
    kind = message.WhichOneof("anchor_generator_oneof")
    if kind is None:
        raise ValueError(f"anchor_generator is empty: give one of {', '.join(_GENERATORS)}")
    return _GENERATORS[kind].from_config(getattr(message, kind))
