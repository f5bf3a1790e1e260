"""Anchors of a whole input, made once: NumPy constants, never recomputed a picture.

Every function gives boxes as ymin, xmin, ymax, xmax in pixels of the padded input, not clipped, ordered by row, column,
then anchor, with the aspect ratio as the outer and the scale as the inner loop: the Object Detection API's order, which
its checkpoints' last layers depend on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np


def grid_anchors(
    *,
    feature_shape: tuple[int, int],
    scales: Sequence[float],
    aspect_ratios: Sequence[float],
    base_size: tuple[float, float],
    stride: tuple[float, float],
    offset: tuple[float, float],
) -> np.ndarray:
    """Tiles a set of anchors over the cells of one feature map.

    Args:
        feature_shape: Height and width of the feature map, in cells.
        scales: Sizes relative to `base_size`.
        aspect_ratios: Width over height.
        base_size: Height and width, in pixels, of an anchor of scale and aspect ratio 1.
        stride: Pixels between neighbouring cells, down and across.
        offset: Pixels from the input's top left corner to the first cell's centre, down and across.

    Returns:
        float32 [feature height * feature width * anchors a cell, 4], ymin xmin ymax xmax in pixels.
    """
    scale_grid, ratio_grid = np.meshgrid(np.asarray(scales, np.float32), np.sqrt(np.asarray(aspect_ratios, np.float32)))
    heights = (scale_grid / ratio_grid * base_size[0]).ravel()
    widths = (scale_grid * ratio_grid * base_size[1]).ravel()
    y_centers = np.arange(feature_shape[0], dtype=np.float32) * stride[0] + offset[0]
    x_centers = np.arange(feature_shape[1], dtype=np.float32) * stride[1] + offset[1]
    centers = np.stack(np.meshgrid(y_centers, x_centers, indexing="ij"), axis=-1).reshape(-1, 1, 2)
    half_sizes = np.stack([heights, widths], axis=-1)[np.newaxis] / 2
    return np.concatenate([centers - half_sizes, centers + half_sizes], axis=-1).reshape(-1, 4).astype(np.float32)


def multiscale_anchors(generator: Any, input_shape: tuple[int, int]) -> dict[int, np.ndarray]:
    """Makes the anchors of a `multiscale_anchor_generator`: one size a pyramid level, in octaves.

    Where the input is no multiple of a level's stride, that level's first anchor is centred on 0 and not half a stride
    in, as in the Object Detection API.

    Args:
        generator: A `MultiscaleAnchorGenerator` message.
        input_shape: Height and width of the padded input, in pixels.

    Returns:
        For each level, float32 [anchors, 4], ymin xmin ymax xmax in pixels.
    """
    scales = [2 ** (octave / generator.scales_per_octave) for octave in range(generator.scales_per_octave)]
    anchors = {}
    for level in range(generator.min_level, generator.max_level + 1):
        stride = 2**level
        offset = [stride / 2 if side % stride == 0 else 0.0 for side in input_shape]
        anchors[level] = grid_anchors(
            feature_shape=(math.ceil(input_shape[0] / stride), math.ceil(input_shape[1] / stride)),
            scales=scales,
            aspect_ratios=list(generator.aspect_ratios),
            base_size=(stride * generator.anchor_scale, stride * generator.anchor_scale),
            stride=(stride, stride),
            offset=(offset[0], offset[1]),
        )
    return anchors


def single_map_anchors(generator: Any, input_shape: tuple[int, int], feature_stride: int) -> np.ndarray:
    """Makes the anchors of a `grid_anchor_generator`: all sizes on one feature map.

    Args:
        generator: A `GridAnchorGenerator` message.
        input_shape: Height and width of the padded input, in pixels.
        feature_stride: Pixels of the input a cell of the feature map.

    Returns:
        float32 [anchors, 4], ymin xmin ymax xmax in pixels.
    """
    return grid_anchors(
        feature_shape=(math.ceil(input_shape[0] / feature_stride), math.ceil(input_shape[1] / feature_stride)),
        scales=list(generator.scales),
        aspect_ratios=list(generator.aspect_ratios),
        base_size=(generator.height, generator.width),
        stride=(generator.height_stride, generator.width_stride),
        offset=(generator.height_offset, generator.width_offset),
    )
