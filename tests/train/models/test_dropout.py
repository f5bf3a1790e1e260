"""Dropout that can be drawn again."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras

from train.models.dropout import RepeatableDropout, repeat_dropout


def network() -> tf_keras.Model:
    return tf_keras.Sequential([tf_keras.Input((200,)), RepeatableDropout(0.25), RepeatableDropout(0.5)])


def test_what_is_dropped_is_a_function_of_seed_and_step_and_differs_between_layers():
    outputs = {}
    for seed, at in ((1, 7), (1, 7), (1, 8), (2, 7)):
        step = tf.Variable(at, dtype=tf.int64)
        model = network()
        repeat_dropout(model, seed, step)
        found = model(tf.ones([2, 200]), training=True).numpy()
        if (seed, at) in outputs:
            np.testing.assert_array_equal(found, outputs[seed, at])
        outputs[seed, at] = found
    assert len({found.tobytes() for found in outputs.values()}) == 3
    # Layers that dropped the same would leave the half, not three eighths.
    assert 0.3 < np.mean(outputs[1, 7] > 0) < 0.45


def test_nothing_is_dropped_outside_training_and_nothing_is_saved():
    model = network()
    step = tf.Variable(0, dtype=tf.int64)
    repeat_dropout(model, 1, step)
    np.testing.assert_array_equal(model(tf.ones([2, 200]), training=False), np.ones([2, 200]))
    assert not model.variables
