"""Box coders: boxes relative to their anchors, and back."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

# Added to sides before dividing or taking logarithms, as the Object Detection API does: padding has sides of 0.
_EPSILON = 1e-8


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
        center = codes[..., :2] * anchor_size + anchor_center
        half_size = tf.exp(codes[..., 2:]) * anchor_size / 2
        return tf.concat([center - half_size, center + half_size], axis=-1)


def _center_and_size(boxes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    size = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + size / 2, size
