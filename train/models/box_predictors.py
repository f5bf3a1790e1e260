"""Box predictors of an SSD: the layers that turn feature maps into class logits and box codes."""

from __future__ import annotations

from collections.abc import Sequence

import tf_keras

from configs.settings import heads
from train.models.convolutional_box_predictor import ConvolutionalBoxPredictor
from train.models.weight_shared_box_predictor import WeightSharedConvolutionalBoxPredictor


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
