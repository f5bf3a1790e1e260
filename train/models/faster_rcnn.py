"""Faster R-CNN: Model Garden's Mask R-CNN without masks, composed from a `faster_rcnn` message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from official.vision.modeling import maskrcnn_model
from official.vision.modeling.layers import roi_sampler

from train.losses import smooth_l1
from train.models.anchors import multiscale_anchors, single_map_anchors
from train.models.assignment import ArgmaxMatcher, assign, pairwise_iou, sample_balanced
from train.models.backbones import backbone_spec, freeze_batch_norm, pyramid_features
from train.models.box_coders import FasterRcnnBoxCoder
from train.models.box_predictors import MaskRcnnBoxPredictor, RegionProposalPredictor
from train.models.detector import (
    Detector,
    GroundTruth,
    Labels,
    feature_map_shape,
    flatten_levels,
    require_divisible,
)
from train.models.hyperparams import LayerHyperparams
from train.models.post_processing import batch_non_max_suppression, convert_scores
from train.models.proposals import COORDINATES_DTYPE, ProposalCropper, ProposalGenerator, clip_to_image
from train.models.pyramid import build_pyramid

_C4_LEVEL = 4
_C4_STRIDE = 16
# Thresholds of the first stage's matcher; the API has them in code, not in its config.
_PROPOSAL_MATCHER = ArgmaxMatcher(0.7, 0.3, force_match_for_each_row=True)
_BOX_HEAD_UNITS = 1024


class FasterRcnnDetector(Detector):
    """A two-stage detector on one feature map (conv4, with conv5 as the box head) or on a feature pyramid.

    Attributes:
        anchors: float32 [A, 4], ymin xmin ymax xmax in pixels of the padded input.
    """

    loss_names = (
        "Loss/RPNLoss/objectness_loss",
        "Loss/RPNLoss/localization_loss",
        "Loss/BoxClassifierLoss/classification_loss",
        "Loss/BoxClassifierLoss/localization_loss",
    )

    def __init__(self, config: Any, input_shape: tuple[int, int]) -> None:
        """Builds the network.

        Args:
            config: A `FasterRcnn` message.
            input_shape: Height and width of the padded input, in pixels.

        Raises:
            ValueError: The feature extractor and the anchor generator do not belong together, or the input's sides are
                no multiples of the pyramid's stride.
        """
        self.config = config
        self.num_classes = config.num_classes
        self.input_shape = input_shape
        self._spec = backbone_spec(config.feature_extractor.type)
        self._box_coder = FasterRcnnBoxCoder()
        self._has_pyramid = "_fpn_" in config.feature_extractor.type
        anchors_by_level, anchors_per_location = self._make_anchors()
        self.anchors = np.concatenate(list(anchors_by_level.values()))
        self._inside_input = np.all((self.anchors >= 0) & (self.anchors <= np.tile(input_shape, 2)), axis=1)
        self._levels = [str(level) for level in anchors_by_level]
        self._anchors_by_level = {
            str(level): tf.constant(
                boxes.reshape(*feature_map_shape(self.input_shape, level), anchors_per_location * 4)
            )
            for level, boxes in anchors_by_level.items()
        }
        self.network = self._build_network(anchors_per_location)

    def _make_anchors(self) -> tuple[dict[int, np.ndarray], int]:
        generator = self.config.first_stage_anchor_generator
        kind = generator.WhichOneof("anchor_generator_oneof")
        expected = "multiscale_anchor_generator" if self._has_pyramid else "grid_anchor_generator"
        if kind != expected:
            raise ValueError(
                f"model.faster_rcnn.first_stage_anchor_generator is a {kind}; "
                f"{self.config.feature_extractor.type} needs a {expected}"
            )
        if self._has_pyramid:
            multiscale = generator.multiscale_anchor_generator
            by_level = multiscale_anchors(multiscale, self.input_shape)
            return by_level, len(multiscale.aspect_ratios) * multiscale.scales_per_octave
        grid = generator.grid_anchor_generator
        anchors = single_map_anchors(grid, self.input_shape, _C4_STRIDE)
        return {_C4_LEVEL: anchors}, len(grid.scales) * len(grid.aspect_ratios)

    def _build_network(self, anchors_per_location: int) -> tf_keras.Model:
        config = self.config
        cropper = ProposalCropper(
            input_shape=self.input_shape,
            initial_crop_size=config.initial_crop_size,
            maxpool_kernel_size=config.maxpool_kernel_size,
            maxpool_stride=config.maxpool_stride,
        )
        backbone, decoder, features, trunk = (
            self._build_pyramid(cropper.output_size) if self._has_pyramid else self._build_c4(cropper.output_size)
        )
        rpn_head = RegionProposalPredictor(
            hyperparams=config.first_stage_box_predictor_conv_hyperparams,
            depth=config.first_stage_box_predictor_depth,
            kernel_size=config.first_stage_box_predictor_kernel_size,
            anchors_per_location=anchors_per_location,
            levels=self._levels,
            name="region_proposal_predictor",
        )
        detection_head = MaskRcnnBoxPredictor(
            config=config.second_stage_box_predictor.mask_rcnn_box_predictor,
            num_classes=self.num_classes,
            trunk=trunk,
            name="box_predictor",
        )
        network = maskrcnn_model.MaskRCNNModel(
            backbone=features,
            decoder=decoder,
            rpn_head=rpn_head,
            detection_head=detection_head,
            roi_generator=ProposalGenerator(
                box_coder=self._box_coder,
                max_proposals=config.first_stage_max_proposals,
                iou_threshold=config.first_stage_nms_iou_threshold,
                score_threshold=config.first_stage_nms_score_threshold,
            ),
            roi_sampler=roi_sampler.ROISampler(
                num_sampled_rois=config.second_stage_batch_size,
                foreground_fraction=config.second_stage_balance_fraction,
                dtype=COORDINATES_DTYPE,
            ),
            roi_aligner=cropper,
            detection_generator=_FasterRcnnDetections(self),
            class_agnostic_bbox_pred=config.second_stage_box_predictor.mask_rcnn_box_predictor.share_box_across_classes,
        )
        # One pass over an empty picture makes the heads' variables; inference mode, so that batch norm learns nothing.
        shape = tf.constant([self.input_shape], tf.int32)
        network(tf.zeros([1, *self.input_shape, 3]), shape, self._tiled_anchors(1), training=False)
        if not config.feature_extractor.batch_norm_trainable:
            freeze_batch_norm(backbone)
        return network

    def _backbone(self, height: int | None, width: int | None) -> tf_keras.Model:
        extractor = self.config.feature_extractor
        hyperparams = LayerHyperparams.from_config(extractor.conv_hyperparams)
        override = extractor.override_base_feature_extractor_hyperparams
        return self._spec.build(
            tf_keras.layers.InputSpec(shape=[None, height, width, 3]),
            depth_multiplier=1.0,
            min_depth=0,
            activation=hyperparams.activation if override else None,
            norm_momentum=hyperparams.norm_momentum if override else 0.997,
            norm_epsilon=hyperparams.norm_epsilon if override else 1e-5,
            kernel_regularizer=hyperparams.regularizer() if override else None,
        )

    def _build_c4(self, crop_size: int) -> tuple[tf_keras.Model, None, tf_keras.Model, tf_keras.Model]:
        """Splits a ResNet: up to conv4 as the feature map, conv5 and a spatial mean as the box head's trunk."""
        # Sides are left open, since conv5 runs on crops.
        backbone = self._backbone(None, None)
        conv4 = backbone.get_layer(f"block_group_l{_C4_LEVEL}").output
        features = tf_keras.Model(backbone.inputs, {str(_C4_LEVEL): conv4}, name="conv1_to_conv4")
        conv5 = tf_keras.Model(conv4, backbone.get_layer("block_group_l5").output, name="conv5")
        crop = tf_keras.Input([crop_size, crop_size, conv4.shape[-1]])
        trunk = tf_keras.Model(crop, tf_keras.layers.GlobalAveragePooling2D()(conv5(crop)), name="trunk")
        return backbone, None, features, trunk

    def _build_pyramid(self, crop_size: int) -> tuple[tf_keras.Model, tf_keras.Model, tf_keras.Model, tf_keras.Model]:
        """A feature pyramid over the whole ResNet, and two dense layers as the box head's trunk."""
        extractor = self.config.feature_extractor
        require_divisible(self.input_shape, 2 ** min(5, extractor.fpn.max_level), extractor.type)
        hyperparams = LayerHyperparams.from_config(extractor.conv_hyperparams)
        backbone = self._backbone(*self.input_shape)
        decoder = build_pyramid(backbone, extractor)
        crop = tf_keras.Input([crop_size, crop_size, extractor.fpn.additional_layer_depth])
        x = tf_keras.layers.Flatten()(crop)
        x = tf_keras.layers.Dense(_BOX_HEAD_UNITS, activation="relu")(x)
        x = hyperparams.batch_norm()(x)
        x = tf_keras.layers.Dense(_BOX_HEAD_UNITS, activation="relu")(x)
        return backbone, decoder, pyramid_features(backbone), tf_keras.Model(crop, x, name="trunk")

    def _tiled_anchors(self, batch_size: int | tf.Tensor) -> dict[str, tf.Tensor]:
        return {
            level: tf.tile(boxes[tf.newaxis], [batch_size, 1, 1, 1]) for level, boxes in self._anchors_by_level.items()
        }

    def preprocess(self, images: tf.Tensor, true_image_shape: tf.Tensor) -> tf.Tensor:
        """Normalises everything, padding included: the API's Faster R-CNN pads before it normalises."""
        del true_image_shape
        return self._spec.normalize(images)

    def compute_losses(self, images: tf.Tensor, labels: Labels, *, training: bool) -> dict[str, tf.Tensor]:
        """See `Detector.compute_losses`; names are `Loss/RPNLoss/*` and `Loss/BoxClassifierLoss/*`.

        Proposals are sampled for the second stage in evaluation too, so that its losses mean the same.
        """
        network = self.network
        true_shape = labels["true_image_shape"]
        truth = GroundTruth.from_labels(labels, self.input_shape)
        features = self._features(self.preprocess(images, true_shape), training)
        scores, codes = network.rpn_head(features, training=training)
        proposals, _ = network.roi_generator(codes, scores, self._tiled_anchors(tf.shape(images)[0]), true_shape[:, :2])
        # Model Garden's sampler takes -1 for padding, and needs to know its shape before the batch is there: all of it.
        padded = GroundTruth.with_padding(labels, self.input_shape)
        sampled, matched_boxes, matched_classes, _ = network.roi_sampler[0](
            proposals,
            tf.where(padded.valid[..., tf.newaxis], padded.boxes, -1.0),
            tf.where(padded.valid, padded.classes, -1),
        )
        sampled = tf.stop_gradient(sampled)
        crops = network.roi_aligner(features, sampled)
        class_logits, box_codes = network.detection_head[0](crops, training=training)
        return {
            **self._first_stage_losses(scores, codes, truth),
            **self._second_stage_losses(class_logits, box_codes, sampled, matched_boxes, matched_classes),
        }

    def _features(self, normalized: tf.Tensor, training: bool) -> Mapping[str, tf.Tensor]:
        features = self.network.backbone(normalized, training=training)
        return features if self.network.decoder is None else self.network.decoder(features, training=training)

    def _first_stage_losses(self, scores: Any, codes: Any, truth: GroundTruth) -> dict[str, tf.Tensor]:
        config = self.config
        logits = flatten_levels(scores, self._levels, 1)[..., 0]
        predicted_codes = flatten_levels(codes, self._levels, 4)
        anchors = self.anchors
        inside = tf.constant(self._inside_input)[tf.newaxis]
        if config.clip_anchors_to_image:
            anchors = np.clip(anchors, 0, np.tile(self.input_shape, 2)).astype(np.float32)
            inside = tf.ones_like(inside)
        similarity = pairwise_iou(truth.boxes, tf.constant(anchors)[tf.newaxis])
        # Anchors that leave the input must not be anybody's best one either.
        similarity = tf.where(inside[:, tf.newaxis], similarity, -1.0)
        targets = assign(_PROPOSAL_MATCHER.match(similarity, truth.valid), truth.boxes, truth.classes, truth.weights)
        sampled = tf.cast(
            sample_balanced(
                targets.positive,
                tf.logical_and(targets.class_weights > 0, inside),
                batch_size=config.first_stage_minibatch_size,
                positive_fraction=config.first_stage_positive_balance_fraction,
            ),
            tf.float32,
        )
        normalizer = tf.maximum(tf.reduce_sum(sampled, axis=1), 1.0)
        objectness = tf.nn.sigmoid_cross_entropy_with_logits(
            labels=tf.cast(targets.positive, tf.float32), logits=logits
        )
        box_targets = self._box_coder.encode(targets.boxes, tf.constant(anchors)[tf.newaxis])
        box_targets = tf.where(targets.positive[..., tf.newaxis], box_targets, 0.0)
        location = smooth_l1(predicted_codes, box_targets, delta=1.0)
        return {
            "Loss/RPNLoss/objectness_loss": config.first_stage_objectness_loss_weight
            * tf.reduce_mean(tf.reduce_sum(objectness * sampled * targets.class_weights, axis=1) / normalizer),
            "Loss/RPNLoss/localization_loss": config.first_stage_localization_loss_weight
            * tf.reduce_mean(tf.reduce_sum(location * sampled * targets.box_weights, axis=1) / normalizer),
        }

    def _second_stage_losses(
        self,
        class_logits: tf.Tensor,
        box_codes: tf.Tensor,
        proposals: tf.Tensor,
        matched_boxes: tf.Tensor,
        matched_classes: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        config = self.config
        positive = matched_classes > 0
        cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=tf.maximum(matched_classes, 0), logits=tf.cast(class_logits, tf.float32)
        )
        codes = self._codes_by_class(box_codes)
        if codes.shape[2] == 1:
            codes = codes[:, :, 0]
        else:
            codes = tf.gather(codes, tf.maximum(matched_classes - 1, 0), axis=2, batch_dims=2)
        targets = self._box_coder.encode(matched_boxes, proposals)
        targets = tf.where(positive[..., tf.newaxis], targets, 0.0)
        location = smooth_l1(codes, targets, delta=1.0) * tf.cast(positive, tf.float32)
        return {
            "Loss/BoxClassifierLoss/classification_loss": config.second_stage_classification_loss_weight
            * tf.reduce_mean(cross_entropy),
            "Loss/BoxClassifierLoss/localization_loss": config.second_stage_localization_loss_weight
            * tf.reduce_mean(location),
        }

    def _codes_by_class(self, box_codes: tf.Tensor) -> tf.Tensor:
        """float32 [B, N, 1 or classes, 4] from the box predictor's flat codes."""
        shape = tf.shape(box_codes)
        return tf.cast(tf.reshape(box_codes, [shape[0], shape[1], box_codes.shape[-1] // 4, 4]), tf.float32)

    def detect(self, images: tf.Tensor, true_image_shape: tf.Tensor) -> dict[str, tf.Tensor]:
        """See `Detector.detect`."""
        outputs = self.network(
            self.preprocess(images, true_image_shape),
            true_image_shape[:, :2],
            self._tiled_anchors(tf.shape(images)[0]),
            training=False,
        )
        names = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")
        return {name: outputs[name] for name in names}

    def post_process(
        self, class_logits: tf.Tensor, box_codes: tf.Tensor, proposals: tf.Tensor, image_shape: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Decodes and suppresses the second stage's predictions.

        Args:
            class_logits: [B, N, classes + 1], background first.
            box_codes: [B, N, 4 or classes * 4].
            proposals: float32 [B, N, 4], ymin xmin ymax xmax in pixels; empty rows are padding.
            image_shape: int32 [B, 2], height and width without padding.

        Returns:
            As `Detector.detect`.
        """
        processing = self.config.second_stage_post_processing
        converters = processing.DESCRIPTOR.fields_by_name["score_converter"].enum_type.values_by_number
        scores = convert_scores(class_logits, converters[processing.score_converter].name, processing.logit_scale)
        is_proposal = tf.reduce_all(proposals[..., 2:] > proposals[..., :2], axis=-1, keepdims=True)
        boxes = self._box_coder.decode(self._codes_by_class(box_codes), proposals[:, :, tf.newaxis])
        return batch_non_max_suppression(
            clip_to_image(boxes, image_shape),
            tf.where(is_proposal, scores[..., 1:], 0.0),
            image_shape,
            processing.batch_non_max_suppression,
        )


class _FasterRcnnDetections(tf_keras.layers.Layer):
    """The detector's post-processing in the place where Model Garden's Mask R-CNN has its own."""

    def __init__(self, detector: FasterRcnnDetector) -> None:
        super().__init__(name="detections", dtype=COORDINATES_DTYPE)
        self._detector = detector

    def call(
        self,
        box_outputs: tf.Tensor,
        class_outputs: tf.Tensor,
        proposals: tf.Tensor,
        image_shape: tf.Tensor,
        regression_weights: Any = None,
        bbox_per_class: bool = True,
    ) -> dict[str, tf.Tensor]:
        del regression_weights, bbox_per_class
        return self._detector.post_process(class_outputs, box_outputs, proposals, image_shape)

    def get_config(self) -> dict[str, bool]:
        return {"apply_nms": True}
