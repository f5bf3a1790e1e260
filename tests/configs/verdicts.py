"""Verdicts on configs for tests: what is refused, and what is noted."""

from __future__ import annotations

from google.protobuf.message import Message

from configs.schema.problem import ConfigError, Note, Problem
from configs.settings.pipeline import PipelineSettings, read_pipeline


def check_supported(config: Message) -> list[Problem]:
    """Everything in a config that training cannot honour, and everything that it lacks."""
    reading = read_pipeline(config)
    return [*reading.problems, *reading.training_problems]


def require_supported(config: Message, where: str = "") -> PipelineSettings:
    """Settings of a config of which training honours everything; else an error with a line for each problem."""
    reading = read_pipeline(config)
    if reading.settings is None:
        prefix = f"{where}: " if where else ""
        raise ConfigError([f"{prefix}{problem}" for problem in reading.problems])
    return reading.settings


def fields_without_effect(config: Message) -> list[Note]:
    """What is no problem, but worth knowing."""
    return list(read_pipeline(config).notes)
