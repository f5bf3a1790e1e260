"""Faster R-CNN's feature extractors, by the names that `feature_extractor.type` uses, as the API builds them.

Each is two networks: from images to the maps that proposals are made on, and from crops of those maps to the box
head's features. Attributes that hold layers have the API's names, since its checkpoints name variables by them.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import tensorflow as tf
import tf_keras

from configs.settings import extractors
from configs.settings.extractors import COARSEST_TRUNK_LEVEL
from train.models.api_objects import tree
from train.models.detector import feature_map_shape
from train.models.feature_extractors import pixels, trunks
from train.models.feature_extractors.conv_blocks import normalization, run
from train.models.feature_extractors.pixels import pad_to_multiple
from train.models.feature_extractors.registry import register
from train.models.feature_extractors.top_down_pyramid import TopDownPyramid, coarse_layers
from train.models.hyperparams import LayerHyperparams

_BOX_HEAD_UNITS = 1024
# The API pads every input of a pyramid to this, in code; its `pad_to_multiple` field is read by nobody.
_PYRAMID_MULTIPLE = 32
_C4_LEVEL = 4


@dataclasses.dataclass(frozen=True)
class FasterRcnnExtractor:
    """The two networks of a Faster R-CNN's feature extractor.

    Attributes:
        normalize: Maps float32 RGB 0..255 to what the network takes.
        levels: Names of the maps that proposals are made on, finest first.
        finest_level: The finest map's stride is 2 to this power; each other's is twice the one before.
        classification_backbone: The part that a classifier may have trained, up to conv5.
        proposal_features: Maps normalised images [B, H, W, 3] to a list of maps, or to the one.
        box_classifier_features: Maps crops [N, size, size, C] to features [N, h, w, C] or [N, C].
        pad_to_multiple: What the first network pads images to, with zeros at the bottom and on the right.
    """

    normalize: Callable[[tf.Tensor], tf.Tensor]
    levels: list[str]
    finest_level: int
    classification_backbone: tf_keras.Model
    proposal_features: tf_keras.Model
    box_classifier_features: tf_keras.Model
    pad_to_multiple: int = 1

    def proposal_maps(self, images: tf.Tensor, training: bool | None) -> dict[str, tf.Tensor]:
        """The maps by name, from normalised images."""
        maps = self.proposal_features(images, training=training)
        return dict(zip(self.levels, maps if isinstance(maps, (list, tuple)) else [maps], strict=True))

    def feature_shapes(self, input_shape: tuple[int, int]) -> list[tuple[int, int]]:
        """Height and width of each map, in cells, from those of an input, in pixels."""
        height, width = (side + -side % self.pad_to_multiple for side in input_shape)
        return [feature_map_shape((height, width), self.finest_level + index) for index in range(len(self.levels))]

    @property
    def channels(self) -> int:
        """Of every map."""
        features = self.proposal_features
        return features.channels if isinstance(features, ResNetPyramid) else features.output.shape[-1]


class ResNetPyramid(tf_keras.Model):
    """A ResNet with a feature pyramid, as the API's `_ResnetFPN`, with its attributes' names."""

    def __init__(self, settings: extractors.FasterRcnnFeatureExtractor, depth: int) -> None:
        """Builds the layers.

        Args:
            settings: Of the extractor.
            depth: Of the ResNet.
        """
        super().__init__(name="resnet_pyramid")
        hyperparams = LayerHyperparams(settings.conv_hyperparams)
        frozen = {"freeze_batch_norm": not settings.batch_norm_trainable}
        override = settings.override_base_feature_extractor_hyperparams
        network = trunks.resnet_v1(depth, hyperparams=hyperparams if override else None, **frozen)
        by_level = trunks.RESNET_LEVELS[depth]
        self.classification_backbone = tf_keras.Model(
            network.inputs, [network.get_layer(by_level[level]).output for level in range(2, 6)]
        )
        min_level, max_level = settings.pyramid.min_level, settings.pyramid.max_level
        trunk_max_level = min(max_level, COARSEST_TRUNK_LEVEL)
        self._used = slice(min_level - 2, trunk_max_level - 1)
        channels = settings.pyramid.additional_layer_depth
        self.fpn_features_generator = TopDownPyramid(
            hyperparams,
            num_levels=trunk_max_level + 1 - min_level,
            depth=channels,
            freeze_batch_norm=not settings.batch_norm_trainable,
        )
        names = [f"bottom_up_block{level}" for level in range(trunk_max_level, max_level)]
        self.coarse_feature_layers = coarse_layers(hyperparams, len(names), depth=channels, names=names, **frozen)
        self.channels = channels
        # Makes the variables; in inference, so that batch norm learns nothing.
        outputs = self.classification_backbone.outputs
        self._maps([tf.zeros([1, *[8 >> index] * 2, out.shape[-1]]) for index, out in enumerate(outputs)], False)

    def call(self, images: tf.Tensor, training: bool | None = None) -> list[tf.Tensor]:
        """From normalised images [B, H, W, 3] to maps [B, h, w, C], finest first."""
        padded = pad_to_multiple(images, _PYRAMID_MULTIPLE)
        return self._maps(self.classification_backbone(padded, training=training), training)

    @property
    def api_objects(self) -> tf.Module:
        """Its layers in the tree in which the API's checkpoints hold them."""
        return tree(
            fpn_features_generator=self.fpn_features_generator,
            coarse_feature_layers=self.coarse_feature_layers,
            classification_backbone=self.classification_backbone,
        )

    def _maps(self, features: list[tf.Tensor], training: bool | None) -> list[tf.Tensor]:
        """From the trunk's maps to all, finest first."""
        maps = self.fpn_features_generator(features[self._used], training=training)
        for layers in self.coarse_feature_layers:
            maps.append(run(layers, maps[-1], training))
        return maps


