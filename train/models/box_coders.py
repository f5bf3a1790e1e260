"""Box coders: boxes relative to their anchors, and back; as the API's box_coders/ and builders/box_coder_builder.py.

Boxes and anchors are float32 [..., 4], ymin xmin ymax xmax, both in the same units; leading axes broadcast. The API's
SSD codes boxes in 0..1 of the input, on which the mean_stddev coder depends, and the square coder too where the input
is no square.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

import tensorflow as tf

from configs.settings import box_coders

# Added to sides before dividing or taking logarithms, as the Object Detection API does: padding has sides of 0.
_EPSILON = 1e-8


class BoxCoder(Protocol):
    """The interface of box coders."""

    @property
    def code_size(self) -> int:
        """Numbers in a code."""

    def encode(self, boxes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
        """Codes boxes relative to anchors: float32 [..., code_size]."""

    def decode(self, codes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
        """Turns codes back into boxes: float32 [..., 4] in the anchors' units, not clipped."""


@dataclasses.dataclass(frozen=True)
class FasterRcnnBoxCoder:
    """Codes boxes as scaled centre offsets and log sizes (Ren et al., "Faster R-CNN", equation 2)."""

    settings: box_coders.FasterRcnnBoxCoder

    @property
    def code_size(self) -> int:
        """Numbers in a code."""
        return self.settings.code_size

    @property
    def scales(self) -> tuple[float, float, float, float]:
        """The four factors in the order of a code: ty, tx, th, tw."""
        coder = self.settings
        return coder.y_scale, coder.x_scale, coder.height_scale, coder.width_scale

    def encode(self, boxes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
        """Codes boxes relative to anchors.

        Args:
            boxes: float32 [..., 4], ymin xmin ymax xmax.
            anchors: float32 [..., 4], in the same order and units.

        Returns:
            float32 [..., 4]: ty, tx, th, tw.
        """
        anchor_center, anchor_size = _center_and_size(anchors)
        box_center, box_size = _center_and_size(boxes)
        anchor_size += _EPSILON
        box_size += _EPSILON
        codes = tf.concat([(box_center - anchor_center) / anchor_size, tf.math.log(box_size / anchor_size)], axis=-1)
        return codes * tf.constant(self.scales, codes.dtype)

    def decode(self, codes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
        """Turns codes back into boxes.

        Args:
            codes: float32 [..., 4]: ty, tx, th, tw.
            anchors: float32 [..., 4], ymin xmin ymax xmax.

        Returns:
            float32 [..., 4], ymin xmin ymax xmax in the anchors' units, not clipped.
        """
        anchor_center, anchor_size = _center_and_size(anchors)
        codes = codes / tf.constant(self.scales, codes.dtype)
        return _corners(codes[..., :2] * anchor_size + anchor_center, tf.exp(codes[..., 2:]) * anchor_size)


@dataclasses.dataclass(frozen=True)
class MeanStddevBoxCoder:
    """Codes boxes as the differences of their corners from the anchor's."""

    settings: box_coders.MeanStddevBoxCoder

    @property
    def code_size(self) -> int:
        """Numbers in a code."""
        return self.settings.code_size

    def encode(self, boxes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
        """Codes boxes [..., 4] relative to anchors [..., 4]; float32 [..., 4], in the order of a box."""
        return (boxes - anchors) / self.settings.stddev

    def decode(self, codes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
        """Turns codes [..., 4] back into boxes, float32 [..., 4], ymin xmin ymax xmax."""
        return codes * self.settings.stddev + anchors


@dataclasses.dataclass(frozen=True)
class SquareBoxCoder:
    """Codes square boxes as a scaled centre offset and one log length; others come back as squares of their area."""

    settings: box_coders.SquareBoxCoder

    @property
    def code_size(self) -> int:
        """Numbers in a code."""
        return self.settings.code_size

    @property
    def scales(self) -> tuple[float, float, float]:
        """The three factors in the order of a code: ty, tx, tl."""
        return self.settings.y_scale, self.settings.x_scale, self.settings.length_scale

    def encode(self, boxes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
        """Codes boxes [..., 4] relative to anchors [..., 4]; float32 [..., 3]: ty, tx, tl."""
        anchor_center, anchor_length = _center_and_length(anchors)
        box_center, box_length = _center_and_length(boxes)
        anchor_length += _EPSILON
        box_length += _EPSILON
        offsets = (box_center - anchor_center) / anchor_length
        codes = tf.concat([offsets, tf.math.log(box_length / anchor_length)], axis=-1)
        return codes * tf.constant(self.scales, codes.dtype)

    def decode(self, codes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
        """Turns codes [..., 3] back into boxes, float32 [..., 4], ymin xmin ymax xmax."""
        anchor_center, anchor_length = _center_and_length(anchors)
        codes = codes / tf.constant(self.scales, codes.dtype)
        return _corners(codes[..., :2] * anchor_length + anchor_center, tf.exp(codes[..., 2:]) * anchor_length)


def build_box_coder(settings: box_coders.BoxCoder) -> BoxCoder:
    """Builds the coder of settings."""
    match settings:
        case box_coders.FasterRcnnBoxCoder():
            return FasterRcnnBoxCoder(settings)
        case box_coders.MeanStddevBoxCoder():
            return MeanStddevBoxCoder(settings)
        case box_coders.SquareBoxCoder():
            return SquareBoxCoder(settings)


def _center_and_size(boxes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    size = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + size / 2, size


def _center_and_length(boxes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    center, size = _center_and_size(boxes)
    return center, tf.sqrt(tf.reduce_prod(size, axis=-1, keepdims=True))


def _corners(center: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    return tf.concat([center - size / 2, center + size / 2], axis=-1)
