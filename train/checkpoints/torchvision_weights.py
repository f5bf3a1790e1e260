"""torchvision's ImageNet weights of MobileNetV2 and of ResNet-50, -101 and -152, for the trunks that are Keras' own.

Three things differ from the trunks here, of which two are worked into the weights, so that inference gives the same
numbers: batch norm's epsilon (1e-5 there) into its scale, and how pixels are normalised (by ImageNet's means and
deviations there) into the first convolution and the mean of the batch norm behind it. What stays is told in the report:
where a convolution of stride 2 pads, and which convolution of a ResNet's block has the stride.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from data_prep.runtime.command_line import UserError
from train.checkpoints.keras_applications import trunks_of
from train.checkpoints.restore_report import RestoreReport
from train.checkpoints.torch_layers import MismatchError, layer_values, left_over_reason

MOBILENET_V2, RESNET = "MobileNetV2", "ResNet"

# torchvision's batch norms and its transform for ImageNet: (x / 255 - mean) / deviation of RGB.
_EPSILON = 1e-5
_MEANS = np.array((0.485, 0.456, 0.406))
_DEVIATIONS = np.array((0.229, 0.224, 0.225))

_MOBILENET_V2_ENDS = {
    "features.0.0": "Conv1",
    "features.0.1": "bn_Conv1",
    "features.18.0": "Conv_1",
    "features.18.1": "Conv_1_bn",
}
_FIRST_BLOCK = {"0.0": "depthwise", "0.1": "depthwise_BN", "1": "project", "2": "project_BN"}
_BLOCK = {
    "0.0": "expand",
    "0.1": "expand_BN",
    "1.0": "depthwise",
    "1.1": "depthwise_BN",
    "2": "project",
    "3": "project_BN",
}
_FIRST_LAYERS = {MOBILENET_V2: ("Conv1", "bn_Conv1"), RESNET: ("conv1_conv", "conv1_bn")}


def mobilenet_v2_layer(module: str) -> str | None:
    """Keras' name of the layer that a module of torchvision's MobileNetV2 is; None for the classifier's."""
    if match := re.fullmatch(r"features\.(\d+)\.conv\.([\d.]+)", module):
        block = int(match[1])
        part = (_FIRST_BLOCK if block == 1 else _BLOCK).get(match[2])
        return f"{'expanded_conv' if block == 1 else f'block_{block - 1}'}_{part}" if part else None
    return _MOBILENET_V2_ENDS.get(module)


def resnet_layer(module: str) -> str | None:
    """Keras' name of the layer that a module of torchvision's ResNet with bottlenecks is; None for the classifier's."""
    if match := re.fullmatch(r"layer(\d)\.(\d+)\.(?:(conv|bn)([123])|downsample\.([01]))", module):
        kind = match[3] or ("conv", "bn")[int(match[5])]
        return f"conv{int(match[1]) + 1}_block{int(match[2]) + 1}_{match[4] or 0}_{kind}"
    return {"conv1": "conv1_conv", "bn1": "conv1_bn"}.get(module)


_LAYER_NAMES: dict[str, Callable[[str], str | None]] = {MOBILENET_V2: mobilenet_v2_layer, RESNET: resnet_layer}


def torchvision_values(
    model: Any, family: str, path: Path, tensors: dict[str, np.ndarray]
) -> tuple[list[tuple[tf.Variable, np.ndarray]], RestoreReport]:
    """Finds the values that a trunk takes from a classifier of torchvision's.

    Args:
        model: An SSD's or Faster R-CNN's network, with `api_objects` and `normalize`.
        family: `MOBILENET_V2` or `RESNET`.
        path: The torch file.
        tensors: What it holds.

    Returns:
        Variables with their values, and the report of taking them; the classifier is among what is skipped.

    Raises:
        UserError: The trunk is of another family, depth or width.
    """
    layers = {layer.name: layer for trunk in trunks_of(model) for layer in trunk.layers if layer.weights}
    report = RestoreReport(str(path), f"torchvision's weights of {family} in a torch file")
    try:
        modules = _modules_by_layer(layers, family, tensors)
        values = {
            (layer, variable.name): (variable, name, value.astype(np.float64))
            for layer, module in modules.items()
            for name, variable, value in layer_values(module, layers[layer], tensors)
        }
        if len(values) != sum(len(layer.variables) for layer in layers.values()):
            raise MismatchError("it has variables that the file knows nothing of: biases of convolutions")
    except MismatchError as mismatch:
        raise UserError(
            f"{path}: holds torchvision's {family}, and this model's trunk is another or of another size: {mismatch}"
        ) from None
    by_variable = {id(variable): value for variable, _, value in values.values()}
    report.notes += _adapt(model, family, layers, by_variable)
    taken = {name for _, name, _ in values.values()}
    report.restored += [f"trunk/{layer}/{name.rsplit('/', 1)[-1].removesuffix(':0')}" for layer, name in values]
    report.skipped += [(name, _left_over(name, family)) for name in tensors if name not in taken]
    return [(variable, by_variable[id(variable)].astype(np.float32)) for variable, _, _ in values.values()], report


