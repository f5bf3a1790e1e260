"""Augmentations that cut a part out of the image and put it on a larger canvas.

Each takes an image (uint8 or float32 [H, W, 3], 0..255), its `GroundTruth`, and a seed ([2], see `randomness`), and
returns the first two changed. Parameters, defaults and meaning are those of the Object Detection API's
core/preprocessor.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from configs.settings.augmentations.windows import CropRule, PadRule
from train.inputs.augmentations.augmentation import Augmentation
from train.inputs.augmentations.crops import crop_by_rule, ssd_random_crop
from train.inputs.augmentations.padding import (
    random_pad_image,
    random_pad_to_aspect_ratio,
)
from train.inputs.ground_truth import GroundTruth
from train.inputs.randomness import split, uniform_integer


def random_crop_pad_image(
    image: tf.Tensor,
    ground_truth: GroundTruth,
    seed: tf.Tensor,
    *,
    rule: CropRule,
    padding: PadRule,
) -> tuple[tf.Tensor, GroundTruth]:
    """Cuts out a random window that obeys `rule` and puts it at a random place on a canvas that obeys `padding`."""
    return _crop_and_pad(image, ground_truth, seed, [(rule, padding)], tf.constant(0))


def ssd_random_crop_pad(
    image: tf.Tensor,
    ground_truth: GroundTruth,
    seed: tf.Tensor,
    *,
    operations: Sequence[tuple[CropRule, PadRule]],
) -> tuple[tf.Tensor, GroundTruth]:
    """As `random_crop_pad_image` with one of the `operations`, picked with equal chances."""
    choice_seed, seed = split(seed, 2)
    return _crop_and_pad(image, ground_truth, seed, operations, uniform_integer(choice_seed, 0, len(operations)))


def ssd_random_crop_pad_fixed_aspect_ratio(
    image: tf.Tensor,
    ground_truth: GroundTruth,
    seed: tf.Tensor,
    *,
    operations: Sequence[CropRule],
    aspect_ratio: float,
    min_padded_size_ratio: tuple[float, float],
    max_padded_size_ratio: tuple[float, float],
) -> tuple[tf.Tensor, GroundTruth]:
    """As `ssd_random_crop`, then black at the bottom and the right up to an aspect ratio.

    Args:
        image: As in the module's docstring.
        ground_truth: As in the module's docstring.
        seed: As in the module's docstring.
        operations: One is picked for each image.
        aspect_ratio: The result's width over its height.
        min_padded_size_ratio: Smallest height and width of the result over those of what was cut out, where the aspect
            ratio leaves the choice.
        max_padded_size_ratio: The largest, likewise.
    """
    crop_seed, pad_seed = split(seed, 2)
    image, ground_truth = ssd_random_crop(image, ground_truth, crop_seed, operations=operations)
    return random_pad_to_aspect_ratio(
        image,
        ground_truth,
        pad_seed,
        aspect_ratio=aspect_ratio,
        min_padded_size_ratio=min_padded_size_ratio,
        max_padded_size_ratio=max_padded_size_ratio,
    )


def _crop_and_pad(
    image: tf.Tensor,
    ground_truth: GroundTruth,
    seed: tf.Tensor,
    operations: Sequence[tuple[CropRule, PadRule]],
    choice: tf.Tensor,
) -> tuple[tf.Tensor, GroundTruth]:
    crop_seed, pad_seed = split(seed, 2)
    size = tf.cast(tf.shape(image)[:2], tf.float32)
    image, ground_truth = crop_by_rule(image, ground_truth, crop_seed, [rule for rule, _ in operations], choice)
    paddings = [padding for _, padding in operations]

    def canvas(ratios: list[tuple[float, ...]]) -> tf.Tensor:
        return tf.cast(size * tf.gather(tf.constant(ratios), choice), tf.int32)

    colours = [padding.pad_color for padding in paddings]
    colour: Any = colours[0]
    if len(set(colours)) > 1:
        mean = tf.reduce_mean(tf.cast(image, tf.float32), axis=[0, 1])
        colour = tf.gather(tf.stack([mean if one is None else tf.constant(one) for one in colours]), choice)
    return random_pad_image(
        image,
        ground_truth,
        pad_seed,
        min_image_size=canvas([padding.min_padded_size_ratio for padding in paddings]),
        max_image_size=canvas([padding.max_padded_size_ratio for padding in paddings]),
        pad_color=colour,
    )


# By the option's name in the schema.
AUGMENTATIONS: dict[str, Augmentation] = {
    "random_crop_pad_image": Augmentation(random_crop_pad_image, needs_float=False),
    "ssd_random_crop_pad": Augmentation(ssd_random_crop_pad, needs_float=False),
    "ssd_random_crop_pad_fixed_aspect_ratio": Augmentation(ssd_random_crop_pad_fixed_aspect_ratio, needs_float=False),
}
