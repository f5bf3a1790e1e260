"""Gradient accumulation: a step looks at its batch in parts, one after the other, and moves the weights once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from data_prep.runtime.command_line import UsageError
from train.models.replicas import divisor_of_batch

# Losses by name, the number that they are divided by, and gradients, one a variable or None.
Part = tuple[dict[str, tf.Tensor], tf.Tensor, list[tf.Tensor | None]]


def require_parts(batch_size: int, parts: int, num_replicas: int, network: tf_keras.Model) -> None:
    """Checks that batches can be looked at in parts on every replica.

    Args:
        batch_size: `train_config.batch_size`, over all replicas.
        parts: `extensions.gradient_accumulation.steps`.
        num_replicas: How many there are.
        network: What is trained.

    Raises:
        UsageError: The parts are not all of one size, or they would have to wait for those of other replicas.
    """
    if parts == 1:
        return
    if batch_size % (parts * num_replicas):
        raise UsageError(
            f"extensions.gradient_accumulation.steps: {parts} parts on each of {num_replicas} replicas do not divide "
            f"train_config.batch_size, {batch_size}; make it a multiple of {parts * num_replicas}"
        )
    # Replicas meet between loops, and not in them.
    if num_replicas > 1 and any(_is_synchronized(layer) for layer in network.submodules):
        raise UsageError(
            "extensions.gradient_accumulation: the parts of a batch cannot be waited for by sync_batch_norm on "
            f"{num_replicas} replicas; write batch_norm, or accumulate nothing"
        )


def _is_synchronized(layer: Any) -> bool:
    return bool(getattr(layer, "synchronized", False)) or isinstance(
        layer, tf_keras.layers.experimental.SyncBatchNormalization
    )


def accumulate(
    compute: Callable[[tf.Tensor, dict[str, tf.Tensor]], Part],
    images: tf.Tensor,
    labels: dict[str, tf.Tensor],
    *,
    parts: int,
    loss_names: Sequence[str],
    variables: Sequence[tf.Variable],
) -> tuple[dict[str, tf.Tensor], list[tf.Tensor | None]]:
    """Computes losses and gradients of a batch in parts, with the memory that a part takes.

    A part's losses are divided by a number of its own, and at least by 1. So that what comes out is what the whole
    batch would have given, each part's losses and gradients are multiplied by its number, summed in float32, and
    divided by the sum of these numbers, or 1; of all replicas, where there are several. Equal to a rounding; batch norm
    that trains sees each part by itself.

    Args:
        compute: Gives a part's losses, float32 scalars; what they were divided by, a float32 scalar; and gradients.
            It is traced once.
        images: [B, ...]; `parts` divides B.
        labels: Of the batch, each [B, ...].
        parts: How many.
        loss_names: The names of the losses.
        variables: What the gradients are of.

    Returns:
        The losses, and the gradients in the variables' order, None for a variable that no loss depends on.
    """
    split = tf.nest.map_structure(lambda value: _split(value, parts), (images, labels))
    depends = [True] * len(variables)

    def add_part(
        index: tf.Tensor, losses: list[tf.Tensor], divisor: tf.Tensor, gradients: list[tf.Tensor]
    ) -> tuple[tf.Tensor, list[tf.Tensor], tf.Tensor, list[tf.Tensor]]:
        part_losses, part_divisor, part_gradients = compute(*tf.nest.map_structure(lambda value: value[index], split))
        depends[:] = [gradient is not None for gradient in part_gradients]
        weight = tf.maximum(part_divisor, 1.0)
        return (
            index + 1,
            [total + weight * part_losses[name] for total, name in zip(losses, loss_names, strict=True)],
            divisor + part_divisor,
            [
                total if gradient is None else total + weight * tf.cast(tf.convert_to_tensor(gradient), tf.float32)
                for total, gradient in zip(gradients, part_gradients, strict=True)
            ],
        )

    _, losses, divisor, gradients = tf.while_loop(
        lambda index, *_: index < parts,
        add_part,
        (
            tf.constant(0),
            [tf.constant(0.0)] * len(loss_names),
            tf.constant(0.0),
            [tf.zeros(variable.shape, tf.float32) for variable in variables],
        ),
        parallel_iterations=1,  # More would keep the activations of several parts at once.
    )
    share = 1.0 / divisor_of_batch(divisor)
    return (
        {name: loss * share for name, loss in zip(loss_names, losses, strict=True)},
        [gradient * share if is_there else None for gradient, is_there in zip(gradients, depends, strict=True)],
    )


def _split(value: tf.Tensor, parts: int) -> tf.Tensor:
    """[B, ...] as [parts, B / parts, ...]."""
    shape = tf.shape(value)
    split = tf.reshape(value, tf.concat([[parts, shape[0] // parts], shape[1:]], axis=0))
    count = None if value.shape[0] is None else value.shape[0] // parts
    return tf.ensure_shape(split, [parts, count, *value.shape[1:]])
