"""An SSD's network, which is trained, checkpointed and restored: a feature extractor and a box predictor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import tensorflow as tf
import tf_keras

from configs.settings import heads
from train.models.api_objects import tree
from train.models.convolutional_box_predictor import ConvolutionalBoxPredictor
from train.models.feature_extractors.model_garden import ModelGardenExtractor
from train.models.feature_extractors.ssd_extractors import SsdFeatureExtractor
from train.models.weight_shared_box_predictor import WeightSharedConvolutionalBoxPredictor

if TYPE_CHECKING:
    from train.models.model_garden_network import ModelGardenSsdNetwork

# By level: class logits, box codes.
Predictions: TypeAlias = tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]


class ApiSsdNetwork(tf_keras.Model):
    """A feature extractor of the API's, or a plugin's, and a box predictor.

    Attributes:
        feature_extractor: Maps normalised images to feature maps by level.
        backbone: The part of it that a classifier may have trained.
        head: Maps those to logits and codes by level.
    """

    def __init__(self, feature_extractor: SsdFeatureExtractor, head: tf_keras.layers.Layer) -> None:
        super().__init__(name="ssd")
        self.feature_extractor = feature_extractor
        self.backbone = feature_extractor.classification_backbone
        self.head = head

    @property
    def checkpoint_items(self) -> Mapping[str, Any]:
        """The parts by name, as `train.checkpoints.restore` takes them."""
        return {"backbone": self.backbone, "feature_extractor": self.feature_extractor, "head": self.head}

    @property
    def api_objects(self) -> tf.Module | None:
        """Its layers in the tree in which the API's checkpoints hold them, below `model`; None with a plugin's."""
        if self.feature_extractor.api_objects is None:
            return None
        return tree(_feature_extractor=self.feature_extractor.api_objects, _box_predictor=self.head.api_objects)

    def normalize(self, images: tf.Tensor) -> tf.Tensor:
        """Pixels, float32 RGB 0..255, as the network takes them."""
        return self.feature_extractor.normalize(images)

    def feature_maps(self, images: tf.Tensor, training: bool | None = None) -> dict[str, tf.Tensor]:
        """By level, finest first, [B, h, w, channels] of normalised images [B, height, width, 3]."""
        return self.feature_extractor(images, training=training)

    def call(self, images: tf.Tensor, training: bool | None = None) -> Predictions:
        """Logits and codes by level of normalised images."""
        return self.head(self.feature_maps(images, training=training), training=training)[:2]


def build_ssd_box_predictor(
    settings: heads.SsdBoxPredictor, *, num_class_slots: int, anchors_per_location: Sequence[int], levels: Sequence[str]
) -> tf_keras.layers.Layer:
    """Builds an SSD's heads.

    Args:
        settings: Of the heads.
        num_class_slots: Class logits an anchor, background counted where it has one.
        anchors_per_location: Anchors in each cell, one number a level.
        levels: Names of the feature maps, finest first.

    Returns:
        A layer that maps features by level to class logits by level [B, height, width, anchors * slots], box codes by
        level [B, height, width, anchors * code size], and an empty dictionary. It makes its variables when first
        called.
    """
    if isinstance(settings, heads.ConvolutionalBoxPredictor):
        return ConvolutionalBoxPredictor(
            settings=settings,
            num_class_slots=num_class_slots,
            anchors_per_location=anchors_per_location,
            levels=levels,
            name="box_predictor",
        )
    return WeightSharedConvolutionalBoxPredictor(
        settings=settings,
        num_class_slots=num_class_slots,
        anchors_per_location=anchors_per_location[0],
        levels=levels,
        name="box_predictor",
    )


def build_ssd_network(
    extractor: SsdFeatureExtractor | ModelGardenExtractor, head: tf_keras.layers.Layer
) -> ApiSsdNetwork | ModelGardenSsdNetwork:
    """Puts a feature extractor and a box predictor together and makes the predictor's variables."""
    network: ApiSsdNetwork | ModelGardenSsdNetwork
    if isinstance(extractor, ModelGardenExtractor):
        from train.models.model_garden_network import ModelGardenSsdNetwork

        network = ModelGardenSsdNetwork(extractor, head)
    else:
        network = ApiSsdNetwork(extractor, head)
    # Cells of zeros, in inference mode, so that batch norm learns nothing.
    head({level: tf.zeros([1, 1, 1, count]) for level, count in extractor.channels.items()}, training=False)
    return network
