"""Recognition of the architecture of a checkpoint, by the paths and shapes of its variables."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from train.checkpoints.efficientnet_lite_weights import SIZES
from train.checkpoints.object_checkpoint import VALUE_SUFFIX, ObjectCheckpoint
from train.checkpoints.parts import trunk_places

Shape = tuple[int, ...]

_RESNETS = {53: "resnet50", 104: "resnet101", 155: "resnet152"}
# EfficientNet's letters by the filters of the last convolution and the number of blocks.
EFFICIENTNETS = {
    (1280, 16): "b0", (1280, 23): "b1", (1408, 23): "b2", (1536, 26): "b3",
    (1792, 32): "b4", (2048, 39): "b5", (2304, 45): "b6", (2560, 55): "b7",
}  # fmt: skip
# By the number of depthwise convolutions.
_MOBILENETS = {13: "mobilenet_v1", 17: "mobilenet_v2"}
_MOBILENET_V2_LAST = 960
_INCEPTION_CONVOLUTIONS = 244
_LITE_FIRST = 32
# Of a block of Model Garden's.
_LAST_PROJECTION = "_conv2/kernel"
_CODE_SIZE = 4
_MAX_LAYERS = 2000

_ANY_ROOT = r"(?:_?model/)?"
_SSD_SCORES = re.compile(
    _ANY_ROOT
    + r"(?:_box_predictor/_prediction_heads/class_predictions_with_background/(?:0/)?_class_predictor_layers/\d+"
    r"|head/_(?:classifier|class_predictor)|head/.*class_predictor.*)/bias"
)
_SSD_BOXES = re.compile(
    _ANY_ROOT + r"(?:_box_predictor/(?:_box_prediction_head|_prediction_heads/box_encodings/0)/_box_encoder_layers/\d+"
    r"|head/_(?:box_regressor|box_predictor)|head/.*(?:box_predictor|box_encoder).*)/bias"
)
_SECOND_STAGE_SCORES = re.compile(
    _ANY_ROOT + r"(?:_mask_rcnn_box_predictor/_class_prediction_head/_class_predictor_layers/\d+"
    r"|detection_head/.*_(?:classifier|class_predictor))/bias"
)


@dataclass(frozen=True)
class Architecture:
    """The architecture that a checkpoint looks like.

    Attributes:
        trunk: In words, such as `MobileNetV2`.
        feature_extractor_type: As a pipeline config names it; None where there is a trunk only, or another network.
        num_classes: Without background; None where there is no class head.
        remarks: What else a config must say, such as `use_depthwise: true`.
    """

    trunk: str
    feature_extractor_type: str | None = None
    num_classes: int | None = None
    remarks: tuple[str, ...] = ()

    def describe(self) -> str:
        """In a few words."""
        if self.feature_extractor_type is None:
            text = f"a {self.trunk} without a detector that is known here"
        else:
            text = f'feature_extractor.type: "{self.feature_extractor_type}"'
        if self.num_classes is not None:
            text += f", num_classes: {self.num_classes}"
        return text + (f" ({', '.join(self.remarks)})" if self.remarks else "")


def architecture_of(source: ObjectCheckpoint) -> Architecture | None:
    """Recognises an architecture; None where none is."""
    layers = trunk_layers(source)
    found = _trunk_of(layers)
    if found is None:
        return None
    trunk, remarks = found
    names = source.names
    is_two_stage = any("_for_proposal_features" in name or "rpn_head/" in name for name in names)
    is_pyramid = any("fpn_features_generator/" in name for name in names)
    kind = None
    if is_two_stage:
        kind = _two_stage_type(trunk, is_pyramid)
    elif any("bifpn_stage/" in name for name in names):
        kind = f"ssd_{trunk}_bifpn_keras" if trunk.startswith("efficientnet-b") else None
    elif trunk.startswith("efficientnet-lite"):
        kind = f"ssd_{trunk}_fpn_keras" if any("decoder/" in name for name in names) else None
    elif is_pyramid:
        kind = f"ssd_{trunk}_v1_fpn_keras" if trunk.startswith("resnet") else f"ssd_{trunk}_fpn_keras"
        if any("fpn_features_generator/" in name and "depthwise_kernel" in name for name in names):
            remarks = (*remarks, "use_depthwise: true")
    elif any("feature_map_generator/" in name for name in names):
        kind = f"ssd_{trunk}_keras"
    classes, remark = _classes(source, is_two_stage, kind)
    return Architecture(_WORDS.get(trunk, trunk), kind, classes, (*remarks, *([remark] if remark else [])))


_WORDS = {"mobilenet_v1": "MobileNetV1", "mobilenet_v2": "MobileNetV2", "inception_resnet_v2": "Inception-ResNet-v2"}


def _two_stage_type(trunk: str, is_pyramid: bool) -> str | None:
    if trunk == "inception_resnet_v2":
        return "faster_rcnn_inception_resnet_v2_keras"
    if trunk.startswith("resnet"):
        return f"faster_rcnn_{trunk}{'_fpn' if is_pyramid else ''}_keras"
    return None


def trunk_layers(source: ObjectCheckpoint) -> list[dict[str, Shape]]:
    """The shapes of a trunk's variables by their paths in each layer, in order, wherever the checkpoint has it."""
    best: list[dict[str, Shape]] = []
    for place in trunk_places(source):
        layers: list[dict[str, Shape]] = []
        for number in range(_MAX_LAYERS):
            node = place(f"layer_with_weights-{number}")
            if node is None:
                break
            layers.append(dict(_shapes_below(source, node)))
        if len(layers) > len(best):
            best = layers
    return best


