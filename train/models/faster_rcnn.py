"""Faster R-CNN: two stages composed from a `faster_rcnn` message."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from configs.settings.networks import has_pyramid
from train.models.anchors import build_anchor_generator
from train.models.cropping import ProposalCropper
from train.models.detector import (
    ActualShape,
    Detector,
    GroundTruth,
    InputShape,
    Labels,
    actual_shape,
    flatten_levels,
)
from train.models.faster_rcnn_network import FasterRcnnNetwork, build_network
from train.models.feature_extractors.faster_rcnn_extractors import build_faster_rcnn_feature_extractor
from train.models.first_stage import InputAnchors, first_stage_losses, propose_regions
from train.models.post_processing import without_raw
from train.models.proposals import Proposals
from train.models.second_stage import detections_of, sample_proposals, second_stage_losses

_FIRST_STAGE_LOSSES = ("Loss/RPNLoss/objectness_loss", "Loss/RPNLoss/localization_loss")
_SECOND_STAGE_LOSSES = (
    "Loss/BoxClassifierLoss/classification_loss",
    "Loss/BoxClassifierLoss/localization_loss",
)
# The API's Faster R-CNN does not tell its anchor generator how large the input is, so that every level's first anchor
# is half a stride in: as in an input that all strides divide.
_DIVISIBLE_SHAPE = (2**20, 2**20)


class FasterRcnnDetector(Detector):
    """A detector on one feature map (conv4, with conv5 as the box head) or on a feature pyramid.

    With `number_of_stages: 1` its detections are its proposals, all of class 1.

    Attributes:
        cropper: Cuts proposals out of feature maps.
        anchors: float32 [A, 4], ymin xmin ymax xmax in pixels of the padded input; None where images differ in size.
    """

    network: FasterRcnnNetwork
    loss_names: tuple[str, ...] = _FIRST_STAGE_LOSSES + _SECOND_STAGE_LOSSES

    def __init__(self, config: Any, input_shape: InputShape) -> None:
        """Builds the network.

        Args:
            config: A `FasterRcnn` message.
            input_shape: Height and width of the padded input, in pixels; None where images differ in size.

        Raises:
            ValueError: Parts of the message do not belong together; the message names the fields.
        """
        self.config = config
        self.num_classes = config.num_classes
        self.input_shape = input_shape
        if config.number_of_stages == 1:
            self.loss_names = _FIRST_STAGE_LOSSES
        _check(config)
        self._extractor = build_faster_rcnn_feature_extractor(config.feature_extractor)
        self._levels = self._extractor.levels
        self._generator = build_anchor_generator(config.first_stage_anchor_generator)
        self.cropper = ProposalCropper(config.initial_crop_size, config.maxpool_kernel_size, config.maxpool_stride)
        self.network = build_network(
            config,
            self._extractor,
            anchors_per_location=self._anchors_per_location(),
            crop_size=self.cropper.output_size,
        )
        self.anchors = self._static_anchors()

    def _anchors_per_location(self) -> list[int]:
        try:
            return self._generator.anchors_per_location(len(self._levels))
        except ValueError as error:
            kind = self.config.first_stage_anchor_generator.WhichOneof("anchor_generator_oneof")
            expected = "multiscale_anchor_generator" if len(self._levels) > 1 else "grid_anchor_generator"
            raise ValueError(
                f"model.faster_rcnn.first_stage_anchor_generator is a {kind}; {self.config.feature_extractor.type} "
                f"needs a {expected}: {error}"
            ) from error

    def _static_anchors(self) -> np.ndarray | None:
        height, width = self.input_shape
        if height is None or width is None:
            return None
        shapes = self._extractor.feature_shapes((height, width))
        return np.concatenate([boxes.numpy() for boxes in self._generator.generate(shapes, _DIVISIBLE_SHAPE)])

    def preprocess(self, images: tf.Tensor, true_image_shape: tf.Tensor) -> tf.Tensor:
        """Normalises everything, padding included: the API's Faster R-CNN pads before it normalises."""
        del true_image_shape
        return self._extractor.normalize(images)

    def first_stage(
        self, images: tf.Tensor, true_image_shape: tf.Tensor, *, training: bool
    ) -> tuple[list[tf.Tensor], tf.Tensor, tf.Tensor, InputAnchors, ActualShape]:
        """Runs the first stage's network.

        Args:
            images: float32 [B, height, width, 3], RGB 0..255.
            true_image_shape: int32 [B, 3], without padding.
            training: Whether batch norm trains, and anchors that leave the input are dropped.

        Returns:
            Feature maps, finest first; logits float32 [B, A, 2] and codes float32 [B, A, 4] of the anchors; the
            anchors; height and width of the input.
        """
        features, logits, codes = self.network(self.preprocess(images, true_image_shape), training=training)
        maps = [features[level] for level in self._levels]
        input_shape = actual_shape(images, self.input_shape)
        if self.anchors is not None:
            boxes = tf.constant(self.anchors)
        else:
            shapes = [tuple(tf.unstack(tf.shape(feature_map)[1:3])) for feature_map in maps]
            boxes = tf.concat(self._generator.generate(shapes, _DIVISIBLE_SHAPE), axis=0)
        # Training drops the anchors that leave the input, unless it is told to clip them; inference always clips.
        prune = training and not self.config.clip_anchors_to_image
        anchors = InputAnchors.within(boxes, input_shape, prune=prune)
        return (
            maps,
            flatten_levels(logits, self._levels, 2),
            flatten_levels(codes, self._levels, 4),
            anchors,
            input_shape,
        )

    def second_stage(
        self, maps: list[tf.Tensor], proposals: Proposals, input_shape: ActualShape, *, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Runs the second stage's network.

        Args:
            maps: Feature maps, finest first.
            proposals: What to classify, N an image.
            input_shape: Height and width of the input.
            training: Whether batch norm trains and dropout acts.

        Returns:
            Class logits float32 [B, N, classes + 1] and box codes float32 [B, N, 1 or classes, 4].
        """
        crops = self.cropper.crop(maps, proposals.boxes, input_shape)
        logits, codes = self.network.classify(crops, training=training)
        return tf.cast(logits, tf.float32), tf.cast(codes, tf.float32)

    def compute_losses(self, images: tf.Tensor, labels: Labels, *, training: bool) -> dict[str, tf.Tensor]:
        """See `Detector.compute_losses`; names are `Loss/RPNLoss/*` and `Loss/BoxClassifierLoss/*`.

        As in the API, training looks at a sample of the proposals, or at the hardest where there is a
        `hard_example_miner`, and evaluation at all of them; the first stage samples its anchors in both.
        """
        true_shape = labels["true_image_shape"]
        maps, logits, codes, anchors, input_shape = self.first_stage(images, true_shape, training=training)
        truth = GroundTruth.from_labels(labels, input_shape)
        losses = first_stage_losses(logits, codes, anchors, truth, self.config)
        if self.config.number_of_stages > 1:
            proposals = propose_regions(logits, codes, anchors, true_shape, self.config)
            if training and not self.config.HasField("hard_example_miner"):
                proposals = sample_proposals(proposals, truth, self.config)
            class_logits, box_codes = self.second_stage(maps, proposals, input_shape, training=training)
            losses |= second_stage_losses(class_logits, box_codes, proposals, truth, self.config)
        return losses

    def detect_and_compute_losses(
        self, images: tf.Tensor, labels: Labels
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """See `Detector.detect_and_compute_losses`."""
        true_shape = labels["true_image_shape"]
        maps, logits, codes, anchors, input_shape = self.first_stage(images, true_shape, training=False)
        truth = GroundTruth.from_labels(labels, input_shape)
        losses = first_stage_losses(logits, codes, anchors, truth, self.config)
        proposals = propose_regions(logits, codes, anchors, true_shape, self.config)
        if self.config.number_of_stages == 1:
            return _detections_of_one_class(proposals, true_shape), losses
        class_logits, box_codes = self.second_stage(maps, proposals, input_shape, training=False)
        losses |= second_stage_losses(class_logits, box_codes, proposals, truth, self.config)
        return without_raw(detections_of(class_logits, box_codes, proposals, true_shape, self.config)), losses

    def detect(self, images: tf.Tensor, true_image_shape: tf.Tensor) -> dict[str, tf.Tensor]:
        """See `Detector.detect`."""
        return without_raw(self.detect_with_raw(images, true_image_shape))

    def detect_with_raw(
        self, images: tf.Tensor, true_image_shape: tf.Tensor, *, with_anchors: bool = False
    ) -> dict[str, tf.Tensor]:
        """See `Detector.detect_with_raw`; with one stage there is nothing raw."""
        maps, logits, codes, anchors, input_shape = self.first_stage(images, true_image_shape, training=False)
        proposals = propose_regions(logits, codes, anchors, true_image_shape, self.config)
        if self.config.number_of_stages == 1:
            return _detections_of_one_class(proposals, true_image_shape)
        class_logits, box_codes = self.second_stage(maps, proposals, input_shape, training=False)
        return detections_of(
            class_logits, box_codes, proposals, true_image_shape, self.config, with_anchors=with_anchors
        )


def _detections_of_one_class(proposals: Proposals, true_image_shape: tf.Tensor) -> dict[str, tf.Tensor]:
    sides = tf.cast(true_image_shape[:, tf.newaxis, :2], tf.float32)
    return {
        "detection_boxes": proposals.boxes / tf.concat([sides, sides], axis=-1),
        "detection_scores": proposals.scores,
        "detection_classes": tf.cast(proposals.valid, tf.float32),
        "num_detections": tf.cast(proposals.count, tf.float32),
    }


def _check(config: Any) -> None:
    """Refuses what does not belong together.

    Raises:
        ValueError: With the field's path.
    """
    where = "model.faster_rcnn"
    if config.number_of_stages not in (1, 2):
        raise ValueError(f"{where}.number_of_stages is {config.number_of_stages}; write 1 or 2: a third is for masks")
    if config.number_of_stages > 1 and config.second_stage_batch_size > config.first_stage_max_proposals:
        raise ValueError(
            f"{where}.second_stage_batch_size is {config.second_stage_batch_size}, more than the "
            f"{config.first_stage_max_proposals} of first_stage_max_proposals: there are not as many to train on"
        )
    if config.first_stage_anchor_generator.WhichOneof("anchor_generator_oneof") == "ssd_anchor_generator":
        raise ValueError(
            f"{where}.first_stage_anchor_generator.ssd_anchor_generator: its anchors follow the input's size, which "
            "Faster R-CNN's do not; write grid_anchor_generator or multiscale_anchor_generator"
        )
    stride = config.feature_extractor.first_stage_features_stride
    if stride not in (8, 16):
        raise ValueError(f"{where}.feature_extractor.first_stage_features_stride is {stride}; write 8 or 16")
    fpn = config.feature_extractor.fpn
    if has_pyramid(config.feature_extractor.type) and fpn.max_level < fpn.min_level:
        raise ValueError(f"{where}.feature_extractor.fpn.max_level is below min_level")
