"""Augmentations that change which objects there are, or what they are called, and leave the image alone.

Each takes an image (uint8 or float32 [H, W, 3]), its `GroundTruth`, and a seed ([2], see `randomness`), and returns
the first two. Parameters and their defaults are the Object Detection API's (its core/preprocessor.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from train.inputs.augmentations.augmentation import Augmentation
from train.inputs.ground_truth import CLASSES, GroundTruth, keep


def drop_label_probabilistically(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, *, label: int, drop_probability: float
) -> tuple[tf.Tensor, GroundTruth]:
    """Leaves out each object of the class with the label map id `label` with `drop_probability`."""
    classes = ground_truth[CLASSES]
    stays = tf.random.stateless_uniform(tf.shape(classes), seed) >= drop_probability
    return image, keep(ground_truth, stays | (classes != label))


def remap_labels(
    image: tf.Tensor, ground_truth: GroundTruth, seed: tf.Tensor, *, original_labels: Sequence[int], new_label: int
) -> tuple[tf.Tensor, GroundTruth]:
    """Gives all objects whose class is one of `original_labels` the class `new_label`; all are label map ids."""
    del seed  # nothing is random here
    if not original_labels:
        return image, ground_truth
    classes = ground_truth[CLASSES]
    is_one_of_them = tf.reduce_any(classes[:, tf.newaxis] == tf.constant(original_labels, classes.dtype), axis=1)
    return image, {**ground_truth, CLASSES: tf.where(is_one_of_them, new_label, classes)}


# By the option's name in the schema.
AUGMENTATIONS: dict[str, Augmentation] = {
    "drop_label_probabilistically": Augmentation(drop_label_probabilistically, needs_float=False),
    "remap_labels": Augmentation(remap_labels, needs_float=False),
}
