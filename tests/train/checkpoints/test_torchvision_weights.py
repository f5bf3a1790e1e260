"""torchvision's classifiers as trunks: compared with the networks computed from the file's tensors alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from configs.schema.pipeline_file import merge, parse_pipeline_config
from data_prep.runtime.command_line import UsageError, UserError
from tests.small_models import FASTER_RCNN, SSD, build_detector
from tests.train.checkpoints.test_efficientnet_lite_weights import gradient_image
from tests.train.checkpoints.test_torch_zip import state_dict_file
from tests.train.checkpoints.torchvision_networks import (
    TorchNetwork,
    mobilenet_v2,
    mobilenet_v2_of_chance,
    resnet,
    resnet_of_chance,
)
from train.checkpoints.restore import restore
from train.inspect_checkpoint import main as inspect_checkpoint

ROOT = Path(__file__).resolve().parents[3]
REAL = ROOT.parent / "shared" / "weights" / "mobilenet_v2-b0353104.pth"
# The pixels that are zeros after a detector's normalisation, with which its convolutions pad.
GREY, VGG_MEANS = (127.5, 127.5, 127.5), (123.68, 116.779, 103.939)
IMAGE = gradient_image()[np.newaxis]


def network(family: str, text: str):
    config = parse_pipeline_config(f"model {{ {family} {{ {SSD if family == 'ssd' else FASTER_RCNN} }} }}")
    return build_detector(merge(config, f"model {{ {family} {{ {text} }} }}")).network


def ssd_mobilenet(text: str = ""):
    return network("ssd", f"feature_extractor {{ depth_multiplier: 1.0 {text} }}")


@pytest.fixture(scope="module")
def mobilenet_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "mobilenet_v2.pth"
    path.write_bytes(state_dict_file(mobilenet_v2_of_chance()))
    return path


@pytest.fixture(scope="module")
def resnet_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "resnet50.pth"
    path.write_bytes(state_dict_file(resnet_of_chance()))
    return path


def last_features(model, pixels: np.ndarray) -> np.ndarray:
    outputs = tf.nest.flatten(model.backbone(model.normalize(tf.constant(pixels, tf.float32)), training=False))
    return outputs[-1].numpy()


def assert_same(actual: np.ndarray, expected: tf.Tensor, tolerance: float = 2e-4) -> None:
    spread = float(tf.math.reduce_std(expected))
    assert spread > 0.01
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * max(spread, 1.0) * 5)


class TestMobileNetV2:
    def test_with_explicit_padding_its_features_are_torchvisions(self, mobilenet_file):
        model = ssd_mobilenet("use_explicit_padding: true")
        report = restore(model, mobilenet_file, "classification")
        expected, _ = mobilenet_v2(TorchNetwork(mobilenet_v2_of_chance()), IMAGE, GREY)
        assert_same(last_features(model, IMAGE), expected)
        assert len(report.restored) == len(set(report.restored)) == 260
        assert report.missing == []
        reasons = dict(report.skipped)
        assert reasons["classifier.1.weight"] == "belongs to the classifier"
        assert len(reasons) == 2 + 52
        notes = "\n".join(report.notes)
        assert "batch norm: epsilon 1e-05 in torchvision, 0.001 here; worked into the scales" in notes
        assert "padding:" not in notes

    def test_without_it_they_are_those_of_torchvision_padded_as_tensorflow_and_it_says_so(self, mobilenet_file):
        model = ssd_mobilenet()
        report = restore(model, mobilenet_file, "classification")
        expected, _ = mobilenet_v2(TorchNetwork(mobilenet_v2_of_chance(), pads_both_sides=False), IMAGE, GREY)
        assert_same(last_features(model, IMAGE), expected)
        assert "use_explicit_padding: true pads as torchvision" in "\n".join(report.notes)

    def test_a_pyramid_and_hyperparameters_of_ones_own(self, mobilenet_file):
        text = """type: "ssd_mobilenet_v2_fpn_keras" use_explicit_padding: true
            override_base_feature_extractor_hyperparams: true
            conv_hyperparams { activation: RELU_6 batch_norm { epsilon: 0.01 scale: SCALE } }"""
        pyramid = "anchor_generator { multiscale_anchor_generator { aspect_ratios: 1.0 } }"
        pyramid += " image_resizer { fixed_shape_resizer { height: 64 width: 64 } }"
        pyramid += " box_predictor { weight_shared_convolutional_box_predictor { depth: 8 } }"
        model = network(
            "ssd", f"feature_extractor {{ depth_multiplier: 1.0 {text.replace('SCALE', 'true')} }} {pyramid}"
        )
        restore(model, mobilenet_file, "classification")
        expected, _ = mobilenet_v2(TorchNetwork(mobilenet_v2_of_chance()), IMAGE, GREY)
        assert_same(last_features(model, IMAGE), expected)

        model = network(
            "ssd", f"feature_extractor {{ depth_multiplier: 1.0 {text.replace('SCALE', 'false')} }} {pyramid}"
        )
        with pytest.raises(UserError, match=r"no place for features\.0\.1\.weight: write batch_norm \{ scale: true \}"):
            restore(model, mobilenet_file, "classification")

    @pytest.mark.skipif(not REAL.is_file(), reason="no ../shared/weights")
    def test_torchvisions_own_weights(self):
        from train.checkpoints.torch_archive import read_torch_archive

        tensors = read_torch_archive(REAL)
        model = ssd_mobilenet("use_explicit_padding: true")
        report = restore(model, REAL, "classification")
        assert len(report.restored) == 260
        assert_same(last_features(model, IMAGE), mobilenet_v2(TorchNetwork(tensors), IMAGE, GREY)[0])


class TestResNet:
    def test_its_features_are_those_of_the_weights_with_the_stride_first(self, resnet_file):
        model = network("faster_rcnn", "")
        report = restore(model, resnet_file, "classification")
        expected = resnet(
            TorchNetwork(resnet_of_chance()),
            IMAGE,
            50,
            VGG_MEANS,
            stride_in_first=True,
            pool_pads_both_sides=False,
        )
        assert_same(last_features(model, IMAGE), expected)
        assert len(report.restored) == 53 * 5
        assert "torchvision's ResNet has a block's stride in its 3x3 convolution" in "\n".join(report.notes)
        assert "batch norm: epsilon" not in "\n".join(report.notes)

    def test_a_trunk_that_ends_earlier_takes_what_it_has(self, resnet_file):
        model = network("faster_rcnn", "number_of_stages: 1")
        report = restore(model, resnet_file, "classification")
        assert ("layer4.0.conv1.weight", "the trunk ends before it") in report.skipped
        assert len(report.restored) == 43 * 5

    def test_another_depth_is_refused(self, resnet_file, tmp_path):
        deeper = tmp_path / "resnet101.pth"
        deeper.write_bytes(state_dict_file(resnet_of_chance(101)))
        with pytest.raises(UserError, match=r"layer3\.6\.conv1 would be conv4_block7_1_conv, which is not here"):
            restore(network("faster_rcnn", ""), deeper, "classification")
        model = network("faster_rcnn", 'feature_extractor { type: "faster_rcnn_resnet101_keras" }')
        with pytest.raises(UserError, match="the file has no module for conv4_block7_1_conv"):
            restore(model, resnet_file, "classification")


class TestRefusals:
    def test_another_type_than_classification(self, mobilenet_file):
        with pytest.raises(UsageError, match='fine_tune_checkpoint_type: "classification" in place of "full"'):
            restore(ssd_mobilenet(), mobilenet_file, "full")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (resnet_of_chance, "its names fit MobileNetV2 and ResNet; save the state dictionary of one network alone"),
            (lambda: {"features.3.conv.1.0.weight": None}, "the file has no module for block_2_depthwise"),
            (lambda: {"features.3.conv.3.running_var": None}, "the file holds no tensor features.3.conv.3.running_var"),
            (
                lambda: {"features.0.0.weight": np.zeros((40, 3, 3, 3), np.float32)},
                r"features.0.0.weight gives \(3, 3, 3, 40\), Conv1/kernel:0 takes \(3, 3, 3, 32\)",
            ),
            (
                lambda: {"features.0.1.bias": np.full(32, np.nan, np.float32)},
                "features.0.1.bias holds a number that is not finite",
            ),
            (
                lambda: {"features.1.conv.0.0.weight": None},
                "weights of none of EfficientNet-Lite, torchvision's MobileNetV2 and its ResNet-50, -101 and -152",
            ),
        ],
        ids=["two networks", "no convolution", "no variance", "width", "not finite", "unknown"],
    )
    def test_a_file_that_does_not_fit_leaves_the_model_alone(self, tmp_path, change, message):
        tensors = mobilenet_v2_of_chance()
        for name, value in change().items():
            if value is None:
                del tensors[name]
            else:
                tensors[name] = value
        path = tmp_path / "changed.pth"
        path.write_bytes(state_dict_file(tensors))
        model = ssd_mobilenet()
        before = [variable.numpy() for variable in model.variables]
        with pytest.raises(UserError, match=message) as caught:
            restore(model, path, "classification")
        assert "\n" not in str(caught.value) and str(caught.value).startswith(str(path))
        for value, variable in zip(before, model.variables, strict=True):
            np.testing.assert_array_equal(value, variable.numpy())

    def test_a_trunk_of_another_family(self, mobilenet_file):
        with pytest.raises(UserError, match="holds torchvision's MobileNetV2, and this model's trunk is another"):
            restore(network("faster_rcnn", ""), mobilenet_file, "classification")


def test_inspecting_says_whose_weights_a_file_holds(mobilenet_file, capsys):
    assert inspect_checkpoint([str(mobilenet_file)]) == 0
    out = capsys.readouterr().out
    assert "a torch file" in out and "looks like MobileNetV2" in out
