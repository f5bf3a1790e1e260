"""Model Garden's feature pyramid, as a feature extractor's message describes it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from configs.settings.extractors import SsdFeatureExtractor
from configs.settings.reading import read_settings_text
from train.models.backbones import build_pyramid
from train.models.feature_extractors.pixels import pad_to_multiple


def extractor(text: str):
    return read_settings_text(SsdFeatureExtractor, f'type: "ssd_efficientnet-lite0_fpn_keras" {text}')


def pyramid(text: str = "", side: int | None = None) -> tf_keras.Model:
    sides = {level: None if side is None else side // 2 ** int(level) for level in ("3", "4", "5")}
    backbone = SimpleNamespace(
        output_specs={level: tf.TensorShape([None, size, size, 4]) for level, size in sides.items()}
    )
    return build_pyramid(backbone, extractor(f"fpn {{ min_level: 3 max_level: 6 additional_layer_depth: 4 }} {text}"))


def features(height: int, width: int) -> dict[str, tf.Tensor]:
    return {
        level: tf.random.stateless_normal([1, height // 2 ** int(level), width // 2 ** int(level), 4], seed=[height, 1])
        for level in ("3", "4", "5")
    }


def test_sides_need_not_be_known_beforehand():
    known, unknown = pyramid(side=64), pyramid()
    unknown.set_weights(known.get_weights())
    for level, expected in known(features(64, 64)).items():
        np.testing.assert_allclose(unknown(features(64, 64))[level], expected, atol=1e-6)
    found = unknown(features(96, 160))
    assert {level: tuple(x.shape[1:3]) for level, x in found.items()} == {
        "3": (12, 20),
        "4": (6, 10),
        "5": (3, 5),
        "6": (2, 3),
    }


@pytest.mark.parametrize("max_level", [4, 7])
def test_sides_are_padded_to_the_coarsest_level_that_is_added_up(max_level):
    stride = extractor(f"fpn {{ max_level: {max_level} }}").stride
    assert stride == min(2**max_level, 32)
    images = tf.ones([2, 33, 64, 3])
    padded = pad_to_multiple(images, stride)
    assert padded.shape.as_list() == [2, -(-33 // stride) * stride, 64, 3]
    np.testing.assert_array_equal(padded[:, :33], images)
    assert not padded[:, 33:].numpy().any()
    run = tf.function(lambda x: pad_to_multiple(x, stride), input_signature=[tf.TensorSpec([None, None, 64, 3])])
    np.testing.assert_array_equal(run(images), padded)
    assert run.get_concrete_function().output_shapes.as_list() == [None, None, 64, 3]


@pytest.mark.parametrize("use_depthwise", [False, True])
def test_every_kernel_is_drawn_and_decayed_as_the_message_says(use_depthwise):
    model = pyramid(
        "conv_hyperparams { initializer { random_normal_initializer { mean: 5.0 stddev: 0.01 } }"
        f" regularizer {{ l2_regularizer {{ weight: 0.5 }} }} }} use_depthwise: {str(use_depthwise).lower()}",
        side=64,
    )
    kernels = [variable for variable in model.trainable_variables if "kernel" in variable.name]
    assert all(abs(kernel.numpy().mean() - 5) < 0.02 for kernel in kernels)
    assert not np.allclose(*[kernel.numpy() for kernel in kernels if kernel.shape == kernels[0].shape][:2])
    np.testing.assert_allclose(
        tf.add_n(model.losses), sum(0.25 * np.sum(kernel.numpy() ** 2) for kernel in kernels), rtol=1e-4
    )


def test_batch_norm_is_as_the_message_says():
    model = pyramid(
        "conv_hyperparams { batch_norm { decay: 0.7 epsilon: 0.02 scale: false center: true train: false } }", side=64
    )
    norms = [layer for layer in model.layers if isinstance(layer, tf_keras.layers.BatchNormalization)]
    assert [(norm.momentum, norm.epsilon) for norm in norms] == [pytest.approx((0.7, 0.02))] * 4
    assert [len(norm.trainable_weights) for norm in norms] == [1] * 4
    x = features(64, 64)
    for level, resting in model(x, training=False).items():
        np.testing.assert_allclose(model(x, training=True)[level], resting, atol=1e-6)
    assert not norms[0].moving_mean.numpy().any()
