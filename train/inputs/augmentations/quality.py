"""Augmentations that cost the image some of its quality, as cameras, networks and other programs do.

Each takes an image (float32 [H, W, 3], 0..255), its `GroundTruth`, and a seed ([2], see `randomness`), and returns
the first two; boxes are relative to the image, so a resizing leaves them as they are. Parameters and their defaults
are the Object Detection API's (its core/preprocessor.py).
"""

from __future__ import annotations

import tensorflow as tf

from train.inputs.augmentations.augmentation import Augmentation
from train.inputs.ground_truth import GroundTruth
from train.inputs.randomness import happens, split, uniform_integer

_METHODS = ("BILINEAR", "NEAREST_NEIGHBOR", "BICUBIC", "AREA")


def random_jpeg_quality(
    image: tf.Tensor,
    ground_truth: GroundTruth,
    seed: tf.Tensor,
    *,
    min_jpeg_quality: int,
    max_jpeg_quality: int,
    random_coef: float,
) -> tuple[tf.Tensor, GroundTruth]:
    """Encodes the image as a JPEG of a random quality, and decodes that.

    Args:
        image: As in the module's docstring.
        ground_truth: As in the module's docstring.
        seed: As in the module's docstring.
        min_jpeg_quality: The lowest quality, 0..100.
        max_jpeg_quality: One more than the highest, 0..100.
        random_coef: The chance, 0..1, that the image stays as it is.
    """
    chance_seed, quality_seed = split(seed, 2)

    def encode() -> tf.Tensor:
        quality = uniform_integer(quality_seed, min_jpeg_quality, max_jpeg_quality)
        return tf.cast(tf.image.adjust_jpeg_quality(tf.saturate_cast(image, tf.uint8), quality), tf.float32)

    image_out = tf.cond(happens(chance_seed, random_coef), lambda: image, encode)
    return tf.ensure_shape(image_out, image.shape), ground_truth


def random_downscale_to_target_pixels(
    image: tf.Tensor,
    ground_truth: GroundTruth,
    seed: tf.Tensor,
    *,
    min_target_pixels: int,
    max_target_pixels: int,
    random_coef: float,
) -> tuple[tf.Tensor, GroundTruth]:
    """Makes the image smaller, with the same aspect ratio, until it has a random number of pixels.

    An image with no more pixels than that stays as it is.

    Args:
        image: As in the module's docstring.
        ground_truth: As in the module's docstring.
        seed: As in the module's docstring.
        min_target_pixels: The smallest number of pixels, height times width.
        max_target_pixels: One more than the largest.
        random_coef: The chance, 0..1, that the image stays as it is.
    """
    chance_seed, target_seed = split(seed, 2)
    target = uniform_integer(target_seed, min_target_pixels, max_target_pixels)
    size = tf.shape(image)[:2]
    factor = tf.sqrt(tf.cast(target, tf.float32) / tf.cast(tf.reduce_prod(size), tf.float32))

    def downscale() -> tf.Tensor:
        smaller = tf.maximum(tf.cast(factor * tf.cast(size, tf.float32), tf.int32), 1)
        return tf.cast(tf.compat.v1.image.resize(image, smaller), tf.float32)

    stays = happens(chance_seed, random_coef) | (factor >= 1.0)
    image_out = tf.cond(stays, lambda: image, downscale)
    image_out.set_shape([None, None, 3])
    return image_out, ground_truth


def random_resize_method(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, *, target_height: int, target_width: int
) -> tuple[tf.Tensor, GroundTruth]:
    """Resizes to a size in pixels by a method picked at random: bilinear, nearest neighbour, bicubic or area.

    Bicubic values may leave 0..255 by a little at hard edges, as they did in the API.
    """
    size = [target_height, target_width]
    image_out = tf.switch_case(
        uniform_integer(seed, 0, len(_METHODS)),
        [
            lambda method=method: tf.compat.v1.image.resize(image, size, getattr(tf.image.ResizeMethod, method))
            for method in _METHODS
        ],
    )
    image_out.set_shape([target_height, target_width, 3])
    return image_out, ground_truth


# By the option's name in the schema.
AUGMENTATIONS: dict[str, Augmentation] = {
    "random_downscale_to_target_pixels": Augmentation(random_downscale_to_target_pixels),
    "random_jpeg_quality": Augmentation(random_jpeg_quality),
    "random_resize_method": Augmentation(random_resize_method),
}
