"""Augmentations that put images together.

Each takes an image (uint8 or float32 [H, W, 3], 0..255), its `GroundTruth`, and a seed ([2], see `randomness`), and
returns the first two changed. Parameters, defaults and meaning are those of the Object Detection API's
core/preprocessor.py.
"""

from __future__ import annotations

import tensorflow as tf

from train.inputs.augmentations.augmentation import Augmentation
from train.inputs.ground_truth import BOXES, GroundTruth, with_boxes
from train.inputs.randomness import happens, split

_VERTICAL, _HORIZONTAL = 0, 1  # axes of the image


def random_self_concat_image(
    image: tf.Tensor,
    ground_truth: GroundTruth,
    seed: tf.Tensor,
    *,
    concat_vertical_probability: float,
    concat_horizontal_probability: float,
) -> tuple[tf.Tensor, GroundTruth]:
    """Puts the image below itself, or beside itself, or both, each with its own chance; objects double each time."""
    vertical_seed, horizontal_seed = split(seed, 2)
    image, ground_truth = _perhaps_twice(image, ground_truth, vertical_seed, concat_vertical_probability, _VERTICAL)
    return _perhaps_twice(image, ground_truth, horizontal_seed, concat_horizontal_probability, _HORIZONTAL)


def _perhaps_twice(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, probability: float, axis: int
) -> tuple[tf.Tensor, GroundTruth]:
    def twice() -> tuple[tf.Tensor, GroundTruth]:
        scale = [1.0, 1.0, 1.0, 1.0]
        scale[axis] = scale[axis + 2] = 0.5
        shift = [0.0, 0.0, 0.0, 0.0]
        shift[axis] = shift[axis + 2] = 0.5
        boxes = ground_truth[BOXES] * scale
        doubled = {name: tf.concat([values, values], axis=0) for name, values in ground_truth.items()}
        return tf.concat([image, image], axis=axis), with_boxes(doubled, tf.concat([boxes, boxes + shift], axis=0))

    image_out, ground_truth_out = tf.cond(happens(seed, probability), twice, lambda: (image, dict(ground_truth)))
    image_out.set_shape([None, None, 3])
    return image_out, ground_truth_out


# By the option's name in the schema.
AUGMENTATIONS: dict[str, Augmentation] = {
    "random_self_concat_image": Augmentation(random_self_concat_image, needs_float=False),
}
