"""Box coders: boxes relative to their anchors, and back; as the API's box_coders/ and builders/box_coder_builder.py.

Boxes and anchors are float32 [..., 4], ymin xmin ymax xmax, both in the same units; leading axes broadcast. The API's
SSD codes boxes in 0..1 of the input, on which the mean_stddev coder depends, and the square coder too where the input
is no square.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import tensorflow as tf

# Added to sides before dividing or taking logarithms, as the Object Detection API does: padding has sides of 0.
_EPSILON = 1e-8


class BoxCoder(Protocol):
    """What every box coder can do."""

    @property
    def code_size(self) -> int:
        """Numbers in a code."""

    def encode(self, boxes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
        """Codes boxes relative to anchors: float32 [..., code_size]."""

    def decode(self, codes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
        """Turns codes back into boxes: float32 [..., 4] in the anchors' units, not clipped."""


@dataclasses.dataclass(frozen=True)
class FasterRcnnBoxCoder:
    """Codes boxes as scaled centre offsets and log sizes (Ren et al., "Faster R-CNN", equation 2).

    Attributes:
        y_scale, x_scale: Multiply the offsets, which are in sides of the anchor.
        height_scale, width_scale: Multiply the logarithms of the sides' ratios.
    """

    y_scale: float = 10.0
    x_scale: float = 10.0
    height_scale: float = 5.0
    width_scale: float = 5.0

    @classmethod
    def from_config(cls, config: Any) -> FasterRcnnBoxCoder:
        """Reads a `FasterRcnnBoxCoder` message."""
        return cls(config.y_scale, config.x_scale, config.height_scale, config.width_scale)

    @property
    def code_size(self) -> int:
        """Numbers in a code."""
        return 4

    @property
    def scales(self) -> tuple[float, float, float, float]:
        """The four factors in the order of a code: ty, tx, th, tw."""
        return self.y_scale, self.x_scale, self.height_scale, self.width_scale

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
    """Codes boxes as the differences of their corners from the anchor's.

    Attributes:
        stddev: What the differences are divided by.
    """

    stddev: float = 0.01

    @classmethod
    def from_config(cls, config: Any) -> MeanStddevBoxCoder:
        """Reads a `MeanStddevBoxCoder` message."""
        return cls(config.stddev)

    @property
    def code_size(self) -> int:
        """Numbers in a code."""
        return 4

    def encode(self, boxes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
        """Codes boxes [..., 4] relative to anchors [..., 4]; float32 [..., 4], in the order of a box."""
        return (boxes - anchors) / self.stddev

    def decode(self, codes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
        """Turns codes [..., 4] back into boxes, float32 [..., 4], ymin xmin ymax xmax."""
        return codes * self.stddev + anchors


@dataclasses.dataclass(frozen=True)
class SquareBoxCoder:
    """Codes square boxes as a scaled centre offset and one log length; others come back as squares of their area.

    Attributes:
        y_scale, x_scale: Multiply the offsets, which are in lengths (square roots of the area) of the anchor.
        length_scale: Multiplies the logarithm of the lengths' ratio.
    """

    y_scale: float = 10.0
    x_scale: float = 10.0
    length_scale: float = 5.0

    @classmethod
    def from_config(cls, config: Any) -> SquareBoxCoder:
        """Reads a `SquareBoxCoder` message."""
        return cls(config.y_scale, config.x_scale, config.length_scale)

    @property
    def code_size(self) -> int:
        """Numbers in a code."""
        return 3

    def encode(self, boxes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
        """Codes boxes [..., 4] relative to anchors [..., 4]; float32 [..., 3]: ty, tx, tl."""
        anchor_center, anchor_length = _center_and_length(anchors)
        box_center, box_length = _center_and_length(boxes)
        anchor_length += _EPSILON
        box_length += _EPSILON
        offsets = (box_center - anchor_center) / anchor_length
        codes = tf.concat([offsets, tf.math.log(box_length / anchor_length)], axis=-1)
        return codes * tf.constant([self.y_scale, self.x_scale, self.length_scale], codes.dtype)

    def decode(self, codes: tf.Tensor, anchors: tf.Tensor) -> tf.Tensor:
        """Turns codes [..., 3] back into boxes, float32 [..., 4], ymin xmin ymax xmax."""
        anchor_center, anchor_length = _center_and_length(anchors)
        codes = codes / tf.constant([self.y_scale, self.x_scale, self.length_scale], codes.dtype)
        return _corners(codes[..., :2] * anchor_length + anchor_center, tf.exp(codes[..., 2:]) * anchor_length)


def build_box_coder(message: Any) -> BoxCoder:
    """Builds the coder that a `BoxCoder` message names.

    Raises:
        ValueError: The message names none, or one that codes more than boxes.
    """
    kind = message.WhichOneof("box_coder_oneof")
    coders: dict[str, Any] = {
        "faster_rcnn_box_coder": FasterRcnnBoxCoder,
        "mean_stddev_box_coder": MeanStddevBoxCoder,
        "square_box_coder": SquareBoxCoder,
    }
    if kind in coders:
        return coders[kind].from_config(getattr(message, kind))
    raise ValueError(f"box_coder is {kind or 'empty'}: write one of {', '.join(coders)}")


def _center_and_size(boxes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    size = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + size / 2, size


def _center_and_length(boxes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    center, size = _center_and_size(boxes)
    return center, tf.sqrt(tf.reduce_prod(size, axis=-1, keepdims=True))


def _corners(center: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    return tf.concat([center - size / 2, center + size / 2], axis=-1)
