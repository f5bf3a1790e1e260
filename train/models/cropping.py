"""Cutting proposals out of feature maps."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import tensorflow as tf

from train.models.detector import ActualShape

# Side in pixels of the images that backbones learn to classify, as in Lin et al., "Feature Pyramid Networks".
_CLASSIFIER_SIDE = 224.0


@dataclasses.dataclass(frozen=True)
class ProposalCropper:
    """Cuts every proposal out of its feature map: bilinear crop to `initial_crop_size`, then max-pool.

    As the API's utils/spatial_transform_ops.py, `multilevel_native_crop_and_resize`, but cropping each proposal from
    its own map only, where the API crops it from all and keeps one. Model Garden's aligner has other levels (three
    finest maps only) and other sampling points.

    Attributes:
        initial_crop_size: Side of the crop, in cells.
        maxpool_kernel_size: 0 and 1 pool nothing.
        maxpool_stride: Of the pooling.
    """

    initial_crop_size: int
    maxpool_kernel_size: int
    maxpool_stride: int

    @property
    def _pools(self) -> bool:
        return self.maxpool_kernel_size > 0 and (self.maxpool_kernel_size > 1 or self.maxpool_stride > 1)

    @property
    def output_size(self) -> int:
        """Side of what comes out, in cells."""
        if not self._pools:
            return self.initial_crop_size
        return -(-(self.initial_crop_size - self.maxpool_kernel_size + 1) // self.maxpool_stride)

    def crop(self, features: Sequence[tf.Tensor], boxes: tf.Tensor, input_shape: ActualShape) -> tf.Tensor:
        """Crops.

        Args:
            features: Feature maps [B, height, width, channels], finest first.
            boxes: float32 [B, N, 4], ymin xmin ymax xmax in pixels of the input.
            input_shape: Height and width in pixels of the input, padded as its batch is. What the pyramid adds for
                itself does not count, though feature maps cover it: crops shift by that little, as they do in the API.

        Returns:
            [B, N, output_size, output_size, channels], of the features' dtype.
        """
        batch_size, num_boxes = tf.shape(boxes)[0], tf.shape(boxes)[1]
        sides = tf.cast(tf.stack(input_shape), tf.float32)
        normalized = tf.reshape(boxes / tf.concat([sides, sides], axis=0), [-1, 4])
        image_of_box = tf.repeat(tf.range(batch_size), num_boxes)
        if len(features) == 1:
            crops = self._crop_map(features[0], normalized, image_of_box)
        else:
            level_of_box = pyramid_levels(normalized, input_shape, len(features))
            rows = [tf.where(level_of_box == level)[:, 0] for level in range(len(features))]
            crops = tf.dynamic_stitch(
                [tf.cast(found, tf.int32) for found in rows],
                [
                    self._crop_map(feature_map, tf.gather(normalized, found), tf.gather(image_of_box, found))
                    for feature_map, found in zip(features, rows, strict=True)
                ],
            )
        if self._pools:
            crops = tf.nn.max_pool2d(crops, self.maxpool_kernel_size, self.maxpool_stride, "VALID")
        size, channels = self.output_size, features[0].shape[-1]
        return tf.cast(tf.reshape(crops, [batch_size, num_boxes, size, size, channels]), features[0].dtype)

    def _crop_map(self, feature_map: tf.Tensor, normalized: tf.Tensor, image_of_box: tf.Tensor) -> tf.Tensor:
        size = [self.initial_crop_size, self.initial_crop_size]
        # The op gives 32 bits whatever it gets, and on GPUs wants them.
        return tf.image.crop_and_resize(tf.cast(feature_map, tf.float32), normalized, image_of_box, size)


def pyramid_levels(boxes: tf.Tensor, input_shape: ActualShape, num_levels: int) -> tf.Tensor:
    """Picks the feature map for each box: one level coarser where its side is twice as long.

    A box of a classifier's image size takes the last map but one (Lin et al., "Feature Pyramid Networks", equation
    1, and the API's utils/ops.py, `fpn_feature_levels`).

    Args:
        boxes: float32 [..., 4], ymin xmin ymax xmax in 0..1 of the input.
        input_shape: Height and width of the input, in pixels.
        num_levels: Feature maps there are.

    Returns:
        int32 [...], 0 for the finest map; for boxes without area too.
    """
    sides = tf.cast(tf.stack(input_shape), tf.float32)
    box_side = tf.sqrt(tf.reduce_prod(tf.maximum(boxes[..., 2:] - boxes[..., :2], 0.0), axis=-1))
    ratio = box_side * (tf.sqrt(tf.reduce_prod(sides)) / _CLASSIFIER_SIDE)
    level = tf.floor(tf.math.log(ratio) / math.log(2.0)) + (num_levels - 2)
    # Clipped before the cast: the logarithm of 0 has no integer.
    return tf.cast(tf.clip_by_value(level, 0.0, num_levels - 1.0), tf.int32)
