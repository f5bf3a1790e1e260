"""Backbones by the names that `feature_extractor.type` uses, and how each wants its pixels."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

import tensorflow as tf
import tf_keras
from official.vision.modeling.backbones import efficientnet, mobilenet, resnet

from train.models.batch_norm import freeze_batch_norm  # noqa: F401

# Channel means of ImageNet in RGB, 0..255, as VGG and the Object Detection API's ResNets subtract them.
_CAFFE_MEANS = (123.68, 116.779, 103.939)


@dataclasses.dataclass(frozen=True)
class BackboneSpec:
    """What a feature extractor's name stands for.

    Attributes:
        build: Makes the network, whose outputs are feature maps by level, `"3"` having stride 8.
        normalize: Maps float32 RGB 0..255 to what the network was trained on.
    """

    build: Callable[..., tf_keras.Model]
    normalize: Callable[[tf.Tensor], tf.Tensor]


def _centered(images: tf.Tensor) -> tf.Tensor:
    return images * (2.0 / 255.0) - 1.0


def _mean_subtracted(images: tf.Tensor) -> tf.Tensor:
    return images - tf.constant(_CAFFE_MEANS, images.dtype)


def _lite_centered(images: tf.Tensor) -> tf.Tensor:
    return (images - 127.0) / 128.0


def _efficientnet_lite0(input_specs: tf_keras.layers.InputSpec, **arguments: object) -> tf_keras.Model:
    # Lite: no squeeze and excitation, ReLU6 throughout. At B0's scale its stem and head are not scaled either way.
    arguments.pop("depth_multiplier")
    arguments.pop("min_depth")
    arguments["activation"] = arguments.pop("activation") or "relu6"
    return efficientnet.EfficientNet(model_id="b0", input_specs=input_specs, se_ratio=0.0, **arguments)


def _mobilenet_v2(input_specs: tf_keras.layers.InputSpec, **arguments: object) -> tf_keras.Model:
    arguments.pop("activation")  # ReLU6 is part of its definition
    return mobilenet.MobileNet(
        model_id="MobileNetV2",
        input_specs=input_specs,
        filter_size_scale=arguments.pop("depth_multiplier"),
        **arguments,
    )


def _resnet(depth: int) -> Callable[..., tf_keras.Model]:
    def build(input_specs: tf_keras.layers.InputSpec, **arguments: object) -> tf_keras.Model:
        arguments.pop("min_depth")
        arguments["activation"] = arguments.pop("activation") or "relu"
        return resnet.ResNet(model_id=depth, input_specs=input_specs, **arguments)

    return build


_SPECS = {
    r"ssd_efficientnet-lite0_fpn_keras": BackboneSpec(_efficientnet_lite0, _lite_centered),
    r"ssd_mobilenet_v2_fpn_keras": BackboneSpec(_mobilenet_v2, _centered),
    **{
        rf"(ssd_resnet{depth}_v1_fpn_keras|faster_rcnn_resnet{depth}(_fpn)?_keras)": BackboneSpec(
            _resnet(depth), _mean_subtracted
        )
        for depth in (50, 101, 152)
    },
}


def backbone_spec(feature_extractor_type: str) -> BackboneSpec:
    """Finds what a `feature_extractor.type` stands for.

    Raises:
        KeyError: No such type.
    """
    for pattern, spec in _SPECS.items():
        if re.fullmatch(pattern, feature_extractor_type):
            return spec
    raise KeyError(feature_extractor_type)


def pyramid_features(backbone: tf_keras.Model) -> tf_keras.Model:
    """Cuts a Model Garden classifier's last layers off, which a detector never runs.

    Args:
        backbone: With `output_specs` by level.

    Returns:
        The same layers up to the coarsest of those levels; a checkpoint of it has the names of the whole backbone's.
    """
    outputs = {level: backbone.output[level] for level in backbone.output_specs}
    return tf_keras.Model(backbone.inputs, outputs, name="backbone")
