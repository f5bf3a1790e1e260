"""EfficientDet's pyramid (Tan et al., "EfficientDet", section 3): top-down and bottom-up, several times over.

Nodes are numbered, and their layers kept, as the API's `KerasBiFpnFeatureMaps` does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow as tf
import tf_keras

from train.models.feature_extractors.conv_blocks import normalization, run
from train.models.feature_extractors.top_down_pyramid import upsample
from train.models.hyperparams import LayerHyperparams

_FAST_ATTENTION_EPSILON = 0.0001


@dataclasses.dataclass(frozen=True)
class Node:
    """One feature map of the pyramid.

    Attributes:
        name: `ITERATION_up_lvl_LEVEL` or `ITERATION_dn_lvl_LEVEL`; iteration 0 is what comes in.
        level: Its stride is 2 to this power.
        inputs: Names of the nodes that it is made of.
        combines: Whether its inputs are combined and convolved; if not, it is its one input resampled.
    """

    name: str
    level: int
    inputs: tuple[str, ...]
    combines: bool = True


def plan_nodes(min_level: int, max_level: int, input_max_level: int, num_iterations: int) -> list[Node]:
    """Lists the nodes in the order in which they are computed.

    Args:
        min_level: The finest level.
        max_level: The coarsest level.
        input_max_level: The coarsest level that comes from the trunk.
        num_iterations: Passes down and up again.
    """
    nodes = [
        Node(f"0_up_lvl_{level}", level, (f"0_up_lvl_{level - 1}",), combines=False)
        for level in range(input_max_level + 1, max_level + 1)
    ]
    last = nodes[-1].name if nodes else f"0_up_lvl_{max_level}"
    for iteration in range(1, num_iterations + 1):
        before = iteration - 1
        for level in range(max_level - 1, min_level - 1, -1):
            # The finest level is computed on the way down only.
            direction = "up" if level > min_level or iteration == 1 else "dn"
            nodes.append(Node(f"{iteration}_dn_lvl_{level}", level, (f"{before}_{direction}_lvl_{level}", last)))
            last = nodes[-1].name
        for level in range(min_level + 1, max_level + 1):
            beside = (f"{iteration}_dn_lvl_{level}",) if level < max_level else ()
            nodes.append(Node(f"{iteration}_up_lvl_{level}", level, (f"{before}_up_lvl_{level}", *beside, last)))
            last = nodes[-1].name
    return nodes


class BiFpn(tf_keras.layers.Layer):
    """A bidirectional feature pyramid with learned weights of what it adds."""

    def __init__(
        self,
        hyperparams: LayerHyperparams,
        *,
        min_level: int,
        max_level: int,
        trunk_channels: Sequence[int],
        num_iterations: int,
        num_filters: int,
        combine_method: str = "fast_attention",
        freeze_batch_norm: bool = False,
        name: str = "bifpn",
    ) -> None:
        """Creates the layers.

        Args:
            hyperparams: Of the layers.
            min_level: The finest level.
            max_level: The coarsest level.
            trunk_channels: Of each map that comes in, from `min_level` on.
            num_iterations: Passes down and up again.
            num_filters: Channels of every node.
            combine_method: `sum`, `weighted_sum`, `attention` or `fast_attention`.
            freeze_batch_norm: Whether batch norm keeps its moving statistics.
            name: Of the layer.
        """
        super().__init__(name=name)
        input_max_level = min_level + len(trunk_channels) - 1
        self._plan = plan_nodes(min_level, max_level, input_max_level, num_iterations)
        self._inputs = [f"0_up_lvl_{level}" for level in range(min_level, input_max_level + 1)]
        self._outputs = [node.name for node in self._plan[-(max_level - min_level + 1) :]]
        levels = {name: min_level + index for index, name in enumerate(self._inputs)}
        # The API asks an input of the trunk for its channels in vain, and so always projects it.
        needs_projection = set(self._inputs)
        order = list(self._inputs)
        self.node_input_blocks: list[list[tuple[int, list[tf_keras.layers.Layer]]]] = []
        self.node_combine_op: list[tf_keras.layers.Layer | None] = []
        self.node_post_combine_block: list[list[tf_keras.layers.Layer]] = []
        for node in self._plan:
            blocks = []
            for source in node.inputs:
                layers: list[tf_keras.layers.Layer] = []
                if source in needs_projection:
                    prefix = f"{node.name}/input_{source}/1x1_pre_sample/"
                    layers += [
                        tf_keras.layers.Conv2D(
                            num_filters,
                            1,
                            padding="same",
                            use_bias=hyperparams.use_bias,
                            name=f"{prefix}conv",
                            **hyperparams.convolution_arguments(),
                        ),
                        normalization(hyperparams, f"{prefix}batchnorm", freeze_batch_norm=freeze_batch_norm),
                    ]
                layers += _resampling(levels[source], node.level)
                blocks.append((order.index(source), layers))
            self.node_input_blocks.append(blocks)
            self.node_combine_op.append(_Combine(combine_method, f"{node.name}/combine") if node.combines else None)
            self.node_post_combine_block.append(
                _post_combine(hyperparams, node.name, num_filters, freeze_batch_norm) if node.combines else []
            )
            order.append(node.name)
            levels[node.name] = node.level

    def call(self, features: Sequence[tf.Tensor], training: bool | None = None) -> list[tf.Tensor]:
        """Runs the pyramid.

        Args:
            features: The trunk's maps, [B, H, W, C], finest first, each twice as fine as the next.
            training: Whether batch norm trains.

        Returns:
            A map for each level from the finest, [B, H, W, num_filters].
        """
        maps = list(features)
        by_name = {}
        for node, blocks, combine, post in zip(
            self._plan, self.node_input_blocks, self.node_combine_op, self.node_post_combine_block, strict=True
        ):
            inputs = [run(layers, maps[index], training) for index, layers in blocks]
            maps.append(run(post, combine(inputs) if combine is not None else inputs[0], training))
            by_name[node.name] = maps[-1]
        return [by_name[name] for name in self._outputs]


def _resampling(from_level: int, to_level: int) -> list[tf_keras.layers.Layer]:
    """Max pooling to a coarser level, repetition to a finer one, nothing to the same."""
    if from_level < to_level:
        stride = 2 ** (to_level - from_level)
        return [tf_keras.layers.MaxPooling2D(stride + 1, strides=stride, padding="same")]
    if from_level > to_level:
        return [_Upsample(2 ** (from_level - to_level))]
    return []


def _post_combine(
    hyperparams: LayerHyperparams, node: str, num_filters: int, freeze_batch_norm: bool
) -> list[tf_keras.layers.Layer]:
    """Activation, separable convolution, normalisation."""
    return [
        tf_keras.layers.Activation(hyperparams.activation, name=f"{node}/post_combine/activation"),
        tf_keras.layers.SeparableConv2D(
            num_filters,
            3,
            padding="same",
            use_bias=hyperparams.use_bias,
            name=f"{node}/post_combine/separable_conv",
            **hyperparams.separable_arguments(),
        ),
        normalization(hyperparams, f"{node}/post_combine/batchnorm", freeze_batch_norm=freeze_batch_norm),
    ]


class _Upsample(tf_keras.layers.Layer):
    def __init__(self, factor: int) -> None:
        super().__init__()
        self._factor = factor

    def call(self, features: tf.Tensor) -> tf.Tensor:
        return upsample(features, self._factor)


class _Combine(tf_keras.layers.Layer):
    """Adds feature maps, each times its learned weight."""

    def __init__(self, method: str, name: str) -> None:
        super().__init__(name=name)
        self._method = method

    def build(self, input_shape: list[tf.TensorShape]) -> None:
        if self._method != "sum":
            self.per_input_weights = self.add_weight(
                name="bifpn_combine_weights", shape=(len(input_shape), 1), initializer="ones"
            )
        super().build(input_shape)

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        if self._method == "sum":
            return tf.add_n(inputs)
        weights = self.per_input_weights
        if self._method == "attention":
            # Along the last axis, of length 1, as the API has it: every weight becomes 1.
            weights = tf.nn.softmax(weights)
        elif self._method == "fast_attention":
            positive = tf.nn.relu(weights)
            weights = positive / (tf.reduce_sum(positive) + _FAST_ATTENTION_EPSILON)
        return tf.add_n([features * weights[index, 0] for index, features in enumerate(inputs)])
