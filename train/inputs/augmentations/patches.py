"""Augmentations that cover or spoil square patches of the image and leave boxes alone.

Each takes an image (float32 [H, W, 3], 0..255), its `GroundTruth`, and a seed ([2], see `randomness`), and returns
the first two. Parameters and their defaults are the Object Detection API's (its core/preprocessor.py).
"""

from __future__ import annotations

import tensorflow as tf

from train.inputs.augmentations.augmentation import Augmentation
from train.inputs.ground_truth import GroundTruth
from train.inputs.randomness import happens, split, uniform, uniform_integer


def random_black_patches(
    image: tf.Tensor,
    ground_truth: GroundTruth,
    seed: tf.Tensor,
    *,
    max_black_patches: int,
    probability: float,
    size_to_image_ratio: float,
) -> tuple[tf.Tensor, GroundTruth]:
    """Blackens up to `max_black_patches` squares, each with `probability`; boxes under them stay.

    Args:
        image: As in the module's docstring.
        ground_truth: As in the module's docstring.
        seed: As in the module's docstring.
        max_black_patches: How many times a square is tried.
        probability: Of each try to happen.
        size_to_image_ratio: The square's side, as a part of the image's shorter side.
    """
    chance_seed, y_seed, x_seed = split(seed, 3)
    count = [max_black_patches]
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    side = tf.cast(tf.cast(tf.minimum(height, width), tf.float32) * size_to_image_ratio, tf.int32)
    drawn = tf.random.stateless_uniform(count, chance_seed) < probability

    def covered(corner_seed: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
        """The rows or columns, of `length`, that each square covers: float32 [squares, length], 0 or 1."""
        start = tf.random.stateless_uniform(count, corner_seed, 0.0, 1.0 - size_to_image_ratio)
        start = tf.cast(start * tf.cast(length, tf.float32), tf.int32)[:, tf.newaxis]
        position = tf.range(length)[tf.newaxis]
        return tf.cast((position >= start) & (position < start + side), tf.float32)

    rows = covered(y_seed, height) * tf.cast(drawn, tf.float32)[:, tf.newaxis]
    squares_over_pixel = tf.matmul(rows, covered(x_seed, width), transpose_a=True)  # [H, W]
    return tf.where(squares_over_pixel[..., tf.newaxis] > 0.0, 0.0, image), ground_truth


def random_patch_gaussian(
    image: tf.Tensor,
    ground_truth: GroundTruth,
    seed: tf.Tensor,
    *,
    min_patch_size: int,
    max_patch_size: int,
    min_gaussian_stddev: float,
    max_gaussian_stddev: float,
    random_coef: float,
) -> tuple[tf.Tensor, GroundTruth]:
    """Adds Gaussian noise to one square patch (https://arxiv.org/abs/1906.02611).

    The patch's centre lies anywhere in the image; what of it lies outside is cut off.

    Args:
        image: As in the module's docstring.
        ground_truth: As in the module's docstring.
        seed: As in the module's docstring.
        min_patch_size: The patch's smallest side, in pixels.
        max_patch_size: One more than its largest side; an image may be smaller.
        min_gaussian_stddev: The noise's smallest standard deviation, as a part of the range 0..255.
        max_gaussian_stddev: Its largest.
        random_coef: The chance, 0..1, that the image stays as it is.
    """
    chance_seed, size_seed, stddev_seed, y_seed, x_seed, noise_seed = split(seed, 6)

    def add_noise() -> tf.Tensor:
        size = uniform_integer(size_seed, min_patch_size, max_patch_size)
        height, width = tf.shape(image)[0], tf.shape(image)[1]
        top, bottom = _extent(uniform_integer(y_seed, 0, height), size, height)
        left, right = _extent(uniform_integer(x_seed, 0, width), size, width)
        patch = image[top:bottom, left:right]
        stddev = 255.0 * uniform(stddev_seed, min_gaussian_stddev, max_gaussian_stddev)
        noise = stddev * tf.random.stateless_normal(tf.shape(patch), noise_seed)
        return paste(image, tf.clip_by_value(patch + noise, 0.0, 255.0), top, left)

    noisy = tf.cond(happens(chance_seed, random_coef), lambda: image, add_noise)
    return tf.ensure_shape(noisy, image.shape), ground_truth


def paste(image: tf.Tensor, patch: tf.Tensor, top: tf.Tensor, left: tf.Tensor) -> tf.Tensor:
    """Returns the image with a part replaced.

    Args:
        image: [H, W, C].
        patch: [h, w, C] of the same type; must fit in.
        top: int32 scalar, the patch's first row in the image.
        left: int32 scalar, its first column.
    """
    bottom, right = top + tf.shape(patch)[0], left + tf.shape(patch)[1]
    band = tf.concat([image[top:bottom, :left], patch, image[top:bottom, right:]], axis=1)
    return tf.concat([image[:top], band, image[bottom:]], axis=0)


def _extent(centre: tf.Tensor, size: tf.Tensor, length: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns where a patch of `size` pixels around `centre` begins and ends in a row of `length` pixels."""
    start = centre - size // 2
    return tf.maximum(start, 0), tf.minimum(start + size, length)


# By the option's name in the schema.
AUGMENTATIONS: dict[str, Augmentation] = {
    "random_black_patches": Augmentation(random_black_patches),
    "random_patch_gaussian": Augmentation(random_patch_gaussian),
}
