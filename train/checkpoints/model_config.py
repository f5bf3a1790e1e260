"""Building of the model of a pipeline config, whether or not its records and label maps are there."""

from __future__ import annotations

import argparse
from typing import Any

from configs.schema.problem import ConfigError
from configs.settings.loading import load_config
from configs.settings.model import read_model, read_model_extensions
from data_prep.runtime.command_line import UserError
from train.models.build import build_detector
from train.models.detector import Detector


def model_config_from(arguments: argparse.Namespace) -> Any:
    """Reads the config that a command's flags name, and checks its model only.

    A published config's paths may be PATH_TO_BE_CONFIGURED still: its model can be built all the same.

    Args:
        arguments: With the flags of `configs.settings.loading.add_config_arguments`.

    Returns:
        The `TrainEvalPipelineConfig` message.

    Raises:
        UsageError: It cannot be read, or its model says what cannot be honoured.
    """
    path = arguments.pipeline_config_path
    loaded = load_config(path, arguments.config_override, arguments.ignore_unsupported)
    problems = [problem for problem in loaded.problems if not problem.path or problem.path.startswith("model")]
    if problems:
        raise ConfigError([f"{loaded.where}: {problem}" for problem in problems])
    return loaded.config


def build_model(config: Any) -> Detector:
    """Builds a config's detector.

    Raises:
        UserError: The model cannot be built; the message says which part and why.
    """
    try:
        return build_detector(read_model(config), read_model_extensions(config))
    except ValueError as error:
        raise UserError(f"the model cannot be built: {error}") from error
