"""Padding of images to a multiple of a stride, as `pad_to_multiple` of the API's utils/ops.py.

Only the network sees this padding: anchors and boxes are relative to the image without it, as in the API.
"""

from __future__ import annotations

import math

import tensorflow as tf

from configs.settings.extractors import SsdFeatureExtractor
from train.models.detector import InputShape


def pad_to_multiple(images: tf.Tensor, multiple: int) -> tf.Tensor:
    """Pads images with zeros below and on the right until both sides are multiples of `multiple`.

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
