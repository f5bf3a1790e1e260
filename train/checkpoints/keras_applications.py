"""ImageNet weights of Keras Applications for the trunks that are Keras' own networks.

A trunk's layers have Keras' names, or, where the API's network is Model Garden's EfficientNet, names that stand for
them. Two things differ from Keras: the ResNets here have no biases in convolutions, which are subtracted from the mean
of the batch norm that follows (the same numbers come out); and they take RGB where Keras' took BGR, so that the first
kernel is turned round.
"""

from __future__ import annotations

import difflib
import re
import urllib.error
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from data_prep.runtime.command_line import UserError
from train.checkpoints.architecture import EFFICIENTNETS
from train.checkpoints.keras_weights import LayerValues, read_keras_weights
from train.checkpoints.object_paths import children_of, variables_by_path
from train.checkpoints.restore_report import OTHER_SHAPE, RestoreReport

KEYWORDS = ("imagenet", "keras_applications")
_SUFFIXES = (".h5", ".hdf5", ".keras")
_CLASSIFIER_LAYERS = ("predictions", "conv_preds", "logits")

# Keras' networks by the last layers' filters for each width, and by blocks.
_MOBILENET_V2_WIDTHS = {112: 0.35, 160: 0.5, 240: 0.75, 320: 1.0, 416: 1.3, 448: 1.4}
_MOBILENET_V1_WIDTHS = {256: 0.25, 512: 0.5, 768: 0.75, 1024: 1.0}
_RESNET_DEPTHS = {6: 50, 23: 101, 36: 152}


def is_keras_source(checkpoint: str | Path) -> bool:
    """Whether a `fine_tune_checkpoint` means weights of Keras Applications: a keyword or an HDF5 file."""
    return str(checkpoint) in KEYWORDS or str(checkpoint).endswith(_SUFFIXES)


def keras_values(model: Any, checkpoint: str | Path) -> tuple[list[tuple[tf.Variable, np.ndarray]], RestoreReport]:
    """Finds the values that a trunk takes from weights of Keras Applications.

    Args:
        model: With `api_objects`, the trunk among them.
        checkpoint: A file, or a keyword to have Keras download the weights (once; it keeps them in `~/.keras/models`).

    Returns:
        Variables with their values, and the report of taking them.

    Raises:
        UserError: The trunk is none of Keras', or the weights cannot be read or downloaded.
    """
    layers = {layer.name: layer for trunk in trunks_of(model) for layer in trunk.layers if layer.weights}
    if str(checkpoint) in KEYWORDS:
        name, source = _downloaded(layers)
        report = RestoreReport(f"tf_keras.applications.{name}", "Keras Applications' ImageNet weights")
    else:
        source = {name: values for name, values in read_keras_weights(checkpoint).items() if values}
        report = RestoreReport(str(checkpoint), "weights of Keras Applications in an HDF5 file")
    names = _names_in_source(layers, source)
    is_resnet = "conv1_conv" in names
    if is_resnet:
        _fold_biases(names, layers, source)
        report.notes.append("ResNet: biases folded into batch norm, first kernel from BGR to RGB")
    assignments = _assignments(layers, names, source, report, is_resnet)
    used = set(names.values())
    for name in source:
        if name not in used:
            is_top = name in _CLASSIFIER_LAYERS or name == "normalization"
            report.skipped.append((name, "belongs to the classifier" if is_top else "no such layer in the trunk"))
    if not used:
        near = difflib.get_close_matches(next(iter(layers)), list(source), n=3, cutoff=0.0)
        report.notes.append(f"the trunk has {', '.join(list(layers)[:3])}; the weights have {', '.join(near)}")
    return assignments, report


def trunks_of(model: Any) -> list[tf_keras.Model]:
    """A model's trunk, in two halves in a Faster R-CNN on one feature map.

    Args:
        model: With `api_objects`, the trunk among them.

    Raises:
        UserError: The trunk is none of Keras Applications' networks.
    """
    api_objects = getattr(model, "api_objects", None)
    if api_objects is None:
        raise UserError(
            "fine_tune_checkpoint: the trunk of this feature_extractor.type is none of Keras Applications'; take a "
            "checkpoint of its own"
        )
    children = children_of(api_objects)
    for name, second in (
        ("_feature_extractor", None),
        ("_feature_extractor_for_proposal_features", "_feature_extractor_for_box_classifier_features"),
    ):
        if name in children:
            inside = children_of(children[name])
            if "classification_backbone" in inside:
                return [inside["classification_backbone"]]
            return [children[key] for key in (name, second) if key in children]
    raise AssertionError("an SSD or a Faster R-CNN has a feature extractor")


def _names_in_source(layers: Iterable[str], source: LayerValues) -> dict[str, str]:
    """Each of the trunk's layers' name in the source, for those that are there."""
    named = {name: keras for name in layers if (keras := _keras_name(name)) in source}
    # Layers that Keras numbers as it makes them: the same order on both sides.
    for our_kinds, their_kind in (
        (("conv2d",), "conv2d"),
        (("freezable_batch_norm", "sync_batch_normalization", "batch_normalization"), "batch_normalization"),
    ):
        theirs = _numbered(their_kind, source)
        for kind in our_kinds:
            ours = _numbered(kind, layers)
            if ours and len(ours) == len(theirs):
                named |= dict(zip(ours, theirs, strict=True))
    return named


