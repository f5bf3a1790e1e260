"""Augmentations that cut or pad the image to a square.

Each takes an image (uint8 or float32 [H, W, 3], 0..255), its `GroundTruth`, and a seed ([2], see `randomness`), and
returns the first two changed. Parameters, defaults and meaning are those of the Object Detection API's
core/preprocessor.py. Boxes are cut off at the square's edge, and those wholly outside left out.
"""

from __future__ import annotations

import tensorflow as tf

from train.inputs.augmentations.augmentation import Augmentation
from train.inputs.ground_truth import BOXES, GroundTruth, box_area, clip_to_window, keep, relative_to_window, with_boxes
from train.inputs.randomness import split, uniform, uniform_integer

_LARGEST_SIZE_BITS = 31


def random_square_crop_by_scale(
    image: tf.Tensor,
    ground_truth: GroundTruth,
    seed: tf.Tensor,
    *,
    max_border: int,
    scale_min: float,
    scale_max: float,
    num_scales: int,
) -> tuple[tf.Tensor, GroundTruth]:
    """Cuts out a square of the longer side times a random scale; what lies beyond the image is black.

    CenterNet's augmentation (https://arxiv.org/abs/1904.07850). The API leaves the image's last row and column, and
    the last ones of a square of an odd side, black; here they are image.

    Args:
        image: As in the module's docstring.
        ground_truth: As in the module's docstring.
        seed: As in the module's docstring.
        max_border: How near to the image's edge, in pixels, the square's centre may come; halved until it is at most
            half the image's height or width.
        scale_min: The smallest scale.
        scale_max: The largest scale.
        num_scales: How many scales there are to pick from, in equal steps from the smallest to the largest.
    """
    scale_seed, y_seed, x_seed = split(seed, 3)
    size = tf.shape(image)[:2]
    scale = tf.linspace(scale_min, scale_max, num_scales)[uniform_integer(scale_seed, 0, num_scales)]
    side = tf.maximum(tf.cast(scale * tf.cast(tf.reduce_max(size), tf.float32), tf.int32), 1)
    border = _border(max_border, size)
    centre = [
        uniform_integer(axis_seed, border[axis], size[axis] - border[axis] + 1)
        for axis, axis_seed in enumerate((y_seed, x_seed))
    ]
    begin = tf.minimum(tf.stack(centre), size - 1) - side // 2
    low, high = tf.maximum(begin, 0), tf.minimum(begin + side, size)
    square = tf.image.pad_to_bounding_box(
        image[low[0] : high[0], low[1] : high[1]], low[0] - begin[0], low[1] - begin[1], side, side
    )
    square.set_shape([None, None, 3])
    window = tf.cast(tf.concat([begin, begin + side], axis=0), tf.float32) / tf.cast(tf.tile(size, [2]), tf.float32)
    return square, _clipped(ground_truth, relative_to_window(ground_truth[BOXES], window))


def random_scale_crop_and_pad_to_square(
    image: tf.Tensor,
    ground_truth: GroundTruth,
    seed: tf.Tensor,
    *,
    scale_min: float,
    scale_max: float,
    output_size: int,
) -> tuple[tf.Tensor, GroundTruth]:
    """Scales the longer side to `output_size` times a random factor, then crops or pads to a square of that size.

    EfficientDet's augmentation (https://arxiv.org/abs/1911.09070). What is missing at the bottom and the right is
    black.

    Args:
        image: As in the module's docstring.
        ground_truth: As in the module's docstring.
        seed: As in the module's docstring.
        scale_min: The smallest factor.
        scale_max: The largest factor.
        output_size: Height and width of the result, in pixels.
    """
    scale_seed, y_seed, x_seed = split(seed, 3)
    shape = tf.cast(tf.shape(image)[:2], tf.float32)
    scaled_size = tf.cast(
        uniform(scale_seed, scale_min, scale_max) * output_size * shape / tf.reduce_max(shape), tf.int32
    )
    scaled_size = tf.maximum(scaled_size, 1)
    room = tf.cast(tf.maximum(scaled_size - output_size, 0), tf.float32)
    offset = tf.cast(room * tf.stack([uniform(y_seed), uniform(x_seed)]), tf.int32)
    scaled = tf.cast(tf.compat.v1.image.resize(image, scaled_size), tf.float32)
    cropped = scaled[offset[0] : offset[0] + output_size, offset[1] : offset[1] + output_size]
    square = tf.image.pad_to_bounding_box(cropped, 0, 0, output_size, output_size)
    square.set_shape([output_size, output_size, 3])
    # Boxes in pixels of the scaled image, then relative to the square.
    pixels = tf.tile(tf.cast(scaled_size, tf.float32), [2])
    shifted = ground_truth[BOXES] * pixels - tf.tile(tf.cast(offset, tf.float32), [2])
    return square, _clipped(ground_truth, shifted / output_size)


def _border(max_border: int, size: tf.Tensor) -> tf.Tensor:
    """Halves `max_border` for each of the sizes, int32 [N], until it is at most half of it; not below 1."""
    doubled = tf.cast(size, tf.int64)[:, tf.newaxis] * 2 ** tf.range(_LARGEST_SIZE_BITS, dtype=tf.int64)
    halvings = tf.reduce_sum(tf.cast(2 * max_border > doubled, tf.int32), axis=1)
    return max_border // tf.clip_by_value(2**halvings, 1, max(max_border, 1))


def _clipped(ground_truth: GroundTruth, boxes: tf.Tensor) -> GroundTruth:
    boxes = clip_to_window(boxes, tf.constant([0.0, 0.0, 1.0, 1.0]))
    return keep(with_boxes(ground_truth, boxes), box_area(boxes) > 0.0)


# By the option's name in the schema.
AUGMENTATIONS: dict[str, Augmentation] = {
    "random_scale_crop_and_pad_to_square": Augmentation(random_scale_crop_and_pad_to_square, needs_float=False),
    "random_square_crop_by_scale": Augmentation(random_square_crop_by_scale, needs_float=False),
}
