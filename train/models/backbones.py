"""Backbones by the names that `feature_extractor.type` uses, and how each wants its pixels."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras
from official.vision.modeling.backbones import efficientnet, mobilenet, resnet

from train.models.hyperparams import LayerHyperparams

# Channel means of ImageNet in RGB, 0..255, as VGG and the Object Detection API's ResNets subtract them.
_CAFFE_MEANS = (123.68, 116.779, 103.939)


@dataclasses.dataclass(frozen=True)
class BackboneSpec:
    """What a feature extractor's name stands for.

    The layers' values hold where the recipe has no `override_base_feature_extractor_hyperparams`; they are those in the
    API's models/keras_models.

    Attributes:
        build: Makes the network, whose outputs are feature maps by level, `"3"` having stride 8.
        normalize: Maps float32 RGB 0..255 to what the network was trained on.
        norm_momentum: Of batch norm's moving averages.
        norm_epsilon: Added to batch norm's variance.
        weight_decay: What kernels' squared sum is multiplied by in the loss; None takes the recipe's regularizer.
        initializer: Of kernels.
    """

    build: Callable[..., tf_keras.Model]
    normalize: Callable[[tf.Tensor], tf.Tensor]
    norm_momentum: float
    norm_epsilon: float
    weight_decay: float | None
    initializer: tf_keras.initializers.Initializer


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
        regularize_depthwise=True,
        **arguments,
    )


def _resnet(depth: int) -> Callable[..., tf_keras.Model]:
    def build(input_specs: tf_keras.layers.InputSpec, **arguments: object) -> tf_keras.Model:
        arguments.pop("min_depth")
        arguments["activation"] = arguments.pop("activation") or "relu"
        return resnet.ResNet(model_id=depth, input_specs=input_specs, **arguments)

    return build


_VARIANCE_SCALING = tf_keras.initializers.VarianceScaling()

_SPECS = {
    r"ssd_efficientnet-lite0_fpn_keras": BackboneSpec(
        _efficientnet_lite0, _lite_centered, 0.99, 1e-3, None, _VARIANCE_SCALING
    ),
    r"ssd_mobilenet_v2_fpn_keras": BackboneSpec(
        _mobilenet_v2, _centered, 0.9997, 1e-3, 2e-5, tf_keras.initializers.TruncatedNormal(stddev=0.09)
    ),
    **{
        pattern.format(depth): BackboneSpec(
            _resnet(depth), _mean_subtracted, 0.997, 1e-5, weight_decay, _VARIANCE_SCALING
        )
        for depth in (50, 101, 152)
        # On one feature map, Faster R-CNN's extractor takes the ResNet's weight decay away.
        for pattern, weight_decay in (
            (r"(ssd_resnet{0}_v1_fpn_keras|faster_rcnn_resnet{0}_fpn_keras)", 1e-4),
            (r"faster_rcnn_resnet{0}_keras", 0.0),
        )
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


def build_backbone(extractor: Any, *, height: int | None, width: int | None) -> tf_keras.Model:
    """Builds the backbone that a feature extractor's message describes.

    With `override_base_feature_extractor_hyperparams` its layers are as `conv_hyperparams` says, as in the API; else
    they are the network's own.

    Args:
        extractor: An `SsdFeatureExtractor` or a `FasterRcnnFeatureExtractor` message.
        height: Of the input, in pixels; None where it varies.
        width: Of the input, in pixels; None where it varies.

    Returns:
        A classifier without its top, with `output_specs` by level.

    Raises:
        KeyError: No such type.
    """
    spec = backbone_spec(extractor.type)
    hyperparams = LayerHyperparams.from_config(extractor.conv_hyperparams)
    override = extractor.override_base_feature_extractor_hyperparams
    regularizer = hyperparams.regularizer()
    if not override and spec.weight_decay is not None:
        regularizer = tf_keras.regularizers.L2(spec.weight_decay) if spec.weight_decay else None
    backbone = spec.build(
        tf_keras.layers.InputSpec(shape=[None, height, width, 3]),
        # Faster R-CNN's message has neither.
        depth_multiplier=getattr(extractor, "depth_multiplier", 1.0),
        min_depth=getattr(extractor, "min_depth", 0),
        activation=hyperparams.activation if override else None,
        use_sync_bn=override and hyperparams.is_synchronized,
        norm_momentum=hyperparams.norm_momentum if override else spec.norm_momentum,
        norm_epsilon=hyperparams.norm_epsilon if override else spec.norm_epsilon,
        kernel_initializer=(
            hyperparams.initializer_config() if override else tf_keras.initializers.serialize(spec.initializer)
        ),
        kernel_regularizer=regularizer,
    )
    if override:
        hyperparams.apply_to_batch_norms(backbone)
    return backbone


def pyramid_features(backbone: tf_keras.Model) -> tf_keras.Model:
    """Cuts a Model Garden classifier's last layers off, which a detector never runs.

    Args:
        backbone: With `output_specs` by level.

    Returns:
        The same layers up to the coarsest of those levels; a checkpoint of it has the names of the whole backbone's.
    """
    outputs = {level: backbone.output[level] for level in backbone.output_specs}
    return tf_keras.Model(backbone.inputs, outputs, name="backbone")
