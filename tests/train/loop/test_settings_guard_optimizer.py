"""That what building an optimizer refuses for a field is refused by the field's path when the config is read."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras

from configs.settings.loading import examine
from tests.configs.bad_values import Trial, trials
from train.loop.moving_average import moving_averages, start_moving_average
from train.loop.optimization import build_optimizer


def test_every_optimizer_that_settings_allow_can_be_built_and_makes_steps() -> None:
    model = tf_keras.Sequential([tf_keras.layers.Dense(1, use_bias=False, input_shape=(2,))])
    (variable,) = model.trainable_variables
    refused = built = 0
    places = ("train_config.optimizer", "extensions.optimizer", "extensions.learning_rate")
    for trial in (trial for place in places for trial in trials(below=place)):
        loaded = examine(trial.config, "p")
        if loaded.settings is None:
            paths = [problem.path for problem in loaded.problems]
            assert any(is_of_the_field(trial, path) for path in paths), f"{trial.path}: {trial.value}: {paths}"
            refused += 1
            continue
        assert loaded.settings.train_config is not None
        optimizer, schedule = build_optimizer(loaded.settings.train_config.optimizer, loaded.settings.extensions)
        rates = schedule(np.array([0, 1, 5, 100, 10**6], np.int64)).numpy()
        assert np.all(rates >= 0), f"{trial.path}: {trial.value}: {rates}"
        variable.assign([[1.0], [2.0]])
        start_moving_average(optimizer, model)
        optimizer.apply_gradients([(tf.zeros_like(variable), variable)])
        with moving_averages(optimizer, model):
            assert np.all(np.isfinite(variable.numpy())), f"{trial.path}: {trial.value}"
        built += 1
    print(f"{built + refused} values, {refused} of them refused")
    assert built > 40 and refused > 40


def is_of_the_field(trial: Trial, path: str) -> bool:
    """Whether a problem names the field, an element of it, or a field of the same message that it contradicts."""
    return path.startswith(trial.path) or path.rpartition(".")[0] == trial.path.rpartition(".")[0]
