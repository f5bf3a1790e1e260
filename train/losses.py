"""Losses of single anchors and proposals; the detectors weight, sum and normalise them.

Equations are the Object Detection API's (`core/losses.py`): everything comes back per anchor, so that sampling and
normalising stay visible where they happen.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def smooth_l1(codes: tf.Tensor, targets: tf.Tensor, delta: float) -> tf.Tensor:
    """Huber loss summed over the four numbers of a box code (Girshick, "Fast R-CNN", equation 3).

    Args:
        codes: float32 [..., 4].
        targets: float32 [..., 4].
        delta: Where the parabola turns into a line.

    Returns:
        float32 [...].
    """
    error = tf.abs(codes - targets)
    quadratic = tf.minimum(error, delta)
    return tf.reduce_sum(0.5 * tf.square(quadratic) + delta * (error - quadratic), axis=-1)


def sigmoid_cross_entropy(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Cross entropy of every class by itself, summed over classes.

    Args:
        logits: float32 [..., classes].
        targets: float32 of the same shape, 0..1.

    Returns:
        float32 [...].
    """
    return tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logits), axis=-1)


def sigmoid_focal(logits: tf.Tensor, targets: tf.Tensor, *, alpha: float | None, gamma: float) -> tf.Tensor:
    """Focal loss (Lin et al., "Focal Loss for Dense Object Detection", equation 5), summed over classes.

    Args:
        logits: float32 [..., classes].
        targets: float32 of the same shape, 0 or 1.
        alpha: Weight of positives, 1 - alpha being that of negatives; None weighs both with 1.
        gamma: How strongly easy examples are played down.

    Returns:
        float32 [...].
    """
    cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logits)
    probabilities = tf.sigmoid(logits)
    probability_of_truth = targets * probabilities + (1.0 - targets) * (1.0 - probabilities)
    loss = cross_entropy
    if gamma:
        loss *= tf.pow(1.0 - probability_of_truth, gamma)
    if alpha is not None:
        loss *= targets * alpha + (1.0 - targets) * (1.0 - alpha)
    return tf.reduce_sum(loss, axis=-1)


def classification_loss(config: Any, logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """The loss that a `ClassificationLoss` message names.

    Args:
        config: The message.
        logits: float32 [..., classes].
        targets: float32 of the same shape.

    Returns:
        float32 [...].

    Raises:
        ValueError: The message names a loss that is not here.
    """
    kind = config.WhichOneof("classification_loss")
    if kind == "weighted_sigmoid_focal":
        focal = config.weighted_sigmoid_focal
        alpha = focal.alpha if focal.HasField("alpha") else None
        return sigmoid_focal(logits, targets, alpha=alpha, gamma=focal.gamma)
    if kind in ("weighted_sigmoid", None):
        return sigmoid_cross_entropy(logits, targets)
    raise ValueError(f"loss.classification_loss.{kind} is not supported")


def localization_loss(config: Any, codes: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """The loss that a `LocalizationLoss` message names.

    Args:
        config: The message.
        codes: float32 [..., 4].
        targets: float32 [..., 4].

    Returns:
        float32 [...].

    Raises:
        ValueError: The message names a loss that is not here.
    """
    kind = config.WhichOneof("localization_loss")
    if kind in ("weighted_smooth_l1", None):
        return smooth_l1(codes, targets, config.weighted_smooth_l1.delta)
    raise ValueError(f"loss.localization_loss.{kind} is not supported")
