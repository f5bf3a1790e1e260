"""Settings of feature extractors and their feature pyramids; `configs.settings.networks` has the networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TypeAlias

from configs.schema.problem import Note, Problem
from configs.settings.declaration import Settings, choice, nested
from configs.settings.layers import Hyperparams, channels
from configs.settings.networks import NETWORKS, PLUGIN_NETWORK, Network, type_problem
from configs.settings.plugins import PluginPart
from configs.settings.reading import read_settings_text
from configs.settings.values import number, scalar

# Trunks have no coarser maps than those of this level, whose stride is 2**5 pixels; pyramids add what is beyond.
COARSEST_TRUNK_LEVEL = 5
# Two of the trunk's maps, and four that are added.
_MOST_PLAIN_MAPS = 6
# Its map is a single cell for images of up to 32,768 pixels.
_COARSEST_LEVEL = 15
# With fewer and no `min_depth`, the narrowest layers of trunks would have no channels.
_LEAST_MULTIPLIER = 0.1

# A pyramid's lowest and highest level; without a pyramid, how many feature maps there are.
Levels: TypeAlias = tuple[int, int] | int


def check_plugin_extractor(plugin: PluginPart | None, extractor_type: str) -> Iterator[Problem]:
    """Yields what `extensions.feature_extractor` and the model's feature extractor contradict each other in.

    Args:
        plugin: The extension's; None where it is not written.
        extractor_type: `feature_extractor.type`.
    """
    if extractor_type == PLUGIN_NETWORK and plugin is None:
        instead = "write extensions { feature_extractor { name: ... } }"
        yield Problem("extensions.feature_extractor", "is not set", instead)
    elif extractor_type != PLUGIN_NETWORK and plugin is not None:
        reason = f"the model's feature_extractor.type is {extractor_type!r}, which does not read it"
        instead = f"write model {{ ssd {{ feature_extractor {{ type: {PLUGIN_NETWORK!r} }} }} }}, or delete it"
        yield Problem("extensions.feature_extractor", reason, instead)


# ----------------------------------------------------------------------------------------------------------- pyramids


@dataclasses.dataclass(frozen=True, kw_only=True)
class FeaturePyramidNetworks(Settings, message="FeaturePyramidNetworks"):
    """A feature pyramid (Lin et al., "Feature Pyramid Networks").

    Attributes:
        min_level, max_level: Of its maps; the stride of level n is 2**n pixels.
        additional_layer_depth: Channels of every map.
    """

    min_level: int = number(at_least=1, at_most=_COARSEST_LEVEL)
    max_level: int = number(at_least=1, at_most=_COARSEST_LEVEL)
    additional_layer_depth: int = channels()

    def problems(self) -> Iterator[Problem]:
        """See `Settings.problems`."""
        if self.max_level < self.min_level:
            yield Problem("max_level", f"{self.max_level} is below min_level, {self.min_level}", "use a larger one")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BidirectionalFeaturePyramidNetworks(Settings, message="BidirectionalFeaturePyramidNetworks"):
    """EfficientDet's feature pyramid (Tan et al., "EfficientDet").

    Attributes:
        min_level, max_level: Of its maps; the stride of level n is 2**n pixels.
        num_iterations: Passes down and up.
        num_filters: Channels of every map, or `min_depth` if that is more.
        combine_method: How maps are added.
    """

    min_level: int = number(at_least=1, at_most=_COARSEST_LEVEL)
    max_level: int = number(at_least=1, at_most=_COARSEST_LEVEL)
    num_iterations: int = number(at_most=100)
    num_filters: int = channels(at_least=0)
    combine_method: str = scalar(only=("sum", "weighted_sum", "attention", "fast_attention"))

    def problems(self) -> Iterator[Problem]:
        """See `Settings.problems`."""
        if self.max_level <= self.min_level:
            yield Problem("max_level", f"{self.max_level} is not above min_level, {self.min_level}", "use a larger one")


def _level_problems(
    network: Network, pyramid: FeaturePyramidNetworks | BidirectionalFeaturePyramidNetworks
) -> Iterator[Problem]:
    """Yields what a pyramid needs and a network's trunk does not have, with paths from the extractor's message."""
    finest, given = network.finest_level, pyramid.min_level
    if not finest <= given <= COARSEST_TRUNK_LEVEL:
        reason = f"{given} is no level of {network.name}'s trunk, which has {finest} to {COARSEST_TRUNK_LEVEL}"
        yield Problem(f"{network.pyramid}.min_level", reason, "use one of these, such as 3")


# --------------------------------------------------------------------------------------------------------- extractors


@dataclasses.dataclass(frozen=True, kw_only=True)
class SsdFeatureExtractor(Settings, message="SsdFeatureExtractor"):
    """The feature extractor of an SSD.

    Attributes:
        type: A network's name.
        depth_multiplier: Of the channels of every layer.
        min_depth: At least so many channels a layer, whatever the multiplier.
        conv_hyperparams: Of the layers that are added to the trunk.
        override_base_feature_extractor_hyperparams: Whether they are of the trunk's layers, too.
        pad_to_multiple: What sides of the input are padded to multiples of, in pixels.
        use_explicit_padding: Whether convolutions pad by their kernel's size, whatever the input's.
        use_depthwise: Whether convolutions that are added are separable.
        feature_pyramid_oneof: Its `fpn` or `bifpn`; None where neither is written.
        num_layers: Feature maps, without a pyramid.
        spaghettinet_arch_name: Of networks that are not here.
    """

    type: str = scalar()
    depth_multiplier: float = number(above=0.0, at_most=16.0)
    min_depth: int = channels(at_least=0)
    conv_hyperparams: Hyperparams = nested(Hyperparams)
    override_base_feature_extractor_hyperparams: bool = scalar()
    pad_to_multiple: int = number(at_least=1, at_most=2**_COARSEST_LEVEL)
    use_explicit_padding: bool = scalar()
    use_depthwise: bool = scalar()
    feature_pyramid_oneof: FeaturePyramidNetworks | BidirectionalFeaturePyramidNetworks | None = choice(
        inline=True, alternatives={"fpn": FeaturePyramidNetworks, "bifpn": BidirectionalFeaturePyramidNetworks}
    )
    num_layers: int = number()
    spaghettinet_arch_name: str = scalar()
    refused = {"replace_preprocessor_with_placeholder": ("the model normalizes its own pixels", "delete it")}

    def problems(self) -> Iterator[Problem]:
        """See `Settings.problems`."""
        unknown = type_problem(self.type, "ssd")
        if unknown is not None:
            yield unknown
            return
        kind, honours = self.type, self.network.honours
        if self.depth_multiplier != 1.0 and "depth_multiplier" not in honours:
            yield Problem("depth_multiplier", f"{kind} has one width", "use 1.0, or ssd_mobilenet_v2_fpn_keras")
        if self.depth_multiplier < _LEAST_MULTIPLIER and self.min_depth < 1:
            reason = f"{self.depth_multiplier:g} leaves layers without channels where min_depth is 0"
            yield Problem("depth_multiplier", reason, f"use {_LEAST_MULTIPLIER} or more, or min_depth: 8")
        if self.use_explicit_padding and "use_explicit_padding" not in honours:
            reason = "only MobileNets can pad otherwise than TensorFlow's SAME"
            yield Problem("use_explicit_padding", reason, "delete it")
        if self.use_depthwise and "use_depthwise" not in honours:
            yield Problem("use_depthwise", f"{kind} has no such choice, in the API either", "delete it")
        if self.spaghettinet_arch_name:
            yield Problem("spaghettinet_arch_name", f"{kind} is no SpaghettiNet", "delete it")
        yield from self._pyramid_problems()

    def _pyramid_problems(self) -> Iterator[Problem]:
        kind, own = self.type, self.network.pyramid
        for field, what in (("fpn", "feature pyramid of that kind"), ("bifpn", "BiFPN")):
            if field != own and field in self.written:
                other = f"delete it, or use type: {kind.replace('_keras', '_fpn_keras')!r}"
                yield Problem(field, f"{kind} has no {what}", f"use {own} {{ }}" if own else other)
        if not own and not 1 <= self.num_layers <= _MOST_PLAIN_MAPS:
            reason = f"{kind} has 1 to {_MOST_PLAIN_MAPS} feature maps, not {self.num_layers}"
            yield Problem("num_layers", reason, f"use {_MOST_PLAIN_MAPS}, or fewer")
        if own == "bifpn" and self.feature_pyramid_oneof is None:
            instead = "write bifpn { min_level: 3 max_level: 7 num_iterations: 3 num_filters: 64 }"
            yield Problem("bifpn", "is not set", instead)
        elif own and own == self.path_of("feature_pyramid_oneof"):
            yield from _level_problems(self.network, self.pyramid)
        bifpn = self.feature_pyramid_oneof
        if own != "bifpn" or not isinstance(bifpn, BidirectionalFeaturePyramidNetworks):
            return
        if bifpn.num_iterations < 1:
            reason = f"{bifpn.unset('num_iterations')}{bifpn.num_iterations} passes make no pyramid"
            yield Problem("bifpn.num_iterations", reason, "set it, such as num_iterations: 3")
        if max(bifpn.num_filters, self.min_depth) < 1:
            yield Problem("bifpn.num_filters", "0 channels are none", "set it, such as num_filters: 64")

    def notes(self) -> Iterator[Note]:
        """See `Settings.notes`."""
        if self.network.pyramid and "num_layers" in self.written:
            text = "has no effect: a pyramid's min_level and max_level say how many feature maps there are"
            yield Note("num_layers", text)
        if "min_depth" not in self.network.honours and "min_depth" in self.written:
            yield Note("min_depth", f"has no effect: {self.type} has one width")

    @property
    def network(self) -> Network:
        """The network that the type names."""
        return NETWORKS[self.type]

    @property
    def pyramid(self) -> FeaturePyramidNetworks | BidirectionalFeaturePyramidNetworks:
        """The pyramid of a network that has one."""
        return self.feature_pyramid_oneof or read_settings_text(FeaturePyramidNetworks, "")

    @property
    def levels(self) -> Levels:
        """The pyramid's lowest and highest level; without a pyramid, how many feature maps there are."""
        return (self.pyramid.min_level, self.pyramid.max_level) if self.network.pyramid else self.num_layers

    @property
    def stride(self) -> int:
        """The number that both sides of a padded input must be multiples of, or feature maps cannot be added."""
        if not self.network.pyramid:
            return 1
        if self.network.pyramid == "bifpn":
            return 2**self.pyramid.max_level
        # With explicit padding, what is upsampled is cut to what it is added to.
        return 1 if self.use_explicit_padding else 2 ** min(COARSEST_TRUNK_LEVEL, self.pyramid.max_level)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FasterRcnnFeatureExtractor(Settings, message="FasterRcnnFeatureExtractor"):
    """The feature extractor of a Faster R-CNN.

    Attributes:
        type: A network's name.
        first_stage_features_stride: Pixels a cell of the shared feature map, without a pyramid.
        batch_norm_trainable: Whether batch norm's statistics train.
        conv_hyperparams: Of the layers that are added to the trunk.
        override_base_feature_extractor_hyperparams: Whether they are of the trunk's layers, too.
        fpn: None where it is not written.
    """

    type: str = scalar()
    first_stage_features_stride: int = number()
    batch_norm_trainable: bool = scalar()
    conv_hyperparams: Hyperparams = nested(Hyperparams)
    override_base_feature_extractor_hyperparams: bool = scalar()
    fpn: FeaturePyramidNetworks | None = nested(FeaturePyramidNetworks, optional=True)
    no_effect = {"pad_to_multiple": "the API reads it nowhere: it pads inputs of pyramids to 32, and others not"}

    def problems(self) -> Iterator[Problem]:
        """See `Settings.problems`."""
        unknown = type_problem(self.type, "faster_rcnn")
        if unknown is not None:
            yield unknown
            return
        if self.fpn is not None and not self.network.pyramid:
            pyramid = self.type.replace("_keras", "_fpn_keras")
            instead = f"use type: {pyramid!r}, or delete it" if pyramid in NETWORKS else "delete it"
            yield Problem("fpn", f"{self.type} has no pyramid", instead)
        elif self.fpn is not None:
            yield from _level_problems(self.network, self.fpn)
        stride, strides = self.first_stage_features_stride, self.network.strides
        if stride not in strides:
            reason, instead = f"{stride} is no stride of it", f"use {' or '.join(map(str, strides))}"
            yield Problem("first_stage_features_stride", reason, instead)

    def notes(self) -> Iterator[Note]:
        """See `Settings.notes`."""
        for name in ("conv_hyperparams", "override_base_feature_extractor_hyperparams", "first_stage_features_stride"):
            if name in self.written and name not in self.network.honours:
                why = "its pyramid has strides of its own" if name.endswith("stride") else "the API takes none there"
                yield Note(name, f"has no effect: {self.type} does not read it; {why}")

    @property
    def network(self) -> Network:
        """The network that the type names."""
        return NETWORKS[self.type]

    @property
    def pyramid(self) -> FeaturePyramidNetworks:
        """The pyramid of a network that has one; unwritten, it has the levels of the API's class, not the message's."""
        return self.fpn or read_settings_text(FeaturePyramidNetworks, "min_level: 2 max_level: 6")

    @property
    def levels(self) -> Levels:
        """The pyramid's lowest and highest level; without a pyramid, how many feature maps there are."""
        return (self.pyramid.min_level, self.pyramid.max_level) if self.network.pyramid else 1
