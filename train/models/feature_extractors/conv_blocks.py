"""Blocks of convolution, normalisation and activation, for pyramids and extra feature maps."""

from __future__ import annotations

import tensorflow as tf
import tf_keras

from train.models.batch_norm import FreezableBatchNorm
from train.models.hyperparams import LayerHyperparams


def conv_block(
    hyperparams: LayerHyperparams,
    filters: int,
    kernel_size: int,
    *,
    name: str,
    strides: int = 1,
    use_depthwise: bool = False,
    use_explicit_padding: bool = False,
    freeze_batch_norm: bool = False,
) -> list[tf_keras.layers.Layer]:
    """Makes a convolution with its normalisation and activation.

    A list and not one layer, since the API's checkpoints number the layers in it. Where the API builds a separable
    convolution here it regularizes and initializes the depthwise half only.

    Args:
        hyperparams: Of the layers.
        filters: Of the convolution.
        kernel_size: Of the convolution.
        name: Prefix of the layers' names.
        strides: Of the convolution.
        use_depthwise: Whether the convolution is separable.
        use_explicit_padding: Pads by the kernel's size, in a layer of its own.
        freeze_batch_norm: Whether batch norm keeps its moving statistics.
    """
    shared = {
        "filters": filters,
        "kernel_size": kernel_size,
        "strides": strides,
        "padding": "valid" if use_explicit_padding else "same",
        "use_bias": hyperparams.use_bias,
    }
    if use_depthwise:
        arguments = hyperparams.separable_arguments(pointwise=False)
        convolution = tf_keras.layers.SeparableConv2D(**shared, **arguments, name=f"{name}_depthwise_conv")
    else:
        convolution = tf_keras.layers.Conv2D(**shared, **hyperparams.convolution_arguments(), name=f"{name}_conv")
    padding = [explicit_padding(kernel_size)] if use_explicit_padding else []
    norm = normalization(hyperparams, f"{name}_batchnorm", freeze_batch_norm=freeze_batch_norm)
    return [*padding, convolution, norm, tf_keras.layers.Activation(hyperparams.activation, name=name)]


def normalization(
    hyperparams: LayerHyperparams, name: str, *, freeze_batch_norm: bool = False
) -> tf_keras.layers.Layer:
    """The normalisation that `hyperparams` asks for, with statistics that are kept where they are to be frozen."""
    norm = hyperparams.batch_norm(name)
    if freeze_batch_norm and isinstance(norm, FreezableBatchNorm):
        norm.frozen = True
    return norm


def explicit_padding(kernel_size: int) -> tf_keras.layers.Layer:
    """Pads so that a VALID convolution gives what SAME gives an input of even sides, whatever the sides."""
    before = (kernel_size - 1) // 2
    return tf_keras.layers.ZeroPadding2D(((before, kernel_size - 1 - before),) * 2, name="fixed_padding")


def run(layers: list[tf_keras.layers.Layer], features: tf.Tensor, training: bool | None) -> tf.Tensor:
    """Applies layers one after the other; `training` goes to those that behave differently in it."""
    for layer in layers:
        features = layer(features, training=training) if layer._expects_training_arg else layer(features)
    return features
