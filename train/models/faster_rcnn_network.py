"""Faster R-CNN's network: feature extractor and heads, as a `faster_rcnn`'s settings compose them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras

from configs.settings.faster_rcnn import FasterRcnn
from train.models.api_objects import tree
from train.models.faster_rcnn_heads import MaskRcnnBoxPredictor, RegionProposalPredictor
from train.models.feature_extractors.faster_rcnn_extractors import FasterRcnnExtractor, ResNetPyramid


class FasterRcnnNetwork(tf_keras.Model):
    """The parts of a Faster R-CNN that have variables.

    Attributes:
        backbone: The part that a classifier may have trained.
        proposal_features: Maps normalised images to the maps that proposals are made on.
        box_classifier_features: Maps crops of those to features; None where there is no second stage.
        rpn_head: The first stage's head.
        detection_head: The second stage's head in a list, which is empty where there is no second stage.
    """

    def __init__(
        self,
        *,
        extractor: FasterRcnnExtractor,
        rpn_head: RegionProposalPredictor,
        detection_head: Sequence[MaskRcnnBoxPredictor],
    ) -> None:
        super().__init__(name="faster_rcnn")
        self._extractor = extractor
        has_second_stage = bool(detection_head)
        # On one feature map, the classifier's last block belongs to the second stage.
        is_whole = has_second_stage or isinstance(extractor.proposal_features, ResNetPyramid)
        self.backbone = extractor.classification_backbone if is_whole else extractor.proposal_features
        self.proposal_features = extractor.proposal_features
        self.box_classifier_features: Any = extractor.box_classifier_features if has_second_stage else None
        self.rpn_head = rpn_head
        self.detection_head = list(detection_head)

    @property
    def checkpoint_items(self) -> Mapping[str, Any]:
        """The parts by name, as `train.checkpoints.restore` takes them; a variable may be in two."""
        items = {
            "backbone": self.backbone,
            "proposal_features": self.proposal_features,
            "rpn_head": self.rpn_head,
        }
        if self.detection_head:
            items |= {
                "box_classifier_features": self.box_classifier_features,
                "detection_head": self.detection_head,
            }
        return items

    @property
    def api_objects(self) -> tf.Module:
        """Its layers in the tree in which the API's checkpoints hold them, below `model`."""
        features = self.proposal_features
        parts = {
            "_feature_extractor_for_proposal_features": (
                features.api_objects if isinstance(features, ResNetPyramid) else features
            ),
            **self.rpn_head.api_objects,
        }
        for head in self.detection_head:
            parts["_feature_extractor_for_box_classifier_features"] = self.box_classifier_features
            parts["_mask_rcnn_box_predictor"] = head.api_objects
        return tree(**parts)

    def normalize(self, images: tf.Tensor) -> tf.Tensor:
        """Pixels, float32 RGB 0..255, as the network takes them."""
        return self._extractor.normalize(images)

    def feature_maps(self, images: tf.Tensor, training: bool | None = None) -> dict[str, tf.Tensor]:
        """By level, finest first, [B, h, w, channels] of normalised images [B, height, width, 3]."""
        return self._extractor.proposal_maps(images, training)

    def call(
        self, images: tf.Tensor, training: bool | None = None
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Runs the first stage.

        Args:
            images: [B, height, width, 3], normalised.
            training: Whether batch norm trains.

        Returns:
            By level: features [B, h, w, channels], objectness logits [B, h, w, anchors * 2], and box codes
            [B, h, w, anchors * 4].
        """
        features = self.feature_maps(images, training=training)
        logits, codes = self.rpn_head(features, training=training)
        return features, logits, codes

    def classify(self, crops: tf.Tensor, training: bool | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """Runs the second stage.

        Args:
            crops: [B, N, size, size, channels].
            training: Whether dropout acts and batch norm trains.

        Returns:
            Class logits [B, N, classes + 1], background first, and box codes [B, N, 1 or classes, 4].
        """
        batch_size, num_proposals = tf.shape(crops)[0], tf.shape(crops)[1]
        features = self.box_classifier_features(tf.reshape(crops, [-1, *crops.shape[2:]]), training=training)
        logits, codes = self.detection_head[0](features, training=training)
        return (
            tf.reshape(logits, [batch_size, num_proposals, logits.shape[-1]]),
            tf.reshape(codes, [batch_size, num_proposals, *codes.shape[1:]]),
        )


def build_network(settings: FasterRcnn, extractor: FasterRcnnExtractor, *, crop_size: int) -> FasterRcnnNetwork:
    """Builds a network and its variables.

    Args:
        settings: Of the model.
        extractor: Its feature extractor.
        crop_size: Side of the second stage's crops, in cells.
    """
    rpn_head = RegionProposalPredictor(
        hyperparams=settings.first_stage_box_predictor_conv_hyperparams,
        depth=settings.first_stage_box_predictor_depth,
        kernel_size=settings.first_stage_box_predictor_kernel_size,
        dilation_rate=settings.first_stage_atrous_rate,
        anchors_per_location=settings.first_stage_anchor_generator.anchors_per_location,
        levels=extractor.levels,
        name="region_proposal_predictor",
    )
    # Empty features make the variables; in inference, so that batch norm learns nothing.
    channels = extractor.channels
    rpn_head({level: tf.zeros([1, 1, 1, channels]) for level in extractor.levels}, training=False)
    heads: list[MaskRcnnBoxPredictor] = []
    if settings.number_of_stages > 1:
        predictor = settings.second_stage_box_predictor
        assert predictor is not None, "the settings refuse two stages without it"
        head = MaskRcnnBoxPredictor(settings=predictor, num_classes=settings.num_classes, name="box_predictor")
        crops = tf.zeros([1, crop_size, crop_size, channels])
        head(extractor.box_classifier_features(crops, training=False), training=False)
        heads = [head]
    return FasterRcnnNetwork(extractor=extractor, rpn_head=rpn_head, detection_head=heads)
