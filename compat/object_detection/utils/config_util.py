"""Pipeline configs as a dictionary of their parts, read, changed and written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from google.protobuf import text_format

from configs.schema.pipeline_file import format_pipeline_config, parse_pipeline_config, parse_text
from object_detection.absent_modules import absent_names
from object_detection.protos import graph_rewriter_pb2, pipeline_pb2  # type: ignore[attr-defined]
from object_detection.utils.config_overrides import (
    check_and_parse_input_config_key,
    merge_external_params_with_configs,
    update_input_reader_config,
)

__all__ = [
    "check_and_parse_input_config_key",
    "clear_fine_tune_checkpoint",
    "create_configs_from_pipeline_proto",
    "create_pipeline_proto_from_configs",
    "get_configs_from_multiple_files",
    "get_configs_from_pipeline_file",
    "get_graph_rewriter_config_from_file",
    "get_image_resizer_config",
    "get_learning_rate_type",
    "get_number_of_classes",
    "get_optimizer_type",
    "get_spatial_image_size",
    "merge_external_params_with_configs",
    "save_pipeline_config",
    "update_fine_tune_checkpoint_type",
    "update_input_reader_config",
]

__getattr__ = absent_names(
    __name__,
    {
        "get_max_num_context_features": "Context R-CNN is not supported",
        "get_context_feature_length": "Context R-CNN is not supported",
        "remove_unnecessary_ema": "tf.train.Checkpoint(model=...) restores without names of variables",
    },
)

# The messages that `get_configs_from_multiple_files` reads, by its argument.
_PARTS = {
    "model": "DetectionModel",
    "train_config": "TrainConfig",
    "train_input_config": "InputReader",
    "eval_config": "EvalConfig",
}


def get_configs_from_pipeline_file(
    pipeline_config_path: str | os.PathLike[str], config_override: str | None = None
) -> dict[str, Any]:
    """Reads a pipeline config.

    Args:
        pipeline_config_path: Of a `TrainEvalPipelineConfig` in text format.
        config_override: Text format to merge over it: values replace, lists grow.

    Returns:
        Its parts, as `create_configs_from_pipeline_proto` names them.

    Raises:
        configs.schema.problem.ConfigError: A line for each problem, with file, line, column and field.
    """
    path = os.fspath(pipeline_config_path)
    config = parse_pipeline_config(_text_of(path), path)
    if config_override:
        config.MergeFrom(parse_pipeline_config(config_override, "config_override"))
    return create_configs_from_pipeline_proto(config)


def create_configs_from_pipeline_proto(pipeline_config: Any) -> dict[str, Any]:
    """The parts of a `TrainEvalPipelineConfig`, which change it when they are changed.

    Returns:
        `model`, `train_config`, `train_input_config`, `eval_config`, `eval_input_configs` (a list), and where there are
        such, `eval_input_config` (the first of these) and `graph_rewriter_config`.
    """
    configs = {
        "model": pipeline_config.model,
        "train_config": pipeline_config.train_config,
        "train_input_config": pipeline_config.train_input_reader,
        "eval_config": pipeline_config.eval_config,
        "eval_input_configs": pipeline_config.eval_input_reader,
    }
    if pipeline_config.eval_input_reader:
        configs["eval_input_config"] = pipeline_config.eval_input_reader[0]
    if pipeline_config.HasField("graph_rewriter"):
        configs["graph_rewriter_config"] = pipeline_config.graph_rewriter
    if pipeline_config.HasField("extensions"):
        configs["extensions"] = pipeline_config.extensions
    return configs


def create_pipeline_proto_from_configs(configs: Mapping[str, Any]) -> Any:
    """Puts the parts together again: what `create_configs_from_pipeline_proto` took apart."""
    config = pipeline_pb2.TrainEvalPipelineConfig()
    config.model.CopyFrom(configs["model"])
    config.train_config.CopyFrom(configs["train_config"])
    config.train_input_reader.CopyFrom(configs["train_input_config"])
    config.eval_config.CopyFrom(configs["eval_config"])
    config.eval_input_reader.extend(configs["eval_input_configs"])
    if "graph_rewriter_config" in configs:
        config.graph_rewriter.CopyFrom(configs["graph_rewriter_config"])
    if "extensions" in configs:
        config.extensions.CopyFrom(configs["extensions"])
    return config


def save_pipeline_config(pipeline_config: Any, directory: str | os.PathLike[str]) -> None:
    """Writes a config as `pipeline.config` into a folder, which is made where it is missing."""
    tf.io.gfile.makedirs(os.fspath(directory))
    with tf.io.gfile.GFile(os.path.join(directory, "pipeline.config"), "w") as file:  # noqa: PTH118  it may be a bucket
        file.write(format_pipeline_config(pipeline_config))


def get_configs_from_multiple_files(
    model_config_path: str = "",
    train_config_path: str = "",
    train_input_config_path: str = "",
    eval_config_path: str = "",
    eval_input_config_path: str = "",
    graph_rewriter_config_path: str = "",
) -> dict[str, Any]:
    """Reads the parts of a config from files of their own; those without a path are left out."""
    paths = {
        "model": model_config_path,
        "train_config": train_config_path,
        "train_input_config": train_input_config_path,
        "eval_config": eval_config_path,
    }
    configs: dict[str, Any] = {
        name: parse_text(_text_of(path), path, _PARTS[name]) for name, path in paths.items() if path
    }
    if eval_input_config_path:
        configs["eval_input_configs"] = [
            parse_text(_text_of(eval_input_config_path), eval_input_config_path, "InputReader")
        ]
    if graph_rewriter_config_path:
        configs["graph_rewriter_config"] = get_graph_rewriter_config_from_file(graph_rewriter_config_path)
    return configs


def get_graph_rewriter_config_from_file(graph_rewriter_config_file: str) -> Any:
    """Reads a `GraphRewriter`."""
    return text_format.Parse(_text_of(graph_rewriter_config_file), graph_rewriter_pb2.GraphRewriter())


def clear_fine_tune_checkpoint(pipeline_config_path: str, new_pipeline_config_path: str) -> None:
    """Writes a copy of a config that starts from no checkpoint."""
    configs = get_configs_from_pipeline_file(pipeline_config_path)
    configs["train_config"].fine_tune_checkpoint = ""
    configs["train_config"].load_all_detection_checkpoint_vars = False
    with tf.io.gfile.GFile(new_pipeline_config_path, "w") as file:
        file.write(format_pipeline_config(create_pipeline_proto_from_configs(configs)))


def update_fine_tune_checkpoint_type(train_config: Any) -> None:
    """Says `fine_tune_checkpoint_type` where only the deprecated `from_detection_checkpoint` does."""
    if not train_config.fine_tune_checkpoint_type:
        train_config.fine_tune_checkpoint_type = (
            "detection" if train_config.from_detection_checkpoint else "classification"
        )


def get_image_resizer_config(model_config: Any) -> Any:
    """The `image_resizer` of a `DetectionModel`.

    Raises:
        ValueError: The model has none.
    """
    return _of_family(model_config, "image_resizer")


def get_number_of_classes(model_config: Any) -> int:
    """The `num_classes` of a `DetectionModel`.

    Raises:
        ValueError: The model has none.
    """
    return int(_of_family(model_config, "num_classes"))


def get_spatial_image_size(image_resizer_config: Any) -> list[int]:
    """Height and width that an `ImageResizer` gives every image, or -1 and -1 where images differ.

    Raises:
        ValueError: No resizer is set.
    """
    name = image_resizer_config.WhichOneof("image_resizer_oneof")
    if name is None:
        raise ValueError("the image resizer is not set")
    resizer = getattr(image_resizer_config, name)
    if name == "fixed_shape_resizer":
        return [resizer.height, resizer.width]
    if name == "keep_aspect_ratio_resizer" and resizer.pad_to_max_dimension:
        return [resizer.max_dimension] * 2
    return [-1, -1]


def get_optimizer_type(train_config: Any) -> str | None:
    """Which optimizer a `TrainConfig` names, such as `momentum_optimizer`."""
    return train_config.optimizer.WhichOneof("optimizer")


def get_learning_rate_type(optimizer_config: Any) -> str | None:
    """Which learning rate an optimizer names, such as `cosine_decay_learning_rate`."""
    return optimizer_config.learning_rate.WhichOneof("learning_rate")


def _of_family(model_config: Any, field: str) -> Any:
    family = model_config.WhichOneof("model")
    config = getattr(model_config, family) if family else None
    if not hasattr(config, field):
        raise ValueError(f"model.{family or '(not set)'} has no {field}")
    return getattr(config, field)


def _text_of(path: str) -> str:
    with tf.io.gfile.GFile(path, "rb") as file:
        return file.read().decode("utf-8-sig")
