"""Differences between TensorFlow 1's networks and ours of the same variables, in words."""

from __future__ import annotations

from typing import Any

# With fewer smoothed levels, nothing finer is made of one.
_LEAST_SMOOTHED = 2


def differences_of(network: Any, checkpoint_type: str) -> list[str]:
    """What a network with all of a TensorFlow 1 model's values does otherwise, a sentence each.

    Args:
        network: With `api_objects`.
        checkpoint_type: What was taken: `classification`, `detection` or `full`.
    """
    found = []
    names = {layer.name for layer in network.backbone.layers}
    if "conv5_block1_1_conv" in names and hasattr(network, "rpn_head"):
        found.append(
            "differs: the second stage's block (conv5) has a stride of 2 here, as in the API of TensorFlow 2, and of 1 "
            "in TensorFlow 1: the same weights, other features; train on before you measure"
        )
    pyramid = getattr(getattr(network, "feature_extractor", None), "_fpn_features_generator", None)
    if pyramid is not None and len(pyramid.conv_layers) >= _LEAST_SMOOTHED and checkpoint_type != "classification":
        found.append(
            "differs: each level of the pyramid is made of the smoothed level above it here, as in the API of "
            "TensorFlow 2, and of the level before smoothing in TensorFlow 1: the same weights, another finest level; "
            "train on before you measure"
        )
    return found
