"""What readers of TensorFlow 1's files have in common: values that are found by their names."""

from __future__ import annotations

import abc
from collections import Counter
from collections.abc import Sequence

import numpy as np


class NamedSource(abc.ABC):
    """A file of named values, open for reading.

    Attributes:
        prefix: The file's path, for words.
        kind: What it is, in words.
        names: Of all variables, in the file's order, without those that an optimizer keeps.
        has_moving_averages: Whether it holds moving averages of the variables, too.
    """

    prefix: str
    kind: str
    names: list[str]
    has_moving_averages = False
    # What an object-based checkpoint may say besides.
    step: int | None = None

    @abc.abstractmethod
    def shape_of(self, key: str) -> tuple[int, ...] | None:
        """The shape of the value called `key`, or None where there is none."""

    @abc.abstractmethod
    def read(self, keys: Sequence[str]) -> list[np.ndarray]:
        """The values called `keys`.

        Raises:
            UserError: One cannot be read, or holds a number that is not finite.
        """

    def key_of(self, name: str, *, moving_average: bool = False) -> str:
        """The key of the variable called `name`, or of its moving average."""
        del moving_average
        return name

    def count_unused(self, used: set[str]) -> dict[str, int]:
        """How many variables are not among `used`, by the first part of their names."""
        return dict(Counter(name.split("/")[0] for name in self.names if name not in used))
