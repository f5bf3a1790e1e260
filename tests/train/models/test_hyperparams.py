"""Every field of a hyperparams block, by what the layers made from it do."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras.src.initializers import LOCAL, populate_deserializable_objects

from configs.settings.declaration import SettingsError
from configs.settings.layers import KERAS_INITIALIZERS, Hyperparams
from configs.settings.reading import read_settings_text
from train.models.hyperparams import LayerHyperparams


def read(text: str) -> LayerHyperparams:
    return LayerHyperparams(read_settings_text(Hyperparams, text))


def sample(text: str, shape=(200, 300)) -> np.ndarray:
    tf.random.set_seed(3)
    return read(f"initializer {{ {text} }}").initializer()(shape).numpy()


# A normal distribution cut at two deviations has this deviation left.
TRUNCATION = 0.87962566


@pytest.mark.parametrize(
    ("text", "mean", "deviation", "limit"),
    [
        ("truncated_normal_initializer { mean: 1.0 stddev: 0.1 }", 1.0, 0.1 * TRUNCATION, 1.2),
        ("random_normal_initializer { mean: -1.0 stddev: 0.5 }", -1.0, 0.5, np.inf),
        # fan_in 200, fan_out 300, mean 250; Keras makes up for the truncation, so the deviation is the asked one.
        ("variance_scaling_initializer { factor: 2.0 mode: FAN_IN }", 0, (2 / 200) ** 0.5, 2.3 * (2 / 200) ** 0.5),
        ("variance_scaling_initializer { factor: 2.0 mode: FAN_OUT }", 0, (2 / 300) ** 0.5, 2.3 * (2 / 300) ** 0.5),
        ("variance_scaling_initializer { factor: 1.0 mode: FAN_AVG }", 0, (1 / 250) ** 0.5, 2.3 * (1 / 250) ** 0.5),
        ("variance_scaling_initializer { factor: 3.0 uniform: true }", 0, (3 / 200) ** 0.5, (9 / 200) ** 0.5),
        ("keras_initializer_by_name: 'he_uniform'", 0, (2 / 200) ** 0.5, (6 / 200) ** 0.5),
        ("", 0, (2 / 500) ** 0.5, (6 / 500) ** 0.5),  # Keras' own: Glorot's uniform
    ],
)
def test_initializers_draw_what_they_say(text, mean, deviation, limit):
    values = sample(text)
    assert abs(values.mean() - mean) < 0.02 * deviation
    assert abs(values.std() - deviation) < 0.02 * deviation
    assert np.abs(values).max() <= limit * 1.0001
    # Two layers get two draws.
    config = read(f"initializer {{ {text} }}").initializer_config()
    one, other = (tf_keras.initializers.deserialize(config)((3, 3)) for _ in range(2))
    assert not np.allclose(one, other)


def test_an_initializer_that_keras_lacks_is_named():
    with pytest.raises(SettingsError, match=r'initializer.keras_initializer_by_name: "glorot" is no initializer'):
        sample("keras_initializer_by_name: 'glorot'")


def test_the_names_that_are_taken_are_those_that_keras_has():
    populate_deserializable_objects()
    abstract = {"Initializer", "initializer"}
    assert set(LOCAL.ALL_OBJECTS) - abstract == KERAS_INITIALIZERS
    with pytest.raises(SettingsError, match=r"initializer.keras_initializer_by_name: .* makes matrices"):
        read("initializer { keras_initializer_by_name: 'identity' }")
    dense = read("initializer { keras_initializer_by_name: 'identity' } op: FC")
    np.testing.assert_array_equal(dense.initializer()((2, 2)), np.eye(2))


def test_regularizers_are_the_formulas():
    kernel = np.array([[1.0, -2.0], [3.0, 0.5]], np.float32)
    l1 = read("regularizer { l1_regularizer { weight: 0.1 } }").regularizer()
    np.testing.assert_allclose(l1(tf.constant(kernel)), 0.1 * 6.5)
    l2 = read("regularizer { l2_regularizer { weight: 0.1 } }").regularizer()
    np.testing.assert_allclose(l2(tf.constant(kernel)), 0.1 / 2 * 14.25)
    assert read("regularizer { l2_regularizer { weight: 0 } }").regularizer() is None
    assert read("").regularizer() is None


def test_a_layer_adds_its_regularisation_to_the_loss():
    layer = tf_keras.layers.SeparableConv2D(
        2, 3, **read("regularizer { l2_regularizer { weight: 0.4 } }").separable_arguments(pointwise=False)
    )
    layer(tf.zeros([1, 4, 4, 3]))
    np.testing.assert_allclose(layer.losses, [0.2 * np.sum(layer.depthwise_kernel.numpy() ** 2)], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("NONE", [-1.0, 2.0, 7.0]), ("RELU", [0.0, 2.0, 7.0]), ("RELU_6", [0.0, 2.0, 6.0])],
)
def test_activations(name, expected):
    np.testing.assert_allclose(read(f"activation: {name}").activate(tf.constant([-1.0, 2.0, 7.0])), expected)


def test_swish():
    x = np.array([-1.0, 2.0], np.float32)
    np.testing.assert_allclose(read("activation: SWISH").activate(tf.constant(x)), x / (1 + np.exp(-x)), rtol=1e-6)
    np.testing.assert_allclose(read("").activate(tf.constant(x)), [0, 2])  # RELU


def test_batch_norms_fields():
    norm = read("batch_norm { decay: 0.9 epsilon: 0.5 scale: false center: true }").batch_norm("n")
    x = tf.constant([[1.0], [3.0]])
    np.testing.assert_allclose(norm(x, training=True), np.array([[-1], [1]]) / np.sqrt(1.5), rtol=1e-6)
    np.testing.assert_allclose(norm.moving_mean, [0.2], rtol=1e-6)
    np.testing.assert_allclose(norm.moving_variance, [0.9 + 0.1 * 1.0], rtol=1e-6)
    assert norm.gamma is None and norm.beta is not None
    norm = read("batch_norm { scale: true center: false }").batch_norm()
    norm(x)
    assert norm.beta is None and norm.gamma is not None
    assert (norm.momentum, norm.epsilon) == pytest.approx((0.999, 0.001))


@pytest.mark.parametrize("kind", ["batch_norm", "sync_batch_norm"])
def test_batch_norm_that_does_not_train_keeps_its_statistics_and_learns_its_scale(kind):
    norm = read(f"{kind} {{ train: false scale: true epsilon: 0.0 }}").batch_norm()
    x = tf.constant([[2.0], [6.0]])
    np.testing.assert_allclose(norm(x, training=True), x)
    np.testing.assert_array_equal(norm.moving_mean, [0.0])
    assert len(norm.trainable_variables) == 2
    assert norm.synchronized == (kind == "sync_batch_norm")


def test_group_norm_has_32_groups():
    norm = read("group_norm {}").batch_norm()
    x = np.random.default_rng(0).normal(size=[2, 3, 3, 64]).astype(np.float32)
    groups = x.reshape(2, 9, 32, 2)
    means, deviations = groups.mean(axis=(1, 3), keepdims=True), groups.std(axis=(1, 3), keepdims=True)
    np.testing.assert_allclose(norm(x), ((groups - means) / deviations).reshape(x.shape), atol=1e-4)


def test_without_a_normalizer_nothing_is_normalised():
    norm = read("").batch_norm()
    np.testing.assert_array_equal(norm(tf.constant([[2.0], [6.0]]), training=True), [[2.0], [6.0]])
    assert not norm.variables


@pytest.mark.parametrize(
    ("text", "has_bias"),
    [
        ("", True),
        ("batch_norm {}", False),
        ("sync_batch_norm {}", False),
        ("group_norm {}", False),
        ("batch_norm { center: false }", True),
        ("batch_norm {} force_use_bias: true", True),
    ],
)
def test_a_bias_stays_where_no_offset_follows(text, has_bias):
    assert read(text).use_bias == has_bias