def _shapes_below(source: ObjectCheckpoint, node: int, path: str = "", depth: int = 3) -> Iterable[tuple[str, Shape]]:
    key = source.key_of(node)
    shape = source.shape_of(key) if key else None
    if shape is not None:
        yield path.strip("/"), shape
    elif depth:
        for name, child in source.children(node).items():
            yield from _shapes_below(source, child, f"{path}/{name}", depth - 1)


def _trunk_of(layers: list[dict[str, Shape]]) -> tuple[str, tuple[str, ...]] | None:
    convolutions = [layer["kernel"] for layer in layers if len(layer.get("kernel", ())) == 4]
    depthwise = [layer["depthwise_kernel"] for layer in layers if "depthwise_kernel" in layer]
    nested = [layer for layer in layers if any("/" in path for path in layer)]
    if nested:
        has_excitation = any("_squeeze_excitation" in path for layer in nested for path in layer)
        size = SIZES.get((len(nested), nested[-1].get(_LAST_PROJECTION, (0,))[-1]))
        is_lite = size is not None and not has_excitation and convolutions[0][-1] == _LITE_FIRST
        return (f"efficientnet-lite{size}" if is_lite else "backbone of Model Garden's", ())
    if not convolutions:
        return None
    has_bias = any("bias" in layer for layer in layers if len(layer.get("kernel", ())) == 4)
    remarks: tuple[str, ...] = ()
    if not depthwise:
        is_inception = len(convolutions) >= _INCEPTION_CONVOLUTIONS
        name = "inception_resnet_v2" if is_inception else _RESNETS.get(len(convolutions))
    elif has_bias:
        # A detector's own view ends before the last convolution.
        by_blocks = [letter for (_, count), letter in EFFICIENTNETS.items() if count == len(depthwise)]
        only = by_blocks[0] if len(by_blocks) == 1 else None
        letter = EFFICIENTNETS.get((convolutions[-1][-1], len(depthwise)), only)
        name = f"efficientnet-{letter}" if letter else None
    else:
        name = _MOBILENETS.get(len(depthwise))
        if name == "mobilenet_v2":
            width = round(depthwise[-1][2] / _MOBILENET_V2_LAST, 2)
            remarks = () if width == 1.0 else (f"depth_multiplier: about {width:g}",)
    return (name, remarks) if name else None


def _classes(source: ObjectCheckpoint, is_two_stage: bool, kind: str | None) -> tuple[int | None, str]:
    """The number of classes, and what must be said of it."""

    def last_axis(pattern: re.Pattern[str]) -> int | None:
        # The last layer of a head comes last.
        names = sorted(name for name in source.names if pattern.fullmatch(name))
        shape = source.shape_of(f"{names[-1]}{VALUE_SUFFIX}") if names else None
        return shape[-1] if shape else None

    if is_two_stage:
        scores = last_axis(_SECOND_STAGE_SCORES)
        return (scores - 1, "") if scores else (None, "")
    scores, codes = last_axis(_SSD_SCORES), last_axis(_SSD_BOXES)
    if not scores or not codes or scores % max(codes // _CODE_SIZE, 1):
        return None, ""
    slots = scores // max(codes // _CODE_SIZE, 1)
    if kind is not None and "bifpn" in kind:
        return slots, "add_background_class: false, as in EfficientDet's recipes"
    return slots - 1, f"{slots} with add_background_class: false"
