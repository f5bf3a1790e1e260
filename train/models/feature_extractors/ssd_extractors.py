"""SSD's feature extractors, by the names that `feature_extractor.type` uses, layer for layer as the API builds them.

Attributes that hold layers have the API's names, since its checkpoints name variables by them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from train.models.feature_extractors import pixels, trunks
from train.models.feature_extractors.bifpn import BiFpn
from train.models.feature_extractors.conv_blocks import run
from train.models.feature_extractors.multi_resolution import MultiResolutionMaps
from train.models.feature_extractors.top_down_pyramid import TopDownPyramid, coarse_layers
from train.models.hyperparams import LayerHyperparams

_COARSEST_TRUNK_LEVEL = 5
# Maps that plain SSD adds to the trunk's two, by their channels.
_ADDED_DEPTHS = (512, 256, 256, 128)


class SsdFeatureExtractor(tf_keras.layers.Layer):
    """From normalised images to the maps that an SSD predicts on.

    Attributes:
        levels: The maps' names, finest first.
        normalize: Maps float32 RGB 0..255 to what the network takes.
        classification_backbone: The trunk.
    """

    levels: list[str]
    normalize: Callable[[tf.Tensor], tf.Tensor]
    classification_backbone: tf_keras.Model

    def __init__(self, message: Any, *, freeze_batch_norm: bool) -> None:
        """Reads what all extractors have.

        Args:
            message: An `SsdFeatureExtractor` message.
            freeze_batch_norm: Whether batch norm keeps its moving statistics.
        """
        super().__init__(name="feature_extractor")
        self._message = message
        self._hyperparams = LayerHyperparams.from_config(message.conv_hyperparams)
        self._trunk_arguments: dict[str, Any] = {
            "hyperparams": self._hyperparams if message.override_base_feature_extractor_hyperparams else None,
            "depth_multiplier": message.depth_multiplier,
            "min_depth": message.min_depth,
            "freeze_batch_norm": freeze_batch_norm,
        }
        self._layer_arguments: dict[str, Any] = {
            "use_depthwise": message.use_depthwise,
            "use_explicit_padding": message.use_explicit_padding,
            "freeze_batch_norm": freeze_batch_norm,
        }

    def depth(self, filters: int) -> int:
        """Channels of an added layer, by the message's multiplier and minimum."""
        return max(int(filters * self._message.depth_multiplier), self._message.min_depth)

    def call(self, images: tf.Tensor, training: bool | None = None) -> dict[str, tf.Tensor]:
        """Extracts feature maps.

        Args:
            images: [B, H, W, 3], normalised.
            training: Whether batch norm trains.

        Returns:
            [B, h, w, C] by the names in `levels`.
        """
        padded = trunks.pad_to_multiple(images, self._message.pad_to_multiple)
        return dict(zip(self.levels, self._extract(padded, training), strict=True))

    def _extract(self, images: tf.Tensor, training: bool | None) -> Sequence[tf.Tensor]:
        raise NotImplementedError


class PlainExtractor(SsdFeatureExtractor):
    """SSD as first published: two maps of a MobileNet and four coarser ones."""

    def __init__(self, message: Any, *, freeze_batch_norm: bool, version: int) -> None:
        """Builds the layers; `version` of MobileNet is 1 or 2."""
        super().__init__(message, freeze_batch_norm=freeze_batch_norm)
        self.normalize = pixels.centered
        arguments = {**self._trunk_arguments, "use_explicit_padding": message.use_explicit_padding}
        if version == 1:
            trunk = trunks.mobilenet_v1(**arguments)
            names, base_name = ("conv_pw_11_relu", "conv_pw_13_relu"), "Conv2d_13_pointwise"
        else:
            trunk = trunks.mobilenet_v2(**arguments)
            names, base_name = ("block_13_expand_relu", "out_relu"), "layer_19"
        num_maps = message.num_layers
        self.levels = [str(index) for index in range(num_maps)]
        outputs = [trunk.get_layer(name).output for name in names]
        self.classification_backbone = tf_keras.Model(trunk.inputs, outputs)
        generator = MultiResolutionMaps(
            self._hyperparams,
            trunk_maps=2,
            depths=[self.depth(depth) for depth in _ADDED_DEPTHS[: max(num_maps - 2, 0)]],
            base_name=base_name,
            **self._layer_arguments,
        )
        # The API spells the attribute in two ways.
        if version == 1:
            self._feature_map_generator = generator
        else:
            self.feature_map_generator = generator
        self._run_generator = generator

    def _extract(self, images: tf.Tensor, training: bool | None) -> Sequence[tf.Tensor]:
        maps = self._run_generator(self.classification_backbone(images, training=training), training=training)
        return maps[: len(self.levels)]


