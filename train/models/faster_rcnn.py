"""Faster R-CNN: two stages composed from a `faster_rcnn`'s settings."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from configs.settings.faster_rcnn import FasterRcnn
from train.models.anchors import build_anchor_generator
from train.models.cropping import ProposalCropper
from train.models.detector import (
    ActualShape,
    Detector,
    GroundTruth,
    Labels,
    actual_shape,
    flatten_levels,
)
from train.models.faster_rcnn_network import FasterRcnnNetwork, build_network
from train.models.feature_extractors.faster_rcnn_extractors import FasterRcnnExtractor
from train.models.feature_extractors.registry import build_faster_rcnn_extractor
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
        settings: Of the model.
        cropper: Cuts proposals out of feature maps.
        anchors: float32 [A, 4], ymin xmin ymax xmax in pixels of the padded input; None where images differ in size.
    """

    settings: FasterRcnn
    network: FasterRcnnNetwork
    loss_names: tuple[str, ...] = _FIRST_STAGE_LOSSES + _SECOND_STAGE_LOSSES

    def __init__(self, settings: FasterRcnn) -> None:
        """Builds the network.

        Args:
            settings: Of the model.
        """
        self.settings = settings
        self.num_classes = settings.num_classes
        # Without sides where every image has a size of its own.
        self.input_shape = settings.image_resizer.static_size
        if settings.number_of_stages == 1:
            self.loss_names = _FIRST_STAGE_LOSSES
        self._extractor: FasterRcnnExtractor = build_faster_rcnn_extractor(settings.feature_extractor)
        self._levels = self._extractor.levels
        self._generator = build_anchor_generator(settings.first_stage_anchor_generator)
        self.cropper = ProposalCropper(
            settings.initial_crop_size, settings.maxpool_kernel_size, settings.maxpool_stride
        )
        self.network = build_network(settings, self._extractor, crop_size=self.cropper.output_size)
        self.anchors = self._static_anchors()

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
        # Training drops anchors that leave the input, unless clip_anchors_to_image is set; inference always clips.
        prune = training and not self.settings.clip_anchors_to_image
        return self.first_stage_of(self.preprocess(images, true_image_shape), training=training, prune=prune)

    def first_stage_of(
        self, normalized: tf.Tensor, *, training: bool | None, prune: bool
    ) -> tuple[list[tf.Tensor], tf.Tensor, tf.Tensor, InputAnchors, ActualShape]:
        """Runs the first stage's network; what `first_stage` does after `preprocess`, whose result it takes.

        Args:
            normalized: [B, height, width, 3].
            training: Whether batch norm trains; None leaves it to Keras' learning phase.
            prune: Whether anchors that leave the input are dropped; else they are clipped.
        """
        features, logits, codes = self.network(normalized, training=training)
        maps = [features[level] for level in self._levels]
        input_shape = actual_shape(normalized, self.input_shape)
        if self.anchors is not None:
            boxes = tf.constant(self.anchors)
        else:
            shapes = [tuple(tf.unstack(tf.shape(feature_map)[1:3])) for feature_map in maps]
            boxes = tf.concat(self._generator.generate(shapes, _DIVISIBLE_SHAPE), axis=0)
        anchors = InputAnchors.within(boxes, input_shape, prune=prune)
        return (
            maps,
            flatten_levels(logits, self._levels, 2),
            flatten_levels(codes, self._levels, 4),
            anchors,
            input_shape,
        )

    def second_stage(
        self, maps: list[tf.Tensor], proposals: Proposals, input_shape: ActualShape, *, training: bool | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Runs the second stage's network.

        Args:
            maps: Feature maps, finest first.
            proposals: What to classify, N an image.
            input_shape: Height and width of the input.
            training: Whether batch norm trains and dropout acts; None leaves it to Keras' learning phase.

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
        losses = first_stage_losses(logits, codes, anchors, truth, self.settings)
        if self.settings.number_of_stages > 1:
            proposals = propose_regions(logits, codes, anchors, true_shape, self.settings)
            if training and self.settings.hard_example_miner is None:
                proposals = sample_proposals(proposals, truth, self.settings)
            class_logits, box_codes = self.second_stage(maps, proposals, input_shape, training=training)
            losses |= second_stage_losses(class_logits, box_codes, proposals, truth, self.settings)
        return losses

    def detect_and_compute_losses(
        self, images: tf.Tensor, labels: Labels
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """See `Detector.detect_and_compute_losses`."""
        true_shape = labels["true_image_shape"]
        maps, logits, codes, anchors, input_shape = self.first_stage(images, true_shape, training=False)
        truth = GroundTruth.from_labels(labels, input_shape)
        losses = first_stage_losses(logits, codes, anchors, truth, self.settings)
        proposals = propose_regions(logits, codes, anchors, true_shape, self.settings)
        if self.settings.number_of_stages == 1:
            return _detections_of_one_class(proposals, true_shape), losses
        class_logits, box_codes = self.second_stage(maps, proposals, input_shape, training=False)
        losses |= second_stage_losses(class_logits, box_codes, proposals, truth, self.settings)
        return without_raw(detections_of(class_logits, box_codes, proposals, true_shape, self.settings)), losses

    def detect(self, images: tf.Tensor, true_image_shape: tf.Tensor) -> dict[str, tf.Tensor]:
        """See `Detector.detect`."""
        return without_raw(self.detect_with_raw(images, true_image_shape))

    def detect_with_raw(
        self, images: tf.Tensor, true_image_shape: tf.Tensor, *, with_anchors: bool = False
    ) -> dict[str, tf.Tensor]:
        """See `Detector.detect_with_raw`; with one stage there is nothing raw."""
        maps, logits, codes, anchors, input_shape = self.first_stage(images, true_image_shape, training=False)
        proposals = propose_regions(logits, codes, anchors, true_image_shape, self.settings)
        if self.settings.number_of_stages == 1:
            return _detections_of_one_class(proposals, true_image_shape)
        class_logits, box_codes = self.second_stage(maps, proposals, input_shape, training=False)
        return detections_of(
            class_logits, box_codes, proposals, true_image_shape, self.settings, with_anchors=with_anchors
        )


def _detections_of_one_class(proposals: Proposals, true_image_shape: tf.Tensor) -> dict[str, tf.Tensor]:
    sides = tf.cast(true_image_shape[:, tf.newaxis, :2], tf.float32)
    return {
        "detection_boxes": proposals.boxes / tf.concat([sides, sides], axis=-1),
        "detection_scores": proposals.scores,
        "detection_classes": tf.cast(proposals.valid, tf.float32),
        "num_detections": tf.cast(proposals.count, tf.float32),
    }
