"""Random minibatches of anchors and proposals, as the API's core/balanced_positive_negative_sampler.py."""

from __future__ import annotations

import tensorflow as tf


def sample_balanced(
    positive: tf.Tensor,
    eligible: tf.Tensor,
    *,
    batch_size: int,
    positive_fraction: float,
    seeds: tf.Tensor | None = None,
) -> tf.Tensor:
    """Draws a minibatch of anchors or proposals an image, at most a given share of them positive.

    Args:
        positive: bool [B, A].
        eligible: bool [B, A]: positives and negatives that may be drawn at all.
        batch_size: How many to draw an image, at most.
        positive_fraction: Share of `batch_size` that positives may take; negatives fill up the rest.
        seeds: int64 [B, 2], of each image; None draws other ones each time.

    Returns:
        bool [B, A], true where drawn.
    """
    noise = _noise(tf.shape(positive), seeds)
    positives = _draw(noise, tf.logical_and(positive, eligible), int(batch_size * positive_fraction))
    num_positives = tf.reduce_sum(tf.cast(positives, tf.int32), axis=1)
    negatives = _draw(noise, tf.logical_and(~positive, eligible), batch_size - num_positives)
    return tf.logical_or(positives, negatives)


def sample_negatives(
    positive: tf.Tensor, eligible: tf.Tensor, *, positive_fraction: float, seeds: tf.Tensor | None = None
) -> tf.Tensor:
    """Keeps all positives of an image, and as many random negatives as make them a given share.

    Args:
        positive: bool [B, A].
        eligible: bool [B, A]: positives and negatives that may be drawn at all.
        positive_fraction: Share of positives in what is drawn, above 0 and at most 1.
        seeds: int64 [B, 2], of each image; None draws other ones each time.

    Returns:
        bool [B, A], true where drawn. An image without positives gets no negatives either.
    """
    positives = tf.logical_and(positive, eligible)
    num_positives = tf.reduce_sum(tf.cast(positives, tf.float32), axis=1)
    num_negatives = (1.0 - positive_fraction) / positive_fraction * num_positives
    # No more than there are: a small share leaves 32 bits.
    num_negatives = tf.cast(tf.minimum(num_negatives, tf.cast(tf.shape(positive)[1], tf.float32)), tf.int32)
    noise = _noise(tf.shape(positive), seeds)
    return tf.logical_or(positives, _draw(noise, tf.logical_and(~positive, eligible), num_negatives))


def _noise(shape: tf.Tensor, seeds: tf.Tensor | None) -> tf.Tensor:
    """Uniform in 0..1, float32 [B, A]; an image's is the same in whatever batch it is."""
    if seeds is None:
        return tf.random.uniform(shape)
    return tf.map_fn(lambda seed: tf.random.stateless_uniform(shape[1:], seed), seeds, fn_output_signature=tf.float32)


def _draw(noise: tf.Tensor, candidates: tf.Tensor, count: int | tf.Tensor) -> tf.Tensor:
    """Marks `count` random candidates a row: those whose noise ranks first."""
    ranked = tf.argsort(tf.where(candidates, noise, -1.0), axis=1, direction="DESCENDING")
    rank = tf.argsort(ranked, axis=1)
    limit = count if isinstance(count, int) else count[:, tf.newaxis]
    return tf.logical_and(candidates, rank < limit)
