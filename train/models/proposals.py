"""Faster R-CNN's layers between its two stages: proposals, and their crops."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf
import tf_keras
from official.vision.modeling.layers import roi_aligner

from train.models.box_coders import FasterRcnnBoxCoder

# Under mixed precision layers compute in 16 bits, in which a box is off by a pixel or more; these must not.
COORDINATES_DTYPE = "float32"


class ProposalGenerator(tf_keras.layers.Layer):
    """Turns the first stage's predictions into proposals: decode, clip, one NMS over all levels.

    Stands where Model Garden has `MultilevelROIGenerator`, which suppresses level by level, without the box coder's
    scales, and in graph code.
    """

    def __init__(
        self, *, box_coder: FasterRcnnBoxCoder, max_proposals: int, iou_threshold: float, score_threshold: float
    ) -> None:
        """Creates the layer.

        Args:
            box_coder: Of the first stage.
            max_proposals: How many to keep an image.
            iou_threshold: Of the NMS.
            score_threshold: Objectness below which nothing is proposed.
        """
        super().__init__(name="proposal_generator", dtype=COORDINATES_DTYPE)
        self._box_coder = box_coder
        self._max_proposals = max_proposals
        self._iou_threshold = iou_threshold
        self._score_threshold = score_threshold

    def call(
        self,
        raw_boxes: Mapping[str, tf.Tensor],
        raw_scores: Mapping[str, tf.Tensor],
        anchor_boxes: Mapping[str, tf.Tensor],
        image_shape: tf.Tensor,
        training: bool | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Proposes regions.

        Args:
            raw_boxes: Box codes by level, [B, height, width, anchors * 4].
            raw_scores: Objectness logits by level, [B, height, width, anchors].
            anchor_boxes: Anchors by level, [B, height, width, anchors * 4], ymin xmin ymax xmax in pixels.
            image_shape: [B, 2], height and width without padding, in pixels.
            training: Not used: the API proposes as many in training as in inference.

        Returns:
            Proposals float32 [B, N, 4], ymin xmin ymax xmax in pixels, by falling score, and their scores [B, N].
            Rows beyond the last proposal are zeros.
        """
        levels = sorted(raw_scores, key=int)
        codes, scores, anchors = (
            tf.concat([tf.cast(tf.reshape(x[level], shape), tf.float32) for level in levels], axis=1)
            for x, shape in (
                (raw_boxes, [tf.shape(image_shape)[0], -1, 4]),
                (raw_scores, [tf.shape(image_shape)[0], -1]),
                (anchor_boxes, [tf.shape(image_shape)[0], -1, 4]),
            )
        )
        boxes = clip_to_image(self._box_coder.decode(codes, anchors), image_shape)
        kept_boxes, kept_scores, _, _ = tf.image.combined_non_max_suppression(
            boxes[:, :, tf.newaxis],
            tf.sigmoid(scores)[..., tf.newaxis],
            max_output_size_per_class=self._max_proposals,
            max_total_size=self._max_proposals,
            iou_threshold=self._iou_threshold,
            score_threshold=self._score_threshold,
            clip_boxes=False,
        )
        return tf.stop_gradient(kept_boxes), tf.stop_gradient(kept_scores)


class ProposalCropper(tf_keras.layers.Layer):
    """Cuts every proposal out of the feature maps: bilinear crop to `initial_crop_size`, then max-pool.

    With one feature map the crop is TensorFlow's fused op; over a pyramid it is Model Garden's aligner, which picks
    each proposal's level in one gather.
    """

    def __init__(
        self, *, input_shape: tuple[int, int], initial_crop_size: int, maxpool_kernel_size: int, maxpool_stride: int
    ) -> None:
        """Creates the layer.

        Args:
            input_shape: Height and width of the padded input, in pixels.
            initial_crop_size: Side of the crop, in cells.
            maxpool_kernel_size: 1 pools nothing.
            maxpool_stride: Of the pooling.
        """
        super().__init__(name="proposal_cropper", dtype=COORDINATES_DTYPE)
        self._input_shape_pixels = input_shape
        self._crop_size = initial_crop_size
        self._kernel_size = maxpool_kernel_size
        self._stride = maxpool_stride
        self._aligner = roi_aligner.MultilevelROIAligner(crop_size=initial_crop_size, dtype=COORDINATES_DTYPE)

    @property
    def output_size(self) -> int:
        """Side of what comes out, in cells."""
        return -(-(self._crop_size - self._kernel_size + 1) // self._stride)

    def call(self, features: Mapping[str, tf.Tensor], boxes: tf.Tensor) -> tf.Tensor:
        """Crops.

        Args:
            features: Feature maps by level.
            boxes: float32 [B, N, 4], ymin xmin ymax xmax in pixels of the padded input.

        Returns:
            float32 [B, N, output_size, output_size, channels].
        """
        num_boxes = tf.shape(boxes)[1]
        if len(features) == 1:
            crops = self._crop_single_map(next(iter(features.values())), boxes)
        else:
            aligned = self._aligner(features, boxes)
            crops = tf.reshape(aligned, [-1, self._crop_size, self._crop_size, aligned.shape[-1]])
        if self._kernel_size > 1 or self._stride > 1:
            crops = tf.nn.max_pool2d(crops, self._kernel_size, self._stride, "VALID")
        return tf.reshape(crops, [-1, num_boxes, *crops.shape[1:]])

    def _crop_single_map(self, feature_map: tf.Tensor, boxes: tf.Tensor) -> tf.Tensor:
        height, width = self._input_shape_pixels
        normalized = boxes / tf.constant([height, width, height, width], boxes.dtype)
        batch_size, num_boxes = tf.shape(boxes)[0], tf.shape(boxes)[1]
        image_of_box = tf.repeat(tf.range(batch_size), num_boxes)
        crops = tf.image.crop_and_resize(
            tf.cast(feature_map, tf.float32),
            tf.reshape(normalized, [-1, 4]),
            image_of_box,
            [self._crop_size, self._crop_size],
        )
        return tf.cast(crops, feature_map.dtype)


def clip_to_image(boxes: tf.Tensor, image_shape: tf.Tensor) -> tf.Tensor:
    """Clips boxes to their images.

    Args:
        boxes: float32 [B, N, 4] or [B, N, K, 4], ymin xmin ymax xmax in pixels.
        image_shape: [B, 2 or more], height and width first, in pixels.

    Returns:
        float32, as `boxes`.
    """
    sides = tf.cast(image_shape[:, :2], tf.float32)
    limits = tf.concat([sides, sides], axis=-1)
    limits = tf.reshape(limits, [-1, *[1] * (boxes.shape.rank - 2), 4])
    return tf.minimum(tf.maximum(boxes, 0.0), limits)
