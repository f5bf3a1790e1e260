"""Values of Keras' convolutions and batch norms from the tensors of torch's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tf_keras

_CLASSIFIER_REASON = "belongs to the classifier"
_COUNTER_REASON = "counts training batches, which Keras does not"


class MismatchError(Exception):
    """A file's tensors are not those of a network's layers; the text says where they part."""


def layer_values(
    prefix: str, layer: tf_keras.layers.Layer, tensors: dict[str, np.ndarray]
) -> Iterator[tuple[str, tf_keras.Variable, np.ndarray]]:
    """Yields what a layer takes from the torch module of its kind.

    Args:
        prefix: The module's name in the file.
        layer: A convolution without a bias, plain or depthwise, or a batch norm.
        tensors: By their names in the file.

    Yields:
        Name in the file, variable, and value in Keras' order of axes, float32.

    Raises:
        MismatchError: A tensor is not there, or has another shape.
    """
    for name, variable, value in _unchecked(prefix, layer, tensors):
        if value.shape != tuple(variable.shape) or value.dtype.kind != "f":
            raise MismatchError(f"{name} gives {value.shape}, {variable.name} takes {tuple(variable.shape)}")
        yield name, variable, value.astype(np.float32)


def left_over_reason(name: str) -> str:
    """Why a tensor of a whole classifier is not taken."""
    return _COUNTER_REASON if name.endswith("num_batches_tracked") else _CLASSIFIER_REASON


def _unchecked(
    prefix: str, layer: tf_keras.layers.Layer, tensors: dict[str, np.ndarray]
) -> Iterator[tuple[str, tf_keras.Variable, np.ndarray]]:
    def tensor(name: str) -> tuple[str, np.ndarray]:
        if name not in tensors:
            raise MismatchError(f"the file holds no tensor {name}")
        return name, tensors[name]

    if isinstance(layer, tf_keras.layers.BatchNormalization):
        for suffix, variable in (
            ("weight", layer.gamma),
            ("bias", layer.beta),
            ("running_mean", layer.moving_mean),
            ("running_var", layer.moving_variance),
        ):
            if variable is None:
                raise MismatchError(
                    f"{layer.name} has no place for {prefix}.{suffix}: write batch_norm {{ scale: true }}"
                )
            name, value = tensor(f"{prefix}.{suffix}")
            yield name, variable, value
        return
    if not isinstance(layer, (tf_keras.layers.Conv2D, tf_keras.layers.DepthwiseConv2D)):
        raise MismatchError(f"{layer.name} is neither a convolution nor a batch norm: {type(layer).__name__}")
    name, value = tensor(f"{prefix}.weight")
    if value.ndim != 4:
        raise MismatchError(f"{name} is no convolution's kernel")
    if isinstance(layer, tf_keras.layers.DepthwiseConv2D):
        yield name, layer.depthwise_kernel, value.transpose(2, 3, 0, 1)  # [channels, 1, h, w] to [h, w, channels, 1]
    else:
        yield name, layer.kernel, value.transpose(2, 3, 1, 0)  # [out, in, h, w] to [h, w, in, out]
