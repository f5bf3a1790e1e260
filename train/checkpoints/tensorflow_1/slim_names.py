"""The names that tf_slim and the Object Detection API of TensorFlow 1 gave the variables of our networks.

Our networks are layer for layer the API's of TensorFlow 2, and those were TensorFlow 1's with other names. A name is a
scope and an attribute: `FeatureExtractor/MobilenetV2/Conv/BatchNorm/gamma`. The scopes of a trunk follow from Keras'
names of its layers, those of heads from where the API's checkpoints of TensorFlow 2 hold them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
import tf_keras

from train.checkpoints.object_paths import variables_by_path

_ATTRIBUTES = {
    "kernel": "weights",
    "bias": "biases",
    "depthwise_kernel": "depthwise_weights",
    "pointwise_kernel": "pointwise_weights",
}
_NORM_ATTRIBUTES = ("gamma", "beta", "moving_mean", "moving_variance")
# What a name ends with; the rest of it is a layer's scope.
SLIM_ATTRIBUTES = (*_ATTRIBUTES.values(), *_NORM_ATTRIBUTES)
# What stands before a trunk's scopes: in an SSD, in a Faster R-CNN's two stages, in a classifier.
SSD_ROOT, FIRST_ROOT, SECOND_ROOT, NO_ROOT = (
    "FeatureExtractor/",
    "FirstStageFeatureExtractor/",
    "SecondStageFeatureExtractor/",
    "",
)
_SHARED = "WeightSharedConvolutionalBoxPredictor"
_TOWERS = {"box_encodings": "BoxPredictionTower", "class_predictions_with_background": "ClassPredictionTower"}
_HEADS = {"box_encodings": "BoxEncodingPredictor", "class_predictions_with_background": "ClassPredictor"}
# A convolution, its normalisation and its activation.
_LAYERS_OF_TOWER_STEP = 3


def slim_names(network: Any) -> dict[int, tuple[str, ...]]:
    """Names each variable of a network as TensorFlow 1 did.

    Args:
        network: With `api_objects`, an SSD or a Faster R-CNN.

    Returns:
        By `id(variable)` the names that it may have, the likeliest first; variables of layers that TensorFlow 1 did not
        have are left out.
    """
    names: dict[int, tuple[str, ...]] = {}
    paths = variables_by_path(network.api_objects)
    is_ssd = any(path.startswith("_feature_extractor/") for path in paths)
    trunk_layers = [layer for layer in network.backbone.layers if layer.weights]
    trunk_scopes = _trunk_scopes(trunk_layers)
    trunk_scope = next(iter(trunk_scopes.values()), "").split("/")[0]
    for layer in trunk_layers:
        scope = trunk_scopes.get(layer.name)
        if scope is not None:
            for attribute, variable in variables_by_path(layer).items():
                names[id(variable)] = _trunk_names(_named(scope, attribute), is_ssd)
    if is_ssd:
        in_trunk = {id(layer) for layer in trunk_layers}
        for layer in network.feature_extractor._flatten_layers():
            if (
                id(layer) in in_trunk
                or not layer.weights
                or any(True for _ in layer._flatten_layers(include_self=False))
            ):
                continue
            scope = f"{trunk_scope}/{_feature_scope(layer)}"
            for attribute, variable in variables_by_path(layer).items():
                names[id(variable)] = (f"{SSD_ROOT}{_named(scope, attribute)}",)
    has_shared_tower = any("_head_scope_conv_layers/PredictionTower/" in path for path in paths)
    for path, variable in paths.items():
        head = _head_names(path, variable, has_shared_tower=has_shared_tower)
        if head:
            names[id(variable)] = head
    return names


def _named(scope: str, attribute: str) -> str:
    """`scope` and what slim calls Keras' `attribute` of a layer there."""
    if attribute in _NORM_ATTRIBUTES:
        return f"{scope}/BatchNorm/{attribute}"
    return f"{scope}/{_ATTRIBUTES.get(attribute, attribute)}"


def _trunk_names(name: str, is_ssd: bool) -> tuple[str, ...]:
    """The names that a trunk's variable has in detectors, its own family first, and in a classifier."""
    if is_ssd:
        return tuple(f"{root}{name}" for root in (SSD_ROOT, FIRST_ROOT, NO_ROOT))
    # The first stage of a TensorFlow 1 checkpoint may have its own copy of what only the second one uses.
    is_second = re.match(r"resnet_v1_\d+/block4/|InceptionResnetV2/(Mixed_7a|Repeat_2|Block8|Conv2d_7b)", name)
    first = f"{SECOND_ROOT}{name.replace('/Repeat_2/', '/Repeat/')}" if is_second else f"{FIRST_ROOT}{name}"
    return (first, f"{SSD_ROOT}{name}", f"{NO_ROOT}{name}")


