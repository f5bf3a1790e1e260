"""Settings of heads, which the schema calls box predictors: the layers that give class logits and box codes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TypeAlias

from configs.schema.problem import Problem
from configs.settings.declaration import Choice, Settings, nested
from configs.settings.layers import Hyperparams, channels, kernel_side, layer_count
from configs.settings.networks import MIGRATE
from configs.settings.reasons import BOXES_ONLY, KEYPOINTS
from configs.settings.values import Number, declared, scalar

_KEEP_PROBABILITY = Number(above=0.0, at_most=1.0)
_CODE_SIZE = Number(at_least=1, at_most=100)
# Products of larger numbers leave 32 bits.
_NUMBER = Number(at_least=-1e6, at_most=1e6)
_NO_MASKS = "no masks are predicted"


@dataclasses.dataclass(frozen=True, kw_only=True)
class BoxEncodingsClipRange(Settings, message="ConvolutionalBoxPredictor.BoxEncodingsClipRange"):
    """What the numbers of box codes are kept within."""

    min: float = declared(_NUMBER)
    max: float = declared(_NUMBER)

    def problems(self) -> Iterator[Problem]:
        """See `Settings.problems`."""
        if self.min >= self.max:
            reason = f"{self.unset('max')}{self.max:g} is not above min, {self.min:g}: all codes would be the same"
            yield Problem("max", reason, "use a larger one")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SharedBoxEncodingsClipRange(
    BoxEncodingsClipRange, message="WeightSharedConvolutionalBoxPredictor.BoxEncodingsClipRange"
):
    """The same, of the other head's message."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConvolutionalBoxPredictor(Settings, message="ConvolutionalBoxPredictor"):
    """SSD's own head: each feature map has convolutions of its own.

    Attributes:
        conv_hyperparams: Of its layers.
        min_depth, max_depth: Bounds of the channels of the layers before prediction, which else are the feature map's;
            0: no layers.
        num_layers_before_predictor: How many of these.
        use_dropout: Whether there is dropout before classes are predicted.
        dropout_keep_probability: Share of what it keeps.
        kernel_size: Of the predicting convolution.
        box_code_size: Numbers in a box code.
        class_prediction_bias_init: What biases of class logits begin with.
        use_depthwise: Whether a depthwise convolution goes before the predicting one.
        box_encodings_clip_range: None: codes are not clipped.
    """

    conv_hyperparams: Hyperparams = nested(Hyperparams)
    min_depth: int = channels(at_least=0)
    max_depth: int = channels(at_least=0)
    num_layers_before_predictor: int = layer_count()
    use_dropout: bool = scalar()
    dropout_keep_probability: float = declared(_KEEP_PROBABILITY)
    kernel_size: int = kernel_side()
    box_code_size: int = declared(_CODE_SIZE)
    class_prediction_bias_init: float = declared(_NUMBER)
    use_depthwise: bool = scalar()
    box_encodings_clip_range: BoxEncodingsClipRange | None = nested(BoxEncodingsClipRange, optional=True)
    no_effect = {"apply_sigmoid_to_scores": "only the API's TensorFlow 1 heads had it; score_converter decides"}

    def problems(self) -> Iterator[Problem]:
        """See `Settings.problems`."""
        if self.use_depthwise and self.kernel_size == 1:
            yield _SEES_ONE_PIXEL
        if self.min_depth > self.max_depth:
            yield Problem("min_depth", f"{self.min_depth} is above max_depth, {self.max_depth}", "use a smaller one")


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightSharedConvolutionalBoxPredictor(Settings, message="WeightSharedConvolutionalBoxPredictor"):
    """RetinaNet's head: convolutions that all feature maps share.

    Attributes:
        conv_hyperparams: Of its layers.
        apply_conv_hyperparams_to_heads: Whether they are of separable predicting convolutions, too.
        apply_conv_hyperparams_pointwise: Whether they are of both halves of separable convolutions.
        num_layers_before_predictor: Convolutions of a tower.
        depth: Channels of a tower.
        kernel_size: Of all convolutions.
        box_code_size: Numbers in a box code.
        class_prediction_bias_init: What biases of class logits begin with.
        use_dropout: Whether there is dropout before classes are predicted.
        dropout_keep_probability: Share of what it keeps.
        share_prediction_tower: Whether one tower is for both classes and boxes.
        use_depthwise: Whether convolutions are separable.
        score_converter: IDENTITY or SIGMOID: what class logits become outside training.
        box_encodings_clip_range: None: codes are not clipped.
    """

    conv_hyperparams: Hyperparams = nested(Hyperparams)
    apply_conv_hyperparams_to_heads: bool = scalar()
    apply_conv_hyperparams_pointwise: bool = scalar()
    num_layers_before_predictor: int = layer_count()
    depth: int = channels(at_least=0, reason="channels are none", instead="set it, such as depth: 256")
    kernel_size: int = kernel_side()
    box_code_size: int = declared(_CODE_SIZE)
    class_prediction_bias_init: float = declared(_NUMBER)
    use_dropout: bool = scalar()
    dropout_keep_probability: float = declared(_KEEP_PROBABILITY)
    share_prediction_tower: bool = scalar()
    use_depthwise: bool = scalar()
    score_converter: str = scalar()
    box_encodings_clip_range: BoxEncodingsClipRange | None = nested(SharedBoxEncodingsClipRange, optional=True)

    def problems(self) -> Iterator[Problem]:
        """See `Settings.problems`."""
        if self.use_depthwise and self.kernel_size == 1:
            yield _SEES_ONE_PIXEL
        if self.depth < 1 and self.num_layers_before_predictor > 0:
            yield Problem("depth", f"{self.depth} channels are none", "set it, such as depth: 256")


