"""Augmentations that put the image on a larger canvas.

Each takes an image (uint8 or float32 [H, W, 3], 0..255), its `GroundTruth`, and a seed ([2], see `randomness`), and
returns the first two changed. Parameters, defaults and meaning are those of the Object Detection API's
core/preprocessor.py.
"""

from __future__ import annotations

from typing import TypeAlias

import tensorflow as tf

from train.inputs.augmentations.augmentation import Augmentation
from train.inputs.ground_truth import BOXES, GroundTruth, relative_to_window, with_boxes
from train.inputs.randomness import split, uniform, uniform_integer

# Height and width in pixels, known or int32 [2].
Size: TypeAlias = "tuple[int, int] | tf.Tensor"
# Red, green and blue, 0..255, known or float32 [3]; None is the image's mean.
Colour: TypeAlias = "tuple[float, float, float] | tf.Tensor | None"

BLACK = (0.0, 0.0, 0.0)


def random_pad_image(
    image: tf.Tensor,
    ground_truth: GroundTruth,
    seed: tf.Tensor,
    *,
    min_image_size: Size | None,
    max_image_size: Size | None,
    pad_color: Colour,
) -> tuple[tf.Tensor, GroundTruth]:
    """Puts the image at a random place on a larger canvas of one colour.

    Args:
        image: As in the module's docstring.
        ground_truth: As in the module's docstring.
        seed: As in the module's docstring.
        min_image_size: Smallest height and width of the canvas; the image's own where that is larger, or by default.
        max_image_size: What height and width stay below; by default twice the image's, and never less than the
            image's.
        pad_color: The canvas's colour.
    """
    seeds = split(seed, 4)
    size = tf.shape(image)[:2]
    smallest = size if min_image_size is None else tf.maximum(min_image_size, size)
    largest = size * 2 if max_image_size is None else tf.maximum(max_image_size, size)
    # Where the config's smallest exceeds its largest, the largest wins, as it did in the API.
    canvas = tf.stack(
        [uniform_integer(seeds[axis], tf.minimum(smallest[axis], largest[axis]), largest[axis]) for axis in (0, 1)]
    )
    offset = tf.stack([uniform_integer(seeds[2 + axis], 0, canvas[axis] - size[axis]) for axis in (0, 1)])
    return place_on_canvas(image, ground_truth, canvas, offset, pad_color)


def random_absolute_pad_image(
    image: tf.Tensor,
    ground_truth: GroundTruth,
    seed: tf.Tensor,
    *,
    max_height_padding: int,
    max_width_padding: int,
    pad_color: Colour,
) -> tuple[tf.Tensor, GroundTruth]:
    """Adds up to some pixels to height and width; the image lies at a random place of the canvas.

    Args:
        image: As in the module's docstring.
        ground_truth: As in the module's docstring.
        seed: As in the module's docstring.
        max_height_padding: What the number of rows above and below together stays below.
        max_width_padding: What the number of columns left and right together stays below.
        pad_color: The canvas's colour.
    """
    size = tf.shape(image)[:2]
    return random_pad_image(
        image,
        ground_truth,
        seed,
        min_image_size=size,
        max_image_size=size + tf.constant([max_height_padding, max_width_padding]),
        pad_color=pad_color,
    )


def random_pad_to_aspect_ratio(
    image: tf.Tensor,
    ground_truth: GroundTruth,
    seed: tf.Tensor,
    *,
    aspect_ratio: float,
    min_padded_size_ratio: tuple[float, float],
    max_padded_size_ratio: tuple[float, float],
) -> tuple[tf.Tensor, GroundTruth]:
    """Adds black at the bottom and the right, so that the canvas has an aspect ratio and a random size.

    No option of its own, but a part of `ssd_random_crop_pad_fixed_aspect_ratio`.

    Args:
        image: As in the module's docstring.
        ground_truth: As in the module's docstring.
        seed: As in the module's docstring.
        aspect_ratio: The canvas's width over its height.
        min_padded_size_ratio: Smallest height and width of the canvas over the image's, where the aspect ratio
            leaves the choice.
        max_padded_size_ratio: The largest, likewise.
    """
    size = tf.shape(image)[:2]
    height, width = tf.unstack(tf.cast(size, tf.float32))
    own = tf.cast(size, tf.float32)
    # The smallest canvas of that aspect ratio, and how often it fits between the bounds. Both sides at once: with
    # oneDNN TensorFlow takes maximum(width, height * ratio), of two outputs of one operation, for a leaky ReLU.
    least = tf.maximum(own, tf.stack([width / aspect_ratio, height * aspect_ratio]))
    largest = tf.reduce_min(tf.maximum(max_padded_size_ratio * own, least) / least)
    smallest = tf.minimum(largest, tf.reduce_max(tf.maximum(min_padded_size_ratio * own, least) / least))
    scale = smallest + (largest - smallest) * uniform(seed)
    canvas = tf.maximum(tf.cast(tf.round(scale * least), tf.int32), size)
    return place_on_canvas(image, ground_truth, canvas, tf.zeros([2], tf.int32), BLACK)


def place_on_canvas(
    image: tf.Tensor, ground_truth: GroundTruth, canvas: tf.Tensor, offset: tf.Tensor, colour: Colour
) -> tuple[tf.Tensor, GroundTruth]:
    """Puts an image on a canvas of one colour.

    Args:
        image: As in the module's docstring.
        ground_truth: As in the module's docstring.
        canvas: int32 [2], the canvas's height and width, at least the image's.
        offset: int32 [2], rows above the image and columns to its left.
        colour: The canvas's.

    Returns:
        The canvas, of the image's type, or float32 where the colour is not of whole numbers, and the ground truth
        relative to it.
    """
    size = tf.shape(image)[:2]
    around = tf.concat([tf.stack([offset, canvas - size - offset], axis=1), [[0, 0]]], axis=0)
    whole_numbers = isinstance(colour, tuple) and all(value == round(value) for value in colour)
    if not whole_numbers:
        image = tf.cast(image, tf.float32)
    padded = tf.pad(image, around)
    if not (isinstance(colour, tuple) and colour == BLACK):
        behind = tf.reduce_mean(image, axis=[0, 1]) if colour is None else tf.cast(colour, image.dtype)
        inside = tf.pad(tf.ones([size[0], size[1], 1], tf.bool), around)
        padded = tf.where(inside, padded, behind)
    padded.set_shape([None, None, 3])
    window = tf.cast(tf.concat([-offset, canvas - offset], axis=0), tf.float32) / tf.cast(
        tf.tile(size, [2]), tf.float32
    )
    return padded, with_boxes(ground_truth, relative_to_window(ground_truth[BOXES], window))


# By the option's name in the schema.
AUGMENTATIONS: dict[str, Augmentation] = {
    "random_absolute_pad_image": Augmentation(random_absolute_pad_image, needs_float=False),
    "random_pad_image": Augmentation(random_pad_image, needs_float=False),
}
