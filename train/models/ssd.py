"""SSD in its RetinaNet form: Model Garden's RetinaNet composed from an `ssd` message."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from official.vision.modeling import retinanet_model

from train.losses import classification_loss, localization_loss
from train.models.anchors import multiscale_anchors
from train.models.assignment import ArgmaxMatcher, Targets, assign, pairwise_iou
from train.models.backbones import backbone_spec, freeze_batch_norm, pyramid_features
from train.models.box_coders import FasterRcnnBoxCoder
from train.models.box_predictors import build_ssd_box_predictor
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
from train.models.pyramid import build_pyramid


class SsdDetector(Detector):
    """RetinaNet with the anchors, assignment, losses and post-processing of an `ssd` message.

    Attributes:
        anchors: float32 [A, 4], ymin xmin ymax xmax in pixels of the padded input.
    """

    loss_names = ("Loss/classification_loss", "Loss/localization_loss")

    def __init__(self, config: Any, input_shape: tuple[int, int]) -> None:
        """Builds the network.

        Args:
            config: An `Ssd` message.
            input_shape: Height and width of the padded input, in pixels.

        Raises:
            ValueError: The input's sides are no multiples of the backbone's stride.
        """
        self.config = config
        self.num_classes = config.num_classes
        self.input_shape = input_shape
        self._spec = backbone_spec(config.feature_extractor.type)
        self._box_coder = FasterRcnnBoxCoder.from_config(config.box_coder.faster_rcnn_box_coder)
        self._matcher = ArgmaxMatcher.from_config(config.matcher.argmax_matcher)
        by_level = multiscale_anchors(config.anchor_generator.multiscale_anchor_generator, input_shape)
        self.anchors = np.concatenate(list(by_level.values()))
        self._levels = [str(level) for level in by_level]
        self.network = self._build_network(by_level)

    def _build_network(self, anchors_by_level: dict[int, np.ndarray]) -> tf_keras.Model:
        config = self.config
        extractor = config.feature_extractor
        generator = config.anchor_generator.multiscale_anchor_generator
        anchors_per_location = len(generator.aspect_ratios) * generator.scales_per_octave
        hyperparams = LayerHyperparams.from_config(extractor.conv_hyperparams)
        require_divisible(self.input_shape, 2 ** min(5, extractor.fpn.max_level), extractor.type)

        override = extractor.override_base_feature_extractor_hyperparams
        backbone = self._spec.build(
            tf_keras.layers.InputSpec(shape=[None, *self.input_shape, 3]),
            depth_multiplier=extractor.depth_multiplier,
            min_depth=extractor.min_depth,
            activation=hyperparams.activation if override else None,
            norm_momentum=hyperparams.norm_momentum if override else 0.99,
            norm_epsilon=hyperparams.norm_epsilon if override else 0.001,
            kernel_regularizer=hyperparams.regularizer(),
        )
        decoder = build_pyramid(backbone, extractor, use_depthwise=extractor.use_depthwise)
        head = build_ssd_box_predictor(
            config.box_predictor,
            num_class_slots=self.num_classes,
            anchors_per_location=[anchors_per_location] * len(self._levels),
            levels=self._levels,
        )
        network = retinanet_model.RetinaNetModel(
            pyramid_features(backbone),
            decoder,
            head,
            _SsdDetections(self),
            anchor_boxes={
                str(level): tf.constant(
                    boxes.reshape(*feature_map_shape(self.input_shape, level), anchors_per_location * 4)
                )
                for level, boxes in anchors_by_level.items()
            },
            min_level=generator.min_level,
            max_level=generator.max_level,
        )
        head({level: tf.zeros([1, *shape[1:]]) for level, shape in decoder.output_specs.items()})  # makes its variables
        if config.freeze_batchnorm:
            freeze_batch_norm(network)
        return network

    def preprocess(self, images: tf.Tensor, true_image_shape: tf.Tensor) -> tf.Tensor:
        """Normalises, then sets padding to 0: the API's SSD resizes and pads what is normalised already."""
        height, width = self.input_shape
        rows = tf.range(height)[tf.newaxis, :] < true_image_shape[:, 0:1]
        columns = tf.range(width)[tf.newaxis, :] < true_image_shape[:, 1:2]
        inside = tf.logical_and(rows[:, :, tf.newaxis], columns[:, tf.newaxis, :])[..., tf.newaxis]
        return tf.where(inside, self._spec.normalize(images), 0.0)

    def compute_losses(self, images: tf.Tensor, labels: Labels, *, training: bool) -> dict[str, tf.Tensor]:
        """See `Detector.compute_losses`; names are `Loss/classification_loss` and `Loss/localization_loss`."""
        logits, codes = self._flatten(
            *self._predict(self.preprocess(images, labels["true_image_shape"]), training=training)
        )
        targets = self.assign_targets(labels)

        one_hot = tf.one_hot(targets.classes - 1, self.num_classes)  # background, class 0, becomes a row of zeros
        per_anchor_class = classification_loss(self.config.loss.classification_loss, logits, one_hot)
        box_targets = self._box_coder.encode(targets.boxes, tf.constant(self.anchors)[tf.newaxis])
        box_targets = tf.where(targets.positive[..., tf.newaxis], box_targets, 0.0)
        per_anchor_box = localization_loss(self.config.loss.localization_loss, codes, box_targets)

        normalizer = 1.0
        if self.config.normalize_loss_by_num_matches:
            normalizer = tf.maximum(tf.reduce_sum(targets.box_weights), 1.0)
        box_normalizer = normalizer * (4.0 if self.config.normalize_loc_loss_by_codesize else 1.0)
        return {
            "Loss/classification_loss": self.config.loss.classification_weight
            * tf.reduce_sum(per_anchor_class * targets.class_weights)
            / normalizer,
            "Loss/localization_loss": self.config.loss.localization_weight
            * tf.reduce_sum(per_anchor_box * targets.box_weights)
            / box_normalizer,
        }

    def _predict(self, normalized: tf.Tensor, *, training: bool) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        # Part by part, since calling the network as a whole with training=False would also post-process.
        features = self.network.decoder(self.network.backbone(normalized, training=training), training=training)
        logits, codes, _ = self.network.head(features, training=training)
        return logits, codes

    def assign_targets(self, labels: Labels) -> Targets:
        """Assigns a batch's ground truth to the anchors."""
        truth = GroundTruth.from_labels(labels, self.input_shape)
        similarity = pairwise_iou(truth.boxes, tf.constant(self.anchors)[tf.newaxis])
        return assign(self._matcher.match(similarity, truth.valid), truth.boxes, truth.classes, truth.weights)

    def _flatten(self, logits: dict[str, tf.Tensor], codes: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Puts the levels in the anchors' order: float32 [B, A, classes] and [B, A, 4]."""
        return flatten_levels(logits, self._levels, self.num_classes), flatten_levels(codes, self._levels, 4)

    def detect(self, images: tf.Tensor, true_image_shape: tf.Tensor) -> dict[str, tf.Tensor]:
        """See `Detector.detect`."""
        logits, codes = self._predict(self.preprocess(images, true_image_shape), training=False)
        return self.post_process(logits, codes, true_image_shape)

    def post_process(
        self, logits: dict[str, tf.Tensor], codes: dict[str, tf.Tensor], true_image_shape: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Decodes and suppresses.

        Args:
            logits: Class logits by level.
            codes: Box codes by level.
            true_image_shape: int32 [B, 3], without padding.

        Returns:
            As `Detector.detect`.
        """
        processing = self.config.post_processing
        converter = processing.DESCRIPTOR.fields_by_name["score_converter"].enum_type
        flat_logits, flat_codes = self._flatten(logits, codes)
        boxes = self._box_coder.decode(flat_codes, tf.constant(self.anchors)[tf.newaxis])
        scores = convert_scores(
            flat_logits, converter.values_by_number[processing.score_converter].name, processing.logit_scale
        )
        return batch_non_max_suppression(
            boxes[:, :, tf.newaxis], scores, true_image_shape, processing.batch_non_max_suppression
        )


class _SsdDetections(tf_keras.layers.Layer):
    """The detector's post-processing in the place where Model Garden's RetinaNet has its own."""

    def __init__(self, detector: SsdDetector) -> None:
        super().__init__(name="detections", dtype="float32")
        self._detector = detector

    def call(
        self, raw_boxes: Any, raw_scores: Any, anchor_boxes: Any, image_shape: tf.Tensor, raw_attributes: Any = None
    ) -> dict[str, tf.Tensor]:
        del anchor_boxes, raw_attributes
        return self._detector.post_process(raw_scores, raw_boxes, image_shape)

    def get_config(self) -> dict[str, bool]:
        return {"apply_nms": True, "return_decoded": False}
