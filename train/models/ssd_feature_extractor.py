"""The part of an SSD before its heads: from normalised pictures to an ordered list of feature maps."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from train.models.backbones import backbone_spec, build_backbone, pyramid_features
from train.models.detector import InputShape
from train.models.pyramid import build_pyramid, pad_to_multiple, pyramid_stride


@dataclasses.dataclass(frozen=True)
class SsdFeatureExtractor:
    """What turns pictures into feature maps.

    Attributes:
        backbone: Maps pictures to features by level.
        decoder: Maps those to the feature maps by level; None where they are the feature maps already.
        levels: Names of the feature maps, finest first.
        normalize: Maps float32 RGB 0..255 to what the backbone was trained on.
        pad_to_multiple: What the sides of a normalised picture must be multiples of; zeros at the bottom and the right
            fill up.
    """

    backbone: tf_keras.Model
    decoder: tf_keras.Model | None
    levels: tuple[str, ...]
    normalize: Callable[[tf.Tensor], tf.Tensor]
    pad_to_multiple: int

    def __call__(self, normalized: tf.Tensor, *, training: bool) -> dict[str, tf.Tensor]:
        """Extracts features.

        Args:
            normalized: float32 [B, height, width, 3].
            training: Whether batch norm learns.

        Returns:
            For each level, finest first, [B, height, width, channels].
        """
        features = self.backbone(pad_to_multiple(normalized, self.pad_to_multiple), training=training)
        if self.decoder is not None:
            features = self.decoder(features, training=training)
        return {level: features[level] for level in self.levels}

    def feature_shapes(self) -> list[tuple[int, int]]:
        """Height and width of each feature map, in cells, for inputs of a size that is known beforehand."""
        outputs: Mapping[str, Any] = (self.decoder or self.backbone).output
        return [(outputs[level].shape[1], outputs[level].shape[2]) for level in self.levels]


def build_ssd_feature_extractor(config: Any, input_shape: InputShape) -> SsdFeatureExtractor:
    """Builds the feature extractor that an `Ssd` message describes.

    `pad_to_multiple` pads what the network sees, not what anchors and boxes are relative to, as in the API.

    Args:
        config: The message.
        input_shape: Height and width of the input in pixels, None where pictures have sizes of their own. Such pictures
            are padded to what the feature pyramid needs, whatever `pad_to_multiple` is: the API would fail.

    Raises:
        ValueError: The input's sides do not suit the feature pyramid.
    """
    extractor = config.feature_extractor
    height, width = input_shape
    multiple = max(extractor.pad_to_multiple, 1)
    stride = pyramid_stride(extractor)
    if height is None or width is None:
        height = width = None
        multiple = math.lcm(multiple, stride)
    else:
        padded = [side + -side % multiple for side in (height, width)]
        if any(side % stride for side in padded):
            raise ValueError(
                f"image_resizer gives an input of {height}x{width}; the feature pyramid of {extractor.type} needs both "
                f"sides to be multiples of {stride}: resize to such sides, or write feature_extractor {{ "
                f"pad_to_multiple: {stride} }}"
            )
        height, width = padded
    backbone = build_backbone(extractor, height=height, width=width)
    decoder = build_pyramid(backbone, extractor, use_depthwise=extractor.use_depthwise)
    return SsdFeatureExtractor(
        backbone=pyramid_features(backbone),
        decoder=decoder,
        levels=tuple(str(level) for level in range(extractor.fpn.min_level, extractor.fpn.max_level + 1)),
        normalize=backbone_spec(extractor.type).normalize,
        pad_to_multiple=multiple,
    )
