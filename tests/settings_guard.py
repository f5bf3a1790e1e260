"""Tries values that are likely to be wrong on every field of settings, and sees what they are refused for.

What reading lets pass must build and run on a few numbers, and give finite ones; what it does not, it must refuse with
the field's path.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor

from configs.schema.descriptors import is_map, is_repeated, message_class, short_name
from configs.settings.declaration import Choice, Settings, SettingsError
from configs.settings.reading import read_choice, read_settings

FLOATS = (-1.0, 0.0, 0.5, 2.0, 1e6, 3e38, -3e38, float("nan"), float("inf"), float("-inf"))
INTEGERS = (-1, 0, 2, 1_000_000, 2**31 - 1, -(2**31), 2**32 - 1)
_INTEGER_TYPES = (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_UINT32)
STRINGS = ("", "nonsense")


@dataclasses.dataclass(frozen=True)
class Part:
    """What reads a message, the message, and what runs what was read."""

    reads: Choice | type[Settings]
    message_name: str
    text: str
    run: Callable[[Any], list[tf.Tensor]]

    def message(self) -> Any:
        return text_format.Parse(self.text, message_class(self.message_name)())

    def read(self, message: Any) -> Any:
        if isinstance(self.reads, Choice):
            return read_choice(self.reads, message, "part")
        return read_settings(self.reads, message, "part")


@dataclasses.dataclass(frozen=True)
class Case:
    """A field of a part, by the steps that lead to it from the part's message."""

    part: Part
    steps: tuple[Any, ...]
    field: FieldDescriptor

    @property
    def path(self) -> str:
        words = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.steps)
        return f"part{words}.{self.field.name}"

    def owner(self, message: Any) -> Any:
        """The message in which the field stands."""
        for step in self.steps:
            message = message[step] if isinstance(step, int) else getattr(message, step)
        return message

    def messages(self) -> Iterator[tuple[Any, Any]]:
        """The part's message with each value to be tried, and the value."""
        before = self.owner(self.part.message())
        if is_repeated(self.field):
            given = list(getattr(before, self.field.name)) if self.field.message_type is None else []
            tried = [
                [],
                given[:1],
                [*given, _one_more(self.field)],
                *([*given[:-1], value] for value in self._values()),
            ]
        else:
            tried = list(self._values())
        for value in tried:
            message = self.part.message()
            owner = self.owner(message)
            try:
                if is_repeated(self.field):
                    owner.ClearField(self.field.name)
                    getattr(owner, self.field.name).extend(value)
                else:
                    setattr(owner, self.field.name, value)
            except (ValueError, TypeError):
                continue  # The schema itself has no such value.
            yield message, value

    def _values(self) -> tuple[Any, ...]:
        if self.field.message_type is not None:
            return ()
        if self.field.enum_type is not None:
            return tuple(self.field.enum_type.values_by_number)
        if self.field.type in _INTEGER_TYPES:
            return INTEGERS
        if self.field.type == FieldDescriptor.TYPE_STRING:
            return STRINGS
        return (False, True) if self.field.type == FieldDescriptor.TYPE_BOOL else FLOATS


def cases(parts: Iterable[Part]) -> Iterator[Case]:
    """Each field of each of the parts' messages once."""
    seen: set[tuple[str, str]] = set()

    def visit(part: Part, message: Any, steps: tuple[Any, ...]) -> Iterator[Case]:
        name = short_name(message.DESCRIPTOR)
        for field in message.DESCRIPTOR.fields:
            value = getattr(message, field.name)
            is_scalar = field.message_type is None
            if (is_scalar or (is_repeated(field) and not is_map(field))) and (name, field.name) not in seen:
                seen.add((name, field.name))
                yield Case(part, steps, field)
            if is_map(field):
                for key in value:
                    yield from visit(part, value[key], (*steps, field.name, key))
            elif is_repeated(field) and not is_scalar:
                yield from visit(part, value[-1], (*steps, field.name, len(value) - 1))
            elif not is_scalar and message.HasField(field.name):
                yield from visit(part, value, (*steps, field.name))

    for part in parts:
        yield from visit(part, part.message(), ())


def is_about(problem: Any, case: Case) -> bool:
    """Whether a problem is told at the field, at what it stands in below the part, or of another and by its name."""
    words = f"{problem.reason} {problem.use_instead}"
    return (
        problem.path.startswith(case.path)
        or (case.path.startswith(problem.path) and problem.path != "part")
        or case.field.name in words
    )


def check_case(case: Case) -> None:
    """Tries all values on one field."""
    for message, value in case.messages():
        try:
            settings = case.part.read(message)
        except SettingsError as error:
            assert any(is_about(problem, case) for problem in error.problems), f"{value}: {error}"
            continue
        for tensor in case.part.run(settings):
            assert np.isfinite(tensor).all(), f"{case.path}: {value} is let pass, and gives {np.ravel(tensor)[:8]}"


def _one_more(field: FieldDescriptor) -> Any:
    """An element that makes a list longer than it should be."""
    return "nonsense" if field.type == FieldDescriptor.TYPE_STRING else 1
