"""Box predictors of an SSD: the layers that turn feature maps into class logits and box codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tf_keras

from train.models.convolutional_box_predictor import ConvolutionalBoxPredictor
from train.models.weight_shared_box_predictor import WeightSharedConvolutionalBoxPredictor


def build_ssd_box_predictor(
    message: Any, *, num_class_slots: int, anchors_per_location: Sequence[int], levels: Sequence[str]
) -> tf_keras.layers.Layer:
    """Builds an SSD's heads.

    Args:
        message: A `BoxPredictor` message.
        num_class_slots: Class logits an anchor, background counted where it has one.
        anchors_per_location: Anchors in each cell, one number a level.
        levels: Names of the feature maps, finest first.

    Returns:
        A layer that maps features by level to class logits by level [B, height, width, anchors * slots], box codes by
        level [B, height, width, anchors * code size], and an empty dictionary. It makes its variables when first
        called.

    Raises:
        ValueError: The message describes no SSD's heads, or contradicts itself or the anchors.
    """
    kind = message.WhichOneof("box_predictor_oneof")
    if kind == "convolutional_box_predictor":
        return ConvolutionalBoxPredictor(
            message=message.convolutional_box_predictor,
            num_class_slots=num_class_slots,
            anchors_per_location=anchors_per_location,
            levels=levels,
            name="box_predictor",
        )
    if kind == "weight_shared_convolutional_box_predictor":
        if len(set(anchors_per_location)) != 1:
            raise ValueError(
                "weight_shared_convolutional_box_predictor shares its layers over feature maps, so all must have as "
                f"many anchors a cell; the anchor generator gives {list(anchors_per_location)}; write a "
                "convolutional_box_predictor, or an anchor generator with equal numbers"
            )
        return WeightSharedConvolutionalBoxPredictor(
            message=message.weight_shared_convolutional_box_predictor,
            num_class_slots=num_class_slots,
            anchors_per_location=anchors_per_location[0],
            levels=levels,
            name="box_predictor",
        )
    raise ValueError(
        f"model.ssd.box_predictor is a {kind}; write a convolutional_box_predictor or a "
        "weight_shared_convolutional_box_predictor"
    )
