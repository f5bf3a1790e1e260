"""What a config of TensorFlow 1 starts from, in TensorFlow 2: the Detection Zoo's checkpoints, by network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from configs.migrating.changes import Change, on_one_line, written
from configs.schema.fields import PLACEHOLDER
from configs.settings.networks import TF1_EQUALS, TF1_WITHOUT_EQUAL
from configs.settings.training import FINE_TUNE_CHECKPOINT_TYPES

# The TensorFlow 2 Detection Zoo's models of the networks that a config of TensorFlow 1 may become, by the longer side
# of their input in pixels.
_RESNETS = ("resnet50", "resnet101", "resnet152")
ZOO_MODELS: dict[str, dict[int, str]] = {
    "ssd_mobilenet_v1_fpn_keras": {640: "ssd_mobilenet_v1_fpn_640x640_coco17_tpu-8"},
    "ssd_mobilenet_v2_keras": {320: "ssd_mobilenet_v2_320x320_coco17_tpu-8"},
    "ssd_mobilenet_v2_fpn_keras": {
        side: f"ssd_mobilenet_v2_fpnlite_{side}x{side}_coco17_tpu-8" for side in (320, 640)
    },
    **{
        f"ssd_{resnet}_v1_fpn_keras": {
            side: f"ssd_{resnet}_v1_fpn_{side}x{side}_coco17_tpu-8" for side in (640, 1024)
        }
        for resnet in _RESNETS
    },
    **{
        f"faster_rcnn_{resnet}_keras": {
            640: f"faster_rcnn_{resnet}_v1_640x640_coco17_tpu-8",
            1024: f"faster_rcnn_{resnet}_v1_1024x1024_coco17_tpu-8",
            1333: f"faster_rcnn_{resnet}_v1_800x1333_coco17_gpu-8",
        }
        for resnet in _RESNETS
    },
    "faster_rcnn_inception_resnet_v2_keras": {
        side: f"faster_rcnn_inception_resnet_v2_{side}x{side}_coco17_tpu-8" for side in (640, 1024)
    },
}  # fmt: skip
# A run downloads these weights of Keras Applications for a network's trunk, where the zoo has no model.
_IMAGENET = "imagenet"
_OF_TENSORFLOW_1 = re.compile(r"model\.ckpt(-\d+)?(\.\w+)?")
_OF_TENSORFLOW_2 = re.compile(r"ckpt-\d+")
_V2 = 2
_WHY = "of TensorFlow 1, which fits a network like its own alone"


def zoo_model(network: str, side: int) -> str | None:
    """The name of the zoo's model of a network whose input is nearest in size; None where the zoo has none.

    Args:
        network: `feature_extractor.type`, of TensorFlow 2.
        side: The longer side of the input, in pixels; 0 where images keep sizes of their own.
    """
    models = ZOO_MODELS.get(network, {})
    return models[min(models, key=lambda other: abs(other - side))] if models else None


def checkpoint_changes(config: Any, network: str, side: int, width: float) -> Iterator[Change]:
    """Yields what becomes of the fields that say what training starts from.

    Args:
        config: A `TrainEvalPipelineConfig` as it was.
        network: The network of TensorFlow 2 that it will have.
        side: The longer side of its input, in pixels; 0 where images keep sizes of their own.
        width: Its `depth_multiplier`; the zoo's models have 1.
    """
    train_config = config.train_config
    kind = train_config.fine_tune_checkpoint_type
    if train_config.HasField("from_detection_checkpoint"):
        reason = "fine_tune_checkpoint_type says it"
        yield Change(
            "train_config.from_detection_checkpoint", None, written(train_config.from_detection_checkpoint), reason
        )
    if not train_config.fine_tune_checkpoint:
        return
    is_replaced = is_of_tensorflow_1(config)
    model = zoo_model(network, side) if width == 1.0 else None
    wanted = kind or ("detection" if train_config.from_detection_checkpoint else "classification")
    if is_replaced and model is None:
        wanted = "classification"
    if wanted != kind and (kind in FINE_TUNE_CHECKPOINT_TYPES or not kind):
        reason = "what from_detection_checkpoint meant"
        if is_replaced and model is None:
            reason = f"{_IMAGENET} has the weights of a classifier"
        yield _changed(train_config, "fine_tune_checkpoint_type", wanted, reason)
    if is_replaced:
        if model is None:
            what = f"the TensorFlow 2 Detection Zoo has no {network} of this width, and Keras Applications its trunk"
            path = _IMAGENET
        else:
            path = f"{PLACEHOLDER}/{model}/checkpoint/ckpt-0"
            what = "this is the TensorFlow 2 Detection Zoo's of the network"
        yield _changed(train_config, "fine_tune_checkpoint", path, f"a checkpoint {_WHY}; {what}")
    version = "fine_tune_checkpoint_version"
    is_known = is_replaced or _OF_TENSORFLOW_2.fullmatch(_file_name(train_config))
    if is_known and train_config.fine_tune_checkpoint_version != _V2:
        was = "V1" if train_config.HasField(version) else ""
        yield Change(f"train_config.{version}", "V2", was, "unset means V1, a checkpoint of TensorFlow 1")


def is_of_tensorflow_1(config: Any) -> bool:
    """Whether the checkpoint that a config starts from is one of TensorFlow 1, as far as the config tells.

    Args:
        config: A `TrainEvalPipelineConfig` with a `fine_tune_checkpoint`.
    """
    train_config = config.train_config
    name = _file_name(train_config)
    if _OF_TENSORFLOW_1.fullmatch(name):
        return True
    if _OF_TENSORFLOW_2.fullmatch(name) or train_config.fine_tune_checkpoint == _IMAGENET:
        return False
    if train_config.HasField("fine_tune_checkpoint_version"):
        return bool(train_config.fine_tune_checkpoint_version != _V2)
    kind = config.model.WhichOneof("model")
    extractor = getattr(getattr(config.model, kind), "feature_extractor", None) if kind else None
    network = extractor.type if extractor is not None else ""
    return network in TF1_EQUALS or network in TF1_WITHOUT_EQUAL


def _file_name(train_config: Any) -> str:
    return PurePosixPath(train_config.fine_tune_checkpoint.replace("\\", "/")).name


def _changed(message: Any, name: str, value: str, reason: str) -> Change:
    was = on_one_line(getattr(message, name)) if message.HasField(name) else ""
    return Change(f"train_config.{name}", written(value), was, reason)
