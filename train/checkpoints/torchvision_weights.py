"""ImageNet weights of torchvision's MobileNetV2 and ResNets, for the trunks of the same names.

The layers are the same and three things around them are not. Images: torchvision takes `(x / 255 - mean) / deviation`,
and what a trunk here takes is another line of x, so that the first kernel and its batch norm's mean are changed to
undo the difference. Epsilon: torch's batch norm adds 1e-5 to the variance; scales are changed where a trunk's adds
something else. Padding: torch pads strided convolutions on both sides, TensorFlow's SAME on one, which
`use_explicit_padding` changes where the trunk has it. ResNets have a block's stride in another convolution.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from data_prep.runtime.command_line import UserError
from train.checkpoints.object_paths import variables_by_path
from train.checkpoints.restore_report import OTHER_SHAPE, RestoreReport

_EPSILON = 1e-5
_MEAN, _DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
_ATTRIBUTES = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
_RESNET_BLOCKS = {6: "ResNet-50", 23: "ResNet-101", 36: "ResNet-152"}
_PADDING = (
    "padding: torch pads strided convolutions on both sides, and this trunk on one, which shifts features by a pixel: "
)


def is_torchvision(tensors: Mapping[str, Any]) -> bool:
    """Whether tensors have the names of a network that is read here."""
    return "features.0.0.weight" in tensors or "layer1.0.conv1.weight" in tensors


def torchvision_values(
    network: Any, tensors: Mapping[str, np.ndarray], path: str
) -> tuple[list[tuple[tf.Variable, np.ndarray]], RestoreReport]:
    """Finds the values that a trunk takes from a classifier of torchvision's.

    Args:
        network: A detection network on a MobileNetV2 or a ResNet.
        tensors: Of the classifier, by torch's names.
        path: Of the file, for words.

    Returns:
        The trunk's variables with their values, and the report of taking them.

    Raises:
        UserError: The trunk is another network, or a number is not finite.
    """
    layers = [layer for layer in network.backbone.layers if layer.weights]
    names = {layer.name: _torch_name(layer.name) for layer in layers}
    report = RestoreReport(path, f"ImageNet weights of torchvision's {_network_of(tensors)}")
    found = {name: theirs for name, theirs in names.items() if theirs is not None and f"{theirs}.weight" in tensors}
    if len(found) != len(layers):
        missing = next(layer.name for layer in layers if layer.name not in found)
        raise UserError(
            f"{path}: weights of torchvision's {_network_of(tensors)}, which fit a trunk of that network and no other "
            f"({len(found)} of {len(layers)} layers of this one are in it; not {missing})"
        )
    slope, offset = _line_of(network)
    first = layers[0].name
    assignments: list[tuple[tf.Variable, np.ndarray]] = []
    shift = np.zeros(1)
    for layer in layers:
        values = _values_of(layer, found[layer.name], tensors, path)
        if layer.name == first:
            kernel = values["kernel"]
            shift = np.einsum("hwio,i->o", kernel, offset)
            values["kernel"] = kernel * slope[:, np.newaxis]
        elif layer is layers[1]:
            values["moving_mean"] = values["moving_mean"] - shift
        for attribute, variable in variables_by_path(layer).items():
            full_name = f"trunk/{layer.name}/{attribute}"
            value = values[attribute]
            if value.shape != tuple(variable.shape):
                report.skipped.append((full_name, OTHER_SHAPE))
                report.details[full_name] = f"{list(value.shape)} in the weights, {list(variable.shape)} here"
            else:
                assignments.append((variable, value.astype(np.float32)))
                report.restored.append(full_name)
    used = tuple(f"{theirs}." for theirs in found.values())
    for name in tensors:
        if not name.startswith(used):
            report.skipped.append((name, "belongs to the classifier"))
    report.notes += _notes(network, layers)
    return assignments, report


def _network_of(tensors: Mapping[str, Any]) -> str:
    if "features.0.0.weight" in tensors:
        return "MobileNetV2"
    blocks = len({match[1] for name in tensors if (match := re.match(r"layer3\.(\d+)\.", name))})
    return _RESNET_BLOCKS.get(blocks, "ResNet")


def _torch_name(name: str) -> str | None:
    """The torch module of a layer of Keras' name."""
    fixed = {
        "Conv1": "features.0.0", "bn_Conv1": "features.0.1", "Conv_1": "features.18.0", "Conv_1_bn": "features.18.1",
        "expanded_conv_depthwise": "features.1.conv.0.0", "expanded_conv_depthwise_BN": "features.1.conv.0.1",
        "expanded_conv_project": "features.1.conv.1", "expanded_conv_project_BN": "features.1.conv.2",
        "conv1_conv": "conv1", "conv1_bn": "bn1",
    }  # fmt: skip
    if match := re.fullmatch(r"block_(\d+)_(expand|depthwise|project)(_BN)?", name):
        places = {"expand": ("0.0", "0.1"), "depthwise": ("1.0", "1.1"), "project": ("2", "3")}
        return f"features.{int(match[1]) + 1}.conv.{places[match[2]][match[3] is not None]}"
    if match := re.fullmatch(r"conv(\d)_block(\d+)_(\d)_(conv|bn)", name):
        block = f"layer{int(match[1]) - 1}.{int(match[2]) - 1}"
        if match[3] == "0":
            return f"{block}.downsample.{0 if match[4] == 'conv' else 1}"
        return f"{block}.{match[4]}{match[3]}"
    return fixed.get(name)