class PyramidExtractor(SsdFeatureExtractor):
    """A trunk with a feature pyramid: RetinaNet, and FPNLite with `use_depthwise`."""

    def __init__(self, message: Any, *, freeze_batch_norm: bool, trunk: str) -> None:
        """Builds the layers; `trunk` is `mobilenet_v1`, `mobilenet_v2` or `resnet50` and its like."""
        super().__init__(message, freeze_batch_norm=freeze_batch_norm)
        min_level, max_level = message.fpn.min_level, message.fpn.max_level
        self.levels = [str(level) for level in range(min_level, max_level + 1)]
        trunk_max_level = min(max_level, _COARSEST_TRUNK_LEVEL)
        network, by_level = self._build_trunk(trunk)
        # All four, as in the API: what a pyramid does not use is in the checkpoint none the less.
        self.classification_backbone = tf_keras.Model(
            network.inputs, [network.get_layer(by_level[level]).output for level in range(2, 6)]
        )
        self._used = slice(min_level - 2, trunk_max_level - 1)
        depth = self.depth(message.fpn.additional_layer_depth)
        arguments = self._layer_arguments
        if trunk.startswith("resnet"):  # The API's has no such choice.
            arguments = {"freeze_batch_norm": freeze_batch_norm}
            names = [f"bottom_up_block{level}" for level in range(trunk_max_level, max_level)]
        else:
            first = 14 if trunk == "mobilenet_v1" else 20
            names = [f"bottom_up_Conv2d_{first + index}" for index in range(max_level - trunk_max_level)]
        self._fpn_features_generator = TopDownPyramid(
            self._hyperparams, num_levels=trunk_max_level + 1 - min_level, depth=depth, **arguments
        )
        self._coarse_feature_layers = coarse_layers(
            self._hyperparams, max_level - trunk_max_level, depth=depth, names=names, **arguments
        )

    def _build_trunk(self, trunk: str) -> tuple[tf_keras.Model, dict[int, str]]:
        message = self._message
        if trunk.startswith("resnet"):
            self.normalize = pixels.mean_subtracted
            depth = int(trunk.removeprefix("resnet"))
            return trunks.resnet_v1(depth, **self._trunk_arguments), trunks.RESNET_LEVELS[depth]
        self.normalize = pixels.centered
        arguments = {**self._trunk_arguments, "use_explicit_padding": message.use_explicit_padding}
        if trunk == "mobilenet_v1":
            network = trunks.mobilenet_v1(**arguments, last_filters=256 if message.use_depthwise else None)
            return network, {2: "conv_pw_3_relu", 3: "conv_pw_5_relu", 4: "conv_pw_11_relu", 5: "conv_pw_13_relu"}
        network = trunks.mobilenet_v2(**arguments)
        return network, {2: "block_2_add", 3: "block_5_add", 4: "block_12_add", 5: "out_relu"}

    def _extract(self, images: tf.Tensor, training: bool | None) -> Sequence[tf.Tensor]:
        trunk_maps = self.classification_backbone(images, training=training)[self._used]
        maps = self._fpn_features_generator(trunk_maps, training=training)
        for layers in self._coarse_feature_layers:
            maps.append(run(layers, maps[-1], training))
        return maps


class EfficientDetExtractor(SsdFeatureExtractor):
    """An EfficientNet with a BiFPN."""

    def __init__(self, message: Any, *, freeze_batch_norm: bool, version: str) -> None:
        """Builds the layers; `version` is `b0` to `b7`."""
        super().__init__(message, freeze_batch_norm=freeze_batch_norm)
        self.normalize = pixels.standardized
        bifpn = message.bifpn
        self.levels = [str(level) for level in range(bifpn.min_level, bifpn.max_level + 1)]
        override = message.override_base_feature_extractor_hyperparams
        regularizer = message.conv_hyperparams.regularizer
        weight = getattr(regularizer, regularizer.WhichOneof("regularizer_oneof") or "l2_regularizer").weight
        classifier = trunks.efficientnet(version, weight_decay=weight if override else None)
        levels = range(bifpn.min_level, min(bifpn.max_level, _COARSEST_TRUNK_LEVEL) + 1)
        outputs = [classifier.get_layer(trunks.EFFICIENTNET_LEVELS[level]).output for level in levels]
        self._efficientnet = tf_keras.Model(classifier.inputs, outputs)
        self.classification_backbone = classifier
        self._bifpn_stage = BiFpn(
            self._hyperparams,
            min_level=bifpn.min_level,
            max_level=bifpn.max_level,
            trunk_channels=[output.shape[-1] for output in outputs],
            num_iterations=bifpn.num_iterations,
            num_filters=max(bifpn.num_filters, message.min_depth),
            combine_method=bifpn.combine_method,
            freeze_batch_norm=freeze_batch_norm,
        )

    def _extract(self, images: tf.Tensor, training: bool | None) -> Sequence[tf.Tensor]:
        return self._bifpn_stage(self._efficientnet(images, training=training), training=training)


_BUILDERS: dict[str, Callable[..., SsdFeatureExtractor]] = {
    r"ssd_mobilenet_v([12])_keras": lambda found, **arguments: PlainExtractor(version=int(found[1]), **arguments),
    r"ssd_(mobilenet_v[12])_fpn_keras": lambda found, **arguments: PyramidExtractor(trunk=found[1], **arguments),
    r"ssd_(resnet(?:50|101|152))_v1_fpn_keras": lambda found, **arguments: PyramidExtractor(
        trunk=found[1], **arguments
    ),
    r"ssd_efficientnet-(b[0-7])_bifpn_keras": lambda found, **arguments: EfficientDetExtractor(
        version=found[1], **arguments
    ),
}


def build_ssd_feature_extractor(message: Any, *, freeze_batch_norm: bool) -> SsdFeatureExtractor:
    """Builds the feature extractor that an `SsdFeatureExtractor` message names.

    Args:
        message: The message.
        freeze_batch_norm: Whether batch norm keeps its moving statistics.

    Raises:
        KeyError: No such `type`.
    """
    for pattern, build in _BUILDERS.items():
        found = re.fullmatch(pattern, message.type)
        if found:
            return build(found, message=message, freeze_batch_norm=freeze_batch_norm)
    raise KeyError(message.type)
