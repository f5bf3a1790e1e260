"""Reader of messages as settings, which collects what cannot be honoured and what is worth knowing."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from configs.schema.descriptors import is_map, is_repeated
from configs.schema.fields import children
from configs.schema.pipeline_file import parse_text
from configs.schema.problem import Note, Problem
from configs.settings.declaration import (
    Choice,
    Mapped,
    Nested,
    Settings,
    SettingsError,
    declared_names,
    fields_of,
    is_refusal,
)
from configs.settings.values import Scalar, Spec

_AnySettings = TypeVar("_AnySettings", bound=Settings)


@dataclasses.dataclass
class Findings:
    """Findings, in the order of reading.

    Attributes:
        problems: What cannot be honoured, with paths from the root.
        training_problems: What training alone cannot honour, with paths from the root.
        notes: What is worth knowing, with paths from the root.
    """

    problems: list[Problem] = dataclasses.field(default_factory=list)
    training_problems: list[Problem] = dataclasses.field(default_factory=list)
    notes: list[Note] = dataclasses.field(default_factory=list)


class _NotReadableError(Exception):
    """A message has problems, which were collected, and so makes no settings."""


def read_settings(settings: type[_AnySettings], message: Message, path: str = "") -> _AnySettings:
    """Reads one message.

    Args:
        settings: The class to make.
        message: Of the type that the class names.
        path: The message's, which problems begin with.

    Raises:
        SettingsError: The message says what cannot be honoured.
    """
    found = Findings()
    read = collect_settings(settings, message, path, found)
    if read is None:
        raise SettingsError(found.problems)
    return read


def read_settings_text(settings: type[_AnySettings], text: str, path: str = "") -> _AnySettings:
    """Reads one message from text format, as `read_settings`.

    Raises:
        ConfigError: The text is none of such a message.
        SettingsError: The message says what cannot be honoured.
    """
    name = settings.message_name
    return read_settings(settings, parse_text(text, path or name, name), path)


def read_choice(choice: Choice, message: Message, path: str = "") -> Any:
    """Reads a message that is nothing but a oneof.

    Args:
        choice: Its alternatives.
        message: The message.
        path: Its own, which problems begin with.

    Returns:
        The settings of what is set, or None if nothing is and need not be.

    Raises:
        SettingsError: The message says what cannot be honoured.
    """
    found = Findings()
    try:
        return _Reader(found).choose(choice, message, path)
    except _NotReadableError:
        raise SettingsError(found.problems) from None


def collect_settings(settings: type[_AnySettings], message: Message, path: str, found: Findings) -> _AnySettings | None:
    """Reads one message, and everything below it, to the end.

    Args:
        settings: The class to make.
        message: Of the type that the class names.
        path: The message's; empty for the root.
        found: Gets what there is to say.

    Returns:
        The settings, or None if anything in the message cannot be honoured.
    """
    try:
        return _Reader(found).read(settings, message, path)
    except _NotReadableError:
        return None


class _Reader:
    def __init__(self, found: Findings) -> None:
        self._found = found

    def read(self, settings: type[_AnySettings], message: Message, path: str) -> _AnySettings:
        """Reads a message; what is wrong with it is noted, and raised only after all of it has been looked at."""
        specs = fields_of(settings)
        values: dict[str, Any] = {}
        invalid: set[str] = set()
        for name, spec in specs.items():
            try:
                values[name] = self._value(spec, message, name, path)
            except _NotReadableError:
                invalid.add(name)
        is_refused = self._tell_undeclared(settings, message, path)
        # Checked as far as it could be read: what is wrong with one field does not hide what is wrong with another.
        written = frozenset(field.name for field, _ in message.ListFields())
        incomplete = object.__new__(settings)
        for name, value in {**values, "written": written}.items():
            object.__setattr__(incomplete, name, value)
        problems = []
        for remark in incomplete.remarks(list(values)):
            told = dataclasses.replace(remark, path=_join(path, remark.path))
            if isinstance(told, Note):
                self._found.notes.append(told)
            elif is_refusal(told):
                problems.append(told)
            else:
                self._found.training_problems.append(told)
        self._found.problems += problems
        if invalid or is_refused or problems:
            raise _NotReadableError
        return settings(**values, written=written)

    def _value(self, spec: Spec, message: Message, name: str, path: str) -> Any:
        if isinstance(spec, Choice) and spec.inline:
            return self._chosen(spec, message, path, message.WhichOneof(name))
        field = message.DESCRIPTOR.fields_by_name[name]
        here = _join(path, name)
        value: Any = getattr(message, name)
        if isinstance(spec, Scalar | Choice) and spec.optional and not message.HasField(name):
            return None
        if isinstance(spec, Nested):
            return self._nested(spec, message, name, here)
        if isinstance(spec, Choice):
            read = partial(self.choose, spec)
            return tuple(self._all(read, _elements(value, here))) if spec.repeated else read(value, here)
        if isinstance(spec, Mapped):
            return self._map(spec, value, here)
        return tuple(plain_value(field, one) for one in value) if is_repeated(field) else plain_value(field, value)

    def _nested(self, spec: Nested, message: Message, name: str, path: str) -> Any:
        value: Any = getattr(message, name)
        if spec.repeated:
            if spec.required and not value:
                self._refuse(path, "is empty", spec.required)
            return tuple(self._all(partial(self.read, spec.settings), _elements(value, path)))
        if not message.HasField(name):
            if spec.required:
                self._refuse(path, "is not set", spec.required)
            if spec.optional:
                return None
        return self.read(spec.settings, value, path)

    def _all(self, read: Callable[[Any, str], Any], values: Iterable[tuple[Any, str]]) -> list[Any]:
        """Reads values, each with its path, to the last before the first that is wrong is raised."""
        found, is_sound = [], True
        for value, path in values:
            try:
                found.append(read(value, path))
            except _NotReadableError:
                is_sound = False
        if not is_sound:
            raise _NotReadableError
        return found

    def choose(self, spec: Choice, message: Message, path: str) -> Settings | None:
        """Reads what is set in a message that is nothing but a oneof."""
        (oneof,) = message.DESCRIPTOR.oneofs
        return self._chosen(spec, message, path, message.WhichOneof(oneof.name))

    def _chosen(self, spec: Choice, message: Message, path: str, chosen: str | None) -> Settings | None:
        if chosen is None:
            if spec.required:
                self._refuse(path, spec.missing, spec.required)
            return None
        here = _join(path, chosen)
        if chosen not in spec.alternatives:
            reason, instead = spec.refused.get(chosen, ("is not supported", f"use {spec.describe()}"))
            self._refuse(here, reason, instead)
        return self.read(spec.alternatives[chosen], getattr(message, chosen), here)

    def _map(self, spec: Mapped, values: Any, path: str) -> dict[Any, Any]:
        if spec.settings is None:
            return dict(values)
        keys = sorted(values)
        read = partial(self.read, spec.settings)
        return dict(
            zip(keys, self._all(read, ((values[key], f"{path}[{json.dumps(key)}]") for key in keys)), strict=True)
        )

    def _tell_undeclared(self, settings: type[Settings], message: Message, path: str) -> bool:
        """Notes or refuses what is set and not declared; whether anything was refused."""
        declared = declared_names(settings)
        is_refused = False
        told: set[str] = set()
        for name, field, value in children(message):
            here = _join(path, field.name)
            if field.name in declared or field.name in told:
                continue
            if isinstance(value, float) and not math.isfinite(value):
                problem = Problem(_join(path, name), f"{value} is no finite number", "write one that is")
                self._found.problems.append(problem)
                is_refused = True
                continue
            told.add(field.name)  # Once for a whole list.
            if field.name in settings.no_effect:
                self._found.notes.append(Note(here, f"has no effect: {settings.no_effect[field.name]}"))
            elif field.name not in settings.refused or not _is_default(field, value):
                reason, instead = settings.refused.get(field.name, ("is not read here", "delete it"))
                self._found.problems.append(Problem(here, reason, instead))
                is_refused = True
        return is_refused

    def _refuse(self, path: str, reason: str, instead: str) -> None:
        self._found.problems.append(Problem(path, reason, instead))
        raise _NotReadableError


def plain_value(field: FieldDescriptor, value: Any) -> Any:
    """A scalar as itself, an enum value as its name."""
    return field.enum_type.values_by_number[value].name if field.enum_type is not None else value


def _is_default(field: FieldDescriptor, value: Any) -> bool:
    return field.message_type is None and not is_repeated(field) and not is_map(field) and value == field.default_value


def _elements(values: Iterable[Any], path: str) -> Iterator[tuple[Any, str]]:
    """The elements of a list with their paths."""
    return ((value, f"{path}[{index}]") for index, value in enumerate(values))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name
