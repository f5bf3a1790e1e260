"""Recognition of the network of a TensorFlow 1 file, by the names and shapes of its variables."""

from __future__ import annotations

import re
from collections.abc import Iterable

from data_prep.runtime.command_line import UserError
from train.checkpoints.architecture import Architecture
from train.checkpoints.tensorflow_1.named_source import NamedSource
from train.checkpoints.tensorflow_1.slim_names import FIRST_ROOT, SSD_ROOT

_MOBILENETS = {"MobilenetV1": "mobilenet_v1", "MobilenetV2": "mobilenet_v2"}
# Trunks that slim has beside those that are here.
_OTHER_TRUNKS = (
    "InceptionV2", "InceptionV3", "InceptionV4", "MobilenetV3", "MobilenetEdgeTPU", "MobileDetCPU", "NasNet", "cell_0",
    "cell_stem_0", "MNASFPN", "resnet_v1_18", "resnet_v1_34", "vgg_16",
)  # fmt: skip
_CODE_SIZE = 4


def slim_architecture(source: NamedSource) -> Architecture | None:
    """Recognises a network; None where none is.

    Raises:
        UserError: The names fit two networks.
    """
    by_root = {root: _trunks(source.names, root) for root in (SSD_ROOT, FIRST_ROOT)}
    found = [(root, trunk) for root, trunks in by_root.items() for trunk in trunks]
    if len(found) > 1:
        both = " and ".join(f"{root}{trunk}" for root, trunk in found[:2])
        raise UserError(f"{source.prefix}: names fit two networks, {both}; give a file of one")
    if not found:
        trunks = _trunks(source.names, "")
        return Architecture(trunks[0]) if len(trunks) == 1 else None
    root, trunk = found[0]
    heads = [name for name in source.names if re.match(r"WeightShared|BoxPredictor|SecondStageBoxPredictor", name)]
    is_pyramid = any(name.startswith(f"{root}{trunk}/fpn/") for name in source.names)
    return Architecture(
        trunk,
        _type(root, trunk, is_pyramid),
        _num_classes(source, root) if heads else None,
        tuple(_remarks(source, root, trunk)),
    )


def unknown_trunk(source: NamedSource) -> str | None:
    """The name of a trunk that the file has and that is not here, or None."""
    pieces = {piece for name in source.names for piece in name.split("/")[:3]}
    return next((trunk for trunk in _OTHER_TRUNKS if trunk in pieces), None)


def _trunks(names: Iterable[str], root: str) -> list[str]:
    known = re.compile(rf"{root}(MobilenetV1|MobilenetV2|resnet_v1_(?:50|101|152)|InceptionResnetV2)/")
    return sorted({match[1] for name in names if (match := known.match(name))})


def _type(root: str, trunk: str, is_pyramid: bool) -> str | None:
    suffix = "_fpn" if is_pyramid else ""
    if root == SSD_ROOT:
        if trunk in _MOBILENETS:
            return f"ssd_{_MOBILENETS[trunk]}{suffix}_keras"
        return f"ssd_resnet{trunk.removeprefix('resnet_v1_')}_v1_fpn_keras" if is_pyramid else None
    if trunk == "InceptionResnetV2":
        return "faster_rcnn_inception_resnet_v2_keras"
    is_resnet = trunk.startswith("resnet_v1_") and not is_pyramid
    return f"faster_rcnn_resnet{trunk.removeprefix('resnet_v1_')}_keras" if is_resnet else None


def _num_classes(source: NamedSource, root: str) -> int | None:
    """Without background."""
    if root == FIRST_ROOT:
        shape = source.shape_of("SecondStageBoxPredictor/ClassPredictor/biases")
        return shape[0] - 1 if shape else None
    for scores, codes in (
        ("BoxPredictor_0/ClassPredictor/biases", "BoxPredictor_0/BoxEncodingPredictor/biases"),
        ("BoxPredictor/ClassPredictor/biases", "BoxPredictor/BoxEncodingPredictor/biases"),
        ("WeightSharedConvolutionalBoxPredictor/ClassPredictor/biases",
         "WeightSharedConvolutionalBoxPredictor/BoxPredictor/biases"),
    ):  # fmt: skip
        score_shape, code_shape = source.shape_of(scores), source.shape_of(codes)
        if score_shape and code_shape:
            anchors = max(code_shape[0] // _CODE_SIZE, 1)
            return score_shape[0] // anchors - 1 if score_shape[0] % anchors == 0 else None
    return None


def _remarks(source: NamedSource, root: str, trunk: str) -> Iterable[str]:
    if any(re.match(rf"{root}{trunk}/.*Conv2d_\d_3x3_s2_\d+_depthwise/", name) for name in source.names):
        yield "feature_extractor.use_depthwise: true"
    shape = source.shape_of("BoxPredictor_0/ClassPredictor/weights")
    if any(name.startswith("BoxPredictor_0/ClassPredictor_depthwise/") for name in source.names):
        yield "box_predictor.use_depthwise: true"
    elif shape and len(shape) == 4:
        yield f"box_predictor.kernel_size: {shape[0]}"
