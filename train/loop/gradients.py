"""Changes of gradients before an optimizer applies them."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf


def clip_gradients(gradients: Sequence[tf.Tensor | None], norm: float) -> list[tf.Tensor | None]:
    """Scales all gradients together so that their joint norm is at most `norm`, as the API's TensorFlow 2 loop does.

    Args:
        gradients: One per variable; None for a variable that the loss does not depend on.
        norm: `train_config.gradient_clipping_by_norm`; 0 or less leaves the gradients alone.

    Returns:
        The gradients, in their order.
    """
    if norm <= 0:
        return list(gradients)
    clipped, _ = tf.clip_by_global_norm(gradients, norm)
    return list(clipped)


def scale_bias_gradients(
    gradients: Sequence[tf.Tensor | None], variables: Sequence[tf.Variable], multiplier: float
) -> list[tf.Tensor | None]:
    """Multiplies the gradients of layers' biases, not of batch norm's beta: `train_config.bias_grad_multiplier`.

    Args:
        gradients: One per variable, or None.
        variables: The variables, in the gradients' order.
        multiplier: 0 (the message's default) leaves the gradients alone, as in the API.

    Returns:
        The gradients, in their order.
    """
    if not multiplier:
        return list(gradients)
    return [
        gradient * multiplier if gradient is not None and _is_bias(variable) else gradient
        for gradient, variable in zip(gradients, variables, strict=True)
    ]


def add_gradients(first: Sequence[tf.Tensor | None], second: Sequence[tf.Tensor | None]) -> list[tf.Tensor | None]:
    """Adds the gradients of two losses, one a variable in each; None stands for a loss that does not depend on it."""
    return [
        other if one is None else one if other is None else one + other
        for one, other in zip(first, second, strict=True)
    ]


def _is_bias(variable: tf.Variable) -> bool:
    return str(variable.name).split(":")[0].split("/")[-1] == "bias"
