"""SSD's feature extractors, by the names that `feature_extractor.type` uses, layer for layer as the API builds them.

Attributes that hold layers have the API's names, since its checkpoints name variables by them.
"""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from configs.settings import extractors
from configs.settings.extractors import COARSEST_TRUNK_LEVEL
from configs.settings.model import ModelExtensions
from train.models.api_objects import tree
from train.models.detector import InputShape, feature_map_shape
from train.models.feature_extractors import pixels, trunks
from train.models.feature_extractors.bifpn import BiFpn
from train.models.feature_extractors.conv_blocks import run
from train.models.feature_extractors.multi_resolution import MultiResolutionMaps
from train.models.feature_extractors.pixels import pad_to_multiple, padding_multiple
from train.models.feature_extractors.registry import register
from train.models.feature_extractors.top_down_pyramid import TopDownPyramid, coarse_layers
from train.models.hyperparams import LayerHyperparams

# Maps that plain SSD adds to the trunk's two, by their channels.
_ADDED_DEPTHS = (512, 256, 256, 128)
# The weight of a regularizer that is not set, in the schema.
_UNSET_WEIGHT = 1.0


class SsdFeatureExtractor(tf_keras.layers.Layer):
    """From normalised images to the maps that an SSD predicts on.

    Attributes:
        levels: The maps' names, finest first.
        channels: Of each map, by level.
        finest_level: The finest map's stride is 2 to this power; each other's is twice the one before.
        normalize: Maps float32 RGB 0..255 to what the network takes.
        classification_backbone: The trunk, whose outputs are the maps that it gives to the rest.
        pad_to_multiple: What it pads images to, with zeros at the bottom and on the right.
    """

    levels: list[str]
    channels: dict[str, int]
    finest_level: int
    normalize: Callable[[tf.Tensor], tf.Tensor]
    classification_backbone: tf_keras.Model

    def __init__(self, settings: extractors.SsdFeatureExtractor, *, freeze_batch_norm: bool) -> None:
        """Reads what all extractors have.

        Args:
            settings: Of the extractor.
            freeze_batch_norm: Whether batch norm keeps its moving statistics.
        """
        super().__init__(name="feature_extractor")
        self._settings = settings
        self.pad_to_multiple = settings.pad_to_multiple
        self._hyperparams = LayerHyperparams(settings.conv_hyperparams)
        self._trunk_arguments: dict[str, Any] = {
            "hyperparams": self._hyperparams if settings.override_base_feature_extractor_hyperparams else None,
            "depth_multiplier": settings.depth_multiplier,
            "min_depth": settings.min_depth,
            "freeze_batch_norm": freeze_batch_norm,
        }
        self._layer_arguments: dict[str, Any] = {
            "use_depthwise": settings.use_depthwise,
            "use_explicit_padding": settings.use_explicit_padding,
            "freeze_batch_norm": freeze_batch_norm,
        }

    def depth(self, filters: int) -> int:
        """Channels of an added layer, by the settings' multiplier and minimum."""
        return max(int(filters * self._settings.depth_multiplier), self._settings.min_depth)

    def call(self, images: tf.Tensor, training: bool | None = None) -> dict[str, tf.Tensor]:
        """Extracts feature maps.

        Args:
            images: [B, H, W, 3], normalised.
            training: Whether batch norm trains.

        Returns:
            [B, h, w, C] by the names in `levels`.
        """
        padded = pad_to_multiple(images, self.pad_to_multiple)
        maps = self._maps(self._trunk(padded, training=training), training)
        return dict(zip(self.levels, maps, strict=True))

    def feature_shapes(self, input_shape: tuple[int, int]) -> list[tuple[int, int]]:
        """Height and width of each map, in cells, from those of an input, in pixels, without `pad_to_multiple`."""
        height, width = (side + -side % self.pad_to_multiple for side in input_shape)
        return [feature_map_shape((height, width), self.finest_level + index) for index in range(len(self.levels))]

    @property
    def api_objects(self) -> Any:
        """Its layers in the tree in which the API's checkpoints hold them: what `_feature_extractor` is there."""
        # In this order: of two ways to a variable, checkpoints name the first.
        return tree(**self._api_parts, classification_backbone=self.classification_backbone)

    @property
    def _trunk(self) -> tf_keras.Model:
        """From padded images to what `_maps` takes."""
        return self.classification_backbone

    @property
    @abc.abstractmethod
    def _api_parts(self) -> dict[str, Any]:
        """The layers beside the trunk, by the API's names."""

    @abc.abstractmethod
    def _maps(self, features: Sequence[tf.Tensor], training: bool | None) -> Sequence[tf.Tensor]:
        """From the trunk's maps to all, finest first."""

    def _make_variables(self) -> None:
        """Makes the variables of what is not the trunk, by running it on next to nothing."""
        outputs = self._trunk.outputs
        finest = max(2 ** (len(outputs) - 1), self._settings.stride >> self.finest_level)
        empty = [tf.zeros([1, *[finest >> index] * 2, output.shape[-1]]) for index, output in enumerate(outputs)]
        # In inference, so that batch norm learns nothing.
        maps = self._maps(empty, False)
        self.channels = {level: features.shape[-1] for level, features in zip(self.levels, maps, strict=True)}