def _trunk_scopes(layers: list[tf_keras.layers.Layer]) -> dict[str, str]:
    """Slim's scope of each layer of a trunk that slim has, by Keras' name."""
    names = [layer.name for layer in layers]
    if "bn_Conv1" in names:
        return {name: f"MobilenetV2/{_mobilenet_v2_scope(name)}" for name in names}
    if "conv_pw_1" in names:
        return {name: f"MobilenetV1/{_mobilenet_v1_scope(name)}" for name in names}
    if "conv1_conv" in names:
        blocks = len({match[1] for name in names if (match := re.match(r"conv4_block(\d+)_", name))})
        depth = {6: 50, 23: 101, 36: 152}.get(blocks, 0)
        return {name: f"resnet_v1_{depth}/{_resnet_scope(name)}" for name in names}
    if any(name.startswith("block35_") for name in names):
        return {name: f"InceptionResnetV2/{scope}" for name, scope in _inception_scopes(layers).items()}
    return {}


def _mobilenet_v2_scope(name: str) -> str:
    name = re.sub(r"_BN$", "", name)
    if match := re.fullmatch(r"(expanded_conv|block_\d+)_(expand|depthwise|project)", name):
        return f"{match[1].replace('block_', 'expanded_conv_')}/{match[2]}"
    return {"Conv1": "Conv", "bn_Conv1": "Conv", "Conv_1_bn": "Conv_1"}.get(name, name)


def _mobilenet_v1_scope(name: str) -> str:
    name = name.removesuffix("_bn")
    if match := re.fullmatch(r"conv_(dw|pw)_(\d+)", name):
        return f"Conv2d_{match[2]}_{'depthwise' if match[1] == 'dw' else 'pointwise'}"
    return {"conv1": "Conv2d_0"}.get(name, name)


def _resnet_scope(name: str) -> str:
    """Keras counts stages from the first convolution and a block's shortcut as its convolution 0."""
    if match := re.fullmatch(r"conv(\d)_block(\d+)_(\d)_(?:conv|bn)", name):
        part = "shortcut" if match[3] == "0" else f"conv{match[3]}"
        return f"block{int(match[1]) - 1}/unit_{match[2]}/bottleneck_v1/{part}"
    return {"conv1_conv": "conv1", "conv1_bn": "conv1"}.get(name, name)


def _inception_scopes(layers: list[tf_keras.layers.Layer]) -> dict[str, str]:
    """Keras numbers most of this trunk's layers in the order in which it makes them, which is slim's too."""
    scopes: dict[str, str] = {}
    normed = list(_inception_normed_scopes())
    for kind in (tf_keras.layers.Conv2D, tf_keras.layers.BatchNormalization):
        numbered = sorted(
            (int(match[1] or 0), layer.name)
            for layer in layers
            if isinstance(layer, kind) and (match := re.fullmatch(r"[a-z_]+?(?:2d)?(?:_(\d+))?", layer.name))
        )
        scopes |= {name: scope for (_, name), scope in zip(numbered, normed, strict=False)}
    for layer in layers:
        if match := re.fullmatch(r"block(35|17|8)_(\d+)_conv", layer.name):
            scopes[layer.name] = f"{_inception_block(match[1], int(match[2]))}/Conv2d_1x1"
        elif layer.name in ("conv_7b", "conv_7b_bn"):
            scopes[layer.name] = "Conv2d_7b_1x1"
    return scopes


def _inception_block(kind: str, number: int) -> str:
    if kind == "8" and number == 10:
        return "Block8"
    repeat = {"35": "Repeat", "17": "Repeat_1", "8": "Repeat_2"}[kind]
    return f"{repeat}/block{kind}_{number}"


