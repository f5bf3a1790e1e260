"""Loading of a config's file for a command: read, overridden, migrated, checked.

Every command that takes a config has its flags from `add_config_arguments` and its config from `load_config`, so that
`--config_override`, `--ignore_unsupported` and `--plugin` mean the same everywhere.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from configs.schema import pipeline_file
from configs.schema.fields import unfilled_paths
from configs.schema.problem import ConfigError, Note, Problem
from configs.settings.ignoring import FLAG, require_refused, without_fields
from configs.settings.migration import migrate
from configs.settings.pipeline import PipelineSettings, read_pipeline
from configs.settings.plugins import add_plugin_argument
from data_prep.runtime.command_line import ArgumentParser


@dataclasses.dataclass(frozen=True)
class LoadedConfig:
    """A pipeline config and all that there is to say about it.

    Attributes:
        where: What to call it in errors: its file name.
        config: The effective `TrainEvalPipelineConfig`: overridden, with TensorFlow 2's names, and without what
            `--ignore_unsupported` names.
        settings: The same as settings; None if there are problems.
        problems: What cannot be honoured here, and what is missing.
        training_problems: What training alone cannot honour: the model can be evaluated and exported.
        warnings: A line for each field that was dropped.
        notes: What was read as something else, and what has no effect.
        unfilled: The paths of fields that still hold PATH_TO_BE_CONFIGURED.
    """

    where: str
    config: Any
    settings: PipelineSettings | None
    problems: tuple[Problem, ...]
    training_problems: tuple[Problem, ...]
    warnings: tuple[str, ...]
    notes: tuple[Note, ...]
    unfilled: tuple[str, ...]

    def require_usable(self) -> PipelineSettings:
        """Checks that a run can begin; one that trains looks at `training_problems` too.

        Returns:
            The settings.

        Raises:
            ConfigError: A line for each problem, and one for all that is still to be filled in.
        """
        lines = [f"{self.where}: {problem}" for problem in self.problems]
        if self.problems and all(problem.path for problem in self.problems):
            words = " ".join(problem.path for problem in self.problems if self._can_be_ignored(problem))
            if words:
                lines.append(f"to run without what cannot be honoured: {FLAG} {words}")
        if self.unfilled:
            lines.append(
                f"{self.where}: PATH_TO_BE_CONFIGURED is still to be replaced in {', '.join(self.unfilled)}; "
                f"fill all in with sed -i 's#PATH_TO_BE_CONFIGURED#/your/folder#' {self.where}"
            )
        if lines or self.settings is None:
            raise ConfigError(lines)
        return self.settings

    def _can_be_ignored(self, problem: Problem) -> bool:
        """Whether dropping the field would leave nothing to refuse at it."""
        rest = read_pipeline(without_fields(self.config, [problem.path])).problems
        return all(other.path != problem.path for other in rest) and len(rest) < len(self.problems)


def add_config_arguments(parser: argparse.ArgumentParser, *, is_path_required: bool = True) -> None:
    """Adds the flags that every command on a pipeline config has.

    Args:
        parser: Of the command.
        is_path_required: False for a command that also takes the path as a word of its own.
    """
    parser.add_argument(
        "--pipeline_config_path",
        required=is_path_required,
        metavar="PATH",
        help="the pipeline config, in protobuf text format",
    )
    parser.add_argument(
        "--config_override",
        default="",
        metavar="TEXT",
        help="protobuf text merged over the file, such as 'train_config { batch_size: 4 }': values replace, lists "
        "grow, and what is written takes the place of list elements that hold PATH_TO_BE_CONFIGURED",
    )
    parser.add_argument(
        FLAG,
        nargs="+",
        action="extend",
        default=[],
        metavar="FIELD",
        help="paths of fields that cannot be honoured, as the error names them: run as if they were not written",
    )
    add_plugin_argument(parser)


class ConfigArgumentParser(ArgumentParser):
    """A parser for a command on configs: `command CONFIG` or `command --pipeline_config_path CONFIG`."""

    def __init__(self, *, description: str, example: str, takes_several: bool = False) -> None:
        super().__init__(description=description, example=example)
        self._takes_several = takes_several
        what = "pipeline configs" if takes_several else "the pipeline config"
        self.add_argument("configs", nargs="*", metavar="CONFIG", help=f"{what}, in protobuf text format")
        add_config_arguments(self, is_path_required=False)

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Parses `args` (default: the command line's); `paths` of the result has the configs' paths."""
        parsed, rest = super().parse_known_args(args, namespace)
        parsed.paths = list(parsed.configs)
        if parsed.pipeline_config_path:
            parsed.paths.append(parsed.pipeline_config_path)
        if not parsed.paths:
            self.error("name a pipeline config")
        if len(parsed.paths) > 1 and not self._takes_several:
            self.error(f"one pipeline config, not {len(parsed.paths)}: {', '.join(parsed.paths)}")
        return parsed, rest


def load_config(path: str | os.PathLike[str], override: str = "", ignore: Sequence[str] = ()) -> LoadedConfig:
    """Reads a config, and finds out all that there is to say about it.

    Args:
        path: The config's file.
        override: Protobuf text to merge over it.
        ignore: Paths of refused fields to drop.

    Raises:
        ConfigError: The file or the override cannot be read as a pipeline config, or `ignore` names what is not
            refused.
    """
    config = pipeline_file.read_pipeline_config(path)
    if override:
        config = pipeline_file.merge(config, override)
    return examine(config, str(path), ignore)


def examine(config: Any, where: str, ignore: Sequence[str] = ()) -> LoadedConfig:
    """Finds out all that there is to say about a config that is in memory.

    Args:
        config: A `TrainEvalPipelineConfig`; left as it is.
        where: What to call it in errors.
        ignore: Paths of refused fields to drop.

    Raises:
        ConfigError: `ignore` names what is not refused.
    """
    config, notes = migrate(config)
    reading = read_pipeline(config)
    warnings = []
    if ignore:
        told = [*reading.problems, *reading.training_problems]
        require_refused(ignore, told)
        refused = {problem.path: problem for problem in told}
        warnings = [
            f"{name}: is ignored as if it had not been written ({refused[name].reason})"
            for name in dict.fromkeys(ignore)
        ]
        config = without_fields(config, ignore)
        reading = read_pipeline(config)
    return LoadedConfig(
        where=where,
        config=config,
        settings=reading.settings,
        problems=reading.problems,
        training_problems=reading.training_problems,
        warnings=tuple(warnings),
        notes=(*notes, *reading.notes),
        unfilled=tuple(unfilled_paths(config)),
    )
