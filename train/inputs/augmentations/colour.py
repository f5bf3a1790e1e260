"""Augmentations that change colours and leave shapes and boxes alone.

Each takes a picture (float32 [H, W, 3], 0..255), its `GroundTruth`, and a seed ([2], see `randomness`), and returns
the first two; pixel values stay in 0..255. Parameters and their defaults are the Object Detection API's.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from train.inputs.augmentations import parameters
from train.inputs.augmentations.augmentation import Augmentation
from train.inputs.ground_truth import GroundTruth
from train.inputs.randomness import happens, split, uniform

LUMA_WEIGHTS = (0.2989, 0.5870, 0.1140)  # of red, green and blue: ITU-R BT.601, as TensorFlow rounds it


def random_adjust_brightness(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, *, max_delta: float = 0.2
) -> tuple[tf.Tensor, GroundTruth]:
    """Adds one number between -max_delta and max_delta, of the whole range, to all pixels."""
    return _in_range(image + 255.0 * uniform(seed, -max_delta, max_delta)), ground_truth


def random_adjust_contrast(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, *, min_delta: float = 0.8, max_delta: float = 1.25
) -> tuple[tf.Tensor, GroundTruth]:
    """Multiplies the distance from each channel's mean by a factor between the two deltas."""
    return _in_range(tf.image.adjust_contrast(image, uniform(seed, min_delta, max_delta))), ground_truth


def random_adjust_hue(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, *, max_delta: float = 0.02
) -> tuple[tf.Tensor, GroundTruth]:
    """Turns all hues by one angle between -max_delta and max_delta, in turns of the colour circle."""
    # Hue and saturation do not depend on the scale of the values, so 0..255 need not become 0..1 and back.
    return _in_range(tf.image.adjust_hue(image, uniform(seed, -max_delta, max_delta))), ground_truth


def random_adjust_saturation(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, *, min_delta: float = 0.8, max_delta: float = 1.25
) -> tuple[tf.Tensor, GroundTruth]:
    """Multiplies the saturation of all pixels by a factor between the two deltas."""
    return _in_range(tf.image.adjust_saturation(image, uniform(seed, min_delta, max_delta))), ground_truth


def random_distort_color(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, *, color_ordering: int = 0
) -> tuple[tf.Tensor, GroundTruth]:
    """Changes brightness, contrast, saturation and hue, each at random.

    Args:
        image: As in the module's docstring.
        ground_truth: As in the module's docstring.
        seed: As in the module's docstring.
        color_ordering: 0: brightness, saturation, hue, contrast. 1: brightness, contrast, saturation, hue.

    Raises:
        ValueError: Another ordering.
    """
    if color_ordering not in (0, 1):
        raise ValueError(f"color_ordering is {color_ordering}; it must be 0 or 1")
    brightness, saturation, hue, contrast = split(seed, 4)
    image, _ = random_adjust_brightness(image, ground_truth, brightness, max_delta=32.0 / 255.0)
    if color_ordering == 1:
        image, _ = random_adjust_contrast(image, ground_truth, contrast, min_delta=0.5, max_delta=1.5)
    image, _ = random_adjust_saturation(image, ground_truth, saturation, min_delta=0.5, max_delta=1.5)
    image, _ = random_adjust_hue(image, ground_truth, hue, max_delta=0.2)
    if color_ordering == 0:
        image, _ = random_adjust_contrast(image, ground_truth, contrast, min_delta=0.5, max_delta=1.5)
    return image, ground_truth


def random_rgb_to_gray(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, *, probability: float = 0.1
) -> tuple[tf.Tensor, GroundTruth]:
    """Takes the colour out, leaving three equal channels, with `probability`."""

    def grey() -> tf.Tensor:
        luma = tf.reduce_sum(image * tf.constant(LUMA_WEIGHTS), axis=-1, keepdims=True)
        return tf.repeat(luma, 3, axis=-1)

    return tf.cond(happens(seed, probability), grey, lambda: image), ground_truth


