"""Frozen batch norm, alone and inside a network that Keras' own layers make."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras

from tests.train.loop.two_cpus import run_on_two_cpus
from train.models.batch_norm import FreezableBatchNorm, freeze_batch_norm, pin_batch_norm, synchronize


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


def check_statistics_over_replicas(strategy: tf.distribute.Strategy) -> None:
    """Two replicas have a half of a batch each: synchronized batch norm sees the whole, the other sees a half."""
    batch = np.array([[1.0], [3.0], [10.0], [30.0]], np.float32)

    def normalized(values: np.ndarray) -> np.ndarray:
        return (values - values.mean()) / values.std()

    expected = {True: normalized(batch), False: np.concatenate([normalized(batch[:2]), normalized(batch[2:])])}
    for synchronized, outputs in expected.items():
        with strategy.scope():
            layer = FreezableBatchNorm(momentum=0.5, epsilon=0.0, scale=False, synchronized=synchronized)
            network = tf_keras.Sequential([tf_keras.Input((1,)), layer])
        halves = strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(batch[2 * context.replica_id_in_sync_group :][:2])
        )
        results = strategy.run(tf.function(lambda x, network=network: network(x, training=True)), args=(halves,))
        found = np.concatenate([value.numpy() for value in strategy.experimental_local_results(results)])
        np.testing.assert_allclose(found, outputs, rtol=1e-5)
        synchronize(network, strategy)
        means = [copy.numpy() for copy in strategy.experimental_local_results(layer.moving_mean)]
        np.testing.assert_allclose(means, [[batch.mean() / 2]] * 2, rtol=1e-6)


def test_synchronized_batch_norm_takes_the_whole_batch_and_what_is_saved_is_the_mean_of_all_replicas():
    run_on_two_cpus("tests.train.models.test_batch_norm", "check_statistics_over_replicas")
