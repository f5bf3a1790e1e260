"""Differences between TensorFlow 1's networks and ours of the same variables, in words."""

from __future__ import annotations

from typing import Any


def differences_of(network: Any) -> list[str]:
    """What a network with all of a TensorFlow 1 model's values does otherwise, a sentence each.

    Args:
        network: With `api_objects`.
    """
    names = [layer.name for layer in network.backbone.layers]
    if "conv5_block1_1_conv" in names and hasattr(network, "rpn_head"):
        return [
            "the second stage's block (conv5) has a stride of 2 here, as in the API of TensorFlow 2, and of 1 in "
            "TensorFlow 1: the same weights, other features; train on before you measure"
        ]
    return []
