"""Trunks (backbones): Keras Applications' network definitions with the Object Detection API's layers.

Each function returns a Keras model of images [B, H, W, 3] with any H and W, and has the layers' names and order of the
API's `models/keras_models`, on which its checkpoints depend.
"""

from __future__ import annotations

from typing import Any

import tf_keras

from train.models.feature_extractors.trunk_layers import TrunkDefaults, TrunkLayers
from train.models.hyperparams import LayerHyperparams

_MOBILENET = TrunkDefaults(
    # Half, since Keras' L2 is the squared norm and the API's, like tf_slim's, half of it.
    regularizer=lambda: tf_keras.regularizers.L2(0.00004 * 0.5),
    initializer=lambda: tf_keras.initializers.TruncatedNormal(stddev=0.09),
    activation="relu6",
    norm_momentum=0.9997,
    norm_epsilon=1e-3,
)


class _ResNetLayers(TrunkLayers):
    """No convolution has a bias, and a strided one pads by its kernel's size."""

    def __init__(self, *args: Any, is_dilated: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_dilated = is_dilated

    def Conv2D(self, filters: int, kernel_size: Any, **kwargs: Any) -> Any:  # noqa: N802 - Keras' name
        if self._is_dilated and kwargs.get("name", "").startswith("conv4_"):
            kwargs |= {"strides": 1, "dilation_rate": 2 if kernel_size > 1 else 1}
        return super().Conv2D(filters, kernel_size, **{**kwargs, "use_bias": False})

    def _pads_explicitly(self, kernel_size: int, stride: int) -> bool:
        return kernel_size > 1 and stride > 1


def resnet_v1(
    depth: int,
    *,
    hyperparams: LayerHyperparams | None = None,
    weight_decay: float = 0.0001,
    depth_multiplier: float = 1.0,
    min_depth: int = 8,
    output_stride: int = 16,
    freeze_batch_norm: bool = False,
) -> tf_keras.Model:
    """ResNet-50, -101 or -152, version 1, with a block's stride in its first convolution.

    Args:
        depth: 50, 101 or 152.
        hyperparams: Of its layers; None for the defaults.
        weight_decay: Keras' L2 of every kernel where `hyperparams` is None.
        depth_multiplier: Multiplies every convolution's filters.
        min_depth: Fewest filters.
        output_stride: Of conv4: 16, or 8 by dilation, which the API had in TensorFlow 1 only (slim's `output_stride`).
        freeze_batch_norm: Whether batch norm keeps its moving statistics.
    """
    defaults = TrunkDefaults(
        regularizer=lambda: tf_keras.regularizers.L2(weight_decay),
        initializer=tf_keras.initializers.VarianceScaling,
        activation="relu",
        norm_momentum=0.997,
        norm_epsilon=1e-5,
    )
    layers = _ResNetLayers(
        defaults,
        hyperparams,
        filters=lambda name, count: max(int(count * depth_multiplier), min_depth),
        is_dilated=output_stride == 8,
        freeze_batch_norm=freeze_batch_norm,
    )
    build = getattr(tf_keras.applications, f"ResNet{depth}")
    return build(include_top=False, weights=None, classes=None, layers=layers)


# The last layer of each stage, by level: level 2 has stride 4.
RESNET_LEVELS = {
    50: {2: "conv2_block3_out", 3: "conv3_block4_out", 4: "conv4_block6_out", 5: "conv5_block3_out"},
    101: {2: "conv2_block3_out", 3: "conv3_block4_out", 4: "conv4_block23_out", 5: "conv5_block3_out"},
    152: {2: "conv2_block3_out", 3: "conv3_block8_out", 4: "conv4_block36_out", 5: "conv5_block3_out"},
}


def mobilenet_v1(
    *,
    hyperparams: LayerHyperparams | None = None,
    depth_multiplier: float = 1.0,
    min_depth: int = 8,
    last_filters: int | None = None,
    use_explicit_padding: bool = False,
    freeze_batch_norm: bool = False,
) -> tf_keras.Model:
    """MobileNet version 1.

    Args:
        hyperparams: Of its layers; None for the defaults.
        depth_multiplier: Multiplies every convolution's filters.
        min_depth: Fewest filters.
        last_filters: Of the two last blocks, instead of 1024 (before `depth_multiplier`).
        use_explicit_padding: Pads by the kernel's size.
        freeze_batch_norm: Whether batch norm keeps its moving statistics.
    """

    def filters(name: str, count: int) -> int:
        if last_filters is not None and name in ("conv_pw_12", "conv_pw_13"):
            count = last_filters
        return max(int(count * depth_multiplier), min_depth)

    layers = TrunkLayers(
        _MOBILENET,
        hyperparams,
        filters=filters,
        use_explicit_padding=use_explicit_padding,
        freeze_batch_norm=freeze_batch_norm,
    )
    return tf_keras.applications.MobileNet(alpha=1.0, include_top=False, weights=None, layers=layers)


def mobilenet_v2(
    *,
    hyperparams: LayerHyperparams | None = None,
    depth_multiplier: float = 1.0,
    min_depth: int = 8,
    use_explicit_padding: bool = False,
    freeze_batch_norm: bool = False,
) -> tf_keras.Model:
    """MobileNet version 2; unlike Keras' own, its last convolution gets narrower with a `depth_multiplier` below 1.

    Args:
        hyperparams: Of its layers; None for the defaults.
        depth_multiplier: Multiplies every convolution's filters.
        min_depth: Fewest filters of a convolution that is no expansion.
        use_explicit_padding: Pads by the kernel's size.
        freeze_batch_norm: Whether batch norm keeps its moving statistics.
    """

    def filters(name: str, count: int) -> int:
        if name == "Conv_1":
            count = _divisible_by_eight(1280 * depth_multiplier) if depth_multiplier < 1.0 else 1280
        return count if name.endswith("expand") else max(count, min_depth)

    layers = TrunkLayers(
        _MOBILENET,
        hyperparams,
        filters=filters,
        use_explicit_padding=use_explicit_padding,
        freeze_batch_norm=freeze_batch_norm,
    )
    return tf_keras.applications.MobileNetV2(alpha=depth_multiplier, include_top=False, weights=None, layers=layers)


def _divisible_by_eight(filters: float) -> int:
    """The nearest multiple of 8 that is not more than a tenth below."""
    rounded = max(8, int(filters + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * filters else rounded


class _InceptionLayers(TrunkLayers):
    """SAME padding throughout, so that feature maps lie over one another, and a stride of 8 by dilation."""

    def __init__(self, *args: Any, is_dilated: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_dilated = is_dilated
        # What comes after the proposals' feature map is of stride 2 either way. (The API takes its strides too, but not
        # all of them, so that its second stage fails.)
        self._is_past_proposals = False

    def Conv2D(self, filters: int, kernel_size: Any, **kwargs: Any) -> Any:  # noqa: N802 - Keras' name
        # Keras names few of these layers; the API finds them by filters and padding, before it changes the padding.
        is_valid = str(kwargs.get("padding", "")).lower() == "valid"
        in_block17 = "block17" in (kwargs.get("name") or "")
        self._is_past_proposals |= in_block17
        if self._is_dilated and filters == 384 and not self._is_past_proposals:
            kwargs["strides"] = 1
        if self._is_dilated and (in_block17 or filters in (128, 160) or (filters == 192 and not is_valid)):
            kwargs["dilation_rate"] = 2
        regularizer = self.defaults.regularizer
        arguments = {
            **kwargs,
            "padding": "same",
            "kernel_regularizer": regularizer(),
            "bias_regularizer": regularizer(),
        }
        return tf_keras.layers.Conv2D(filters, kernel_size, **arguments)

    def MaxPooling2D(self, pool_size: Any, **kwargs: Any) -> tf_keras.layers.Layer:  # noqa: N802 - Keras' name
        is_valid = str(kwargs.get("padding", "")).lower() == "valid"
        if self._is_dilated and is_valid and not self._is_past_proposals:
            kwargs["strides"] = 1
        return super().MaxPooling2D(pool_size, **kwargs)

    def Activation(self, activation: Any = None, **kwargs: Any) -> tf_keras.layers.Layer:  # noqa: N802 - Keras' name
        return tf_keras.layers.Activation(activation, **kwargs)


def inception_resnet_v2(
    *, weight_decay: float = 0.0, output_stride: int = 16, freeze_batch_norm: bool = False
) -> tf_keras.Model:
    """Inception-ResNet version 2 with SAME padding.

    Args:
        weight_decay: Half of it is Keras' L2 of every kernel and bias.
        output_stride: Of the proposals' feature map: 16, or 8 by dilation.
        freeze_batch_norm: Whether batch norm keeps its moving statistics.
    """
    defaults = TrunkDefaults(
        regularizer=lambda: tf_keras.regularizers.L2(weight_decay * 0.5),
        initializer=None,
        activation="relu",
        norm_momentum=0.9997,
        norm_epsilon=1e-3,
        norm_scale=False,
    )
    layers = _InceptionLayers(defaults, is_dilated=output_stride == 8, freeze_batch_norm=freeze_batch_norm)
    return tf_keras.applications.InceptionResNetV2(include_top=False, weights=None, layers=layers)


# The layer that ends each level, in EfficientNets from b0 to b7 alike named by stack and block.
EFFICIENTNET_LEVELS = {
    1: "stack_0/block_0/project_bn",
    2: "stack_1/block_1/add",
    3: "stack_2/block_1/add",
    4: "stack_4/block_2/add",
    5: "stack_6/block_0/project_bn",
}


def efficientnet(version: str, *, weight_decay: float | None = None) -> tf_keras.Model:
    """EfficientNet with its classifier's top, which the API's checkpoints hold too: Model Garden's own.

    Args:
        version: `b0` to `b7`.
        weight_decay: Overrides its own.
    """
    # Model Garden's part that has it, and other networks do without.
    from official.legacy.image_classification.efficientnet import efficientnet_model

    overrides: dict[str, Any] = {"rescale_input": False}
    if weight_decay is not None:
        overrides["weight_decay"] = weight_decay
    return efficientnet_model.EfficientNet.from_name(model_name=f"efficientnet-{version}", overrides=overrides)
