"""Settings of box coders: how boxes become the numbers that a network predicts, relative to their anchors."""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

from configs.settings.declaration import Choice, Settings
from configs.settings.values import number

# Codes beyond say nothing that 32 bits can hold.
_LARGEST = 1e6


@dataclasses.dataclass(frozen=True, kw_only=True)
class FasterRcnnBoxCoder(Settings, message="FasterRcnnBoxCoder"):
    """Scaled offsets of the centre, and scaled logarithms of the sides' ratios.

    Attributes:
        y_scale, x_scale: Multiply the offsets, which are in sides of the anchor.
        height_scale, width_scale: Multiply the logarithms.
    """

    y_scale: float = number(above=0.0, at_most=_LARGEST)
    x_scale: float = number(above=0.0, at_most=_LARGEST)
    height_scale: float = number(above=0.0, at_most=_LARGEST)
    width_scale: float = number(above=0.0, at_most=_LARGEST)

    @property
    def code_size(self) -> int:
        """Numbers in a code."""
        return 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeanStddevBoxCoder(Settings, message="MeanStddevBoxCoder"):
    """Differences of the corners from the anchor's.

    Attributes:
        stddev: What they are divided by.
    """

    stddev: float = number(above=0.0, at_most=_LARGEST)

    @property
    def code_size(self) -> int:
        """Numbers in a code."""
        return 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class SquareBoxCoder(Settings, message="SquareBoxCoder"):
    """A scaled offset of the centre, and one scaled logarithm of the lengths' ratio.

    Attributes:
        y_scale, x_scale: Multiply the offsets, which are in lengths (square roots of the area) of the anchor.
        length_scale: Multiplies the logarithm.
    """

    y_scale: float = number(above=0.0, at_most=_LARGEST)
    x_scale: float = number(above=0.0, at_most=_LARGEST)
    length_scale: float = number(above=0.0, at_most=_LARGEST)

    @property
    def code_size(self) -> int:
        """Numbers in a code."""
        return 3


BoxCoder: TypeAlias = FasterRcnnBoxCoder | MeanStddevBoxCoder | SquareBoxCoder

# What a `BoxCoder` message may be.
BOX_CODERS = Choice(
    alternatives={
        "faster_rcnn_box_coder": FasterRcnnBoxCoder,
        "mean_stddev_box_coder": MeanStddevBoxCoder,
        "square_box_coder": SquareBoxCoder,
    },
    refused={"keypoint_box_coder": ("keypoints are not detected here", "use faster_rcnn_box_coder { }")},
    required="use faster_rcnn_box_coder { }",
)
