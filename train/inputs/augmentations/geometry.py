"""Augmentations that move, scale or turn the whole picture, its boxes with it, or the boxes alone.

Each takes a picture (uint8 or float32 [H, W, 3], 0..255), its `GroundTruth`, and a seed ([2], see `randomness`), and
returns the first two changed. Parameters and their defaults are the Object Detection API's.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from train.inputs.augmentations import parameters
from train.inputs.augmentations.augmentation import Augmentation
from train.inputs.ground_truth import BOXES, GroundTruth, box_area, clip_to_window, keep, with_boxes
from train.inputs.randomness import happens, split, uniform

JITTER_MODES = (
    "default",
    "expand",
    "shrink",
    "expand_symmetric",
    "shrink_symmetric",
    "expand_symmetric_xy",
    "shrink_symmetric_xy",
)
_SMALLEST_SIDE = 1e-6  # of a box to jitter, relative to the picture


def random_horizontal_flip(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, *, probability: float = 0.5
) -> tuple[tf.Tensor, GroundTruth]:
    """Mirrors left and right with `probability`."""

    def flipped() -> tuple[tf.Tensor, tf.Tensor]:
        # `tf.reverse`, not a slice with a negative step: 0.6 ms a 640x480 picture where that took 11.
        ymin, xmin, ymax, xmax = tf.unstack(ground_truth[BOXES], axis=1)
        return tf.reverse(image, [1]), tf.stack([ymin, 1.0 - xmax, ymax, 1.0 - xmin], axis=1)

    image, boxes = tf.cond(happens(seed, probability), flipped, lambda: (image, ground_truth[BOXES]))
    return image, with_boxes(ground_truth, boxes)


def random_vertical_flip(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, *, probability: float = 0.5
) -> tuple[tf.Tensor, GroundTruth]:
    """Mirrors top and bottom with `probability`."""

    def flipped() -> tuple[tf.Tensor, tf.Tensor]:
        ymin, xmin, ymax, xmax = tf.unstack(ground_truth[BOXES], axis=1)
        return tf.reverse(image, [0]), tf.stack([1.0 - ymax, xmin, 1.0 - ymin, xmax], axis=1)

    image, boxes = tf.cond(happens(seed, probability), flipped, lambda: (image, ground_truth[BOXES]))
    return image, with_boxes(ground_truth, boxes)


def random_rotation90(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, *, probability: float = 0.5
) -> tuple[tf.Tensor, GroundTruth]:
    """Turns by 90 degrees counter-clockwise with `probability`; height and width change places."""

    def turned() -> tuple[tf.Tensor, tf.Tensor]:
        ymin, xmin, ymax, xmax = tf.unstack(ground_truth[BOXES], axis=1)
        return tf.image.rot90(image), tf.stack([1.0 - xmax, ymin, 1.0 - xmin, ymax], axis=1)

    image, boxes = tf.cond(happens(seed, probability), turned, lambda: (image, ground_truth[BOXES]))
    image.set_shape([None, None, 3])
    return image, with_boxes(ground_truth, boxes)


def random_image_scale(
    image: tf.Tensor,
    ground_truth: GroundTruth,
    seed: tf.Tensor,
    *,
    min_scale_ratio: float = 0.5,
    max_scale_ratio: float = 2.0,
) -> tuple[tf.Tensor, GroundTruth]:
    """Scales height and width by one factor between the two ratios; relative boxes stay as they are."""
    factor = uniform(seed, min_scale_ratio, max_scale_ratio)
    size = tf.cast(tf.cast(tf.shape(image)[:2], tf.float32) * factor, tf.int32)
    return tf.compat.v1.image.resize(image, tf.maximum(size, 1), align_corners=True), ground_truth


def random_jitter_boxes(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, *, ratio: float = 0.05, jitter_mode: str = "default"
) -> tuple[tf.Tensor, GroundTruth]:
    """Moves the edges of each box a little, as careless annotators do; the picture stays.

    Boxes are cut off at the picture's edge. One that shrinks to nothing (ratio near 1) is left out.

    Args:
        image: As in the module's docstring.
        ground_truth: As in the module's docstring.
        seed: As in the module's docstring.
        ratio: By which part of the box's height or width it may grow or shrink.
        jitter_mode: One of `JITTER_MODES`: `default` moves each edge for itself, outwards or inwards; `expand` and
            `shrink` only in the one direction; `..._symmetric` keeps the centre, `..._symmetric_xy` the proportions
            too.

    Raises:
        ValueError: An unknown mode.
    """
    if jitter_mode not in JITTER_MODES:
        raise ValueError(f"jitter_mode {jitter_mode!r} is none of {', '.join(JITTER_MODES)}")
    low = 0.0 if jitter_mode.startswith("expand") else -ratio
    high = 0.0 if jitter_mode.startswith("shrink") else ratio
    boxes = ground_truth[BOXES]
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2.0
    sides = tf.maximum(boxes[:, 2:] - boxes[:, :2], _SMALLEST_SIDE)
    factors = 1.0 + tf.random.stateless_uniform([tf.shape(boxes)[0], 4], seed, low, high)
    if jitter_mode.endswith("_symmetric_xy"):
        factors = tf.tile(factors[:, :1], [1, 4])
    elif jitter_mode.endswith("_symmetric"):
        factors = tf.tile(factors[:, :2], [1, 2])
    if "symmetric" in jitter_mode:
        # An edge stops at the picture's, and so must the one across from it, or the centre would move.
        largest = 2.0 * tf.minimum(centre, 1.0 - centre) / sides
        if jitter_mode.endswith("_xy"):
            largest = tf.tile(tf.reduce_min(largest, axis=1, keepdims=True), [1, 2])
        factors = tf.minimum(factors, tf.tile(largest, [1, 2]))
    top_left = centre - sides * factors[:, :2] / 2.0
    bottom_right = centre + sides * factors[:, 2:] / 2.0
    jittered = clip_to_window(tf.concat([top_left, bottom_right], axis=1), tf.constant([0.0, 0.0, 1.0, 1.0]))
    ground_truth = with_boxes(ground_truth, jittered)
    return image, keep(ground_truth, box_area(jittered) > 0.0)


def random_scale_crop_and_pad_to_square(
    image: tf.Tensor,
    ground_truth: GroundTruth,
    seed: tf.Tensor,
    *,
    scale_min: float = 0.1,
    scale_max: float = 2.0,
    output_size: int = 512,
) -> tuple[tf.Tensor, GroundTruth]:
    """Scales the longer side to `output_size` times a random factor, then crops or pads to a square of that size.

    EfficientDet's augmentation (https://arxiv.org/abs/1911.09070). What is missing at the bottom and the right is
    black; boxes are cut off at the edge, and those wholly outside left out.

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
    # Boxes in pixels of the scaled picture, then relative to the square.
    pixels = tf.tile(tf.cast(scaled_size, tf.float32), [2])
    shifted = ground_truth[BOXES] * pixels - tf.tile(tf.cast(offset, tf.float32), [2])
    boxes = clip_to_window(shifted / output_size, tf.constant([0.0, 0.0, 1.0, 1.0]))
    return square, keep(with_boxes(ground_truth, boxes), box_area(boxes) > 0.0)


