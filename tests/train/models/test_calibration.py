"""Calibration against `np.interp` and the formulas."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from configs.schema.descriptors import message_class
from configs.settings.declaration import SettingsError
from configs.settings.post_processing import CALIBRATIONS
from configs.settings.reading import read_choice
from train.models.calibration import calibrate, calibrates_logits

KNOTS = [(0.1, 0.0), (0.4, 0.3), (0.9, 0.95)]
SCORES = np.array([[[0.0, 0.1, 0.25], [0.4, 0.6, 0.89]], [[0.9, 0.95, 1.0], [0.05, 0.5, 0.39]]], np.float32)


def config():
    return message_class("CalibrationConfig")()


def settings_of(message):
    return read_choice(CALIBRATIONS, message, "calibration_config")


def add_knots(pairs, knots=KNOTS) -> None:
    for x, y in knots:
        pairs.x_y_pair.add(x=x, y=y)


def test_a_function_is_linear_between_its_points_and_flat_beyond():
    message = config()
    add_knots(message.function_approximation.x_y_pairs)
    expected = np.interp(SCORES, *zip(*KNOTS, strict=True))
    np.testing.assert_allclose(calibrate(tf.constant(SCORES), settings_of(message)), expected, atol=1e-6)
    assert not calibrates_logits(settings_of(message))


def test_each_class_has_a_function_of_its_own_or_none():
    message = config()
    pairs = message.class_id_function_approximations.class_id_xy_pairs_map
    add_knots(pairs[0])
    add_knots(pairs[2], [(0.0, 0.5), (1.0, 0.6)])
    result = calibrate(tf.constant(SCORES), settings_of(message)).numpy()
    np.testing.assert_allclose(result[..., 0], np.interp(SCORES[..., 0], *zip(*KNOTS, strict=True)), atol=1e-6)
    np.testing.assert_array_equal(result[..., 1], SCORES[..., 1])
    np.testing.assert_allclose(result[..., 2], 0.5 + 0.1 * SCORES[..., 2], atol=1e-6)


def test_sigmoids_are_platts():
    message = config()
    message.sigmoid_calibration.sigmoid_parameters.a = -3.0
    message.sigmoid_calibration.sigmoid_parameters.b = 0.5
    expected = 1 / (1 + np.exp(-3.0 * SCORES + 0.5))
    np.testing.assert_allclose(calibrate(tf.constant(SCORES), settings_of(message)), expected, rtol=1e-6)

    message = config()
    message.class_id_sigmoid_calibrations.class_id_sigmoid_parameters_map[1].b = 1.0  # a keeps its default, -1
    result = calibrate(tf.constant(SCORES), settings_of(message)).numpy()
    np.testing.assert_array_equal(result[..., [0, 2]], SCORES[..., [0, 2]])
    np.testing.assert_allclose(result[..., 1], 1 / (1 + np.exp(1.0 - SCORES[..., 1])), rtol=1e-6)


def test_temperature_divides_logits():
    message = config()
    message.temperature_scaling_calibration.scaler = 2.0
    np.testing.assert_allclose(calibrate(tf.constant(SCORES), settings_of(message)), SCORES / 2)
    assert calibrates_logits(settings_of(message))


def test_impossible_parameters_are_refused_by_name():
    message = config()
    with pytest.raises(SettingsError, match=r"^calibration_config: is not set"):
        settings_of(message)
    message.temperature_scaling_calibration.scaler = 0.0
    with pytest.raises(SettingsError, match=r"temperature_scaling_calibration.scaler: 0 is no temperature"):
        settings_of(message)
    message = config()
    add_knots(message.function_approximation.x_y_pairs, [(0.5, 0.1), (0.4, 0.3)])
    with pytest.raises(SettingsError, match=r"function_approximation.x_y_pairs.x_y_pair: needs pairs of rising x"):
        settings_of(message)