class PlainExtractor(SsdFeatureExtractor):
    """SSD as first published: two maps of a MobileNet and four coarser ones."""

    def __init__(self, settings: extractors.SsdFeatureExtractor, *, freeze_batch_norm: bool, version: int) -> None:
        """Builds the layers; `version` of MobileNet is 1 or 2."""
        super().__init__(settings, freeze_batch_norm=freeze_batch_norm)
        self.normalize = pixels.centered
        arguments = {**self._trunk_arguments, "use_explicit_padding": settings.use_explicit_padding}
        if version == 1:
            trunk = trunks.mobilenet_v1(**arguments)
            names, base_name = ("conv_pw_11_relu", "conv_pw_13_relu"), "Conv2d_13_pointwise"
        else:
            trunk = trunks.mobilenet_v2(**arguments)
            names, base_name = ("block_13_expand_relu", "out_relu"), "layer_19"
        num_maps = settings.num_layers
        self.levels, self.finest_level = [str(index) for index in range(num_maps)], 4
        outputs = [trunk.get_layer(name).output for name in names]
        self.classification_backbone = tf_keras.Model(trunk.inputs, outputs)
        generator = MultiResolutionMaps(
            self._hyperparams,
            trunk_maps=2,
            depths=[self.depth(depth) for depth in _ADDED_DEPTHS[: max(num_maps - 2, 0)]],
            base_name=base_name,
            **self._layer_arguments,
        )
        self.feature_map_generator = generator
        # The API spells the attribute in two ways.
        self._generator_name = "_feature_map_generator" if version == 1 else "feature_map_generator"
        self._make_variables()

    @property
    def _api_parts(self) -> dict[str, Any]:
        return {self._generator_name: self.feature_map_generator}

    def _maps(self, features: Sequence[tf.Tensor], training: bool | None) -> Sequence[tf.Tensor]:
        return self.feature_map_generator(features, training=training)[: len(self.levels)]


class PyramidExtractor(SsdFeatureExtractor):
    """A trunk with a feature pyramid: RetinaNet, and FPNLite with `use_depthwise`."""

    def __init__(self, settings: extractors.SsdFeatureExtractor, *, freeze_batch_norm: bool, trunk: str) -> None:
        """Builds the layers; `trunk` is `mobilenet_v1`, `mobilenet_v2` or `resnet50` and its like."""
        super().__init__(settings, freeze_batch_norm=freeze_batch_norm)
        min_level, max_level = settings.pyramid.min_level, settings.pyramid.max_level
        self.levels, self.finest_level = [str(level) for level in range(min_level, max_level + 1)], min_level
        trunk_max_level = min(max_level, COARSEST_TRUNK_LEVEL)
        network, by_level = self._build_trunk(trunk)
        # All four, as in the API: what a pyramid does not use is in the checkpoint none the less.
        self.classification_backbone = tf_keras.Model(
            network.inputs, [network.get_layer(by_level[level]).output for level in range(2, 6)]
        )
        self._used = slice(min_level - 2, trunk_max_level - 1)
        assert isinstance(settings.pyramid, extractors.FeaturePyramidNetworks)
        depth = self.depth(settings.pyramid.additional_layer_depth)
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
        self._make_variables()

    def _build_trunk(self, trunk: str) -> tuple[tf_keras.Model, dict[int, str]]:
        settings = self._settings
        if trunk.startswith("resnet"):
            self.normalize = pixels.mean_subtracted
            depth = int(trunk.removeprefix("resnet"))
            return trunks.resnet_v1(depth, **self._trunk_arguments), trunks.RESNET_LEVELS[depth]
        self.normalize = pixels.centered
        arguments = {**self._trunk_arguments, "use_explicit_padding": settings.use_explicit_padding}
        if trunk == "mobilenet_v1":
            network = trunks.mobilenet_v1(**arguments, last_filters=256 if settings.use_depthwise else None)
            return network, {2: "conv_pw_3_relu", 3: "conv_pw_5_relu", 4: "conv_pw_11_relu", 5: "conv_pw_13_relu"}
        network = trunks.mobilenet_v2(**arguments)
        by_level = {2: "block_2_add", 3: "block_5_add", 4: "block_12_add", 5: "out_relu"}
        # Where `min_depth` widens a block's output but not what Keras takes it for, its sum is left out. (The API then
        # finds no such layer and fails.)
        there = {layer.name for layer in network.layers}
        ends = {name: name if name in there else name.replace("_add", "_project_BN") for name in by_level.values()}
        return network, {level: ends[name] for level, name in by_level.items()}

    @property
    def _api_parts(self) -> dict[str, Any]:
        return {
            "_fpn_features_generator": self._fpn_features_generator,
            "_coarse_feature_layers": self._coarse_feature_layers,
        }

    def _maps(self, features: Sequence[tf.Tensor], training: bool | None) -> Sequence[tf.Tensor]:
        maps = self._fpn_features_generator(features[self._used], training=training)
        for layers in self._coarse_feature_layers:
            maps.append(run(layers, maps[-1], training))
        return maps


