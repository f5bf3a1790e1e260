"""Anchor grids: the base class of anchor generators, and anchors repeated over the cells of feature maps.

Boxes are ymin, xmin, ymax, xmax in pixels of the input, not clipped, ordered by feature map, row, column, then anchor:
the Object Detection API's order, which its checkpoints' last layers depend on.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import tensorflow as tf

from configs.settings.anchors import AnchorSettings

# Pixels or cells: a Python int where it is known beforehand, else an int32 scalar.
Side: TypeAlias = int | tf.Tensor
Shape: TypeAlias = tuple[Side, Side]


def tile_anchors(
    feature_shape: Shape,
    *,
    sizes: Sequence[tuple[float, float]],
    base_size: tuple[Any, Any],
    stride: tuple[Any, Any],
    offset: tuple[Any, Any],
) -> tf.Tensor:
    """Repeats a set of anchors at every cell of one feature map.

    Args:
        feature_shape: Height and width of the feature map, in cells.
        sizes: For each anchor of a cell, its scale and its aspect ratio (width over height).
        base_size: Height and width, in pixels, of an anchor of scale and aspect ratio 1.
        stride: Pixels between neighbouring cells, down and across.
        offset: Pixels from the input's top left corner to the first cell's centre, down and across.

    Returns:
        float32 [feature height * feature width * anchors a cell, 4], ymin xmin ymax xmax in pixels.
    """
    scales = tf.constant([scale for scale, _ in sizes], tf.float32)
    ratio_roots = tf.sqrt(tf.constant([ratio for _, ratio in sizes], tf.float32))
    anchor_sides = tf.stack([scales / ratio_roots * base_size[0], scales * ratio_roots * base_size[1]], axis=-1)
    centers = tf.stack(
        tf.meshgrid(
            tf.cast(tf.range(feature_shape[0]), tf.float32) * stride[0] + offset[0],
            tf.cast(tf.range(feature_shape[1]), tf.float32) * stride[1] + offset[1],
            indexing="ij",
        ),
        axis=-1,
    )[:, :, tf.newaxis]
    half_sides = 0.5 * anchor_sides
    return tf.reshape(tf.concat([centers - half_sides, centers + half_sides], axis=-1), [-1, 4])


@dataclasses.dataclass(frozen=True)
class AnchorGenerator(abc.ABC):
    """Makes the anchors of one or more feature maps.

    Attributes:
        settings: Of the anchors.
    """

    settings: AnchorSettings

    @abc.abstractmethod
    def _generate_map(self, index: int, feature_shape: Shape, input_shape: Shape) -> tf.Tensor:
        """Makes the anchors of the feature map at `index`."""

    def anchors_per_location(self, num_maps: int) -> list[int]:
        """Anchors in each cell, one number a feature map, finest first.

        Raises:
            ValueError: The settings describe another number of feature maps than `num_maps`.
        """
        if num_maps != self.settings.number_of_maps:
            raise ValueError(
                f"the anchor generator describes {self.settings.number_of_maps} feature maps, "
                f"and the feature extractor has {num_maps}"
            )
        return self.settings.anchors_per_location

    def generate(self, feature_shapes: Sequence[Shape], input_shape: Shape) -> list[tf.Tensor]:
        """Makes the anchors of a whole input.

        Args:
            feature_shapes: Height and width of each feature map, in cells, finest first.
            input_shape: Height and width of the input, in pixels.

        Returns:
            For each feature map, float32 [height * width * anchors, 4], ymin xmin ymax xmax in pixels. Where all sides
            are Python ints, these are made at once, outside of any graph that is being traced.

        Raises:
            ValueError: The settings describe another number of feature maps.
        """
        return self._generate_maps(self._generate_map, feature_shapes, input_shape)

    def generate_normalized(self, feature_shapes: Sequence[Shape], input_shape: Shape) -> list[tf.Tensor]:
        """Makes the anchors of a whole input in 0..1 of it, as the API's SSD compares and codes them.

        To the last bit: a small box lies in many anchors of one size, which all overlap it alike but for rounding, and
        rounding then says which of them is to find it.

        Args:
            feature_shapes: As for `generate`.
            input_shape: As for `generate`.

        Returns:
            As `generate`, but relative to the input.

        Raises:
            ValueError: As `generate`.
        """
        return self._generate_maps(self._generate_normalized_map, feature_shapes, input_shape)

    def _generate_normalized_map(self, index: int, feature_shape: Shape, input_shape: Shape) -> tf.Tensor:
        """Makes the anchors of the feature map at `index` in 0..1; as the API's to_normalized_coordinates."""
        per_pixel = [1.0 / tf.cast(side, tf.float32) for side in input_shape]
        return self._generate_map(index, feature_shape, input_shape) * tf.stack(per_pixel * 2)

    def _generate_maps(
        self, generate_map: Callable[..., tf.Tensor], feature_shapes: Sequence[Shape], input_shape: Shape
    ) -> list[tf.Tensor]:
        self.anchors_per_location(len(feature_shapes))
        is_static = all(isinstance(side, int) for shape in (*feature_shapes, input_shape) for side in shape)
        with tf.init_scope() if is_static else contextlib.nullcontext():
            return [generate_map(index, shape, input_shape) for index, shape in enumerate(feature_shapes)]
