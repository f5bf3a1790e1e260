"""A model's folder of reference values: its config, weights, arrays and report."""

from __future__ import annotations

import dataclasses
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from configs.schema.pipeline_file import read_pipeline_config
from configs.schema.problem import ConfigError
from data_prep.runtime.command_line import UsageError, UserError

BATCHES = ("batch", "odd")
# The same model with flags that change nothing in its results.
OTHER_CONFIG = "pipeline_tpu_flags.config"
_FILES = ("pipeline.config", "variables.json", "state.npz", "batch.npz", "odd.npz", "report.json")
_VALUE_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
_MODEL_PREFIX = "model/"


@dataclasses.dataclass(frozen=True)
class ReferenceFolder:
    """What a folder holds.

    Attributes:
        name: The folder's.
        path: The folder.
        images: By batch (`batch`, `odd`), uint8 [N, H, W, 3] as they are before preprocessing.
        arrays: By batch, the stored arrays by name.
        report: Losses, gradient norms and other numbers.
        variables: What describes each saved tensor, by its key in a checkpoint.
    """

    name: str
    path: Path
    images: Mapping[str, np.ndarray]
    arrays: Mapping[str, Mapping[str, np.ndarray]]
    report: Mapping[str, Any]
    variables: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, path: str | Path) -> ReferenceFolder:
        """Reads a folder, and `inputs.npz` in the folder above it.

        Raises:
            UsageError: A file is missing.
            UserError: A file cannot be read.
        """
        path = Path(path)
        inputs = path.absolute().parent / "inputs.npz"
        for file in (*(path / name for name in _FILES), inputs):
            if not file.is_file():
                raise UsageError(f"{file}: no such file; a folder of reference values holds {', '.join(_FILES)}")
        try:
            return cls(
                name=path.absolute().name,
                path=path,
                images=_arrays(inputs),
                arrays={name: _arrays(path / f"{name}.npz") for name in BATCHES},
                report=json.loads((path / "report.json").read_text(encoding="utf-8")),
                variables=json.loads((path / "variables.json").read_text(encoding="utf-8")),
            )
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise UserError(f"{path}: cannot be read: {error}") from error

    def config(self, name: str = "pipeline.config") -> Any:
        """The pipeline config of that name.

        Raises:
            UsageError: It is no pipeline config.
        """
        try:
            return read_pipeline_config(self.path / name)
        except ConfigError as error:
            raise UsageError(str(error)) from None

    def weights(self) -> dict[str, np.ndarray]:
        """The model's variables by their paths in the API's tree of objects.

        Large kernels are made from a seed, by the formula that the folder's authors state: a normal sample of NumPy's
        first generator, times the scale, both float32. Everything else is stored.

        Raises:
            UserError: A stored value is not there, or is not what its description says.
        """
        stored = _arrays(self.path / "state.npz")
        values = {}
        for key, entry in self.variables.items():
            if not key.startswith(_MODEL_PREFIX) or not key.endswith(_VALUE_SUFFIX):
                continue
            if "seed" in entry:
                noise = np.random.RandomState(entry["seed"]).standard_normal(entry["shape"])
                value = noise.astype(np.float32) * np.float32(entry["scale"])
            elif key in stored:
                value = stored[key]
            else:
                raise UserError(f"{self.path / 'state.npz'}: holds no {key}")
            if value.dtype != entry["dtype"] or list(value.shape) != entry["shape"]:
                raise UserError(
                    f"{self.path / 'state.npz'}: {key} is {value.dtype} {list(value.shape)}, and variables.json says "
                    f"{entry['dtype']} {entry['shape']}"
                )
            values[path_of(key)] = value
        return values

    def path_of_variable(self, name: str) -> str | None:
        """The path of a variable that the report names by its checkpoint's path, or by what Keras called it."""
        if f"{name}{_VALUE_SUFFIX}" in self.variables:
            return path_of(name)
        keys = [key for key, entry in self.variables.items() if _keras_name(entry.get("name", "")) == _keras_name(name)]
        return path_of(keys[0]) if len(keys) == 1 else None


def _keras_name(name: str) -> str:
    """A variable's name as Keras has it, without the number that a second model of one kind has in its first part."""
    return re.sub(r"^([^/]+)_\d+/", r"\1/", name.removesuffix(":0"))


def path_of(key: str) -> str:
    """A variable's path below the model, from a checkpoint's key or a prefix of one."""
    return key.removeprefix(_MODEL_PREFIX).removesuffix(_VALUE_SUFFIX)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