def _numbered(kind: str, names: Iterable[str]) -> list[str]:
    found = [(int(match[1] or 0), name) for name in names if (match := re.fullmatch(rf"{kind}(?:_(\d+))?", name))]
    return [name for _, name in sorted(found)]


def _keras_name(name: str) -> str:
    """The name in Keras' EfficientNet of a layer of Model Garden's; other names are Keras' already."""
    if match := re.fullmatch(r"stack_(\d+)/block_(\d+)/(\w+)", name):
        part = {
            "expand_conv2d": "expand_conv",
            "depthwise_conv2d": "dwconv",
            "depthwise_bn": "bn",
            "se_reduce_conv2d": "se_reduce",
            "se_expand_conv2d": "se_expand",
            "project_conv2d": "project_conv",
        }.get(match[3], match[3])
        return f"block{int(match[1]) + 1}{chr(ord('a') + int(match[2]))}_{part}"
    return {"stem_conv2d": "stem_conv", "top_conv2d": "top_conv", "logits": "predictions"}.get(name, name)


def _fold_biases(names: dict[str, str], layers: dict[str, tf_keras.layers.Layer], source: LayerValues) -> None:
    for ours, theirs in names.items():
        norm = source.get(re.sub(r"_conv$", "_bn", theirs))
        bias = source[theirs].get("bias")
        has_bias = getattr(layers[ours], "use_bias", False)
        if bias is None or has_bias or norm is None or norm is source[theirs] or "moving_mean" not in norm:
            continue
        if bias.shape == norm["moving_mean"].shape:
            norm["moving_mean"] = norm["moving_mean"] - source[theirs].pop("bias")


def _assignments(
    layers: dict[str, tf_keras.layers.Layer],
    names: dict[str, str],
    source: LayerValues,
    report: RestoreReport,
    is_resnet: bool,
) -> list[tuple[tf.Variable, np.ndarray]]:
    assignments = []
    for name, layer in layers.items():
        values = source.get(names.get(name, ""), {})
        for attribute, variable in variables_by_path(layer).items():
            full_name = f"trunk/{name}/{attribute}"
            value = values.get(attribute)
            if value is None:
                if name in _CLASSIFIER_LAYERS:
                    report.skipped.append((full_name, "belongs to the classifier"))
                else:
                    report.missing.append(full_name)
            elif value.shape != tuple(variable.shape):
                report.skipped.append((full_name, OTHER_SHAPE))
                report.details[full_name] = f"{list(value.shape)} in the weights, {list(variable.shape)} here"
            else:
                if is_resnet and full_name == "trunk/conv1_conv/kernel":
                    value = value[:, :, ::-1]
                assignments.append((variable, value))
                report.restored.append(full_name)
    return assignments


def _downloaded(layers: dict[str, tf_keras.layers.Layer]) -> tuple[str, LayerValues]:
    name, arguments = _application(layers)
    try:
        network = getattr(tf_keras.applications, name)(weights="imagenet", include_top=False, **arguments)
    except (OSError, urllib.error.URLError) as error:
        raise _no_download(name, error) from error
    except Exception as error:
        # Keras' download raises no narrower class than this.
        if "URL fetch failure" not in str(error):
            raise
        raise _no_download(name, error) from error
    source = {
        layer.name: {path: variable.numpy() for path, variable in variables_by_path(layer).items()}
        for layer in network.layers
        if layer.weights
    }
    return name, source


def _no_download(name: str, error: Exception) -> UserError:
    return UserError(
        f"Keras cannot download the ImageNet weights of {name} ({str(error).splitlines()[0][:200]}); download the file "
        "elsewhere and give its path, *.h5, as fine_tune_checkpoint"
    )


def _application(layers: dict[str, tf_keras.layers.Layer]) -> tuple[str, dict[str, Any]]:
    """The network of Keras Applications that a trunk is, and its width.

    Raises:
        UserError: None, or one that Keras has no weights for.
    """

    def filters(name: str) -> int:
        return int(layers[name].weights[0].shape[-1])

    if "conv1_conv" in layers:
        blocks = len({match[1] for name in layers if (match := re.match(r"conv4_block(\d+)_", name))})
        if blocks in _RESNET_DEPTHS and filters("conv1_conv") == 64:
            return f"ResNet{_RESNET_DEPTHS[blocks]}", {}
    elif "block_16_project" in layers:
        if filters("block_16_project") in _MOBILENET_V2_WIDTHS:
            return "MobileNetV2", {"alpha": _MOBILENET_V2_WIDTHS[filters("block_16_project")]}
    elif "conv_pw_13" in layers:
        width = _MOBILENET_V1_WIDTHS.get(filters("conv_pw_11") * 2)
        if width is not None:
            return "MobileNet", {"alpha": width}
    elif "conv_7b" in layers or any(name.startswith("block35_") for name in layers):
        return "InceptionResNetV2", {}
    elif "top_conv2d" in layers:
        blocks = sum(name.endswith("/project_conv2d") for name in layers)
        letter = EFFICIENTNETS.get((filters("top_conv2d"), blocks))
        if letter is not None:
            return f"EfficientNet{letter.upper()}", {}
    raise UserError(
        "fine_tune_checkpoint: Keras Applications have no ImageNet weights for a trunk of this type and width "
        f"(its first layers are {', '.join(list(layers)[:3])})"
    )
