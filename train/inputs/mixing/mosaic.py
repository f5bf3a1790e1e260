"""Mosaic: four images that meet in one point of one image.

Bochkovskiy, Wang and Liao, "YOLOv4: Optimal Speed and Accuracy of Object Detection", 2020,
https://arxiv.org/abs/2004.10934, section 3.3. The point where they meet is drawn as in its authors' program, anywhere
but near the edges. TF Model Garden has a mosaic (`official.projects.yolo`), which draws from TensorFlow's stateful
generators, so that no run could be repeated or gone on with, and keeps no weights or flags of objects.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from configs.settings.mixing import Mosaic
from train.inputs.ground_truth import (
    BOXES,
    box_area,
    clip_to_window,
    keep,
    relative_to_window,
    share_inside,
    with_boxes,
)
from train.inputs.mixing.example import Example, join, place, size_of
from train.inputs.randomness import split, uniform, uniform_integer

_WHOLE = (0.0, 0.0, 1.0, 1.0)


def mosaic(examples: Sequence[Example], seed: tf.Tensor, settings: Mosaic) -> Example:
    """Puts four images together to one of the size of the first.

    Each is scaled by a random factor, larger where it would not fill its quarter otherwise, and of it a random part as
    large as its quarter is taken. Objects of which too little is in sight are left out, boxes of others are cut off.

    Args:
        examples: Four; top left, top right, bottom left and bottom right.
        seed: [2] integers.
        settings: The factors, and where the four may meet.
    """
    center_seed, *tile_seeds = split(seed, 5)
    height, width = tf.unstack(tf.shape(examples[0].image)[:2])
    low, high = settings.min_center, 1.0 - settings.min_center
    center = tf.random.stateless_uniform([2], center_seed, low, high) * size_of(examples[0].image)
    middle_y, middle_x = tf.unstack(tf.cast(tf.round(center), tf.int32))
    rows, columns = (middle_y, height - middle_y), (middle_x, width - middle_x)
    tiles = [
        _tile(example, tile_seed, settings, tf.stack([rows[index // 2], columns[index % 2]]), tf.stack([height, width]))
        for index, (example, tile_seed) in enumerate(zip(examples, tile_seeds, strict=True))
    ]
    halves = [tf.concat([tiles[index].image, tiles[index + 1].image], axis=1) for index in (0, 2)]
    middle = tf.cast(tf.stack([middle_y, middle_x]), tf.float32) / size_of(examples[0].image)
    y, x = (0.0, middle[0], 1.0), (0.0, middle[1], 1.0)
    windows = [tf.stack([y[index // 2], x[index % 2], y[index // 2 + 1], x[index % 2 + 1]]) for index in range(4)]
    objects = join(*(place(tile.ground_truth, window) for tile, window in zip(tiles, windows, strict=True)))
    has_area = box_area(objects[BOXES]) > 0.0  # a quarter may be without rows or columns
    return Example(tf.concat(halves, axis=0), keep(objects, has_area))


def _tile(example: Example, seed: tf.Tensor, settings: Mosaic, size: tf.Tensor, canvas: tf.Tensor) -> Example:
    """Cuts a part out of an image and brings it to a size, int32 [2], height and width in pixels of the canvas."""
    scale_seed, y_seed, x_seed = split(seed, 3)
    own_size, target = size_of(example.image), tf.cast(size, tf.float32)
    fit = tf.reduce_min(tf.cast(canvas, tf.float32) / own_size)
    factor = uniform(scale_seed, settings.min_scale, settings.max_scale) * fit
    factor = tf.maximum(factor, tf.reduce_max(target / own_size))
    own_pixels = tf.shape(example.image)[:2]
    taken = tf.clip_by_value(tf.cast(tf.round(target / factor), tf.int32), 1, own_pixels)
    slack = own_pixels - taken + 1
    start = tf.stack([uniform_integer(y_seed, 0, slack[0]), uniform_integer(x_seed, 0, slack[1])])
    end = start + taken
    part = example.image[start[0] : end[0], start[1] : end[1]]
    # No image can be resized to nothing.
    resized = tf.image.resize(part, tf.maximum(size, 1))[: size[0], : size[1]]
    window = tf.concat([tf.cast(start, tf.float32) / own_size, tf.cast(end, tf.float32) / own_size], axis=0)
    boxes = example.ground_truth[BOXES]
    inside = clip_to_window(relative_to_window(boxes, window), tf.constant(_WHOLE))
    is_seen = (share_inside(boxes, window) >= settings.min_box_share) & (box_area(inside) > 0.0)
    return Example(resized, keep(with_boxes(example.ground_truth, inside), is_seen))
