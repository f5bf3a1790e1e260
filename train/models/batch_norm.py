"""Batch norm whose statistics can be frozen while its scale and offset go on training."""

from __future__ import annotations

import types
from typing import Any

import tensorflow as tf
import tf_keras


class FreezableBatchNorm(tf_keras.layers.BatchNormalization):
    """Batch norm that may always use, and never update, its moving statistics.

    As the API's core/freezable_batch_norm.py. Keras' own `trainable = False` would freeze scale and offset too, which
    the API trains on.

    Attributes:
        frozen: Whether `training` is ignored.
    """

    def __init__(self, *, frozen: bool = False, **kwargs: Any) -> None:
        """Creates the layer; `kwargs` are those of Keras' batch norm."""
        super().__init__(**kwargs)
        self.frozen = frozen

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: Any = None) -> tf.Tensor:
        """Normalises `inputs`, with the batch's statistics where `training` and not `frozen`."""
        return super().call(inputs, training=False if self.frozen else training, mask=mask)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal layer."""
        return {**super().get_config(), "frozen": self.frozen}


def synchronize(network: tf_keras.Model, strategy: tf.distribute.Strategy) -> None:
    """Gives all replicas the mean of their moving statistics, which is what a checkpoint of them holds.

    Each replica keeps its own while training, of its share of the batches. With several workers, all must call this.
    """
    if strategy.num_replicas_in_sync == 1:
        return
    with strategy.scope():
        for variable in network.variables:
            if variable.synchronization == tf.VariableSynchronization.ON_READ:
                variable.assign(variable.read_value())


def freeze_batch_norm(layer: tf_keras.layers.Layer) -> None:
    """Freezes the statistics of every batch norm in `layer`, itself included: they are used, and kept, in training.

    Scales and offsets stay trainable, as with the API's `freeze_batchnorm` and `batch_norm_trainable: false`.
    """
    for part in layer._flatten_layers():
        if isinstance(part, FreezableBatchNorm):
            part.frozen = True
        elif isinstance(part, tf_keras.layers.BatchNormalization):
            # A backbone of Model Garden's makes its own layers, of Keras' class.
            part.call = types.MethodType(_call_frozen, part)


def pin_batch_norm(layer: tf_keras.layers.Layer, *, center: bool, scale: bool) -> None:
    """Takes offsets and scales of every batch norm in `layer` out of training, as if it had none.

    For networks of Model Garden's, whose batch norms always have both. They keep their values: 0 and 1, unless a
    checkpoint brings others.

    Args:
        layer: Built.
        center: Whether offsets stay.
        scale: Whether scales stay.
    """
    for part in layer._flatten_layers():
        # Some blocks of Model Garden's make a batch norm that they never call.
        if isinstance(part, tf_keras.layers.BatchNormalization) and part.built:
            for stays, weight in ((center, part.beta), (scale, part.gamma)):
                if not stays and weight is not None:
                    # Changed in place: Keras takes a variable in a list it is given for one to train.
                    index = next((i for i, other in enumerate(part._trainable_weights) if other is weight), None)
                    if index is not None:
                        part._non_trainable_weights.append(part._trainable_weights.pop(index))


def _call_frozen(
    layer: tf_keras.layers.BatchNormalization, inputs: tf.Tensor, training: bool | None = None, mask: Any = None
) -> tf.Tensor:
    del training
    return type(layer).call(layer, inputs, training=False, mask=mask)
