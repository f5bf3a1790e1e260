"""torchvision's classifiers in our trunks: the same feature maps, and what is not the same is told."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from data_prep.runtime.command_line import UsageError, UserError
from tests.small_models import faster_rcnn_settings, ssd_settings
from tests.train.checkpoints import torchvision_mobilenet
from train.checkpoints import restore as restoring
from train.checkpoints.restore import restore
from train.checkpoints.torch_archive import read_torch_archive
from train.checkpoints.torchvision_weights import torchvision_values
from train.models.build import build_detector

WEIGHTS = Path(__file__).resolve().parents[3].parent / "shared" / "weights" / "mobilenet_v2-b0353104.pth"
WIDTH = 0.35


def mobilenet(width: float, *, explicit_padding: bool):
    padding = "true" if explicit_padding else "false"
    return build_detector(
        ssd_settings(f"feature_extractor {{ depth_multiplier: {width} min_depth: 8 use_explicit_padding: {padding} }}")
    )


def last_features(detector, pixels: np.ndarray) -> np.ndarray:
    shape = tf.constant([[*pixels.shape[1:]]] * len(pixels))
    normalized = detector.preprocess(tf.constant(pixels), shape)
    return detector.network.backbone(normalized, training=False)[-1].numpy()


def greatest_difference(detector, tensors) -> float:
    """Of the last map."""
    pixels = np.random.default_rng(1).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
    expected = torchvision_mobilenet.features(tensors, pixels)
    return float(np.abs(last_features(detector, pixels) - expected).max() / np.abs(expected).max())


@pytest.fixture
def read(monkeypatch):
    """Has every torch file hold these tensors."""

    def of(tensors):
        monkeypatch.setattr(restoring, "read_torch_archive", lambda path: tensors)

    return of


def test_a_trunk_makes_of_an_image_what_torchvisions_does_with_torchs_padding(read):
    tensors = torchvision_mobilenet.random_tensors(WIDTH, seed=0)
    read(tensors)
    detector = mobilenet(WIDTH, explicit_padding=True)
    before = greatest_difference(detector, tensors)
    report = restore(detector.network, "weights.pth", "classification")
    assert report.missing == [] and len(report.restored) == 260
    assert "belongs to the classifier" in dict(report.skipped).values()
    assert not any(note.startswith("padding") for note in report.notes)
    assert greatest_difference(detector, tensors) < 1e-4 < before

    detector = mobilenet(WIDTH, explicit_padding=False)
    with pytest.raises(UserError, match=r"of the trunk's 260 variables are in it, .* weights of another network"):
        restore(mobilenet(0.5, explicit_padding=False).network, "weights.pth", "classification")
    report = restore(detector.network, "weights.pth", "classification")
    assert any("use_explicit_padding: true pads as torch does" in note for note in report.notes)


def test_resnets_take_theirs_and_other_trunks_are_refused(read):
    network = build_detector(faster_rcnn_settings()).network
    shapes = {
        "conv1.weight": (64, 3, 7, 7), "bn1.weight": (64,), "bn1.bias": (64,), "bn1.running_mean": (64,),
        "bn1.running_var": (64,), "fc.weight": (10, 2048),
    }  # fmt: skip
    inputs = 64
    for stage, (blocks, width) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), start=1):
        for block in range(blocks):
            rows = [("conv1", "bn1", (width, inputs, 1, 1)), ("conv2", "bn2", (width, width, 3, 3))]
            rows.append(("conv3", "bn3", (width * 4, width, 1, 1)))
            rows += [("downsample.0", "downsample.1", (width * 4, inputs, 1, 1))] if block == 0 else []
            inputs = width * 4
            for convolution, norm, shape in rows:
                prefix = f"layer{stage}.{block}."
                shapes[f"{prefix}{convolution}.weight"] = shape
                for name in ("weight", "bias", "running_mean", "running_var"):
                    shapes[f"{prefix}{norm}.{name}"] = shape[:1]
    random = np.random.default_rng(0)
    tensors = {name: random.uniform(0.1, 1.0, shape).astype(np.float32) for name, shape in shapes.items()}
    read(tensors)
    report = restore(network, "resnet50.pth", "classification")
    assert "torchvision's ResNet-50" in report.kind and report.missing == [] and len(report.restored) == 265
    assert any(note.startswith("strides: ") for note in report.notes)
    layer = network.backbone.get_layer("conv3_block1_0_conv")
    assert np.array_equal(layer.kernel.numpy()[0, 0], tensors["layer2.0.downsample.0.weight"][:, :, 0, 0].T)
    with pytest.raises(UserError, match="ResNet-50, which fit a trunk of that network and no other"):
        restore(mobilenet(0.1, explicit_padding=False).network, "resnet50.pth", "classification")
    with pytest.raises(UsageError, match='write fine_tune_checkpoint_type: "classification"'):
        restore(network, "resnet50.pth", "full")
    tensors["layer1.0.conv1.weight"][0] = np.nan
    with pytest.raises(UserError, match=re.escape("layer1.0.conv1.weight is missing or holds numbers that are not")):
        restore(network, "resnet50.pth", "classification")


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="torchvision's weights are not on this machine")
def test_torchvisions_own_weights():
    detector = mobilenet(1.0, explicit_padding=True)
    tensors = read_torch_archive(WEIGHTS)
    assignments, report = torchvision_values(detector.network, tensors, str(WEIGHTS))
    for variable, value in assignments:
        variable.assign(value)
    assert len(report.restored) == 260 and greatest_difference(detector, tensors) < 1e-4