_SEES_ONE_PIXEL = Problem("use_depthwise", "a depthwise kernel of 1 sees one pixel", "use kernel_size: 3")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskRcnnBoxPredictor(Settings, message="MaskRCNNBoxPredictor"):
    """Faster R-CNN's head, which is Mask R-CNN's without masks.

    Attributes:
        fc_hyperparams: Of its dense layers.
        use_dropout: Whether there is dropout before them.
        dropout_keep_probability: Share of what it keeps.
        box_code_size: Numbers in a box code.
        share_box_across_classes: Whether a proposal has one box, and not one a class.
    """

    fc_hyperparams: Hyperparams = nested(Hyperparams)
    use_dropout: bool = scalar()
    dropout_keep_probability: float = declared(_KEEP_PROBABILITY)
    box_code_size: int = scalar(only=(4,), reason="a box has 4 numbers", instead="use box_code_size: 4")
    share_box_across_classes: bool = scalar()
    refused = {"predict_instance_masks": BOXES_ONLY, "predict_keypoints": KEYPOINTS}
    no_effect = {
        "conv_hyperparams": _NO_MASKS,
        "mask_prediction_conv_depth": _NO_MASKS,
        "mask_height": _NO_MASKS,
        "mask_width": _NO_MASKS,
        "mask_prediction_num_conv_layers": _NO_MASKS,
        "masks_are_class_agnostic": _NO_MASKS,
        "convolve_then_upsample_masks": _NO_MASKS,
    }


SsdBoxPredictor: TypeAlias = ConvolutionalBoxPredictor | WeightSharedConvolutionalBoxPredictor

_R_FCN = ("R-FCN is not supported", f"use mask_rcnn_box_predictor, with which {MIGRATE} writes the config anew")
_OF_SSD = ("is SSD's head", "use mask_rcnn_box_predictor { ... }")

# What SSD's `BoxPredictor` message may be.
SSD_BOX_PREDICTORS = Choice(
    alternatives={
        "convolutional_box_predictor": ConvolutionalBoxPredictor,
        "weight_shared_convolutional_box_predictor": WeightSharedConvolutionalBoxPredictor,
    },
    refused={
        "mask_rcnn_box_predictor": (
            "is Faster R-CNN's head",
            "use weight_shared_convolutional_box_predictor or convolutional_box_predictor",
        ),
        "rfcn_box_predictor": _R_FCN,
    },
    required="use weight_shared_convolutional_box_predictor { ... }",
)

# What the `BoxPredictor` message of Faster R-CNN's second stage may be.
FASTER_RCNN_BOX_PREDICTORS = Choice(
    alternatives={"mask_rcnn_box_predictor": MaskRcnnBoxPredictor},
    refused={
        "convolutional_box_predictor": _OF_SSD,
        "weight_shared_convolutional_box_predictor": _OF_SSD,
        "rfcn_box_predictor": _R_FCN,
    },
)