def _inception_normed_scopes() -> Iterator[str]:
    """The scopes of convolutions with batch norm but the last, in order."""
    yield from ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3")
    branches = {
        "Mixed_5b": ("0/Conv2d_1x1", "1/0a_1x1", "1/0b_5x5", "2/0a_1x1", "2/0b_3x3", "2/0c_3x3", "3/0b_1x1"),
        "35": ("0/Conv2d_1x1", "1/0a_1x1", "1/0b_3x3", "2/0a_1x1", "2/0b_3x3", "2/0c_3x3"),
        "Mixed_6a": ("0/1a_3x3", "1/0a_1x1", "1/0b_3x3", "1/1a_3x3"),
        "17": ("0/Conv2d_1x1", "1/0a_1x1", "1/0b_1x7", "1/0c_7x1"),
        "Mixed_7a": ("0/0a_1x1", "0/1a_3x3", "1/0a_1x1", "1/1a_3x3", "2/0a_1x1", "2/0b_3x3", "2/1a_3x3"),
        "8": ("0/Conv2d_1x1", "1/0a_1x1", "1/0b_1x3", "1/0c_3x1"),
    }
    counts = {"35": 10, "17": 20, "8": 10}
    for name, parts in branches.items():
        blocks = [_inception_block(name, number + 1) for number in range(counts[name])] if name in counts else [name]
        for block in blocks:
            for part in parts:
                branch, convolution = part.split("/")
                prefix = "" if convolution.startswith("Conv2d") else "Conv2d_"
                yield f"{block}/Branch_{branch}/{prefix}{convolution}"


def _feature_scope(layer: tf_keras.layers.Layer) -> str:
    """The scope of a layer of an SSD's added maps or pyramid, below the trunk's."""
    name = re.sub(r"_(conv|batchnorm)$", "", layer.name)
    if isinstance(layer, tf_keras.layers.SeparableConv2D):
        name = name.removesuffix("_depthwise")
    is_pyramid = re.match(r"projection_\d+|smoothing_\d+|bottom_up_", name)
    return f"fpn/{name}" if is_pyramid else name


# Paths of heads in the API's tree, and the scopes of TensorFlow 1 that they stand for; `{n}` are the path's groups.
_HEAD_SCOPES = (
    (r"_box_predictor/_prediction_heads/(\w+)/(\d+)/_\w+_layers/\d+", "BoxPredictor_{1}/{head}{depthwise}"),
    (r"_box_predictor/_shared_nets/(\d+)/(\d+)", "BoxPredictor_{0}/Conv2d_{step}_1x1_{depth}"),
    (r"_box_predictor/_head_scope_conv_layers/(\w+)/(\d+)", f"{_SHARED}/{{0}}/conv2d_{{1}}"),
    (r"_box_predictor/_base_tower_layers_for_heads/(\w+)/(\d+)/(\d+)", f"{_SHARED}/{{tower}}/conv2d_{{step}}"),
    (r"_box_predictor/_additional_projection_layers/(\d+)/\d+", f"{_SHARED}/ProjectionLayer/conv2d_{{0}}"),
    (r"_box_predictor/_box_prediction_head/_box_encoder_layers/\d+", f"{_SHARED}/BoxPredictor"),
    (r"_box_predictor/_prediction_heads/\w+/_class_predictor_layers/\d+", f"{_SHARED}/ClassPredictor"),
    (r"_first_stage_box_predictor_first_conv/layer_with_weights-\d+", "Conv"),
    (r"_first_stage_box_predictor/_prediction_heads/(\w+)/0/_\w+_layers/\d+", "FirstStageBoxPredictor/{head}"),
    (r"_mask_rcnn_box_predictor/_box_prediction_head/_\w+_layers/\d+", "SecondStageBoxPredictor/BoxEncodingPredictor"),
    (r"_mask_rcnn_box_predictor/_class_prediction_head/_\w+_layers/\d+", "SecondStageBoxPredictor/ClassPredictor"),
)


def _head_names(path: str, variable: tf.Variable, *, has_shared_tower: bool) -> tuple[str, ...]:
    """The names that a variable of a head may have, by its path in the API's tree; none for another."""
    place, attribute = path.rsplit("/", 1)
    is_norm = attribute in _NORM_ATTRIBUTES
    for pattern, template in _HEAD_SCOPES:
        match = re.fullmatch(pattern, place)
        if match is None:
            continue
        groups = match.groups()
        scope = template.format(
            *groups,
            head=_HEADS.get(groups[0], "") if groups else "",
            depthwise="_depthwise" if is_norm or attribute == "depthwise_kernel" else "",
            tower="PredictionTower" if has_shared_tower else _TOWERS.get(groups[0], "") if groups else "",
            step=int(groups[-1]) // _LAYERS_OF_TOWER_STEP if len(groups) > 1 else "",
            depth=variable.shape[-1],
        )
        if "_base_tower_layers_for_heads" in pattern:  # convolutions are the maps' in common, norms each one's own
            return (f"{scope}/BatchNorm/feature_{groups[1]}/{attribute}",)
        name = _named(scope, attribute)
        # An SSD of one feature map does not number it.
        return (name, name.replace("BoxPredictor_0/", "BoxPredictor/", 1)) if "BoxPredictor_0/" in name else (name,)
    return ()