def _single_map(
    network: tf_keras.Model,
    proposal_layer: str,
    box_layer: str,
    normalize: Callable[[tf.Tensor], tf.Tensor],
    finest_level: int,
) -> FasterRcnnExtractor:
    """Cuts a network in two: the second half runs on crops of what the first gives."""
    middle = network.get_layer(proposal_layer).output
    return FasterRcnnExtractor(
        normalize=normalize,
        levels=[str(_C4_LEVEL)],
        finest_level=finest_level,
        classification_backbone=network,
        proposal_features=tf_keras.Model(network.inputs, middle),
        box_classifier_features=tf_keras.Model(middle, network.get_layer(box_layer).output),
    )


def _resnet(settings: extractors.FasterRcnnFeatureExtractor, *, depth: int) -> FasterRcnnExtractor:
    # The API takes neither hyperparameters nor weight decay from the config here.
    stride = settings.first_stage_features_stride
    network = trunks.resnet_v1(
        depth, weight_decay=0.0, output_stride=stride, freeze_batch_norm=not settings.batch_norm_trainable
    )
    by_level = trunks.RESNET_LEVELS[depth]
    return _single_map(network, by_level[4], by_level[5], pixels.mean_subtracted, stride.bit_length() - 1)


def _inception_resnet(settings: extractors.FasterRcnnFeatureExtractor) -> FasterRcnnExtractor:
    stride = settings.first_stage_features_stride
    network = trunks.inception_resnet_v2(output_stride=stride, freeze_batch_norm=not settings.batch_norm_trainable)
    return _single_map(network, "block17_20_ac", "conv_7b_ac", pixels.centered, stride.bit_length() - 1)


def _resnet_pyramid(settings: extractors.FasterRcnnFeatureExtractor, *, depth: int) -> FasterRcnnExtractor:
    hyperparams = LayerHyperparams(settings.conv_hyperparams)
    frozen = not settings.batch_norm_trainable
    head = tf_keras.Sequential(
        [
            tf_keras.layers.Flatten(),
            tf_keras.layers.Dense(_BOX_HEAD_UNITS, activation="relu"),
            normalization(hyperparams, "box_head_batchnorm", freeze_batch_norm=frozen),
            tf_keras.layers.Dense(_BOX_HEAD_UNITS, activation="relu"),
        ],
        name="box_head",
    )
    features = ResNetPyramid(settings, depth)
    return FasterRcnnExtractor(
        normalize=pixels.mean_subtracted,
        levels=[str(level) for level in range(settings.pyramid.min_level, settings.pyramid.max_level + 1)],
        finest_level=settings.pyramid.min_level,
        classification_backbone=features.classification_backbone,
        proposal_features=features,
        box_classifier_features=head,
        pad_to_multiple=_PYRAMID_MULTIPLE,
    )


for _depth in (50, 101, 152):
    register(f"faster_rcnn_resnet{_depth}_keras", functools.partial(_resnet, depth=_depth))
    register(f"faster_rcnn_resnet{_depth}_fpn_keras", functools.partial(_resnet_pyramid, depth=_depth))
register("faster_rcnn_inception_resnet_v2_keras", _inception_resnet)
