"""The numbers below are torch's: the model code of `efficientnet_lite_pytorch`, run once on `gradient_image()`."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from official.vision.modeling.backbones import efficientnet

from data_prep.runtime.command_line import UserError
from train.checkpoints.efficientnet_lite0_weights import efficientnet_lite0_values, find_efficientnet_lite0_weights

SIDE = 96

# By level: mean, standard deviation, positions in the flattened [height, width, channels], and the values there.
TORCH_FEATURES = {
    "2": (1.02657, 8.90245, [2246, 4580, 6911, 9220, 11562], [0.64663, 5.44144, 1.46630, -6.61967, -5.12816]),
    "3": (-0.16958, 8.04641, [1005, 1945, 2872, 3842, 4761], [3.71735, 1.35295, 0.71682, 2.97952, -5.13862]),
    "4": (0.25516, 4.81147, [698, 1367, 2016, 2674, 3346], [-6.77313, -0.76169, 5.09369, 4.62278, 5.97890]),
    "5": (0.00052, 2.53059, [480, 972, 1447, 1912, 2402], [0.74253, -1.69367, -4.06574, 2.32158, -3.71879]),
    "6": (0.25662, 0.83976, [2128, 4044, 5813, 7349, 9473], [1.12424, 1.86981, 3.03744, 5.56225, 1.53250]),
}


def gradient_image() -> np.ndarray:
    """float32 [96, 96, 3], RGB 0..255: red grows to the right, green downwards, blue in waves."""
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float64)
    waves = 127.5 * (1 + np.sin(x / 7) * np.cos(y / 5))
    return np.stack([255 * x / (SIDE - 1), 255 * y / (SIDE - 1), waves], axis=-1).astype(np.float32)


def load_efficientnet_lite0(backbone: tf_keras.Model, path=None):
    values, report = efficientnet_lite0_values(backbone, path)
    for variable, value in values:
        variable.assign(value)
    return report


def build(**arguments) -> tf_keras.Model:
    arguments = {"model_id": "b0", "se_ratio": 0.0, "activation": "relu6"} | arguments
    return efficientnet.EfficientNet(input_specs=tf_keras.layers.InputSpec(shape=[None, SIDE, SIDE, 3]), **arguments)


@pytest.fixture(scope="module")
def backbone() -> tf_keras.Model:
    return build()


def check_features(features: dict[str, tf.Tensor]) -> None:
    for level, feature in features.items():
        mean, deviation, positions, values = TORCH_FEATURES[level]
        flat = feature.numpy().ravel()
        np.testing.assert_allclose([flat.mean(), flat.std()], [mean, deviation], atol=1e-3)
        np.testing.assert_allclose(flat[positions], values, atol=1e-3)


def test_features_are_those_of_torch(backbone):
    report = load_efficientnet_lite0(backbone)

    features = backbone((gradient_image()[np.newaxis] - 127.0) / 128.0, training=False)
    assert set(features) == set(TORCH_FEATURES)
    check_features(features)
    assert len(report.restored) == len(set(report.restored)) == len(backbone.variables) == 245
    assert report.missing == []
    reasons = dict(report.skipped)
    assert reasons["_fc.weight"] == reasons["_fc.bias"] == "belongs to the classifier"
    assert len(report.skipped) == 51  # besides, 49 counters
    assert "restored 245 variables (backbone 245)" in report.summary()


def test_a_backbone_cut_before_its_last_convolution_takes_the_rest(backbone):
    whole = build()
    cut = tf_keras.Model(whole.inputs, {level: whole.output[level] for level in whole.output_specs})
    report = load_efficientnet_lite0(cut)

    check_features(cut((gradient_image()[np.newaxis] - 127.0) / 128.0, training=False))
    assert len(report.restored) == 240
    assert ("_conv_head.weight", "belongs to the classifier") in report.skipped


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"se_ratio": 0.25}, "squeeze and excitation"),
        ({"model_id": "b1"}, "inverted bottleneck blocks"),
    ],
)
def test_another_network_is_refused_and_left_alone(arguments, message):
    other = build(**arguments)
    before = [variable.numpy() for variable in other.variables]
    with pytest.raises(UserError, match=message):
        load_efficientnet_lite0(other)
    for value, variable in zip(before, other.variables, strict=True):
        np.testing.assert_array_equal(value, variable.numpy())


def test_a_damaged_or_truncated_file_leaves_the_backbone_alone(backbone, tmp_path):
    content = bytearray(find_efficientnet_lite0_weights().read_bytes())
    before = [variable.numpy() for variable in backbone.variables]

    truncated = tmp_path / "truncated.pth"
    truncated.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"truncated\.pth: is cut short"):
        load_efficientnet_lite0(backbone, truncated)

    not_finite = tmp_path / "not_finite.pth"
    storage_of_stem = content.index(struct.pack("<q", 864)) + 8
    content[storage_of_stem : storage_of_stem + 4] = struct.pack("<f", float("nan"))
    not_finite.write_bytes(content)
    with pytest.raises(UserError, match=r"_conv_stem\.weight holds a number that is not finite"):
        load_efficientnet_lite0(backbone, not_finite)

    for value, variable in zip(before, backbone.variables, strict=True):
        np.testing.assert_array_equal(value, variable.numpy())