def _jitter(message: Any) -> dict[str, Any]:
    parameters.require(0.0 <= message.ratio < 1.0, f"ratio is {message.ratio:g}; it must be 0 or more, and less than 1")
    mode = message.DESCRIPTOR.fields_by_name["jitter_mode"].enum_type.values_by_number[message.jitter_mode].name
    return {"ratio": message.ratio, "jitter_mode": mode.lower()}


def _square(message: Any) -> dict[str, Any]:
    parameters.require(message.output_size >= 1, f"output_size is {message.output_size}; it must be 1 or more")
    return {**parameters.interval("scale_min", "scale_max")(message), "output_size": message.output_size}


# By the option's name in the schema.
AUGMENTATIONS: dict[str, Augmentation] = {
    "random_horizontal_flip": Augmentation(random_horizontal_flip, parameters.probability, needs_float=False),
    "random_image_scale": Augmentation(random_image_scale, parameters.interval("min_scale_ratio", "max_scale_ratio")),
    "random_jitter_boxes": Augmentation(random_jitter_boxes, _jitter, needs_float=False),
    "random_rotation90": Augmentation(random_rotation90, parameters.probability, needs_float=False),
    "random_scale_crop_and_pad_to_square": Augmentation(
        random_scale_crop_and_pad_to_square, _square, needs_float=False
    ),
    "random_vertical_flip": Augmentation(random_vertical_flip, parameters.probability, needs_float=False),
}
