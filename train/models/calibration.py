"""Calibration of scores: what a `CalibrationConfig` message describes, as the API's builders/calibration_builder.py.

That builder knows no sigmoid calibration, which its schema has; here it is Platt's, of converted scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import tensorflow as tf


def calibrates_logits(message: Any) -> bool:
    """Whether `calibrate` takes logits, before their conversion to scores, instead of scores."""
    return message.WhichOneof("calibrator") == "temperature_scaling_calibration"


def calibrate(scores: tf.Tensor, message: Any) -> tf.Tensor:
    """Calibrates scores, or logits where `calibrates_logits`.

    Args:
        scores: float32 [..., columns], one column a class logit of the network, background's included where it has one.
            Class ids of the message number these columns from 0, so that a network's background is class 0.
        message: A `CalibrationConfig` message.

    Returns:
        float32, as `scores`. Columns whose class the message does not name are unchanged.

    Raises:
        ValueError: The message names no calibration, or one with impossible parameters.
    """
    kind = message.WhichOneof("calibrator")
    if kind == "function_approximation":
        return _interpolate(scores, message.function_approximation.x_y_pairs, f"{kind}.x_y_pairs")
    if kind == "class_id_function_approximations":
        pairs = message.class_id_function_approximations.class_id_xy_pairs_map
        return _by_class(
            scores, pairs, lambda column, class_id: _interpolate(column, pairs[class_id], f"{kind}, class {class_id}")
        )
    if kind == "sigmoid_calibration":
        return _sigmoid(scores, message.sigmoid_calibration.sigmoid_parameters)
    if kind == "class_id_sigmoid_calibrations":
        parameters = message.class_id_sigmoid_calibrations.class_id_sigmoid_parameters_map
        return _by_class(scores, parameters, lambda column, class_id: _sigmoid(column, parameters[class_id]))
    if kind == "temperature_scaling_calibration":
        scaler = message.temperature_scaling_calibration.scaler
        if scaler <= 0:
            raise ValueError(
                f"calibration_config.temperature_scaling_calibration.scaler is {scaler}; write one above 0"
            )
        return scores / scaler
    raise ValueError("calibration_config names no calibration; write one, such as function_approximation, or drop it")


def _by_class(
    scores: tf.Tensor, parameters: Mapping[int, Any], calibrate_column: Callable[[tf.Tensor, int], tf.Tensor]
) -> tf.Tensor:
    columns = tf.unstack(scores, axis=-1)
    return tf.stack([calibrate_column(x, i) if i in parameters else x for i, x in enumerate(columns)], axis=-1)


def _sigmoid(scores: tf.Tensor, parameters: Any) -> tf.Tensor:
    """1 / (1 + exp(a * score + b)): Platt, "Probabilistic Outputs for Support Vector Machines"."""
    return tf.sigmoid(-(parameters.a * scores + parameters.b))


def _interpolate(scores: tf.Tensor, pairs: Any, place: str) -> tf.Tensor:
    """Linear between the pairs, constant beyond the first and the last."""
    xs, ys = ([getattr(pair, axis) for pair in pairs.x_y_pair] for axis in "xy")
    if not xs or any(after <= before for before, after in pairwise(xs)):
        raise ValueError(f"calibration_config.{place}: needs pairs of rising x, not {xs[:5]}")
    if len(xs) == 1:
        return tf.fill(tf.shape(scores), ys[0])
    domain, image = tf.constant(xs, tf.float32), tf.constant(ys, tf.float32)
    inside = tf.clip_by_value(scores, xs[0], xs[-1])
    flat = tf.reshape(inside, [-1])
    upper = tf.clip_by_value(tf.searchsorted(domain, flat, side="right"), 1, len(xs) - 1)
    left, right = tf.gather(domain, upper - 1), tf.gather(domain, upper)
    below, above = tf.gather(image, upper - 1), tf.gather(image, upper)
    return tf.reshape(below + (above - below) * (flat - left) / (right - left), tf.shape(scores))
