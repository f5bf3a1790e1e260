"""SSD's feature extractors that the Object Detection API does not have: Model Garden's backbones and its pyramid."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from configs.settings.backbones import READER as ANY_BACKBONE
from configs.settings.extractors import SsdFeatureExtractor
from configs.settings.model import ModelExtensions
from configs.settings.networks import EFFICIENTNET_LITES
from train.models.detector import InputShape
from train.models.feature_extractors import pixels
from train.models.feature_extractors.pixels import pad_to_multiple, padding_multiple
from train.models.feature_extractors.registry import register


@dataclasses.dataclass(frozen=True)
class ModelGardenExtractor:
    """A feature extractor: a backbone of Model Garden's, and its pyramid.

    Attributes:
        backbone: Maps images to features by level.
        decoder: Maps those to the feature maps by level.
        levels: Names of the feature maps, finest first.
        normalize: Maps float32 RGB 0..255 to what the backbone was trained on.
        pad_to_multiple: What the sides of a normalised image must be multiples of; zeros at the bottom and the right
            fill up.
    """

    backbone: tf_keras.Model
    decoder: tf_keras.Model
    levels: list[str]
    normalize: Callable[[tf.Tensor], tf.Tensor]
    pad_to_multiple: int

    def __call__(self, images: tf.Tensor, training: bool | None = None) -> dict[str, tf.Tensor]:
        """Extracts features.

        Args:
            images: float32 [B, height, width, 3], normalised.
            training: Whether batch norm learns.

        Returns:
            For each level, finest first, [B, height, width, channels].
        """
        features = self.backbone(pad_to_multiple(images, self.pad_to_multiple), training=training)
        features = self.decoder(features, training=training)
        return {level: features[level] for level in self.levels}

    @property
    def channels(self) -> dict[str, int]:
        """Of each feature map, by level."""
        return {level: self.decoder.output[level].shape[-1] for level in self.levels}

    def feature_shapes(self, input_shape: tuple[int, int]) -> list[tuple[int, int]]:
        """Height and width of each feature map, in cells, for the input that the networks were built for."""
        del input_shape
        outputs: Mapping[str, Any] = self.decoder.output
        return [(outputs[level].shape[1], outputs[level].shape[2]) for level in self.levels]


def _build(
    settings: SsdFeatureExtractor,
    *,
    input_shape: InputShape,
    freeze_batch_norm: bool,
    extensions: ModelExtensions,
    normalize: Callable[[tf.Tensor], tf.Tensor],
) -> ModelGardenExtractor:
    # Model Garden's part that has these takes a second to import, and other models do without.
    from train.models.backbones import build_backbone, build_pyramid, pyramid_features

    del freeze_batch_norm  # The detector freezes all of the network.
    multiple = padding_multiple(input_shape, settings)
    height, width = input_shape
    if height is None or width is None:
        height = width = None
    else:
        height, width = height + -height % multiple, width + -width % multiple
    network = build_backbone(settings, extensions.model_garden_backbone, height=height, width=width)
    return ModelGardenExtractor(
        backbone=pyramid_features(network),
        decoder=build_pyramid(network, settings),
        levels=[str(level) for level in range(settings.pyramid.min_level, settings.pyramid.max_level + 1)],
        normalize=normalize,
        pad_to_multiple=multiple,
    )


for _name in EFFICIENTNET_LITES:
    register(_name, functools.partial(_build, normalize=pixels.lite_centered))
register(ANY_BACKBONE, functools.partial(_build, normalize=pixels.standardized))
