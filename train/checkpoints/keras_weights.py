"""Reader of the weights files that Keras Applications publish: HDF5, a group for each layer.

Nothing but numbers is read: no layer is built, nothing is unpickled, and no link is followed to another file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from data_prep.runtime.command_line import UserError

MAX_FILE_BYTES = 4 * 1024**3
_MAX_LAYERS = 20_000
_ROOTS = ("", "model_weights")

# By the layer's name, its values by the last part of their names: `kernel`, `gamma`.
LayerValues = dict[str, dict[str, np.ndarray]]


def read_keras_weights(path: str | Path) -> LayerValues:
    """Reads a legacy weights file (`*.h5`) of Keras.

    Args:
        path: The file, of weights alone or of a whole model.

    Returns:
        By layer, in the file's order, float values by name.

    Raises:
        UserError: There is no such file, it cannot be read, or it is laid out in another way.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise UserError(f"{path}: {path.stat().st_size / 1024**3:.1f} GiB; weights of no trunk are so large")
    try:
        with h5py.File(path, "r") as file:
            root = next((group for name in _ROOTS if (group := _group(file, name)) is not None), None)
            if root is None:
                raise UserError(
                    f"{path}: holds no layers as Keras Applications' weights do (an attribute layer_names); files of "
                    "Keras' newer layout, *.weights.h5 and *.keras, are not read"
                )
            names = _attribute(root, "layer_names")
            return {name: _layer(path, root, name) for name in names}
    except (OSError, KeyError, ValueError, RuntimeError, UnicodeDecodeError, TypeError) as error:
        detail = str(error).splitlines()
        raise UserError(f"{path}: cannot be read as HDF5: {detail[0][:200] if detail else type(error).__name__}") from (
            error
        )


def _group(file: h5py.File, name: str) -> h5py.Group | None:
    if name and not isinstance(file.get(name, getlink=True), h5py.HardLink):
        return None
    group = file[name] if name else file
    named = "layer_names" in group.attrs or "layer_names0" in group.attrs
    return group if isinstance(group, h5py.Group) and named else None


def _attribute(group: h5py.Group, name: str) -> list[str]:
    """A list of names, which Keras cuts into `name0`, `name1` and so on where it is long."""
    keys = [name] if name in group.attrs else []
    while not (keys and keys[0] == name) and f"{name}{len(keys)}" in group.attrs:
        keys.append(f"{name}{len(keys)}")
    values = [value for key in keys for value in np.atleast_1d(group.attrs[key]).tolist()]
    if len(values) > _MAX_LAYERS:
        raise ValueError(f"{len(values)} names in one attribute")
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _layer(path: Path, root: h5py.Group, name: str) -> dict[str, np.ndarray]:
    layer = _inside(path, root, name)
    values = {}
    for weight in _attribute(layer, "weight_names"):
        dataset = _inside(path, layer, weight)
        if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
            raise UserError(f"{path}: {weight} is no array that the file holds itself")
        if dataset.dtype.kind not in "fiu" or dataset.size * dataset.dtype.itemsize > path.stat().st_size * 64:
            raise UserError(f"{path}: {weight} is {list(dataset.shape)} {dataset.dtype}: no layer's weights")
        value = dataset[()]
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise UserError(f"{path}: {weight} holds a number that is not finite: the file is damaged")
        values[weight.rsplit("/", 1)[-1].removesuffix(":0")] = value
    return values


def _inside(path: Path, group: h5py.Group, name: str) -> Any:
    """The member of a group at a path, which may lead nowhere else."""
    for piece in name.split("/"):
        if piece in ("", ".", "..") or not isinstance(group.get(piece, getlink=True), h5py.HardLink):
            raise UserError(f"{path}: {name} is not in the file itself")
        group = group[piece]
    return group
