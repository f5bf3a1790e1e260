"""Calibration of scores, as the API's builders/calibration_builder.py.

That builder knows no sigmoid calibration, which its schema has; here it is Platt's, of converted scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import tensorflow as tf

from configs.settings.post_processing import (
    Calibration,
    ClassIdFunctionApproximations,
    ClassIdSigmoidCalibrations,
    FunctionApproximation,
    SigmoidCalibration,
    SigmoidParameters,
    TemperatureScalingCalibration,
    XYPairs,
)

_Parameters = TypeVar("_Parameters")


def calibrates_logits(settings: Calibration) -> bool:
    """Whether `calibrate` takes logits, before their conversion to scores, instead of scores."""
    return isinstance(settings, TemperatureScalingCalibration)


def calibrate(scores: tf.Tensor, settings: Calibration) -> tf.Tensor:
    """Calibrates scores, or logits where `calibrates_logits`.

    Args:
        scores: float32 [..., columns], one column a class logit of the network, background's included where it has one.
            Class ids of the settings number these columns from 0, so that a network's background is class 0.
        settings: The calibration's.

    Returns:
        float32, as `scores`. Columns whose class the settings do not name are unchanged.
    """
    match settings:
        case FunctionApproximation(x_y_pairs=pairs):
            return _interpolate(scores, pairs)
        case ClassIdFunctionApproximations(class_id_xy_pairs_map=pairs_of_class):
            return _by_class(scores, pairs_of_class, _interpolate)
        case SigmoidCalibration(sigmoid_parameters=parameters):
            return _sigmoid(scores, parameters)
        case ClassIdSigmoidCalibrations(class_id_sigmoid_parameters_map=parameters_of_class):
            return _by_class(scores, parameters_of_class, _sigmoid)
        case TemperatureScalingCalibration(scaler=scaler):
            return scores / scaler


def _by_class(
    scores: tf.Tensor, parameters: Mapping[int, _Parameters], calibrate_column: Callable[[tf.Tensor, _Parameters], Any]
) -> tf.Tensor:
    columns = tf.unstack(scores, axis=-1)
    return tf.stack(
        [calibrate_column(x, parameters[i]) if i in parameters else x for i, x in enumerate(columns)], axis=-1
    )


def _sigmoid(scores: tf.Tensor, parameters: SigmoidParameters) -> tf.Tensor:
    """1 / (1 + exp(a * score + b)): Platt, "Probabilistic Outputs for Support Vector Machines"."""
    return tf.sigmoid(-(parameters.a * scores + parameters.b))


def _interpolate(scores: tf.Tensor, pairs: XYPairs) -> tf.Tensor:
    """Linear between the pairs, constant beyond the first and the last."""
    xs, ys = [pair.x for pair in pairs.x_y_pair], [pair.y for pair in pairs.x_y_pair]
    if len(xs) == 1:
        return tf.fill(tf.shape(scores), ys[0])
    domain, image = tf.constant(xs, tf.float32), tf.constant(ys, tf.float32)
    inside = tf.clip_by_value(scores, xs[0], xs[-1])
    flat = tf.reshape(inside, [-1])
    upper = tf.clip_by_value(tf.searchsorted(domain, flat, side="right"), 1, len(xs) - 1)
    left, right = tf.gather(domain, upper - 1), tf.gather(domain, upper)
    below, above = tf.gather(image, upper - 1), tf.gather(image, upper)
    return tf.reshape(below + (above - below) * (flat - left) / (right - left), tf.shape(scores))
