"""Says, by full path, which fields of a config training here cannot honour, and which have no effect.

Nothing that a config says is silently ignored: it is honoured, refused, or noted as having no effect.
"""

from __future__ import annotations

import dataclasses

from google.protobuf.message import Message

from configs.schema.problem import ConfigError, Note, Problem
from configs.settings.pipeline import PipelineSettings
from configs.settings.reading import Findings, collect_settings

__all__ = ["Note", "Problem", "Reading", "check_supported", "fields_without_effect", "read", "require_supported"]


@dataclasses.dataclass(frozen=True)
class Reading:
    """A config as settings, or why it makes none.

    Attributes:
        settings: None if there are problems.
        problems: What training here cannot honour, and what is missing; each path once.
        notes: What has no effect, and what else is worth knowing.
    """

    settings: PipelineSettings | None
    problems: tuple[Problem, ...]
    notes: tuple[Note, ...]


def read(config: Message) -> Reading:
    """Reads a config as settings: all that it says is honoured, refused, or noted.

    Args:
        config: A `TrainEvalPipelineConfig` message.
    """
    found = Findings()
    settings = collect_settings(PipelineSettings, config, "", found)
    # What a field was refused for is not told again as a consequence.
    problems: dict[str, Problem] = {}
    for problem in found.problems:
        problems.setdefault(problem.path, problem)
    return Reading(settings, tuple(problems.values()), tuple(found.notes))


def check_supported(config: Message) -> list[Problem]:
    """Finds everything in a config that training here cannot honour, and everything that it lacks."""
    return list(read(config).problems)


def require_supported(config: Message, where: str = "") -> PipelineSettings:
    """Reads a config of which training here honours everything.

    Args:
        config: A `TrainEvalPipelineConfig` message.
        where: What to put in front of each line, such as the config's file name.

    Raises:
        ConfigError: A line for each problem: path, reason, and what to write instead.
    """
    reading = read(config)
    if reading.settings is None:
        prefix = f"{where}: " if where else ""
        raise ConfigError([f"{prefix}{problem}" for problem in reading.problems])
    return reading.settings


def fields_without_effect(config: Message) -> list[Note]:
    """Lists what is no problem, but worth knowing: above all fields that steered machinery that is gone."""
    return list(read(config).notes)
