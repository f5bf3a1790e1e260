"""Augmentations that change colours and leave shapes and boxes alone.

Each takes an image (float32 [H, W, 3], 0..255), its `GroundTruth`, and a seed ([2], see `randomness`), and returns
the first two. Pixel values stay in 0..255, except after `normalize_image` and `subtract_channel_mean`. Parameters and
their defaults are the Object Detection API's (its core/preprocessor.py).
"""

from __future__ import annotations

import tensorflow as tf

from train.inputs.augmentations.augmentation import Augmentation
from train.inputs.ground_truth import GroundTruth
from train.inputs.randomness import happens, split, uniform

LUMA_WEIGHTS = (0.2989, 0.5870, 0.1140)  # of red, green and blue: ITU-R BT.601, as TensorFlow rounds it


def random_adjust_brightness(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, *, max_delta: float
) -> tuple[tf.Tensor, GroundTruth]:
    """Adds one number between -max_delta and max_delta, of the whole range, to all pixels."""
    return _in_range(image + 255.0 * uniform(seed, -max_delta, max_delta)), ground_truth


def random_adjust_contrast(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, *, min_delta: float, max_delta: float
) -> tuple[tf.Tensor, GroundTruth]:
    """Multiplies the distance from each channel's mean by a factor between the two deltas."""
    return _in_range(tf.image.adjust_contrast(image, uniform(seed, min_delta, max_delta))), ground_truth


def random_adjust_hue(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, *, max_delta: float
) -> tuple[tf.Tensor, GroundTruth]:
    """Turns all hues by one angle between -max_delta and max_delta, in turns of the colour circle."""
    # Hue and saturation do not depend on the scale of the values, so 0..255 need not become 0..1 and back.
    return _in_range(tf.image.adjust_hue(image, uniform(seed, -max_delta, max_delta))), ground_truth


def random_adjust_saturation(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, *, min_delta: float, max_delta: float
) -> tuple[tf.Tensor, GroundTruth]:
    """Multiplies the saturation of all pixels by a factor between the two deltas."""
    return _in_range(tf.image.adjust_saturation(image, uniform(seed, min_delta, max_delta))), ground_truth


def random_distort_color(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, *, color_ordering: int
) -> tuple[tf.Tensor, GroundTruth]:
    """Changes brightness, contrast, saturation and hue, each at random.

    Args:
        image: As in the module's docstring.
        ground_truth: As in the module's docstring.
        seed: As in the module's docstring.
        color_ordering: 0: brightness, saturation, hue, contrast. 1: brightness, contrast, saturation, hue.
    """
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
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, *, probability: float
) -> tuple[tf.Tensor, GroundTruth]:
    """Takes the colour out, leaving three equal channels, with `probability`."""
    return tf.cond(happens(seed, probability), lambda: _grey(image), lambda: image), ground_truth


def rgb_to_gray(image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor) -> tuple[tf.Tensor, GroundTruth]:
    """Takes the colour out, always. The API left one channel, which no network takes; here three equal ones stay."""
    del seed  # nothing is random here
    return _grey(image), ground_truth


def random_pixel_value_scale(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, *, minval: float, maxval: float
) -> tuple[tf.Tensor, GroundTruth]:
    """Multiplies every value of every pixel by a factor of its own between `minval` and `maxval`."""
    factors = tf.random.stateless_uniform(tf.shape(image), seed, minval, maxval)
    return _in_range(image * factors), ground_truth


def adjust_gamma(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, *, gamma: float, gain: float
) -> tuple[tf.Tensor, GroundTruth]:
    """Replaces each value by gain * value ^ gamma, with values as parts of the range; above 1, `gamma` darkens."""
    del seed  # nothing is random here
    # A value below 0, as `subtract_channel_mean` leaves them, has no power; the API made it NaN.
    return _in_range(255.0 * gain * tf.pow(tf.maximum(image, 0.0) / 255.0, gamma)), ground_truth


def normalize_image(
    image: tf.Tensor,
    ground_truth: GroundTruth,
    seed: tf.Tensor,
    *,
    original_minval: float,
    original_maxval: float,
    target_minval: float,
    target_maxval: float,
) -> tuple[tf.Tensor, GroundTruth]:
    """Maps original_minval..original_maxval to target_minval..target_maxval, and what lies outside along with it.

    What follows sees the new range: most other augmentations expect 0..255 and cut off what lies outside, and every
    model normalises its input once more by itself, in training; evaluation and export see no augmentation at all. It is
    here because the API has it. A config for a new model does not need it.

    Args:
        image: As in the module's docstring.
        ground_truth: As in the module's docstring.
        seed: Not used.
        original_minval: Becomes `target_minval`.
        original_maxval: Becomes `target_maxval`.
        target_minval: As said.
        target_maxval: As said.
    """
    del seed  # nothing is random here
    scale = (target_maxval - target_minval) / (original_maxval - original_minval)
    return (image - original_minval) * scale + target_minval, ground_truth


def subtract_channel_mean(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, *, means: tuple[float, float, float]
) -> tuple[tf.Tensor, GroundTruth]:
    """Subtracts a number from each of red, green and blue; what follows sees values below 0, as `normalize_image`."""
    del seed  # nothing is random here
    return image - tf.constant(means, tf.float32), ground_truth


def _grey(image: tf.Tensor) -> tf.Tensor:
    luma = tf.reduce_sum(image * tf.constant(LUMA_WEIGHTS), axis=-1, keepdims=True)
    return tf.repeat(luma, 3, axis=-1)


def _in_range(image: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(image, 0.0, 255.0)


# By the option's name in the schema.
AUGMENTATIONS: dict[str, Augmentation] = {
    "adjust_gamma": Augmentation(adjust_gamma),
    "normalize_image": Augmentation(normalize_image),
    "random_adjust_brightness": Augmentation(random_adjust_brightness),
    "random_adjust_contrast": Augmentation(random_adjust_contrast),
    "random_adjust_hue": Augmentation(random_adjust_hue),
    "random_adjust_saturation": Augmentation(random_adjust_saturation),
    "random_distort_color": Augmentation(random_distort_color),
    "random_pixel_value_scale": Augmentation(random_pixel_value_scale),
    "random_rgb_to_gray": Augmentation(random_rgb_to_gray),
    "rgb_to_gray": Augmentation(rgb_to_gray),
    "subtract_channel_mean": Augmentation(subtract_channel_mean),
}
