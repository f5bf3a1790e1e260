"""The depth of a network's layers: how far before its heads they are."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
import tf_keras

# The parts between the backbone and the heads; some of them hold the backbone too.
_NECKS = ("feature_extractor", "decoder", "proposal_features")
# Where a backbone takes images of any size, pixels a side of one to measure strides with.
_PROBE_SIDE = 512


def depth_by_variable(network: tf_keras.Model) -> dict[Any, int]:
    """Says how many groups of layers lie between a variable and the end of a network.

    The heads are of depth 0. Before them come the layers between them and the backbone (a pyramid, the maps that SSD
    adds), if there are any, and then the stages of the backbone from the last to the first. A stage is what has the
    same stride: of a ResNet conv5, conv4, conv3, conv2 and conv1. Where Faster R-CNN's second stage begins with the
    backbone's last stage, that is what it counts as.

    Args:
        network: With `checkpoint_items`.

    Returns:
        The depth by each variable's `ref()`.
    """
    items = network.checkpoint_items
    depths = {variable.ref(): 0 for variable in network.variables}
    levels = _level_by_variable(items["backbone"])
    necks = [variable.ref() for name in _NECKS if name in items for variable in items[name].variables]
    before_heads = [reference for reference in necks if reference not in levels]
    depths |= dict.fromkeys(before_heads, 1)
    first = 2 if before_heads else 1
    order = sorted(set(levels.values()), reverse=True)
    return depths | {reference: first + order.index(level) for reference, level in levels.items()}


def _level_by_variable(backbone: tf_keras.Model) -> dict[Any, int]:
    """The level of the layer that each variable of a backbone is in: its output's stride is 2 to this power.

    A layer is never of a lower level than those before it, and where its output has no extent (squeeze and excitation,
    the top of a classifier) it is of theirs.
    """
    layers = [layer for layer in backbone.layers if layer.variables]
    probe = tf_keras.Model(backbone.inputs, [layer.get_output_at(0) for layer in layers])
    side = backbone.inputs[0].shape[1] or _PROBE_SIDE
    width = backbone.inputs[0].shape[2] or _PROBE_SIDE
    traced = tf.function(lambda images: probe(images, training=False), autograph=False)
    outputs = traced.get_concrete_function(tf.TensorSpec([1, side, width, 3])).structured_outputs
    levels: dict[Any, int] = {}
    level = 0
    for layer, output in zip(layers, outputs if len(layers) > 1 else [outputs], strict=True):
        shapes = [tensor.shape for tensor in tf.nest.flatten(output)]
        extents = [shape[1] for shape in shapes if shape.rank == 4 and shape[1] and shape[1] > 1]
        level = max([level, *(round(math.log2(side / extent)) for extent in extents)])
        for variable in layer.variables:
            levels.setdefault(variable.ref(), level)
    return levels
