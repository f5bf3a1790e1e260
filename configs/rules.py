"""What can become of a field of a config."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

_Value = TypeVar("_Value")

# Reasons that several tables give: why, and what to use instead.
BOXES_ONLY = ("only boxes are detected here", "delete it")
KEYPOINTS = ("keypoints are not detected here", "delete it")
CONTEXT = ("Context R-CNN is not supported", "delete it")
RAW_OUTPUTS = ("training gives detections only", "delete it; the exporter says which outputs a model has")
# Why fields of the old machinery have no effect.
TPU_SHAPES = "shapes are static wherever the image resizer makes them so"
TPU_MATMUL = "it computes the same in a way that suits a TPU"
INPLACE = "TensorFlow 2 always updates batch norm in the forward pass"


@dataclasses.dataclass(frozen=True)
class Only:
    """The values that are honoured; they apply to a field that is not set, too, as its default is a value."""

    values: tuple[Any, ...]
    reason: str


@dataclasses.dataclass(frozen=True)
class Rules:
    """What becomes of the fields of one message type.

    Attributes:
        honoured: Names, separated by spaces.
        no_effect: Why, by name.
        only: Values, by name.
        refused: Why, and what to use instead, by name. Set to its default, such a field changes nothing and is let be.
    """

    honoured: str = ""
    no_effect: Mapping[str, str] = dataclasses.field(default_factory=dict)
    only: Mapping[str, Only] = dataclasses.field(default_factory=dict)
    refused: Mapping[str, tuple[str, str]] = dataclasses.field(default_factory=dict)

    @property
    def honoured_names(self) -> frozenset[str]:
        """The names in `honoured`."""
        return frozenset(self.honoured.split())


def each(names: str, value: _Value) -> dict[str, _Value]:
    """The same for each of several names, which are separated by spaces."""
    return dict.fromkeys(names.split(), value)
