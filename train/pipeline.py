"""A pipeline config made ready for use: read, overridden, checked, with its label map."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from configs.schema.pipeline_file import CONFIG_NAME, write_pipeline_config
from configs.settings.loading import load_config
from configs.settings.model import MODELS
from configs.settings.pipeline import PipelineSettings
from configs.settings.reading import read_settings
from configs.settings.training import TrainConfig
from data_prep.formats.label_map import LABEL_MAP_NAME, LabelMap, read_label_map, write_label_map
from data_prep.runtime.command_line import UsageError


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """A pipeline config and its label map, checked.

    Attributes:
        config: The `TrainEvalPipelineConfig` message, of which nothing is refused.
        settings: The same as settings; read from the message as it is when the pipeline is made.
        label_map: Of the training input; ids run from 1.
        label_map_path: Where it was read from.
        notes: A line for each field that was read as another, or that has no effect here.
        warnings: A line for each field that was dropped because `--ignore_unsupported` names it.
        training_problems: A line for each field that only training cannot honour.
    """

    config: Any
    label_map: LabelMap
    label_map_path: Path
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    training_problems: tuple[str, ...] = ()
    settings: PipelineSettings = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Reads the message.

        Raises:
            SettingsError: It says what cannot be honoured.
        """
        object.__setattr__(self, "settings", read_settings(PipelineSettings, self.config))

    @property
    def train_config(self) -> TrainConfig:
        """The training settings, for what trains.

        Raises:
            UsageError: The config has no `train_config`, or training cannot honour what it says.
        """
        if self.training_problems:
            raise UsageError("\n".join(self.training_problems))
        if self.settings.train_config is None:
            raise UsageError("train_config is not set, and training needs one")
        return self.settings.train_config

    @property
    def names_by_id(self) -> dict[int, str]:
        """Display names by label map id."""
        return self.label_map.names_by_id()


def pipeline_from(arguments: argparse.Namespace) -> Pipeline:
    """Loads the pipeline that a command's flags name, and says on standard error what was dropped from it.

    Raises:
        UsageError: As `load_pipeline` does.
    """
    pipeline = load_pipeline(arguments.pipeline_config_path, arguments.config_override, arguments.ignore_unsupported)
    for warning in pipeline.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return pipeline


def load_pipeline(path: str, override: str = "", ignore_unsupported: Sequence[str] = ()) -> Pipeline:
    """Reads a pipeline config and everything that must hold before any work begins.

    Args:
        path: The config's file.
        override: Protobuf text to merge over it.
        ignore_unsupported: Paths of fields that cannot be honoured, to be taken as not written.

    Raises:
        UsageError: The config cannot be read or says what cannot be honoured, has paths that are still to be filled in,
            or does not fit its label map.
    """
    loaded = load_config(path, override, ignore_unsupported)
    settings = loaded.require_usable()
    reader = settings.train_input_reader
    if reader is None and settings.eval_input_reader:
        reader = settings.eval_input_reader[0]
    if reader is None or not reader.label_map_path:
        raise UsageError(f"{path}: train_input_reader.label_map_path is not set; the classes' names come from there")
    label_map = read_label_map(reader.label_map_path)
    if settings.model.num_classes < label_map.max_id:
        kind = MODELS.name_of(settings.model)
        raise UsageError(
            f"{path}: model.{kind}.num_classes is {settings.model.num_classes}, but {reader.label_map_path} has ids up "
            f"to {label_map.max_id}; set num_classes: {label_map.max_id}"
        )
    notes = tuple(map(str, loaded.notes))
    training_problems = tuple(f"{path}: {problem}" for problem in loaded.training_problems)
    return Pipeline(loaded.config, label_map, Path(reader.label_map_path), notes, loaded.warnings, training_problems)


def write_config_and_label_map(folder: Path, pipeline: Pipeline) -> None:
    """Writes what a folder's weights were trained with: `pipeline.config` and `label_map.pbtxt`."""
    write_pipeline_config(folder / CONFIG_NAME, pipeline.config)
    write_label_map(folder / LABEL_MAP_NAME, pipeline.label_map)
