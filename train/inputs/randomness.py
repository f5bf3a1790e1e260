"""Random numbers for augmentations: each is a function of the record's seed, so that a run can be repeated exactly.

TensorFlow's stateful generators give other numbers as soon as records are augmented in parallel; these do not.
"""

from __future__ import annotations

import tensorflow as tf


def split(seed: tf.Tensor, count: int) -> list[tf.Tensor]:
    """Returns `count` independent seeds, each [2], made from one."""
    return tf.unstack(tf.random.split(seed, count), num=count)


def uniform(seed: tf.Tensor, low: float = 0.0, high: float = 1.0) -> tf.Tensor:
    """Returns a float32 scalar, uniform in [low, high)."""
    return tf.random.stateless_uniform([], seed, low, high)


def uniform_integer(seed: tf.Tensor, low: tf.Tensor | int, high: tf.Tensor | int) -> tf.Tensor:
    """Returns an int32 scalar, uniform in [low, high), or `low` where that range is empty."""
    low = tf.convert_to_tensor(low, tf.int32)
    return tf.random.stateless_uniform([], seed, low, tf.maximum(high, low + 1), tf.int32)


def happens(seed: tf.Tensor, probability: float) -> tf.Tensor:
    """Returns a bool scalar that is True with `probability`."""
    return uniform(seed) < probability


def derived_seed(seed: tf.Tensor | int, number: tf.Tensor | int) -> tf.Tensor:
    """Returns the seed, an int64 scalar, of the `number`th thing of what has `seed`; both are int64 scalars."""
    pair = tf.stack([tf.cast(seed, tf.int64), tf.cast(number, tf.int64)])
    return tf.random.stateless_uniform([], pair, minval=None, maxval=None, dtype=tf.int64)
