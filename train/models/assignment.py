"""Assignment of ground truth to anchors: similarity, matcher, targets. Batched, padded, and without loops."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

UNMATCHED = -1
IGNORED = -2


def pairwise_iou(boxes: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """Intersection over union of every pair.

    Args:
        boxes: float32 [..., N, 4], ymin xmin ymax xmax.
        others: float32 [..., M, 4], in the same order and units; its leading axes broadcast with those of `boxes`.

    Returns:
        float32 [..., N, M] in 0..1; 0 where both boxes are empty.
    """
    boxes, others = boxes[..., :, tf.newaxis, :], others[..., tf.newaxis, :, :]
    intersection_sides = tf.maximum(
        tf.minimum(boxes[..., 2:], others[..., 2:]) - tf.maximum(boxes[..., :2], others[..., :2]), 0.0
    )
    intersection = tf.reduce_prod(intersection_sides, axis=-1)
    area, other_area = (tf.reduce_prod(b[..., 2:] - b[..., :2], axis=-1) for b in (boxes, others))
    return tf.math.divide_no_nan(intersection, area + other_area - intersection)


@dataclasses.dataclass(frozen=True)
class ArgmaxMatcher:
    """Matches each anchor with its most similar ground truth, by thresholds.

    Similarity s of an anchor with its best ground truth, with matched_threshold 0.7 and unmatched_threshold 0.3:

        s        0.2        0.3        0.5        0.7        0.9
        match    UNMATCHED  IGNORED    IGNORED    its row    its row

    With `negatives_lower_than_unmatched` false, UNMATCHED and IGNORED change places. With `force_match_for_each_row`,
    every ground truth also takes the anchor most similar to it, whatever the threshold.

    Attributes:
        matched_threshold: None matches every anchor.
        unmatched_threshold: Equal to `matched_threshold` when nothing is to be ignored.
        negatives_lower_than_unmatched: Which of the two unmatched kinds is background.
        force_match_for_each_row: Whether each ground truth is sure of one anchor.
    """

    matched_threshold: float | None
    unmatched_threshold: float | None
    negatives_lower_than_unmatched: bool = True
    force_match_for_each_row: bool = False

    @classmethod
    def from_config(cls, config: Any) -> ArgmaxMatcher:
        """Reads an `ArgMaxMatcher` message."""
        if config.ignore_thresholds:
            return cls(None, None, config.negatives_lower_than_unmatched, config.force_match_for_each_row)
        return cls(
            config.matched_threshold,
            config.unmatched_threshold,
            config.negatives_lower_than_unmatched,
            config.force_match_for_each_row,
        )

    def match(self, similarity: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
        """Matches anchors with ground truth.

        Args:
            similarity: float32 [B, M, A] of M ground truths, padding included, with A anchors.
            valid: bool [B, M], false for padding, which matches nothing.

        Returns:
            int32 [B, A]: the ground truth's row, or UNMATCHED, or IGNORED.
        """
        similarity = tf.where(valid[..., tf.newaxis], similarity, -1.0)
        matches = tf.argmax(similarity, axis=1, output_type=tf.int32)
        if self.matched_threshold is not None and self.unmatched_threshold is not None:
            best = tf.reduce_max(similarity, axis=1)
            low, between = UNMATCHED, IGNORED
            if not self.negatives_lower_than_unmatched:
                low, between = between, low
            matches = tf.where(best >= self.matched_threshold, matches, between)
            matches = tf.where(best < self.unmatched_threshold, low, matches)
        if self.force_match_for_each_row:
            best_anchors = tf.one_hot(tf.argmax(similarity, axis=2), tf.shape(similarity)[2])
            forced = best_anchors * tf.cast(valid, tf.float32)[..., tf.newaxis]
            # Where several ground truths want the same anchor, the first has it: argmax takes the lowest row.
            forced_row = tf.argmax(forced, axis=1, output_type=tf.int32)
            matches = tf.where(tf.reduce_max(forced, axis=1) > 0, forced_row, matches)
        # Without any ground truth every similarity is -1, and only the thresholds above would have said so.
        return tf.where(tf.reduce_any(valid, axis=1, keepdims=True), matches, UNMATCHED)


@dataclasses.dataclass(frozen=True)
class Targets:
    """What a batch of anchors is trained towards.

    Attributes:
        classes: int32 [B, A], the matched ground truth's class as it was given, or 0.
        boxes: float32 [B, A, 4], the matched ground truth's box, ymin xmin ymax xmax, or zeros.
        positive: bool [B, A].
        class_weights: float32 [B, A]: the matched ground truth's weight, 1 for background, 0 where ignored.
        box_weights: float32 [B, A]: the matched ground truth's weight, 0 elsewhere.
    """

    classes: tf.Tensor
    boxes: tf.Tensor
    positive: tf.Tensor
    class_weights: tf.Tensor
    box_weights: tf.Tensor


def assign(
    matches: tf.Tensor, groundtruth_boxes: tf.Tensor, groundtruth_classes: tf.Tensor, groundtruth_weights: tf.Tensor
) -> Targets:
    """Gathers each anchor's targets from its match.

    Args:
        matches: int32 [B, A] as `ArgmaxMatcher.match` gives them.
        groundtruth_boxes: float32 [B, M, 4], ymin xmin ymax xmax.
        groundtruth_classes: int32 [B, M], from 1.
        groundtruth_weights: float32 [B, M].
    """
    positive = matches >= 0
    rows = tf.maximum(matches, 0)
    boxes = tf.gather(groundtruth_boxes, rows, batch_dims=1)
    classes = tf.gather(groundtruth_classes, rows, batch_dims=1)
    weights = tf.gather(groundtruth_weights, rows, batch_dims=1)
    return Targets(
        classes=tf.where(positive, classes, 0),
        boxes=tf.where(positive[..., tf.newaxis], boxes, 0.0),
        positive=positive,
        class_weights=tf.where(positive, weights, tf.cast(matches == UNMATCHED, tf.float32)),
        box_weights=tf.where(positive, weights, 0.0),
    )


def sample_balanced(
    positive: tf.Tensor, eligible: tf.Tensor, *, batch_size: int, positive_fraction: float
) -> tf.Tensor:
    """Draws a minibatch of anchors or proposals an image, at most a given share of them positive.

    Args:
        positive: bool [B, A].
        eligible: bool [B, A]: positives and negatives that may be drawn at all.
        batch_size: How many to draw an image, at most.
        positive_fraction: Share of `batch_size` that positives may take; negatives fill up the rest.

    Returns:
        bool [B, A], true where drawn.
    """
    noise = tf.random.uniform(tf.shape(positive))
    positives = _draw(noise, tf.logical_and(positive, eligible), int(batch_size * positive_fraction))
    num_positives = tf.reduce_sum(tf.cast(positives, tf.int32), axis=1)
    negatives = _draw(noise, tf.logical_and(~positive, eligible), batch_size - num_positives)
    return tf.logical_or(positives, negatives)


def _draw(noise: tf.Tensor, candidates: tf.Tensor, count: int | tf.Tensor) -> tf.Tensor:
    """Marks `count` random candidates a row: those whose noise ranks first."""
    ranked = tf.argsort(tf.where(candidates, noise, -1.0), axis=1, direction="DESCENDING")
    rank = tf.argsort(ranked, axis=1)
    limit = count if isinstance(count, int) else count[:, tf.newaxis]
    return tf.logical_and(candidates, rank < limit)
