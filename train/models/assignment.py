"""Training targets of anchors, once a matcher has matched each with a ground truth box.

As the API's core/target_assigner.py.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from train.models.matchers import UNMATCHED


@dataclasses.dataclass(frozen=True)
class Targets:
    """Training targets of a batch of anchors.

    Attributes:
        classes: int32 [B, A], the matched ground truth's class as it was given, or 0.
        boxes: float32 [B, A, 4], the matched ground truth's box, ymin xmin ymax xmax, or zeros.
        positive: bool [B, A].
        class_weights: float32 [B, A]: the matched ground truth's weight, 0 where ignored, and for background 1 or what
            was given.
        box_weights: float32 [B, A]: the matched ground truth's weight, 0 elsewhere.
    """

    classes: tf.Tensor
    boxes: tf.Tensor
    positive: tf.Tensor
    class_weights: tf.Tensor
    box_weights: tf.Tensor


def assign(
    matches: tf.Tensor,
    groundtruth_boxes: tf.Tensor,
    groundtruth_classes: tf.Tensor,
    groundtruth_weights: tf.Tensor,
    *,
    negative_class_weight: float = 1.0,
) -> Targets:
    """Gathers each anchor's targets from its match.

    Args:
        matches: int32 [B, A] as a matcher gives them.
        groundtruth_boxes: float32 [B, M, 4], ymin xmin ymax xmax.
        groundtruth_classes: int32 [B, M], from 1.
        groundtruth_weights: float32 [B, M].
        negative_class_weight: Of background in the classification loss.
    """
    positive = matches >= 0
    rows = tf.maximum(matches, 0)
    boxes = tf.gather(groundtruth_boxes, rows, batch_dims=1)
    classes = tf.gather(groundtruth_classes, rows, batch_dims=1)
    weights = tf.gather(groundtruth_weights, rows, batch_dims=1)
    background_weights = negative_class_weight * tf.cast(matches == UNMATCHED, tf.float32)
    return Targets(
        classes=tf.where(positive, classes, 0),
        boxes=tf.where(positive[..., tf.newaxis], boxes, 0.0),
        positive=positive,
        class_weights=tf.where(positive, weights, background_weights),
        box_weights=tf.where(positive, weights, 0.0),
    )
