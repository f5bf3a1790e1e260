"""Model Garden's RetinaNet as an SSD's network, for feature extractors that the Object Detection API does not have.

In a file of its own: importing it brings in all of `official.vision`, TensorFlow Datasets included, for which a run
with one of the API's own networks need not wait.
"""

from __future__ import annotations

import tensorflow as tf
import tf_keras
from official.vision.modeling import retinanet_model

from train.models.feature_extractors.model_garden import ModelGardenExtractor


class ModelGardenSsdNetwork(retinanet_model.RetinaNetModel):
    """Model Garden's RetinaNet around the parts; they run part by part, so it post-processes nothing itself."""

    # The API has no such network.
    api_objects = None

    def __init__(self, extractor: ModelGardenExtractor, head: tf_keras.layers.Layer) -> None:
        super().__init__(extractor.backbone, extractor.decoder, head, detection_generator=None)
        self._extractor = extractor

    def feature_maps(self, images: tf.Tensor, training: bool | None = None) -> dict[str, tf.Tensor]:
        """By level, finest first, [B, h, w, channels] of normalised images [B, height, width, 3]."""
        return self._extractor(images, training=training)
