"""Says, by full path, which fields of a config training here cannot honour, and which have no effect.

Nothing that a config says is silently ignored: it is honoured, refused, or noted as having no effect.
"""

from __future__ import annotations

import math
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from configs.model_checks import check_model
from configs.model_rules import MODEL_RULES
from configs.rules import Only, Rules
from configs.run_checks import check_runs
from configs.run_rules import RUN_RULES
from configs.schema.descriptors import short_name
from configs.schema.errors import ConfigError
from configs.schema.fields import children
from configs.schema.problem import Note, Problem
from configs.settings.declaration import SETTINGS_BY_MESSAGE
from configs.settings.reading import Findings, collect_settings

__all__ = ["Note", "Problem", "check_supported", "fields_without_effect", "require_supported"]

# By message type. A test sees to it that no field of a message in it is forgotten.
RULES: dict[str, Rules] = {**MODEL_RULES, **RUN_RULES}


def check_supported(config: Message) -> list[Problem]:
    """Finds everything in a config that training here cannot honour, and everything that it lacks.

    Args:
        config: A `TrainEvalPipelineConfig` message.

    Returns:
        Problems, those of single fields first; empty if there are none.
    """
    survey = _Survey()
    survey.visit(config, "")
    problems = survey.problems
    refused = {problem.path for problem in problems}
    # What a field was refused for is not told again as a consequence.
    checked = [found for found in [*check_model(config), *check_runs(config)] if isinstance(found, Problem)]
    return problems + [problem for problem in checked if problem.path not in refused]


def require_supported(config: Message, where: str = "") -> None:
    """Checks that training here honours all that a config says.

    Args:
        config: A `TrainEvalPipelineConfig` message.
        where: What to put in front of each line, such as the config's file name.

    Raises:
        ConfigError: A line for each problem: path, reason, and what to write instead.
    """
    problems = check_supported(config)
    if problems:
        prefix = f"{where}: " if where else ""
        raise ConfigError([f"{prefix}{problem}" for problem in problems])


def fields_without_effect(config: Message) -> list[Note]:
    """Lists what is no problem, but worth knowing: above all fields that steered machinery that is gone.

    Args:
        config: A `TrainEvalPipelineConfig` message.
    """
    survey = _Survey()
    survey.visit(config, "")
    return survey.notes + [found for found in [*check_model(config), *check_runs(config)] if isinstance(found, Note)]


class _Survey:
    """A walk over what is set, by the table of rules."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.notes: list[Note] = []

    def visit(self, message: Message, path: str) -> None:
        settings = SETTINGS_BY_MESSAGE.get(short_name(message.DESCRIPTOR))
        if settings is not None:
            found = Findings()
            collect_settings(settings, message, path, found)
            self.problems += found.problems
            self.notes += found.notes
            return
        rules = RULES.get(short_name(message.DESCRIPTOR))
        told: set[str] = set()
        for name, field, value in children(message):
            below = f"{path}.{name}" if path else name
            if isinstance(value, float) and not math.isfinite(value):
                self.problems.append(Problem(below, f"{value} is no finite number", "write one that is"))
            # The messages of single augmentations have no entry: the training input reads all of their fields.
            elif rules is None or field.name in rules.honoured_names:
                if isinstance(value, Message):
                    self.visit(value, below)
            elif field.name not in told:  # Once for a whole list.
                told.add(field.name)
                self._tell(f"{path}.{field.name}" if path else field.name, field, value, rules)
        for name, only in rules.only.items() if rules is not None else ():
            self._check_only(message, path, name, only)

    def _tell(self, path: str, field: FieldDescriptor, value: Any, rules: Rules) -> None:
        """Notes or refuses a field that is not honoured."""
        if field.name in rules.no_effect:
            self.notes.append(Note(path, f"has no effect: {rules.no_effect[field.name]}"))
        elif field.name in rules.refused and not _is_default(field, value):
            reason, instead = rules.refused[field.name]
            self.problems.append(Problem(path, reason, instead))

    def _check_only(self, message: Message, path: str, name: str, only: Only) -> None:
        field = message.DESCRIPTOR.fields_by_name[name]
        value = plain_value(field, getattr(message, name))
        if value in only.values:
            return
        given = _written(value) if message.HasField(name) else f"unset, which means {_written(value)}"
        instead = " or ".join(f"{name}: {_written(allowed)}" for allowed in only.values)
        reason = f"{given} cannot be honoured: {only.reason}"
        self.problems.append(Problem(f"{path}.{name}" if path else name, reason, f"use {instead}"))


def plain_value(field: FieldDescriptor, value: Any) -> Any:
    """A scalar as itself, an enum value as its name."""
    return field.enum_type.values_by_number[value].name if field.enum_type is not None else value


def _is_default(field: FieldDescriptor, value: Any) -> bool:
    return field.message_type is None and value == field.default_value


def _written(value: Any) -> str:
    """A value as text format writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
