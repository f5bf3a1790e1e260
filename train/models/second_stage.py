"""Faster R-CNN's second stage after its network: sampling, targets, losses and detections.

Meanings are those of the API's meta_architectures/faster_rcnn_meta_arch.py and, for what it has in code and not in its
config, of core/target_assigner.py ("FasterRCNN", "detection"). Model Garden's `ROISampler` cannot stand here: it adds
the ground truth to the proposals, has no weights, no multi-hot classes, and takes padding for proposals.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from configs.settings import losses
from configs.settings.faster_rcnn import FasterRcnn
from train.models.assignment import assign
from train.models.detector import GroundTruth
from train.models.first_stage import BOX_CODER
from train.models.hard_example_mining import HardExampleMiner
from train.models.losses import classification_loss, smooth_l1
from train.models.matchers import ArgmaxMatcher
from train.models.post_processing import batch_non_max_suppression, scores_from_logits, with_raw
from train.models.proposals import Proposals
from train.models.sampling import sample_balanced
from train.models.similarity import pairwise_iou

_MATCHER = ArgmaxMatcher(0.5, 0.5)


@dataclasses.dataclass(frozen=True)
class ProposalTargets:
    """Training targets of a batch of proposals.

    Attributes:
        classes: float32 [B, N, classes + 1], background first: one-hot, or multi-hot where ground truth has several.
        positive: bool [B, N].
        class_weights: float32 [B, N]: the matched ground truth's weight, 1 for background.
        box_codes: float32 [B, N, 4], zeros where nothing matched.
        box_weights: float32 [B, N]: the matched ground truth's weight, 0 elsewhere.
    """

    classes: tf.Tensor
    positive: tf.Tensor
    class_weights: tf.Tensor
    box_codes: tf.Tensor
    box_weights: tf.Tensor


def assign_proposals(boxes: tf.Tensor, truth: GroundTruth, num_classes: int) -> ProposalTargets:
    """Assigns a batch's ground truth to proposals: to each the one it overlaps most, from half on.

    Args:
        boxes: float32 [B, N, 4], ymin xmin ymax xmax in pixels of the input; what padding gets means nothing.
        truth: The batch's ground truth.
        num_classes: Without background.
    """
    matches = _MATCHER.match(pairwise_iou(truth.boxes, boxes), truth.valid)
    targets = assign(matches, truth.boxes, truth.classes, truth.weights)
    if truth.class_targets is None:
        classes = tf.one_hot(targets.classes, num_classes + 1)
    else:
        matched = tf.gather(truth.class_targets, tf.maximum(matches, 0), batch_dims=1)
        classes = tf.where(
            targets.positive[..., tf.newaxis],
            tf.pad(matched, [[0, 0], [0, 0], [1, 0]]),
            tf.one_hot(0, num_classes + 1),
        )
    codes = BOX_CODER.encode(targets.boxes, boxes)
    return ProposalTargets(
        classes=classes,
        positive=targets.positive,
        class_weights=targets.class_weights,
        box_codes=tf.where(targets.positive[..., tf.newaxis], codes, 0.0),
        box_weights=targets.box_weights,
    )


def sample_proposals(proposals: Proposals, truth: GroundTruth, settings: FasterRcnn) -> Proposals:
    """Draws the proposals that the second stage trains on, `second_stage_batch_size` an image at most.

    Args:
        proposals: All of them.
        truth: The batch's ground truth.
        settings: Of the model.
    """
    targets = assign_proposals(proposals.boxes, truth, settings.num_classes)
    drawn = sample_balanced(
        targets.positive,
        tf.logical_and(proposals.valid, targets.class_weights > 0),
        batch_size=settings.second_stage_batch_size,
        positive_fraction=settings.second_stage_balance_fraction,
        # Not those of the first stage, whose anchors would be drawn by the same numbers.
        seeds=None if truth.sampling_seeds is None else truth.sampling_seeds + 1,
    )
    return proposals.select(drawn, settings.second_stage_batch_size)


def second_stage_losses(
    class_logits: tf.Tensor, box_codes: tf.Tensor, proposals: Proposals, truth: GroundTruth, settings: FasterRcnn
) -> dict[str, tf.Tensor]:
    """The losses of proposals, each image's divided by how many it has, and their mean over images.

    With a `hard_example_miner` only the hardest proposals count. (The API's mines the first image of a batch and
    forgets the others; here all are mined.)

    Args:
        class_logits: float32 [B, N, classes + 1], background first.
        box_codes: float32 [B, N, 1 or classes, 4].
        proposals: What was classified.
        truth: The batch's ground truth.
        settings: Of the model.
    """
    targets = assign_proposals(proposals.boxes, truth, settings.num_classes)
    if box_codes.shape[2] == 1:
        codes = box_codes[:, :, 0]
    else:
        # Of several classes the first has the box.
        its_class = tf.argmax(targets.classes, axis=-1, output_type=tf.int32)
        codes = tf.gather(box_codes, tf.maximum(its_class - 1, 0), axis=2, batch_dims=2)
    count = tf.cast(tf.maximum(proposals.count, 1), tf.float32)[:, tf.newaxis]
    share = tf.cast(proposals.valid, tf.float32) / (count * tf.cast(tf.shape(count)[0], tf.float32))
    location = smooth_l1(codes, targets.box_codes, delta=1.0) * targets.box_weights * share
    classification = second_stage_classification_loss(settings, class_logits, targets.classes)
    classification *= targets.class_weights * share
    if settings.hard_example_miner is not None:
        miner = HardExampleMiner.from_settings(
            settings.hard_example_miner,
            classification_weight=settings.second_stage_classification_loss_weight,
            localization_weight=settings.second_stage_localization_loss_weight,
        )
        mined = miner.select(classification, location, proposals.boxes, valid=proposals.valid)
        classification, location = classification * mined, location * mined
    return {
        "Loss/BoxClassifierLoss/classification_loss": settings.second_stage_classification_loss_weight
        * tf.reduce_sum(classification),
        "Loss/BoxClassifierLoss/localization_loss": settings.second_stage_localization_loss_weight
        * tf.reduce_sum(location),
    }


def second_stage_classification_loss(settings: FasterRcnn, logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """The loss of each proposal that `second_stage_classification_loss` names: softmax where it names none.

    Args:
        settings: Of the model.
        logits: float32 [B, N, classes + 1].
        targets: float32 of the same shape.

    Returns:
        float32 [B, N].
    """
    named = settings.second_stage_classification_loss
    return classification_loss(named or losses.WeightedSoftmax(logit_scale=1.0), logits, targets)


def detections_of(
    class_logits: tf.Tensor,
    box_codes: tf.Tensor,
    proposals: Proposals,
    true_image_shape: tf.Tensor,
    settings: FasterRcnn,
    *,
    with_anchors: bool = False,
) -> dict[str, tf.Tensor]:
    """Decodes and suppresses the second stage's predictions.

    Args:
        class_logits: [B, N, classes + 1], background first.
        box_codes: float32 [B, N, 1 or classes, 4].
        proposals: What was classified.
        true_image_shape: int32 [B, 3], without padding.
        settings: Of the model.
        with_anchors: As for `Detector.detect_with_raw`, with proposals for anchors.

    Returns:
        As `Detector.detect_with_raw`. Raw boxes are those of each proposal's best class, in 0..1 of the image without
        padding and clipped to it, as in the API.
    """
    processing = settings.second_stage_post_processing
    raw_scores = scores_from_logits(class_logits, processing)
    scores = raw_scores[..., 1:]
    boxes = BOX_CODER.decode(tf.cast(box_codes, tf.float32), proposals.boxes[:, :, tf.newaxis])
    detections = batch_non_max_suppression(
        boxes,
        tf.where(proposals.valid[..., tf.newaxis], scores, -1.0),
        true_image_shape,
        processing.batch_non_max_suppression,
        with_anchors=with_anchors,
    )
    best_classes = tf.zeros_like(scores[..., 0], tf.int32)
    if boxes.shape[2] != 1:
        best_classes = tf.argmax(scores, axis=-1, output_type=tf.int32)
    raw_boxes = tf.gather(boxes, best_classes, axis=2, batch_dims=2)
    sides = tf.cast(true_image_shape[:, tf.newaxis, :2], tf.float32)
    raw_boxes = tf.clip_by_value(raw_boxes / tf.concat([sides, sides], axis=-1), 0.0, 1.0)
    is_proposed = tf.cast(proposals.valid, tf.float32)[..., tf.newaxis]
    return with_raw(detections, raw_boxes * is_proposed, raw_scores * is_proposed)
