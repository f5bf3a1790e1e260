"""A training example: an image and its objects, on the way from a record to a batch."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from train.inputs.ground_truth import BOXES, GroundTruth, with_boxes


class Example(NamedTuple):
    """An image and its objects.

    Attributes:
        image: float32 [H, W, 3], values 0..255.
        ground_truth: N objects; boxes ymin xmin ymax xmax in 0..1 of the image.
    """

    image: tf.Tensor
    ground_truth: GroundTruth


def size_of(image: tf.Tensor) -> tf.Tensor:
    """Returns height and width of an image [H, W, 3] in pixels: float32 [2]."""
    return tf.cast(tf.shape(image)[:2], tf.float32)


def join(*parts: GroundTruth) -> GroundTruth:
    """Returns the objects of all parts, in their order."""
    return {name: tf.concat([part[name] for part in parts], axis=0) for name in parts[0]}


def place(ground_truth: GroundTruth, window: tf.Tensor) -> GroundTruth:
    """Returns the objects of an image that was put into another one.

    Args:
        ground_truth: Boxes relative to the image.
        window: Where it was put, float32 [4], ymin xmin ymax xmax relative to the other.
    """
    size = window[2:] - window[:2]
    boxes = ground_truth[BOXES] * tf.tile(size, [2]) + tf.tile(window[:2], [2])
    return with_boxes(ground_truth, boxes)