def _modules_by_layer(
    layers: dict[str, tf_keras.layers.Layer], family: str, tensors: dict[str, np.ndarray]
) -> dict[str, str]:
    """The module of each of a trunk's layers.

    Raises:
        MismatchError: A layer has none, or a stage that the trunk has is longer in the file.
    """
    modules = {}
    for module in dict.fromkeys(name.rpartition(".")[0] for name in tensors):
        layer = _LAYER_NAMES[family](module)
        if layer in layers:
            modules[layer] = module
        elif layer is not None and any(name.startswith(_stage(layer)) for name in layers):
            raise MismatchError(f"the file's {module} would be {layer}, which is not here")
    for layer in layers:
        if layer not in modules:
            raise MismatchError(f"the file has no module for {layer}")
    return modules


def _stage(layer: str) -> str:
    """How the names of a ResNet's stage begin; a MobileNet's layers have one depth, so that each is a stage."""
    return layer.split("block", maxsplit=1)[0] if re.match(r"conv\d_block", layer) else layer


def _left_over(name: str, family: str) -> str:
    is_trunks = _LAYER_NAMES[family](name.rpartition(".")[0]) is not None
    counts = name.endswith("num_batches_tracked")
    return "the trunk ends before it" if is_trunks and not counts else left_over_reason(name)


def _adapt(
    model: Any, family: str, layers: dict[str, tf_keras.layers.Layer], values: dict[int, np.ndarray]
) -> Iterator[str]:
    """Works what differs into `values`, by the ids of their variables, and yields what must be said of the rest."""
    norms = [layer for layer in layers.values() if isinstance(layer, tf_keras.layers.BatchNormalization)]
    for norm in norms:
        variance = values[id(norm.moving_variance)]
        values[id(norm.gamma)] *= np.sqrt((variance + norm.epsilon) / (variance + _EPSILON))
    others = sorted({norm.epsilon for norm in norms} - {_EPSILON})
    if others:
        here = " and ".join(f"{epsilon:g}" for epsilon in others)
        yield f"batch norm: epsilon {_EPSILON:g} in torchvision, {here} here; worked into the scales"
    convolution, norm = (layers[name] for name in _FIRST_LAYERS[family])
    _work_pixels_in(model.normalize, values, convolution, norm)
    yield "pixels: torchvision's normalisation is worked into the first convolution, but for the zeros around an image"
    if family == RESNET:
        yield (
            "strides: torchvision's ResNet has a block's stride in its 3x3 convolution, this one in its first 1x1, and "
            "its max pooling pads both sides, this one the end: the weights fit, the features are not quite the same"
        )
    elif convolution.padding == "same":
        yield (
            "padding: torchvision pads a convolution of stride 2 on both sides, this trunk (TensorFlow's SAME) an even "
            "side's end only, so that features look up to 31 pixels further right and down (stride 32) or 7 (stride "
            "8); use_explicit_padding: true pads as torchvision"
        )


def _work_pixels_in(
    normalize: Callable[[tf.Tensor], tf.Tensor],
    values: dict[int, np.ndarray],
    convolution: tf_keras.layers.Layer,
    norm: tf_keras.layers.Layer,
) -> None:
    """Makes the first convolution and batch norm take pixels as a detector normalises them.

    With `normalized = scale * x + offset` here and `(x / 255 - mean) / deviation` there, the second is
    `factor * normalized + constant`. The constant, convolved, is the same everywhere and leaves the batch norm's mean.
    """
    ends = normalize(tf.constant([[[[0.0] * 3, [255.0] * 3]]])).numpy().astype(np.float64)[0, 0]
    factor = 1.0 / (_DEVIATIONS * (ends[1] - ends[0]))
    constant = (-_MEANS / _DEVIATIONS) - factor * ends[0]
    kernel = values[id(convolution.kernel)]
    values[id(norm.moving_mean)] = values[id(norm.moving_mean)] - np.einsum("hwio,i->o", kernel, constant)
    values[id(convolution.kernel)] = kernel * factor[:, np.newaxis]