def random_pixel_value_scale(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, *, minval: float = 0.9, maxval: float = 1.1
) -> tuple[tf.Tensor, GroundTruth]:
    """Multiplies every value of every pixel by a factor of its own between `minval` and `maxval`."""
    factors = tf.random.stateless_uniform(tf.shape(image), seed, minval, maxval)
    return _in_range(image * factors), ground_truth


def random_black_patches(
    image: tf.Tensor,
    ground_truth: GroundTruth,
    seed: tf.Tensor,
    *,
    max_black_patches: int = 10,
    probability: float = 0.5,
    size_to_image_ratio: float = 0.1,
) -> tuple[tf.Tensor, GroundTruth]:
    """Blackens up to `max_black_patches` squares, each with `probability`; boxes under them stay.

    Args:
        image: As in the module's docstring.
        ground_truth: As in the module's docstring.
        seed: As in the module's docstring.
        max_black_patches: How many times a square is tried.
        probability: Of each try to happen.
        size_to_image_ratio: The square's side, as a part of the picture's shorter side.
    """
    chance_seed, y_seed, x_seed = split(seed, 3)
    count = [max_black_patches]
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    side = tf.cast(tf.cast(tf.minimum(height, width), tf.float32) * size_to_image_ratio, tf.int32)
    drawn = tf.random.stateless_uniform(count, chance_seed) < probability

    def covered(corner_seed: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
        """Which of `length` rows or columns each square covers: float32 [squares, length], 0 or 1."""
        start = tf.random.stateless_uniform(count, corner_seed, 0.0, 1.0 - size_to_image_ratio)
        start = tf.cast(start * tf.cast(length, tf.float32), tf.int32)[:, tf.newaxis]
        position = tf.range(length)[tf.newaxis]
        return tf.cast((position >= start) & (position < start + side), tf.float32)

    rows = covered(y_seed, height) * tf.cast(drawn, tf.float32)[:, tf.newaxis]
    squares_over_pixel = tf.matmul(rows, covered(x_seed, width), transpose_a=True)  # [H, W]
    return tf.where(squares_over_pixel[..., tf.newaxis] > 0.0, 0.0, image), ground_truth


def _in_range(image: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(image, 0.0, 255.0)


def _max_delta(message: Any) -> dict[str, Any]:
    parameters.require(
        0.0 <= message.max_delta <= 1.0, f"max_delta is {message.max_delta:g}; it must lie between 0 and 1"
    )
    return {"max_delta": message.max_delta}


def _color_ordering(message: Any) -> dict[str, Any]:
    parameters.require(
        message.color_ordering in (0, 1), f"color_ordering is {message.color_ordering}; it must be 0 or 1"
    )
    return {"color_ordering": message.color_ordering}


def _black_patches(message: Any) -> dict[str, Any]:
    ratio = message.size_to_image_ratio
    parameters.require(0.0 < ratio < 1.0, f"size_to_image_ratio is {ratio:g}; it must lie between 0 and 1")
    parameters.require(
        message.max_black_patches >= 0, f"max_black_patches is {message.max_black_patches}; it must be 0 or more"
    )
    return {
        **parameters.probability(message),
        "max_black_patches": message.max_black_patches,
        "size_to_image_ratio": ratio,
    }


_DELTAS = parameters.interval("min_delta", "max_delta", may_be_zero=True)

# By the option's name in the schema.
AUGMENTATIONS: dict[str, Augmentation] = {
    "random_adjust_brightness": Augmentation(random_adjust_brightness, _max_delta),
    "random_adjust_contrast": Augmentation(random_adjust_contrast, _DELTAS),
    "random_adjust_hue": Augmentation(random_adjust_hue, _max_delta),
    "random_adjust_saturation": Augmentation(random_adjust_saturation, _DELTAS),
    "random_black_patches": Augmentation(random_black_patches, _black_patches),
    "random_distort_color": Augmentation(random_distort_color, _color_ordering),
    "random_pixel_value_scale": Augmentation(
        random_pixel_value_scale, parameters.interval("minval", "maxval", may_be_zero=True)
    ),
    "random_rgb_to_gray": Augmentation(random_rgb_to_gray, parameters.probability),
}
