"""The anchor generator of plain SSD, as the API's anchor_generators/multiple_grid_anchor_generator.py."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import tensorflow as tf

from train.models.anchor_grid import AnchorGenerator, Shape, tile_anchors


@dataclasses.dataclass(frozen=True)
class SsdAnchorGenerator(AnchorGenerator):
    """An `ssd_anchor_generator`: scales that grow linearly from map to map (Liu et al., "SSD", section 2.2).

    Attributes:
        sizes: For each feature map, each anchor's scale and aspect ratio (width over height).
        base_size: Height and width of an anchor of scale and aspect ratio 1, in shorter sides of the input.
        strides: For each feature map, pixels between neighbouring cells, down and across; None divides the input
            evenly.
        offsets: For each feature map, pixels to the first cell's centre, down and across; None is half a stride.
    """

    sizes: tuple[tuple[tuple[float, float], ...], ...]
    base_size: tuple[float, float]
    strides: tuple[tuple[int, int], ...] | None
    offsets: tuple[tuple[int, int], ...] | None

    @classmethod
    def from_config(cls, config: Any) -> SsdAnchorGenerator:
        """Reads an `SsdAnchorGenerator` message.

        Raises:
            ValueError: A list of strides or offsets has another length than there are feature maps.
        """
        scales = [*(config.scales or _linear_scales(config)), 1.0]
        sizes: list[tuple[tuple[float, float], ...]] = []
        for index, (scale, next_scale) in enumerate(itertools.pairwise(scales[: config.num_layers + 1])):
            if index == 0 and config.reduce_boxes_in_lowest_layer:
                sizes.append(((0.1, 1.0), (scale, 2.0), (scale, 0.5)))
                continue
            anchors = [(scale, ratio) for ratio in config.aspect_ratios]
            if config.interpolated_scale_aspect_ratio > 0.0:
                anchors.append((math.sqrt(scale * next_scale), config.interpolated_scale_aspect_ratio))
            sizes.append(tuple(anchors))
        return cls(
            sizes=tuple(sizes),
            base_size=(config.base_anchor_height, config.base_anchor_width),
            strides=_pairs(config, "stride", len(sizes)),
            offsets=_pairs(config, "offset", len(sizes)),
        )

    @property
    def num_anchors_by_map(self) -> list[int]:
        """See `AnchorGenerator.num_anchors_by_map`."""
        return [len(anchors) for anchors in self.sizes]

    def _generate_normalized_map(self, index: int, feature_shape: Shape, input_shape: Shape) -> tf.Tensor:
        sides = [tf.cast(side, tf.float32) for side in input_shape]
        shorter = tf.minimum(*sides)
        if self.strides is None:
            stride = [1.0 / tf.cast(cells, tf.float32) for cells in feature_shape]
        else:
            stride = [pixels / side for pixels, side in zip(self.strides[index], sides, strict=True)]
        if self.offsets is None:
            offset = [0.5 * step for step in stride]
        else:
            offset = [pixels / side for pixels, side in zip(self.offsets[index], sides, strict=True)]
        base_size = [shorter / side * base for side, base in zip(sides, self.base_size, strict=True)]
        return tile_anchors(
            feature_shape,
            sizes=self.sizes[index],
            base_size=(base_size[0], base_size[1]),
            stride=(stride[0], stride[1]),
            offset=(offset[0], offset[1]),
        )

    def _generate_map(self, index: int, feature_shape: Shape, input_shape: Shape) -> tf.Tensor:
        sides = [tf.cast(side, tf.float32) for side in input_shape]
        return self._generate_normalized_map(index, feature_shape, input_shape) * tf.stack(sides * 2)


def _linear_scales(config: Any) -> list[float]:
    """One scale a feature map, from `min_scale` to `max_scale`."""
    steps = max(config.num_layers - 1, 1)
    span = config.max_scale - config.min_scale
    return [config.min_scale + span * index / steps for index in range(config.num_layers)]


def _pairs(config: Any, name: str, num_maps: int) -> tuple[tuple[int, int], ...] | None:
    """Reads `height_NAME` and `width_NAME`; None where the message has neither."""
    heights, widths = (list(getattr(config, f"{axis}_{name}")) for axis in ("height", "width"))
    if not heights and not widths:
        return None
    if not len(heights) == len(widths) == num_maps:
        raise ValueError(
            f"ssd_anchor_generator has {num_maps} feature maps, but {len(heights)} height_{name} and "
            f"{len(widths)} width_{name}: give one of each a feature map, or none"
        )
    return tuple(zip(heights, widths, strict=True))
