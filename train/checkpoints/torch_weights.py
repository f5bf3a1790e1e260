"""Weights of a torch file as a trunk's values: which network the file holds, and what of it is taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from data_prep.runtime.command_line import UserError
from train.checkpoints.efficientnet_lite_weights import (
    efficientnet_lite_values,
    find_efficientnet_lite_weights,
    package_of,
)
from train.checkpoints.restore_report import RestoreReport
from train.checkpoints.torch_archive import SUFFIXES, read_torch_archive
from train.checkpoints.torchvision_weights import MOBILENET_V2, RESNET, torchvision_values

EFFICIENTNET_LITE = "EfficientNet-Lite"
# By family, a tensor that each of its networks has and no network of another.
_MARKS = {
    EFFICIENTNET_LITE: "_conv_stem.weight",
    MOBILENET_V2: "features.1.conv.0.0.weight",
    RESNET: "layer1.0.conv3.weight",
}


def is_torch_source(checkpoint: str | Path) -> bool:
    """Whether a `fine_tune_checkpoint` means a torch file: by its suffix, or by a package that holds one."""
    return str(checkpoint).endswith(SUFFIXES) or package_of(str(checkpoint)) is not None


def read_torch_source(checkpoint: str | Path) -> tuple[Path, dict[str, np.ndarray]]:
    """Reads the torch file that a `fine_tune_checkpoint` means.

    Returns:
        Its path, and its tensors by name.

    Raises:
        UserError: The package is not installed, or the file cannot be read.
    """
    package = package_of(str(checkpoint))
    path = find_efficientnet_lite_weights(package) if package else Path(checkpoint)
    return path, read_torch_archive(path)


def torch_values(model: Any, checkpoint: str | Path) -> tuple[list[tuple[tf.Variable, np.ndarray]], RestoreReport]:
    """Finds the values that a trunk takes from a torch file.

    Args:
        model: A `train.checkpoints.parts.Restorable`.
        checkpoint: A file, or the name of a package that holds one.

    Returns:
        Variables with their values, and the report of taking them.

    Raises:
        UserError: The file cannot be read, holds another network than the trunk, or names that fit two.
    """
    path, tensors = read_torch_source(checkpoint)
    for name, value in tensors.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise UserError(f"{path}: {name[:80]} holds a number that is not finite: the file is damaged")
    family = family_of(path, tensors)
    if family == EFFICIENTNET_LITE:
        return efficientnet_lite_values(model.checkpoint_items["backbone"], path, tensors)
    return torchvision_values(model, family, path, tensors)


def families_in(tensors: dict[str, np.ndarray]) -> list[str]:
    """The families of networks whose names a file's tensors have."""
    return [family for family, mark in _MARKS.items() if mark in tensors]


def family_of(path: Path, tensors: dict[str, np.ndarray]) -> str:
    """The family of the network whose weights a file holds.

    Raises:
        UserError: It is none that is known here, or the names fit two.
    """
    found = families_in(tensors)
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"{path}: its names fit {' and '.join(found)}; save the state dictionary of one network alone")
    first = ", ".join(list(tensors)[:3]) or "no tensors"
    raise UserError(
        f"{path}: holds weights of none of {EFFICIENTNET_LITE}, torchvision's {MOBILENET_V2} and its {RESNET}-50, -101 "
        f"and -152; it has {first[:200]}"
    )
