"""Pixels as networks take them: normalisations of float32 RGB 0..255, and padding to a multiple of a stride.

Only the network sees this padding: anchors and boxes are relative to the image without it, as in the API.
"""

from __future__ import annotations

import math

import tensorflow as tf

from configs.settings.extractors import SsdFeatureExtractor
from train.models.detector import InputShape

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


def pad_to_multiple(images: tf.Tensor, multiple: int) -> tf.Tensor:
    """Pads images with zeros below and on the right until both sides are multiples of `multiple`.

    As `pad_to_multiple` of the API's utils/ops.py.

    Args:
        images: [B, H, W, C]; H and W may be unknown beforehand.
        multiple: 1 changes nothing.
    """
    if multiple <= 1:
        return images
    shape = tf.shape(images)
    missing = [-(images.shape[axis] or shape[axis]) % multiple for axis in (1, 2)]
    if all(isinstance(pixels, int) and not pixels for pixels in missing):
        return images
    return tf.pad(images, [[0, 0], [0, missing[0]], [0, missing[1]], [0, 0]])


def padding_multiple(input_shape: InputShape, settings: SsdFeatureExtractor) -> int:
    """The number that both sides of an input are padded to a multiple of.

    Args:
        input_shape: Height and width of the input in pixels, None where images have sizes of their own.
        settings: Of the feature extractor, whose pyramid suits the input if that has one size.
    """
    if None in input_shape:
        return math.lcm(settings.pad_to_multiple, settings.stride)
    return settings.pad_to_multiple
