"""Faster R-CNN's network: backbone, pyramid and heads, as a `faster_rcnn` message composes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras
from official.vision.modeling.layers import nn_blocks

from train.models.backbones import build_backbone, pyramid_features
from train.models.batch_norm import freeze_batch_norm
from train.models.detector import InputShape
from train.models.faster_rcnn_heads import MaskRcnnBoxPredictor, RegionProposalPredictor
from train.models.hyperparams import LayerHyperparams
from train.models.pyramid import build_pyramid, pad_to_multiple

C4_LEVEL = 4
# The API pads every input of a pyramid to this, in code; its `pad_to_multiple` field is read by nobody.
PYRAMID_MULTIPLE = 32
_BOX_HEAD_UNITS = 1024


class FasterRcnnNetwork(tf_keras.Model):
    """The parts of a Faster R-CNN that have variables, under the names of Model Garden's `MaskRCNNModel`.

    That model itself proposes, samples and suppresses inside its call, with one objectness logit, without padding or
    weights of ground truth, and not without a second stage; so only its parts are here, and its checkpoints fit.

    Attributes:
        backbone: Maps images to features by level.
        decoder: The feature pyramid; None where the backbone's only level is used as it is.
        rpn_head: The first stage's head.
        detection_head: The second stage's head in a list, which is empty where there is no second stage.
        multiple: Inputs are padded with zeros to a multiple of it, at the bottom and the right.
    """

    def __init__(
        self,
        *,
        backbone: tf_keras.Model,
        decoder: tf_keras.Model | None,
        rpn_head: RegionProposalPredictor,
        detection_head: Sequence[MaskRcnnBoxPredictor],
        multiple: int,
    ) -> None:
        super().__init__(name="faster_rcnn")
        self.backbone = backbone
        self.decoder = decoder
        self.rpn_head = rpn_head
        self.detection_head = list(detection_head)
        self.multiple = multiple

    @property
    def checkpoint_items(self) -> Mapping[str, Any]:
        """The parts by name, as `train.models.restore` takes them."""
        items = {"backbone": self.backbone, "rpn_head": self.rpn_head}
        if self.detection_head:
            items["detection_head"] = self.detection_head
        if self.decoder is not None:
            items["decoder"] = self.decoder
        return items

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
        features = self.backbone(pad_to_multiple(images, self.multiple), training=training)
        if self.decoder is not None:
            features = self.decoder(features, training=training)
        logits, codes = self.rpn_head(features, training=training)
        return features, logits, codes


def build_network(
    config: Any,
    *,
    input_shape: InputShape,
    levels: Sequence[str],
    anchors_per_location: Sequence[int],
    crop_size: int,
) -> FasterRcnnNetwork:
    """Builds a network and its variables.

    Args:
        config: A `FasterRcnn` message.
        input_shape: As `Detector.input_shape`.
        levels: Names of the feature maps, finest first.
        anchors_per_location: Anchors in each cell, one number a level.
        crop_size: Side of the second stage's crops, in cells.
    """
    extractor = config.feature_extractor
    decoder: tf_keras.Model | None = None
    if has_pyramid(config):
        backbone, decoder = _build_pyramid(extractor, input_shape)
        tail = None
    else:
        backbone, tail = _build_c4(extractor)
    parts = [part for part in (backbone, decoder, tail) if part is not None]
    heads: list[MaskRcnnBoxPredictor] = []
    if config.number_of_stages > 1:
        trunk = _build_trunk(extractor, tail, crop_size)
        predictor = config.second_stage_box_predictor.mask_rcnn_box_predictor
        heads = [
            MaskRcnnBoxPredictor(config=predictor, num_classes=config.num_classes, trunk=trunk, name="box_predictor")
        ]
        parts.append(trunk)
    if not extractor.batch_norm_trainable:
        for part in parts:
            freeze_batch_norm(part)
    rpn_head = RegionProposalPredictor(
        hyperparams=config.first_stage_box_predictor_conv_hyperparams,
        depth=config.first_stage_box_predictor_depth,
        kernel_size=config.first_stage_box_predictor_kernel_size,
        dilation_rate=config.first_stage_atrous_rate,
        anchors_per_location=anchors_per_location,
        levels=levels,
        name="region_proposal_predictor",
    )
    network = FasterRcnnNetwork(
        backbone=backbone,
        decoder=decoder,
        rpn_head=rpn_head,
        detection_head=heads,
        multiple=PYRAMID_MULTIPLE if has_pyramid(config) else 1,
    )
    # Empty features make the heads' variables; in inference, so that batch norm learns nothing.
    channels = {level: features.shape[-1] for level, features in (decoder or backbone).output.items()}
    rpn_head({level: tf.zeros([1, 1, 1, channels[level]]) for level in levels}, training=False)
    for head in heads:
        head(tf.zeros([1, 1, crop_size, crop_size, head.trunk.input_shape[-1]]), training=False)
    return network


def has_pyramid(config: Any) -> bool:
    """Whether a `FasterRcnn` message's feature extractor has a feature pyramid, and not one feature map."""
    return "_fpn_" in config.feature_extractor.type


