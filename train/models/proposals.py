"""Faster R-CNN's proposals, from the first stage's predictions to the second stage's input."""

from __future__ import annotations

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Proposals:
    """The proposals of a batch, padded to a common number.

    Attributes:
        boxes: float32 [B, N, 4], ymin xmin ymax xmax in pixels of the input, by falling score; zeros where padded.
        scores: float32 [B, N], objectness; zeros where padded.
        count: int32 [B], how many are none of the padding.
    """

    boxes: tf.Tensor
    scores: tf.Tensor
    count: tf.Tensor

    @property
    def valid(self) -> tf.Tensor:
        """Bool [B, N], false where padded."""
        return tf.sequence_mask(self.count, tf.shape(self.boxes)[1])

    def select(self, chosen: tf.Tensor, size: int) -> Proposals:
        """Keeps some, in their order.

        Args:
            chosen: bool [B, N].
            size: How many rows to pad to, or to cut off after.
        """
        chosen = tf.logical_and(chosen, self.valid)
        size = min(size, self.boxes.shape[1] or size)
        order = tf.argsort(tf.cast(~chosen, tf.int32), axis=1, stable=True)[:, :size]
        count = tf.minimum(tf.reduce_sum(tf.cast(chosen, tf.int32), axis=1), size)
        is_kept = tf.sequence_mask(count, size, tf.float32)
        return Proposals(
            boxes=tf.gather(self.boxes, order, batch_dims=1) * is_kept[..., tf.newaxis],
            scores=tf.gather(self.scores, order, batch_dims=1) * is_kept,
            count=count,
        )


def propose(
    boxes: tf.Tensor,
    scores: tf.Tensor,
    true_image_shape: tf.Tensor,
    *,
    max_proposals: int,
    iou_threshold: float,
    score_threshold: float,
) -> Proposals:
    """Picks proposals among decoded anchors: one NMS over all feature maps, then clipped to the image.

    In the order of the API's core/post_processing.py: boxes meet in NMS as they are, then are clipped, and what has no
    area left is dropped. Stands where Model Garden has `MultilevelROIGenerator`, which suppresses level by level and in
    graph code.

    Args:
        boxes: float32 [B, A, 4], ymin xmin ymax xmax in pixels, not clipped.
        scores: float32 [B, A], objectness; negative where nothing may be proposed.
        true_image_shape: int32 [B, 2 or more], height and width without padding first, in pixels.
        max_proposals: How many to keep an image, N.
        iou_threshold: Of the NMS.
        score_threshold: Objectness that a proposal must exceed.

    Returns:
        Proposals that no gradient passes through.
    """
    kept_boxes, kept_scores, _, count = tf.image.combined_non_max_suppression(
        tf.stop_gradient(boxes)[:, :, tf.newaxis],
        tf.stop_gradient(scores)[..., tf.newaxis],
        max_output_size_per_class=max_proposals,
        max_total_size=max_proposals,
        iou_threshold=iou_threshold,
        score_threshold=max(score_threshold, 0.0),
        clip_boxes=False,
    )
    clipped = clip_to_image(kept_boxes, true_image_shape)
    has_area = tf.reduce_all(clipped[..., 2:] > clipped[..., :2], axis=-1)
    return Proposals(clipped, kept_scores, count).select(has_area, max_proposals)


def clip_to_image(boxes: tf.Tensor, image_shape: tf.Tensor) -> tf.Tensor:
    """Clips boxes to their images.

    Args:
        boxes: float32 [B, N, 4], ymin xmin ymax xmax in pixels.
        image_shape: [B, 2 or more], height and width first, in pixels.

    Returns:
        float32, as `boxes`.
    """
    sides = tf.cast(image_shape[:, :2], tf.float32)
    limits = tf.concat([sides, sides], axis=-1)[:, tf.newaxis]
    return tf.minimum(tf.maximum(boxes, 0.0), limits)
