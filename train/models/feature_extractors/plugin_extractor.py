"""An SSD's feature extractor whose network a plugin builds (`extensions.feature_extractor`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from configs.settings import extractors, networks
from configs.settings.model import ModelExtensions
from configs.settings.plugins import FEATURE_EXTRACTOR, PluginPart
from train.models.detector import InputShape
from train.models.feature_extractors import pixels
from train.models.feature_extractors.registry import register
from train.models.feature_extractors.ssd_extractors import SsdFeatureExtractor


class PluginExtractor(SsdFeatureExtractor):
    """A network of somebody's own, from images (-1..1) to the feature maps of `fpn.min_level` to `fpn.max_level`."""

    # The API has no such network.
    api_objects = None

    def __init__(
        self, settings: extractors.SsdFeatureExtractor, *, plugin: PluginPart, freeze_batch_norm: bool
    ) -> None:
        """Has the plugin build the network.

        Args:
            settings: Of the extractor.
            plugin: What to build.
            freeze_batch_norm: Whether batch norm keeps its moving statistics; the detector sees to it.

        Raises:
            UsageError: The plugin's function is not where the plugin says.
            ValueError: It builds no Keras model, or one that gives other feature maps.
        """
        super().__init__(settings, freeze_batch_norm=freeze_batch_norm)
        self.normalize = pixels.centered
        min_level, max_level = settings.pyramid.min_level, settings.pyramid.max_level
        self.levels, self.finest_level = [str(level) for level in range(min_level, max_level + 1)], min_level
        network = plugin.function(FEATURE_EXTRACTOR)(settings, plugin.own_settings(FEATURE_EXTRACTOR))
        if not isinstance(network, tf_keras.Model):
            raise ValueError(
                f'extensions.feature_extractor: "{plugin.name}" is built as {type(network).__module__}.'
                f"{type(network).__name__}, not as a tf_keras.Model"
            )
        self.classification_backbone = network
        self._require_maps(plugin.name, 2 * settings.stride)

    @property
    def _api_parts(self) -> dict[str, Any]:
        return {}

    def _maps(self, features: Sequence[tf.Tensor], training: bool | None) -> Sequence[tf.Tensor]:
        maps: list[tf.Tensor] = tf.nest.flatten(features)
        return maps

    def _require_maps(self, name: str, side: int) -> None:
        """Runs the network on an empty square image of some size, and notes its maps' channels."""
        # In inference, so that batch norm learns nothing.
        maps = self._maps(self.classification_backbone(tf.zeros([1, side, side, 3]), training=False), False)
        found = [tuple(features.shape[1:3]) for features in maps]
        wanted = self.feature_shapes((side, side))
        if found != wanted:
            raise ValueError(
                f'extensions.feature_extractor: "{name}" makes feature maps of {_sizes(found)} cells of an image of '
                f"{side} x {side} pixels; levels {self.levels[0]} to {self.levels[-1]} have {_sizes(wanted)}"
            )
        self.channels = {level: features.shape[-1] for level, features in zip(self.levels, maps, strict=True)}


def _sizes(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(" x ".join(map(str, shape)) for shape in shapes) or "no"


def _build(
    settings: extractors.SsdFeatureExtractor,
    *,
    input_shape: InputShape,
    freeze_batch_norm: bool,
    extensions: ModelExtensions,
) -> PluginExtractor:
    assert extensions.feature_extractor is not None, "extensions.feature_extractor is not set"
    built = PluginExtractor(settings, plugin=extensions.feature_extractor, freeze_batch_norm=freeze_batch_norm)
    built.pad_to_multiple = pixels.padding_multiple(input_shape, settings)
    return built


register(networks.PLUGIN_NETWORK, _build)
