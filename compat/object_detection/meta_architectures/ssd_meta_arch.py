"""SSD as the API's model class gives it: raw predictions, detections and losses by the API's names."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from object_detection.core.box_list import BoxList
from object_detection.core.model import DetectionModel, api_detections, as_written, shapes_of
from train.models.ssd import Predictions, SsdDetector


class SSDMetaArch(DetectionModel[SsdDetector]):
    """An SSD; see `DetectionModel`."""

    def __init__(self, detector: SsdDetector, *, is_training: bool) -> None:
        super().__init__(detector, is_training=is_training)
        self._last_anchors: Any = None

    @property
    def feature_extractor(self) -> Any:
        """The layers of the feature extractor."""
        return self._feature_extractor

    @property
    def anchors(self) -> BoxList:
        """The anchors of the last prediction, in 0..1 of its padded input.

        Raises:
            RuntimeError: There was none.
        """
        if self._last_anchors is None:
            raise RuntimeError("there are no anchors before predict was called")
        return BoxList(self._last_anchors)

    @as_written
    def predict(self, preprocessed_inputs: tf.Tensor, true_image_shapes: Any, **side_inputs: Any) -> dict[str, Any]:
        """See `DetectionModel.predict`.

        Returns:
            `preprocessed_inputs`; `feature_maps`, a list of [B, h, w, channels]; `box_encodings` float32 [B, A, 4];
            `class_predictions_with_background` float32 [B, A, classes and background, where it has a column];
            `anchors` float32 [A, 4] and `final_anchors` float32 [B, A, 4] in 0..1 of the padded input.
        """
        if side_inputs:
            raise TypeError(f"side inputs are for Context R-CNN, which is not supported: {', '.join(side_inputs)}")
        training = self._keras_training
        features = self.detector.network.feature_maps(preprocessed_inputs, training=training)
        logits, codes, anchors = self.detector.predict_on(features, preprocessed_inputs, training=training)
        self._last_anchors = anchors
        return {
            "preprocessed_inputs": preprocessed_inputs,
            "feature_maps": list(features.values()),
            "anchors": anchors,
            "final_anchors": tf.tile(anchors[tf.newaxis], [tf.shape(preprocessed_inputs)[0], 1, 1]),
            "box_encodings": codes,
            "class_predictions_with_background": logits,
        }

    @as_written
    def postprocess(self, prediction_dict: dict[str, Any], true_image_shapes: Any) -> dict[str, tf.Tensor]:
        """See `DetectionModel.postprocess`."""
        images = prediction_dict["preprocessed_inputs"]
        shapes = shapes_of(images, true_image_shapes)
        predictions = _predictions(prediction_dict)
        return api_detections(self.detector.detections_of(predictions, images, shapes, with_anchors=True))

    @as_written
    def loss(self, prediction_dict: dict[str, Any], true_image_shapes: Any, scope: Any = None) -> dict[str, tf.Tensor]:
        """See `DetectionModel.loss`: `Loss/classification_loss` and `Loss/localization_loss`."""
        labels = self._labels(true_image_shapes)
        return self.detector.losses_of(_predictions(prediction_dict), labels, training=self._is_training)

    def restore_from_objects(self, fine_tune_checkpoint_type: str = "detection") -> dict[str, Any]:
        """See `DetectionModel.restore_from_objects`."""
        if fine_tune_checkpoint_type == "classification":
            return {"feature_extractor": self.detector.network.backbone}
        if fine_tune_checkpoint_type == "detection":
            return {"model": tf.train.Checkpoint(_feature_extractor=self._feature_extractor)}
        if fine_tune_checkpoint_type == "full":
            return {"model": self}
        raise ValueError(f"{fine_tune_checkpoint_type} is none of classification, detection and full")


def _predictions(prediction_dict: dict[str, Any]) -> Predictions:
    names = ("class_predictions_with_background", "box_encodings", "anchors")
    if missing := [name for name in names if name not in prediction_dict]:
        raise ValueError(f"prediction_dict lacks {', '.join(missing)}; give what predict returned")
    logits, codes, anchors = (prediction_dict[name] for name in names)
    return logits, codes, anchors
