"""Numbers of a whole batch, where each replica has a share of it."""

from __future__ import annotations

import tensorflow as tf
import tf_keras


def mean_over_replicas(value: tf.Tensor) -> tf.Tensor:
    """Returns the mean of all replicas' values, in each; outside of a replica, and with one alone, the value itself.

    Args:
        value: A float tensor, of the same shape in every replica. No gradient flows through the others'.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, value)


def num_replicas() -> int:
    """Returns how many replicas share the batch that is being computed."""
    context = tf.distribute.get_replica_context()
    return 1 if context is None else int(context.num_replicas_in_sync)


def divisor_of_batch(count: tf.Tensor) -> tf.Tensor:
    """What a replica divides the sum of its losses by, so that the mean over replicas is the whole batch's loss.

    A replica whose images have few objects must not count for more than the others.

    Args:
        count: float32 scalar, what this replica's losses are a sum over; less than 1 in all replicas together counts
            as 1.
    """
    return tf.maximum(mean_over_replicas(count), 1.0 / num_replicas())


def copy_values(source: tf_keras.Model, target: tf_keras.Model, strategy: tf.distribute.Strategy) -> None:
    """Gives a network on one device the values of an equal one that a strategy spreads: those of its first replica."""
    for theirs, ours in zip(source.variables, target.variables, strict=True):
        ours.assign(strategy.experimental_local_results(theirs)[0])
