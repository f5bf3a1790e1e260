"""Dropout whose noise can be drawn again: a function of a seed and the training step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras


class RepeatableDropout(tf_keras.layers.Dropout):
    """Keras' dropout, until `repeat_dropout` gives it a seed: then a resumed run drops what an unbroken one does."""

    def __init__(self, rate: float, **kwargs: Any) -> None:
        """Creates the layer.

        Args:
            rate: The share that is dropped.
            **kwargs: Those of Keras' layers.
        """
        super().__init__(rate, **kwargs)
        # A function, which Keras does not take for a part to put into checkpoints.
        self._seed: Callable[[], tf.Tensor] | None = None

    def follow(self, seed: Callable[[], tf.Tensor]) -> None:
        """Draws from the seeds (int64 [2]) that a function returns, another one each step."""
        self._seed = seed

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Drops values where `training`, and scales the others up."""
        if self._seed is None or not training or not self.rate:
            return super().call(inputs, training=training)
        return tf.nn.experimental.stateless_dropout(inputs, self.rate, seed=self._seed())


def repeat_dropout(network: tf_keras.Model, seed: int, step: tf.Variable) -> None:
    """Makes all of a network's dropout a function of a seed, the step and the replica.

    Args:
        network: With `RepeatableDropout` layers, or none.
        seed: Of the run.
        step: Its counter, int64.
    """
    layers = [layer for layer in network._flatten_layers() if isinstance(layer, RepeatableDropout)]
    for index, layer in enumerate(layers):

        def seed_now(index: int = index) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            replica = context.replica_id_in_sync_group if context is not None else 0
            of_layer = tf.random.fold_in(tf.constant([seed, index], tf.int64), tf.cast(replica, tf.int64))
            return tf.random.fold_in(of_layer, tf.cast(step, tf.int64))

        layer.follow(seed_now)