def padded_shape(input_shape: InputShape, multiple: int) -> InputShape:
    """What `pad_to_multiple` makes of an input's height and width, in pixels."""
    height, width = (None if side is None else -(-side // multiple) * multiple for side in input_shape)
    return height, width


def _build_c4(extractor: Any) -> tuple[tf_keras.Model, tf_keras.Model]:
    """Splits a ResNet: up to conv4, whose output is the feature map, and conv5."""
    # Sides are left open, since conv5 runs on crops.
    backbone = build_backbone(extractor, height=None, width=None)
    conv4 = backbone.get_layer(f"block_group_l{C4_LEVEL}").output
    features = tf_keras.Model(backbone.inputs, {str(C4_LEVEL): conv4}, name="conv1_to_conv4")
    conv5 = tf_keras.Model(conv4, backbone.get_layer("block_group_l5").output, name="conv5")
    if extractor.first_stage_features_stride == 8:
        features = _with_dilated_conv4(features)
    return features, conv5


def _with_dilated_conv4(features: tf_keras.Model) -> tf_keras.Model:
    """Halves conv4's stride and doubles its convolutions' reach, as `first_stage_features_stride: 8` asks.

    That was the API's TF1 path (tf_slim's `output_stride`); its TF2 path has stride 16 only. Model Garden's
    `DilatedResNet` dilates conv5 too, which runs on crops here.
    """
    names = [layer.name for layer in features.layers]
    conv4 = set(names[names.index(f"block_group_l{C4_LEVEL - 1}") : names.index(f"block_group_l{C4_LEVEL}")])

    def dilated(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        arguments = layer.get_config()
        if layer.name in conv4 and isinstance(layer, nn_blocks.BottleneckBlock):
            arguments |= {"strides": 1, "dilation_rate": 2}
        return type(layer).from_config(arguments)

    return tf_keras.models.clone_model(features, clone_function=dilated)


def _build_pyramid(extractor: Any, input_shape: InputShape) -> tuple[tf_keras.Model, tf_keras.Model]:
    """A whole ResNet, and the feature pyramid over it."""
    height, width = padded_shape(input_shape, PYRAMID_MULTIPLE)
    backbone = build_backbone(extractor, height=height, width=width)
    return pyramid_features(backbone), build_pyramid(backbone, extractor)


def _build_trunk(extractor: Any, conv5: tf_keras.Model | None, crop_size: int) -> tf_keras.Model:
    """What the box head has below its last layers: conv5 and a spatial mean, or on a pyramid, two dense layers."""
    if conv5 is not None:
        crop = tf_keras.Input([crop_size, crop_size, conv5.input_shape[-1]])
        return tf_keras.Model(crop, tf_keras.layers.GlobalAveragePooling2D()(conv5(crop)), name="trunk")
    crop = tf_keras.Input([crop_size, crop_size, extractor.fpn.additional_layer_depth])
    x = tf_keras.layers.Flatten()(crop)
    x = tf_keras.layers.Dense(_BOX_HEAD_UNITS, activation="relu")(x)
    x = LayerHyperparams.from_config(extractor.conv_hyperparams).batch_norm()(x)
    x = tf_keras.layers.Dense(_BOX_HEAD_UNITS, activation="relu")(x)
    return tf_keras.Model(crop, x, name="trunk")
