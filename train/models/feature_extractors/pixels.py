"""Pixel normalisations of pretrained networks: functions of float32 RGB 0..255."""

from __future__ import annotations

import tensorflow as tf

# ImageNet's means in RGB, 0..255, as VGG and the API's ResNets subtract them.
_VGG_MEANS = (123.68, 116.779, 103.939)
_IMAGENET_MEANS = (0.485, 0.456, 0.406)
_IMAGENET_DEVIATIONS = (0.229, 0.224, 0.225)


def centered(images: tf.Tensor) -> tf.Tensor:
    """To -1..1."""
    return images * (2.0 / 255.0) - 1.0


def mean_subtracted(images: tf.Tensor) -> tf.Tensor:
    """Less ImageNet's means."""
    return images - tf.constant(_VGG_MEANS, images.dtype)


def standardized(images: tf.Tensor) -> tf.Tensor:
    """Less ImageNet's means, over its deviations."""
    return (images / 255.0 - tf.constant(_IMAGENET_MEANS, images.dtype)) / tf.constant(
        _IMAGENET_DEVIATIONS, images.dtype
    )


def lite_centered(images: tf.Tensor) -> tf.Tensor:
    """To about -1..1, as EfficientNet-Lite has it."""
    return (images - 127.0) / 128.0
