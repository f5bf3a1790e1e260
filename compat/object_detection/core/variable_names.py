"""The API's names of a model's variables, by which notebooks choose what to train.

`var.name.startswith("WeightSharedConvolutionalBoxPredictor/WeightSharedConvolutionalClassHead")` is how the few-shot
notebook finds the head. Trunks have the API's names already; pyramids and heads get them here.
"""

from __future__ import annotations

import re
from typing import Any

from train.checkpoints.object_paths import variables_by_path

_SHARED = "WeightSharedConvolutionalBoxPredictor"
_TOWERS = {"class_predictions_with_background": "ClassPredictionTower", "box_encodings": "BoxPredictionTower"}
# What the API's Keras feature extractors are called; a digit or two stand for the one in the config's type.
_EXTRACTORS = (
    (r"ssd_mobilenet_v1_fpn_keras", "ssd_mobile_net_v1_fpn_keras_feature_extractor"),
    (r"ssd_mobilenet_v2_fpn_keras", "ssd_mobile_net_v2_fpn_keras_feature_extractor"),
    (r"ssd_mobilenet_v1_keras", "ssd_mobile_net_v1_keras_feature_extractor"),
    (r"ssd_mobilenet_v2_keras", "ssd_mobile_net_v2_keras_feature_extractor"),
    (r"ssd_resnet(\d+)_v1_fpn_keras", r"ResNet\1V1_FPN"),
    (r"ssd_efficientnet-b(\d)_bifpn_keras", r"EfficientDet-D\1"),
    (r"faster_rcnn_resnet\d+_fpn_keras", "private__resnet_fpn"),
)
# From a variable's path in the tree to its name.
_HEADS = (
    (
        r"_box_predictor/_box_prediction_head/_box_encoder_layers/\d+/(\w+)",
        rf"{_SHARED}/WeightSharedConvolutionalBoxHead/BoxPredictor/\1",
    ),
    (
        r"_box_predictor/_prediction_heads/class_predictions_with_background/_class_predictor_layers/\d+/(\w+)",
        rf"{_SHARED}/WeightSharedConvolutionalClassHead/ClassPredictor/\1",
    ),
    (r"_box_predictor/_head_scope_conv_layers/(\w+)/(\d+)/(\w+)", rf"{_SHARED}/\1/conv2d_\2/\3"),
    (r"_first_stage_box_predictor_first_conv/layer_with_weights-0/(\w+)", r"RPNConv/\1"),
    (
        r"_mask_rcnn_box_predictor/_box_prediction_head/_box_encoder_layers/\d+/(kernel|bias)",
        r"mask_rcnn_keras_box_predictor/mask_rcnn_box_head/BoxEncodingPredictor_dense/\1",
    ),
    (
        r"_mask_rcnn_box_predictor/_class_prediction_head/_class_predictor_layers/\d+/(kernel|bias)",
        r"mask_rcnn_keras_box_predictor/mask_rcnn_class_head/ClassPredictor_dense/\1",
    ),
)
_MAP_HEADS = re.compile(
    r"(?P<place>_box_predictor|_first_stage_box_predictor)/_prediction_heads/(?P<kind>\w+)/(?P<level>\d+)/\w+/\d+/"
    r"(?P<variable>kernel|bias)"
)
_PLACES = {"_box_predictor": "BoxPredictor", "_first_stage_box_predictor": "FirstStageBoxPredictor"}
_MAP_HEAD_LAYERS = {
    "box_encodings": ("ConvolutionalBoxHead", "BoxEncodingPredictor"),
    "class_predictions_with_background": ("ConvolutionalClassHead", "ClassPredictor"),
}
_TOWER_NORM = re.compile(r"_box_predictor/_base_tower_layers_for_heads/(\w+)/(\d+)/(\d+)/(\w+)")
_BIFPN_NODE = re.compile(r"_feature_extractor/_bifpn_stage/\w+/(\d+)/")
_FEATURE_MAPS = "FeatureMaps/"


def give_api_names(tree: Any, feature_extractor_type: str) -> None:
    """Renames a model's variables as the API names them.

    Args:
        tree: The model's layers as the API holds them.
        feature_extractor_type: As the config has it.
    """
    variables = variables_by_path(tree)
    is_shared = any("_head_scope_conv_layers/PredictionTower/" in path for path in variables)
    layers_by_norm = _tower_positions(variables)
    for path, variable in variables.items():
        own = variable.name.removesuffix(":0")
        name = _head_name(path, is_shared, layers_by_norm) or _extractor_name(path, own, feature_extractor_type)
        # What a variable is called is fixed where it is made; nothing but `name` reads this afterwards.
        variable._handle_name = f"{name or own}:0"


def _tower_positions(paths: Any) -> dict[str, int]:
    """By a tower's norm's position in its list, which convolution it follows."""
    positions = {match[3] for path in paths if (match := _TOWER_NORM.fullmatch(path)) and match[4] == "moving_mean"}
    return {position: index for index, position in enumerate(sorted(positions, key=int))}


def _head_name(path: str, is_shared: bool, layers_by_norm: dict[str, int]) -> str | None:
    for pattern, name in _HEADS:
        if match := re.fullmatch(pattern, path):
            return match.expand(name)
    if match := _MAP_HEADS.fullmatch(path):
        head, layer = _MAP_HEAD_LAYERS[match["kind"]]
        return f"{_PLACES[match['place']]}/{head}_{match['level']}/{layer}/{match['variable']}"
    if match := _TOWER_NORM.fullmatch(path):
        tower = "PredictionTower" if is_shared else _TOWERS[match[1]]
        return f"{_SHARED}/{tower}/conv2d_{layers_by_norm[match[3]]}/BatchNorm/feature_{match[2]}/{match[4]}"
    return None


def _extractor_name(path: str, own: str, feature_extractor_type: str) -> str | None:
    """Of what lies beside the trunk: below the feature extractor's name."""
    prefix = next(
        (re.sub(pattern, name, feature_extractor_type) for pattern, name in _EXTRACTORS
         if re.fullmatch(pattern, feature_extractor_type)),
        None,
    )  # fmt: skip
    if prefix is None or "classification_backbone" in path or "/_efficientnet/" in path:
        return None
    if node := _BIFPN_NODE.match(path):
        return f"{prefix}/bifpn/node_{int(node[1]):02d}/{own.removeprefix('bifpn/')}"
    if "fpn_features_generator/" in path:
        return f"{prefix}/{_FEATURE_MAPS}top_down/{own.removeprefix(_FEATURE_MAPS)}"
    is_beside = "coarse_feature_layers/" in path or "feature_map_generator/" in path
    return f"{prefix}/{own}" if is_beside else None
