"""`build`: from a `DetectionModel` message to a model."""

from __future__ import annotations

from typing import Any

from configs.schema.descriptors import ROOT_MESSAGE, message_class
from configs.settings.declaration import SettingsError
from configs.settings.migration import migrate
from configs.settings.model import read_model
from data_prep.runtime.command_line import UserError
from object_detection.core.model import DetectionModel
from object_detection.protos import model_pb2  # type: ignore[attr-defined]
from train.models.build import build_detector


def build(model_config: Any, is_training: bool, add_summaries: bool = True) -> DetectionModel[Any]:
    """Builds a model with its variables.

    Args:
        model_config: A `model_pb2.DetectionModel`, as `config_util.get_configs_from_pipeline_file(...)["model"]`.
        is_training: Whether it is for training; see `DetectionModel`.
        add_summaries: Means nothing: models write no summaries.

    Raises:
        ValueError: `model_config` is no such message, or says what cannot be honoured; the message has the field, the
            reason and what to write instead.
    """
    del add_summaries
    if not isinstance(model_config, model_pb2.DetectionModel):
        raise ValueError(
            f"model_config is a {type(model_config).__name__}, and must be a model_pb2.DetectionModel of this package"
        )
    config: Any = message_class(ROOT_MESSAGE)()
    config.model.CopyFrom(model_config)
    # Names of TensorFlow 1, and what an older config leaves unsaid, are read as everywhere here.
    config, _ = migrate(config)
    try:
        detector = build_detector(read_model(config))
    except (SettingsError, UserError) as error:
        raise ValueError(str(error)) from error
    # Each family imports its own part of the project.
    if model_config.WhichOneof("model") == "ssd":
        from object_detection.meta_architectures.ssd_meta_arch import SSDMetaArch

        return SSDMetaArch(detector, is_training=is_training)
    from object_detection.meta_architectures.faster_rcnn_meta_arch import FasterRCNNMetaArch

    return FasterRCNNMetaArch(detector, is_training=is_training)