class EfficientDetExtractor(SsdFeatureExtractor):
    """An EfficientNet with a BiFPN."""

    def __init__(self, settings: extractors.SsdFeatureExtractor, *, freeze_batch_norm: bool, version: str) -> None:
        """Builds the layers; `version` is `b0` to `b7`."""
        super().__init__(settings, freeze_batch_norm=freeze_batch_norm)
        self.normalize = pixels.standardized
        bifpn = settings.pyramid
        assert isinstance(bifpn, extractors.BidirectionalFeaturePyramidNetworks)
        self.levels = [str(level) for level in range(bifpn.min_level, bifpn.max_level + 1)]
        self.finest_level = bifpn.min_level
        classifier = trunks.efficientnet(version, weight_decay=self._trunk_weight_decay())
        levels = range(bifpn.min_level, min(bifpn.max_level, COARSEST_TRUNK_LEVEL) + 1)
        outputs = [classifier.get_layer(trunks.EFFICIENTNET_LEVELS[level]).output for level in levels]
        self._efficientnet = tf_keras.Model(classifier.inputs, outputs)
        self.classification_backbone = classifier
        self._bifpn_stage = BiFpn(
            self._hyperparams,
            min_level=bifpn.min_level,
            max_level=bifpn.max_level,
            trunk_channels=[output.shape[-1] for output in outputs],
            num_iterations=bifpn.num_iterations,
            num_filters=max(bifpn.num_filters, settings.min_depth),
            combine_method=bifpn.combine_method,
            freeze_batch_norm=freeze_batch_norm,
        )
        self._make_variables()

    def _trunk_weight_decay(self) -> float | None:
        """Of the trunk, where the settings override it; an l1 regularizer's, too, as in the API."""
        if not self._settings.override_base_feature_extractor_hyperparams:
            return None
        regularizer = self._settings.conv_hyperparams.regularizer
        return _UNSET_WEIGHT if regularizer is None else regularizer.weight

    @property
    def _trunk(self) -> tf_keras.Model:
        return self._efficientnet

    @property
    def _api_parts(self) -> dict[str, Any]:
        return {"_efficientnet": self._efficientnet, "_bifpn_stage": self._bifpn_stage}

    def _maps(self, features: Sequence[tf.Tensor], training: bool | None) -> Sequence[tf.Tensor]:
        return self._bifpn_stage(features, training=training)


def _build(
    settings: extractors.SsdFeatureExtractor,
    *,
    input_shape: InputShape,
    freeze_batch_norm: bool,
    extensions: ModelExtensions,
    extractor: Callable[..., SsdFeatureExtractor],
) -> SsdFeatureExtractor:
    del extensions
    built = extractor(settings, freeze_batch_norm=freeze_batch_norm)
    built.pad_to_multiple = padding_multiple(input_shape, settings)
    return built


def _register(name: str, extractor: Callable[..., SsdFeatureExtractor], **arguments: Any) -> None:
    register(name, functools.partial(_build, extractor=functools.partial(extractor, **arguments)))


for _version in (1, 2):
    _register(f"ssd_mobilenet_v{_version}_keras", PlainExtractor, version=_version)
    _register(f"ssd_mobilenet_v{_version}_fpn_keras", PyramidExtractor, trunk=f"mobilenet_v{_version}")
for _depth in (50, 101, 152):
    _register(f"ssd_resnet{_depth}_v1_fpn_keras", PyramidExtractor, trunk=f"resnet{_depth}")
for _size in range(8):
    _register(f"ssd_efficientnet-b{_size}_bifpn_keras", EfficientDetExtractor, version=f"b{_size}")
