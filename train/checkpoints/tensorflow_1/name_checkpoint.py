"""Reader of TensorFlow 1's checkpoints (`model.ckpt`), whose variables have names and no objects that hold them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from train.checkpoints.files import READ_ERRORS, find_checkpoint
from train.checkpoints.tensorflow_1.named_source import NamedSource
from train.checkpoints.values import read_values, unreadable

_AVERAGE = "/ExponentialMovingAverage"
_OPTIMIZERS = re.compile(
    r"(?:/(?:RMSProp(?:_1)?|Momentum|Adam(?:_1)?|Adagrad|ExponentialMovingAverage)|^(?:beta\d_power|learning_rate))$"
)
_BOOKKEEPING = ("global_step",)


class NameCheckpoint(NamedSource):
    """A checkpoint of TensorFlow 1, of either format (V1: one file, V2: an index and data)."""

    kind = "a checkpoint of TensorFlow 1"

    def __init__(self, path: str | Path) -> None:
        """Opens the checkpoint that `find_checkpoint(path)` finds.

        Raises:
            UserError: There is none, or it cannot be read.
        """
        self.prefix = find_checkpoint(path)
        try:
            self._reader = tf.train.load_checkpoint(self.prefix)
            self._shapes: dict[str, list[int]] = self._reader.get_variable_to_shape_map()
        except READ_ERRORS as error:
            raise unreadable(self.prefix, error) from error
        self.names = sorted(name for name in self._shapes if not _OPTIMIZERS.search(name) and name not in _BOOKKEEPING)
        self.has_moving_averages = any(name.endswith(_AVERAGE) for name in self._shapes)
        if self._shapes.get("global_step") == []:
            self.step = int(self.read(["global_step"])[0])

    def key_of(self, name: str, *, moving_average: bool = False) -> str:
        """See `NamedSource.key_of`; a variable without an average is taken itself."""
        averaged = name + _AVERAGE
        return averaged if moving_average and averaged in self._shapes else name

    def shape_of(self, key: str) -> tuple[int, ...] | None:
        """See `NamedSource.shape_of`."""
        shape = self._shapes.get(key)
        return None if shape is None else tuple(shape)

    def read(self, keys: Sequence[str]) -> list[Any]:
        """See `NamedSource.read`; of the file's dtypes."""
        return read_values(self._reader, keys, self.prefix)
