"""Faster R-CNN's first stage after its network: anchors of an input, proposals, targets and losses.

Meanings are those of the API's meta_architectures/faster_rcnn_meta_arch.py and, for what it has in code and not in its
config, of core/target_assigner.py ("FasterRCNN", "proposal").
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from configs.settings import box_coders
from configs.settings.faster_rcnn import FasterRcnn
from train.models.assignment import Targets, assign
from train.models.box_coders import FasterRcnnBoxCoder
from train.models.detector import ActualShape, GroundTruth
from train.models.losses import smooth_l1
from train.models.matchers import ArgmaxMatcher
from train.models.proposals import Proposals, propose
from train.models.sampling import sample_balanced
from train.models.similarity import pairwise_iou

# Which the API has in code, and no config says.
BOX_CODER = FasterRcnnBoxCoder(
    box_coders.FasterRcnnBoxCoder(y_scale=10.0, x_scale=10.0, height_scale=5.0, width_scale=5.0)
)
MATCHER = ArgmaxMatcher(0.7, 0.3, force_match_for_each_row=True)


@dataclasses.dataclass(frozen=True)
class InputAnchors:
    """The anchors of a batch's input.

    Attributes:
        boxes: float32 [A, 4], ymin xmin ymax xmax in pixels of the input.
        usable: bool [A], false for those that neither propose anything nor are trained.
    """

    boxes: tf.Tensor
    usable: tf.Tensor

    @classmethod
    def within(cls, boxes: tf.Tensor, input_shape: ActualShape, *, prune: bool) -> InputAnchors:
        """Fits anchors into the input.

        Args:
            boxes: float32 [A, 4], ymin xmin ymax xmax in pixels.
            input_shape: Height and width of the input, in pixels.
            prune: Whether those that leave the input become unusable; else all are clipped to it, and those wholly
                outside are unusable.
        """
        sides = tf.cast(tf.stack(input_shape), tf.float32)
        limits = tf.concat([sides, sides], axis=0)
        if prune:
            return cls(boxes, tf.reduce_all(tf.logical_and(boxes >= 0, boxes <= limits), axis=-1))
        clipped = tf.minimum(tf.maximum(boxes, 0.0), limits)
        return cls(clipped, tf.reduce_all(clipped[:, 2:] > clipped[:, :2], axis=-1))


def propose_regions(
    logits: tf.Tensor, codes: tf.Tensor, anchors: InputAnchors, true_image_shape: tf.Tensor, settings: FasterRcnn
) -> Proposals:
    """Turns the first stage's predictions into proposals.

    Args:
        logits: float32 [B, A, 2], background before object.
        codes: float32 [B, A, 4].
        anchors: Of the input.
        true_image_shape: int32 [B, 3], without padding.
        settings: Of the model.
    """
    objectness = tf.where(anchors.usable, tf.nn.softmax(logits)[..., 1], -1.0)
    return propose(
        BOX_CODER.decode(codes, anchors.boxes[tf.newaxis]),
        objectness,
        true_image_shape,
        max_proposals=settings.first_stage_max_proposals,
        iou_threshold=settings.first_stage_nms_iou_threshold,
        score_threshold=settings.first_stage_nms_score_threshold,
    )


def assign_anchors(anchors: InputAnchors, truth: GroundTruth) -> Targets:
    """Assigns a batch's ground truth to the anchors; unusable ones match nothing, and weigh nothing."""
    similarity = pairwise_iou(truth.boxes, anchors.boxes[tf.newaxis])
    # Unusable anchors must not be anybody's best one either.
    similarity = tf.where(anchors.usable, similarity, -1.0)
    matches = MATCHER.match(similarity, truth.valid, truth.weights > 0)
    targets = assign(matches, truth.boxes, truth.classes, truth.weights)
    usable = tf.cast(anchors.usable, tf.float32)
    return dataclasses.replace(
        targets,
        positive=tf.logical_and(targets.positive, anchors.usable),
        class_weights=targets.class_weights * usable,
        box_weights=targets.box_weights * usable,
    )


def first_stage_losses(
    logits: tf.Tensor, codes: tf.Tensor, anchors: InputAnchors, truth: GroundTruth, settings: FasterRcnn
) -> dict[str, tf.Tensor]:
    """The losses of a minibatch of anchors, drawn anew each time.

    A ground truth's weight decides whether its anchors may be drawn at all, and multiplies their localisation loss; the
    API's objectness loss does not look at it beyond that.

    Args:
        logits: float32 [B, A, 2], background before object.
        codes: float32 [B, A, 4].
        anchors: Of the input.
        truth: The batch's ground truth.
        settings: Of the model.
    """
    targets = assign_anchors(anchors, truth)
    sampled = tf.cast(
        sample_balanced(
            targets.positive,
            targets.class_weights > 0,
            batch_size=settings.first_stage_minibatch_size,
            positive_fraction=settings.first_stage_positive_balance_fraction,
            seeds=truth.sampling_seeds,
        ),
        tf.float32,
    )
    normalizer = tf.maximum(tf.reduce_sum(sampled, axis=1), 1.0)
    objectness = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(targets.positive, tf.int32), logits)
    box_targets = BOX_CODER.encode(targets.boxes, anchors.boxes[tf.newaxis])
    box_targets = tf.where(targets.positive[..., tf.newaxis], box_targets, 0.0)
    location = smooth_l1(codes, box_targets, delta=1.0)

    def mean_over_images(losses: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(tf.reduce_sum(losses, axis=1) / normalizer)

    return {
        "Loss/RPNLoss/objectness_loss": settings.first_stage_objectness_loss_weight
        * mean_over_images(objectness * sampled),
        "Loss/RPNLoss/localization_loss": settings.first_stage_localization_loss_weight
        * mean_over_images(location * sampled * targets.box_weights),
    }
