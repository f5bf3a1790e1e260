"""EfficientNet-Lite: Model Garden's EfficientNet as it was made for phones and other small devices."""

from __future__ import annotations

from typing import Any

import tf_keras
from official.vision.modeling.backbones import efficientnet

_FIRST_AND_LAST = ("block_group_0", "block_group_6")


class EfficientNetLite(efficientnet.EfficientNet):
    """EfficientNet without squeeze and excitation, with ReLU6, whose first and last blocks are not repeated.

    Lite's stem and last convolution have B0's width at every size. That of the stem is the same either way up to Lite2;
    the last convolution, which no detector here runs, is Model Garden's.
    """

    def __init__(self, size: int, *, activation: str = "relu6", **arguments: Any) -> None:
        """Builds the network.

        Args:
            size: 0, 1 or 2, with the width and depth of B0, B1 or B2.
            activation: By its name in Keras.
            arguments: Of Model Garden's EfficientNet.
        """
        super().__init__(model_id=f"b{size}", se_ratio=0.0, activation=activation, **arguments)

    def _block_group(self, inputs: Any, specs: Any, name: str = "block_group") -> tf_keras.KerasTensor:
        if name in _FIRST_AND_LAST:
            specs.block_repeats = 1
        return super()._block_group(inputs, specs, name)
