"""A pipeline config made ready for use: read, overridden, checked, with its label map."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from configs import schema, support
from data_prep.command_line import UsageError
from data_prep.label_map import LabelMap, read_label_map


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """What a run is made of.

    Attributes:
        config: The `TrainEvalPipelineConfig` message.
        label_map: Of the training input; ids run from 1.
        label_map_path: Where it was read from.
    """

    config: Any
    label_map: LabelMap
    label_map_path: Path

    @property
    def model(self) -> Any:
        """The `Ssd` or `FasterRcnn` message."""
        return getattr(self.config.model, self.config.model.WhichOneof("model"))

    @property
    def notes(self) -> list[str]:
        """A line for each field that is set and has no effect here."""
        return [str(note) for note in support.fields_without_effect(self.config)]

    @property
    def names_by_id(self) -> dict[int, str]:
        """Display names by label map id."""
        return self.label_map.names_by_id()


def add_pipeline_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that every command on a pipeline config has."""
    parser.add_argument("--pipeline_config_path", required=True, help="the pipeline config, in protobuf text format")
    parser.add_argument(
        "--config_override",
        default="",
        metavar="TEXT",
        help="protobuf text merged over the file, such as 'train_config { batch_size: 4 }'",
    )


def load_pipeline(path: str, override: str = "") -> Pipeline:
    """Reads a pipeline config and everything that must hold before any work begins.

    Args:
        path: The config's file.
        override: Protobuf text to merge over it.

    Raises:
        UsageError: The config cannot be read or says what cannot be honoured, has paths that are still to be filled in,
            or does not fit its label map.
    """
    try:
        config = schema.read_pipeline_config(path)
        if override:
            config = schema.merge(config, override)
        unfilled = schema.unfilled_paths(config)
        if unfilled:
            raise UsageError(
                f"{path}: PATH_TO_BE_CONFIGURED is still to be replaced in {', '.join(unfilled)}; "
                f"fill all in with sed -i 's#PATH_TO_BE_CONFIGURED#/your/folder#' {path}"
            )
        support.require_supported(config)
    except schema.ConfigError as error:
        raise UsageError(str(error)) from None
    reader = config.train_input_reader if config.HasField("train_input_reader") else None
    if reader is None and config.eval_input_reader:
        reader = config.eval_input_reader[0]
    if reader is None or not reader.label_map_path:
        raise UsageError(f"{path}: train_input_reader.label_map_path is not set; the classes' names come from there")
    label_map = read_label_map(reader.label_map_path)
    pipeline = Pipeline(config, label_map, Path(reader.label_map_path))
    if pipeline.model.num_classes < label_map.max_id:
        kind = config.model.WhichOneof("model")
        raise UsageError(
            f"{path}: model.{kind}.num_classes is {pipeline.model.num_classes}, but {reader.label_map_path} has ids up "
            f"to {label_map.max_id}; set num_classes: {label_map.max_id}"
        )
    return pipeline
