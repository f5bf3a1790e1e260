"""Losses of single anchors and proposals; the detectors weight, sum and normalise them.

Equations are the Object Detection API's (core/losses.py): everything comes back per anchor, so that sampling and
normalising stay visible where they happen. The API smooths no labels in any of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

from configs.settings import losses

# ---------------------------------------------------------------------------------------------------- localisation


def l2(codes: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Half the squared distance of weighted codes; a weight of 0.5 therefore counts a quarter, as in the API.

    Args:
        codes: float32 [..., code size].
        targets: float32 [..., code size].
        weights: float32 [...].

    Returns:
        float32 [...].
    """
    return 0.5 * tf.reduce_sum(tf.square((codes - targets) * weights[..., tf.newaxis]), axis=-1)


def l1(codes: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Sum of the absolute differences of codes [..., code size]; float32 [...]."""
    return tf.reduce_sum(tf.abs(codes - targets), axis=-1)


def smooth_l1(codes: tf.Tensor, targets: tf.Tensor, delta: float) -> tf.Tensor:
    """Huber loss summed over the numbers of a box code (Girshick, "Fast R-CNN", equation 3).

    Args:
        codes: float32 [..., code size].
        targets: float32 [..., code size].
        delta: Where the parabola turns into a line.

    Returns:
        float32 [...].
    """
    error = tf.abs(codes - targets)
    quadratic = tf.minimum(error, delta)
    return tf.reduce_sum(0.5 * tf.square(quadratic) + delta * (error - quadratic), axis=-1)


def iou_loss(boxes: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """1 minus intersection over union of boxes with boxes, both float32 [..., 4], ymin xmin ymax xmax; float32 [...].

    1 where they do not overlap, two empty boxes included.
    """
    intersection, union, _ = _intersection_union_hull(boxes, targets)
    return 1.0 - tf.where(intersection > 0.0, tf.math.divide_no_nan(intersection, union), 0.0)


def giou_loss(boxes: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """1 minus generalised intersection over union (Rezatofighi et al., "Generalized Intersection over Union").

    Args:
        boxes: float32 [..., 4], ymin xmin ymax xmax.
        targets: float32 [..., 4], ymin xmin ymax xmax.

    Returns:
        float32 [...], 0..2 for boxes whose maxima are not below their minima. 1 where no hull can be drawn.
    """
    intersection, union, hull = _intersection_union_hull(boxes, targets)
    iou = tf.math.divide_no_nan(intersection, union)
    # The API takes the overlap itself away where the hull is empty.
    outside = tf.where(hull > 0.0, tf.math.divide_no_nan(hull - union, hull), iou)
    return 1.0 - (iou - outside)


def _intersection_union_hull(boxes: tf.Tensor, others: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Areas, float32 [...]; a reversed box's own area keeps its sign, as in the API."""
    overlap_sides = tf.minimum(boxes[..., 2:], others[..., 2:]) - tf.maximum(boxes[..., :2], others[..., :2])
    hull_sides = tf.maximum(boxes[..., 2:], others[..., 2:]) - tf.minimum(boxes[..., :2], others[..., :2])
    intersection = tf.reduce_prod(tf.maximum(overlap_sides, 0.0), axis=-1)
    area, other_area = (tf.reduce_prod(b[..., 2:] - b[..., :2], axis=-1) for b in (boxes, others))
    return intersection, area + other_area - intersection, tf.reduce_prod(hull_sides, axis=-1)


def localization_loss(
    settings: losses.LocalizationLoss, codes: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor | None = None
) -> tf.Tensor:
    """The localisation loss of settings.

    `weighted_iou` and `weighted_giou` read what they are given as boxes. The API's SSD gives them codes (its
    meta_architectures/ssd_meta_arch.py never decodes for the loss), and so does the SSD here.

    Args:
        settings: Of the loss.
        codes: float32 [..., code size].
        targets: float32 [..., code size].
        weights: float32 [...]; None weighs all with 1.

    Returns:
        float32 [...], weighted.
    """
    if weights is None:
        weights = tf.ones(tf.shape(codes)[:-1], codes.dtype)
    match settings:
        case losses.WeightedSmoothL1(delta=delta):
            return smooth_l1(codes, targets, delta) * weights
        case losses.WeightedL2():
            return l2(codes, targets, weights)
        case losses.L1Localization():
            return l1(codes, targets) * weights
        case losses.WeightedIou():
            return iou_loss(codes, targets) * weights
        case losses.WeightedGiou():
            return giou_loss(codes, targets) * weights


# -------------------------------------------------------------------------------------------------- classification


def _focal(
    logits: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor | None, alpha: float | None, gamma: float
) -> tf.Tensor:
    """Focal loss (Lin et al., "Focal Loss for Dense Object Detection", equation 5), weighted and summed over classes.

    Its gradient is written out, and there is none by targets and weights: what TensorFlow derives goes through the
    largest tensors of a training step twice as often.
    """

    @tf.custom_gradient
    def loss_of(logits: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        probabilities = tf.sigmoid(logits)
        # Sigmoid cross entropy, as TensorFlow has it so that nothing overflows and no digits are lost.
        cross_entropy = tf.nn.relu(logits) - logits * targets + tf.math.log1p(tf.exp(-tf.abs(logits)))
        by_target = weights
        if alpha is not None:
            balance = (1.0 - alpha) + (2.0 * alpha - 1.0) * targets
            by_target = balance if weights is None else balance * weights
        # From the probability of the class to 1 less that of the truth.
        sign = 1.0 - 2.0 * targets
        missed = targets + sign * probabilities
        factors = [tf.pow(missed, gamma)] if gamma else []
        factors += [] if by_target is None else [by_target]

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            slope = probabilities - targets
            if gamma:
                # The derivative of missed ** gamma, over missed ** gamma itself, which is 0 where nothing is missed.
                share = tf.math.divide_no_nan(probabilities * (1.0 - probabilities), missed)
                slope += gamma * sign * share * cross_entropy
            return math.prod(factors, start=slope) * upstream[..., tf.newaxis]

        return tf.reduce_sum(math.prod(factors, start=cross_entropy), axis=-1), gradient

    return loss_of(logits)


def bootstrapped_targets(logits: tf.Tensor, targets: tf.Tensor, *, alpha: float, hard: bool) -> tf.Tensor:
    """Labels mixed with the model's own predictions (Reed et al., "Training Deep Neural Networks on Noisy Labels").

    Args:
        logits: float32 [..., classes].
        targets: float32 of the same shape, 0..1.
        alpha: Weight of the label, 1 - alpha being that of the prediction.
        hard: Whether the prediction is taken as 0 or 1 (above 0.5).

    Returns:
        float32 of the same shape. Soft predictions pass gradients on, as in the API.
    """
    predictions = tf.sigmoid(logits)
    if hard:
        predictions = tf.cast(predictions > 0.5, logits.dtype)
    return alpha * targets + (1.0 - alpha) * predictions


def classification_loss(
    settings: losses.ClassificationLoss, logits: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor | None = None
) -> tf.Tensor:
    """The classification loss of settings.

    Args:
        settings: Of the loss.
        logits: float32 [..., classes].
        targets: float32 of the same shape; logits themselves for `weighted_logits_softmax`.
        weights: float32 [..., classes] or [..., 1]; None weighs all with 1. The softmax losses take their mean over
            classes.

    Returns:
        float32 [...], weighted and summed over classes.
    """
    if isinstance(settings, losses.WeightedSoftmax | losses.WeightedLogitsSoftmax):
        scale = settings.logit_scale
        if isinstance(settings, losses.WeightedLogitsSoftmax):
            targets = tf.nn.softmax(targets / scale)
        loss = tf.nn.softmax_cross_entropy_with_logits(labels=targets, logits=logits / scale)
        return loss if weights is None else loss * tf.reduce_mean(weights, axis=-1)
    # One weight for all classes can wait until they are summed.
    for_sum = weights[..., 0] if weights is not None and weights.shape[-1] == 1 else None
    by_class_weights = weights if for_sum is None else None
    match settings:
        case losses.SigmoidFocal(alpha=alpha, gamma=gamma):
            loss = _focal(logits, targets, by_class_weights, alpha, gamma)
        case losses.WeightedSigmoid():
            loss = _cross_entropy(logits, targets, by_class_weights)
        case losses.BootstrappedSigmoid(alpha=alpha, hard_bootstrap=hard):
            mixed = bootstrapped_targets(logits, targets, alpha=alpha, hard=hard)
            loss = _cross_entropy(logits, mixed, by_class_weights)
    return loss if for_sum is None else loss * for_sum


def _cross_entropy(logits: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor | None) -> tf.Tensor:
    """Sigmoid cross entropy, weighted and summed over classes."""
    by_class = tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logits)
    return tf.reduce_sum(by_class if weights is None else by_class * weights, axis=-1)
