"""Frozen batch norm, alone and inside a network that Keras' own layers make."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras

from train.models.batch_norm import FreezableBatchNorm, freeze_batch_norm, pin_batch_norm


def small_network(norm=tf_keras.layers.BatchNormalization) -> tf_keras.Model:
    inner = tf_keras.Sequential([tf_keras.layers.Dense(3, use_bias=False), norm()])
    x = tf_keras.Input([2])
    return tf_keras.Model(x, norm()(inner(x)))


def test_frozen_statistics_are_used_and_kept_while_scale_and_offset_train(tmp_path):
    for norm in (tf_keras.layers.BatchNormalization, FreezableBatchNorm):
        network = small_network(norm)
        x = tf.random.stateless_normal([8, 2], seed=[1, 2]) * 3 + 1
        free = network(x, training=True).numpy()
        resting = network(x, training=False).numpy()
        statistics = [variable.numpy() for variable in network.non_trainable_variables]
        freeze_batch_norm(network)
        # In a graph, as in training.
        frozen = tf.function(lambda inputs, network=network: network(inputs, training=True))(x).numpy()
        np.testing.assert_allclose(frozen, resting, atol=1e-6)
        assert not np.allclose(frozen, free)
        for before, after in zip(statistics, network.non_trainable_variables, strict=True):
            np.testing.assert_array_equal(before, after)
        assert len(network.trainable_variables) == 5

    module = tf.Module()
    module.network = small_network()
    freeze_batch_norm(module.network)
    module.run = tf.function(module.network, input_signature=[tf.TensorSpec([None, 2])])
    expected = module.run(x).numpy()
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures=module.run)
    loaded = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    np.testing.assert_allclose(next(iter(loaded(x).values())), expected, atol=1e-6)


def test_a_frozen_layer_can_be_made_again_from_its_config():
    layer = FreezableBatchNorm(frozen=True, epsilon=0.25)
    again = FreezableBatchNorm.from_config(layer.get_config())
    assert again.frozen and again.epsilon == 0.25


def test_pinned_scales_and_offsets_leave_training_and_nothing_else_does():
    network = small_network()
    pin_batch_norm(network, center=True, scale=False)
    assert sorted(variable.name.split("/")[-1] for variable in network.trainable_variables) == [
        "beta:0",
        "beta:0",
        "kernel:0",
    ]
    assert len(network.variables) == 9
    pin_batch_norm(network, center=False, scale=True)
    assert len(network.trainable_variables) == 1 and len(network.variables) == 9
