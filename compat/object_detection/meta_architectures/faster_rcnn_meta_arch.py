"""Faster R-CNN as the API's model class gives it: raw predictions of both stages, detections and losses."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from object_detection.core.model import DetectionModel, api_detections, as_written, shapes_of
from train.models.detector import GroundTruth
from train.models.faster_rcnn import FasterRcnnDetector
from train.models.first_stage import InputAnchors, first_stage_losses, propose_regions
from train.models.proposals import Proposals
from train.models.second_stage import detections_of, sample_proposals, second_stage_losses


class FasterRCNNMetaArch(DetectionModel[FasterRcnnDetector]):
    """A Faster R-CNN; see `DetectionModel`. In training `provide_groundtruth` comes before `predict`, which samples."""

    @as_written
    def predict(self, preprocessed_inputs: tf.Tensor, true_image_shapes: Any, **side_inputs: Any) -> dict[str, Any]:
        """See `DetectionModel.predict`.

        Returns:
            `rpn_features_to_crop` and `feature_maps`, lists of [B, h, w, channels]; `rpn_box_predictor_features`, the
            same after the convolution that objectness and boxes share; `image_shape` int32 [4];
            `rpn_objectness_predictions_with_background` float32 [B, A, 2]; `rpn_box_encodings` float32 [B, A, 4];
            `anchors` float32 [A, 4] in pixels: in training those that lie within the input. With two stages also
            `proposal_boxes` float32 [B, N, 4] in pixels and `proposal_boxes_normalized`; `num_proposals` int32 [B];
            `class_predictions_with_background` float32 [B * N, classes + 1]; `refined_box_encodings` float32
            [B * N, 1 or classes, 4].
        """
        if side_inputs:
            raise TypeError(f"side inputs are for Context R-CNN, which is not supported: {', '.join(side_inputs)}")
        detector, settings, training = self.detector, self.detector.settings, self._keras_training
        shapes = shapes_of(preprocessed_inputs, true_image_shapes)
        prune = self._is_training and not settings.clip_anchors_to_image
        maps, logits, codes, anchors, input_shape = detector.first_stage_of(
            preprocessed_inputs, training=training, prune=prune
        )
        if prune:
            logits, codes = (tf.boolean_mask(one, anchors.usable, axis=1) for one in (logits, codes))
            anchors = _all_usable(tf.boolean_mask(anchors.boxes, anchors.usable))
        rpn_head = detector.network.rpn_head
        found = {
            "rpn_box_predictor_features": [rpn_head.shared_features(one, training=training) for one in maps],
            "rpn_features_to_crop": maps,
            "feature_maps": maps,
            "image_shape": tf.shape(preprocessed_inputs),
            "rpn_box_encodings": codes,
            "rpn_objectness_predictions_with_background": logits,
            "anchors": anchors.boxes,
        }
        if settings.number_of_stages == 1:
            return found
        proposals = propose_regions(logits, codes, anchors, shapes, settings)
        if self._is_training and settings.hard_example_miner is None:
            proposals = sample_proposals(proposals, self._truth(found["image_shape"], shapes), settings)
        class_logits, box_codes = detector.second_stage(maps, proposals, input_shape, training=training)
        sides = tf.cast(found["image_shape"][1:3], tf.float32)
        return found | {
            "proposal_boxes": proposals.boxes,
            "proposal_boxes_normalized": proposals.boxes / tf.concat([sides, sides], axis=0),
            "num_proposals": proposals.count,
            "class_predictions_with_background": tf.reshape(class_logits, [-1, class_logits.shape[-1]]),
            "refined_box_encodings": tf.reshape(box_codes, [-1, *box_codes.shape[2:]]),
        }

    @as_written
    def postprocess(self, prediction_dict: dict[str, Any], true_image_shapes: Any) -> dict[str, tf.Tensor]:
        """See `DetectionModel.postprocess`; of one stage the proposals, without classes and anchor indices."""
        settings = self.detector.settings
        shapes = shapes_of(prediction_dict["rpn_features_to_crop"][0], true_image_shapes)
        if settings.number_of_stages == 1:
            first = self._first_stage(prediction_dict)
            proposals = propose_regions(*first, shapes, settings)
            sides = tf.cast(shapes[:, tf.newaxis, :2], tf.float32)
            return {
                "detection_boxes": proposals.boxes / tf.concat([sides, sides], axis=-1),
                "detection_scores": proposals.scores,
                "num_detections": tf.cast(proposals.count, tf.float32),
            }
        logits, codes, proposals = self._second_stage(prediction_dict)
        return api_detections(detections_of(logits, codes, proposals, shapes, settings, with_anchors=True))

    @as_written
    def loss(self, prediction_dict: dict[str, Any], true_image_shapes: Any, scope: Any = None) -> dict[str, tf.Tensor]:
        """See `DetectionModel.loss`: `Loss/RPNLoss/*` and, with two stages, `Loss/BoxClassifierLoss/*`."""
        settings = self.detector.settings
        truth = self._truth(prediction_dict["image_shape"], true_image_shapes)
        losses = first_stage_losses(*self._first_stage(prediction_dict), truth, settings)
        if settings.number_of_stages > 1:
            losses |= second_stage_losses(*self._second_stage(prediction_dict), truth, settings)
        return losses

    def restore_from_objects(self, fine_tune_checkpoint_type: str = "detection") -> dict[str, Any]:
        """See `DetectionModel.restore_from_objects`."""
        if fine_tune_checkpoint_type == "classification":
            return {"feature_extractor": self.detector.network.backbone}
        if fine_tune_checkpoint_type == "detection":
            names = ("_feature_extractor_for_proposal_features", "_feature_extractor_for_box_classifier_features")
            parts = {name: getattr(self, name) for name in names if hasattr(self, name)}
            return {"model": tf.train.Checkpoint(**parts)}
        if fine_tune_checkpoint_type == "full":
            return {"model": self}
        raise ValueError(f"{fine_tune_checkpoint_type} is none of classification, detection and full")

    def _truth(self, image_shape: tf.Tensor, true_image_shapes: Any) -> GroundTruth:
        return GroundTruth.from_labels(self._labels(true_image_shapes), (image_shape[1], image_shape[2]))

    def _first_stage(self, predictions: dict[str, Any]) -> tuple[tf.Tensor, tf.Tensor, InputAnchors]:
        """Logits, codes and anchors."""
        boxes = predictions["anchors"]
        # In inference they are clipped, and those without area left propose nothing.
        usable = tf.reduce_all(boxes[:, 2:] > boxes[:, :2], axis=-1)
        return (
            predictions["rpn_objectness_predictions_with_background"],
            predictions["rpn_box_encodings"],
            InputAnchors(boxes, usable),
        )

    def _second_stage(self, predictions: dict[str, Any]) -> tuple[tf.Tensor, tf.Tensor, Proposals]:
        """Logits [B, N, classes + 1], codes [B, N, 1 or classes, 4] and proposals."""
        boxes, count = predictions["proposal_boxes"], predictions["num_proposals"]
        rows = tf.shape(boxes)[:2]
        logits = predictions["class_predictions_with_background"]
        codes = predictions["refined_box_encodings"]
        return (
            tf.reshape(logits, [rows[0], -1, logits.shape[-1]]),
            tf.reshape(codes, [rows[0], -1, *codes.shape[1:]]),
            Proposals(boxes, tf.zeros(rows), count),
        )


def _all_usable(boxes: tf.Tensor) -> InputAnchors:
    return InputAnchors(boxes, tf.ones_like(boxes[:, 0], tf.bool))