def _values_of(
    layer: tf_keras.layers.Layer, theirs: str, tensors: Mapping[str, np.ndarray], path: str
) -> dict[str, np.ndarray]:
    """A layer's values by Keras' attributes, in Keras' order of axes."""

    def tensor(attribute: str) -> np.ndarray:
        value = tensors.get(f"{theirs}.{attribute}")
        if value is None or value.dtype.kind != "f" or not np.isfinite(value).all():
            raise UserError(f"{path}: {theirs}.{attribute} is missing or holds numbers that are not finite: damaged")
        return value.astype(np.float64)

    if isinstance(layer, tf_keras.layers.BatchNormalization):
        values = {ours: tensor(name) for ours, name in _ATTRIBUTES.items()}
        variance = values["moving_variance"]
        values["gamma"] = values["gamma"] * np.sqrt((variance + layer.epsilon) / (variance + _EPSILON))
        return values
    kernel = tensor("weight")
    if kernel.ndim != 4:
        raise UserError(f"{path}: {theirs}.weight is no convolution's kernel")
    if isinstance(layer, tf_keras.layers.DepthwiseConv2D):
        return {"depthwise_kernel": kernel.transpose(2, 3, 0, 1)}
    return {"kernel": kernel.transpose(2, 3, 1, 0)}


def _line_of(network: Any) -> tuple[np.ndarray, np.ndarray]:
    """Slope and offset, a channel each, that make torch's input of the trunk's."""
    # Of the pixels 0 and 255 the trunk makes its own numbers, which stand for 0 and 1 in torch's line.
    normalize = _normalization_of(network)
    black, white = (
        normalize(tf.fill([1, 1, 1, 3], pixel)).numpy().ravel().astype(np.float64) for pixel in (0.0, 255.0)
    )
    slope = 1.0 / ((white - black) * _DEVIATION)
    return slope, (-black / (white - black) - _MEAN) / _DEVIATION


def _normalization_of(network: Any) -> Any:
    extractor = getattr(network, "feature_extractor", None)
    return extractor.normalize if extractor is not None else network._extractor.normalize


def _notes(network: Any, layers: list[tf_keras.layers.Layer]) -> list[str]:
    notes = ["images and epsilon: torchvision's are made of this trunk's in its first layers and scales"]
    if any(layer.name == "Conv1" for layer in layers):
        padded = any(isinstance(layer, tf_keras.layers.ZeroPadding2D) for layer in network.backbone.layers)
        if not padded:
            notes.append(_PADDING + "feature_extractor.use_explicit_padding: true pads as torch does")
    else:
        notes.append(
            "strides: a block's stride is in its first convolution here and in its second in torchvision, so that "
            "features differ until they are trained on"
        )
    return notes
