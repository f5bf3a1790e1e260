"""Mixup for detection: two images laid over each other, with the boxes of both.

Zhang, Cisse, Dauphin and Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", 2018,
https://arxiv.org/abs/1710.09412; for detection, Zhang et al., "Bag of Freebies for Training Object Detection Neural
Networks", 2019, https://arxiv.org/abs/1902.04103, section 3.1: shares from Beta(1.5, 1.5), images in their own
geometry, objects of both. That a box's loss is weighed by its image's share comes from its authors' program, GluonCV.
"""

from __future__ import annotations

import tensorflow as tf

from configs.settings.mixing import Mixup
from train.inputs.ground_truth import WEIGHTS, GroundTruth
from train.inputs.mixing.example import Example, join, place, size_of
from train.inputs.randomness import split
from train.inputs.resize import pad_to_size


def mixup(first: Example, second: Example, seed: tf.Tensor, settings: Mixup) -> Example:
    """Lays two images over each other, top left on top left; neither is resized, black is where one is smaller.

    Args:
        first: Its objects come first.
        second: Of any size.
        seed: [2] integers.
        settings: How the shares are drawn, and whether boxes are weighed by them.
    """
    first_seed, second_seed = split(seed, 2)
    one, other = (tf.random.stateless_gamma([], each, settings.alpha) for each in (first_seed, second_seed))
    share = tf.where(one + other > 0.0, tf.math.divide_no_nan(one, one + other), 1.0)
    size = tf.maximum(tf.shape(first.image), tf.shape(second.image))[:2]
    images, objects = [], []
    for example, part in ((first, share), (second, 1.0 - share)):
        images.append(part * pad_to_size(example.image, (size[0], size[1])))
        bottom_right = size_of(example.image) / tf.cast(size, tf.float32)
        placed = place(example.ground_truth, tf.concat([tf.zeros([2]), bottom_right], axis=0))
        objects.append(_weighed(placed, part) if settings.weigh_boxes else placed)
    return Example(tf.add_n(images), join(*objects))


def _weighed(ground_truth: GroundTruth, share: tf.Tensor) -> GroundTruth:
    return {**ground_truth, WEIGHTS: ground_truth[WEIGHTS] * share}
