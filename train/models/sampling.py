"""Random minibatches of anchors and proposals, as the API's core/balanced_positive_negative_sampler.py."""

from __future__ import annotations

import tensorflow as tf


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


def sample_negatives(positive: tf.Tensor, eligible: tf.Tensor, *, positive_fraction: float) -> tf.Tensor:
    """Keeps all positives of an image, and as many random negatives as make them a given share.

    Args:
        positive: bool [B, A].
        eligible: bool [B, A]: positives and negatives that may be drawn at all.
        positive_fraction: Share of positives in what is drawn, above 0 and at most 1.

    Returns:
        bool [B, A], true where drawn. An image without positives gets no negatives either.
    """
    positives = tf.logical_and(positive, eligible)
    num_positives = tf.reduce_sum(tf.cast(positives, tf.float32), axis=1)
    num_negatives = (1.0 - positive_fraction) / positive_fraction * num_positives
    # No more than there are: a small share leaves 32 bits.
    num_negatives = tf.cast(tf.minimum(num_negatives, tf.cast(tf.shape(positive)[1], tf.float32)), tf.int32)
    noise = tf.random.uniform(tf.shape(positive))
    return tf.logical_or(positives, _draw(noise, tf.logical_and(~positive, eligible), num_negatives))


def _draw(noise: tf.Tensor, candidates: tf.Tensor, count: int | tf.Tensor) -> tf.Tensor:
    """Marks `count` random candidates a row: those whose noise ranks first."""
    ranked = tf.argsort(tf.where(candidates, noise, -1.0), axis=1, direction="DESCENDING")
    rank = tf.argsort(ranked, axis=1)
    limit = count if isinstance(count, int) else count[:, tf.newaxis]
    return tf.logical_and(candidates, rank < limit)
