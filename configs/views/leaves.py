"""A config as a list of paths and values, with the defaults of what is not set, and two configs compared."""

from __future__ import annotations

import ctypes
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from configs.schema.descriptors import is_map, is_repeated, short_name
from configs.settings.declaration import SETTINGS_BY_MESSAGE, declared_names


@dataclasses.dataclass(frozen=True)
class Leaf:
    """A field's value.

    Attributes:
        path: From the root.
        value: As text format writes it; lists of numbers and texts are one value, `[1.0, 2.0]`.
        is_default: Whether it is not set.
    """

    path: str
    value: str
    is_default: bool


@dataclasses.dataclass(frozen=True)
class Difference:
    """A field in which two configs differ; None stands for a field of a message that a config has not."""

    path: str
    left: Leaf | None
    right: Leaf | None


def leaves(message: Message, prefix: str = "", *, with_every_default: bool = False) -> Iterator[Leaf]:
    """Lists the values of a message, set or default, in the order of field numbers.

    Messages that are not set have no values; an empty message that is set is the value `{ }`.

    Args:
        message: Of the schema.
        prefix: Its path.
        with_every_default: Also the defaults of fields that change nothing here, and for each message the leaf `{ }`.
    """
    for field in message.DESCRIPTOR.fields:
        path = f"{prefix}.{field.name}" if prefix else field.name
        if field.message_type is not None:
            yield from _messages(message, field, path, with_every_default)
        elif is_repeated(field):
            values = getattr(message, field.name)
            if values:
                yield Leaf(path, f"[{', '.join(written(field, value) for value in values)}]", False)
        elif message.HasField(field.name):
            yield Leaf(path, written(field, getattr(message, field.name)), False)
        elif has_telling_default(field) or (with_every_default and field.containing_oneof is None):
            yield Leaf(path, written(field, field.default_value), True)


def differences(left: Message, right: Message) -> list[Difference]:
    """Lists the fields in which two configs differ, by effective value: a default equals the same value written out."""
    by_path = [{leaf.path: leaf for leaf in leaves(message, with_every_default=True)} for message in (left, right)]
    found = []
    for path in dict.fromkeys([*by_path[0], *by_path[1]]):
        pair = [leaf_by_path.get(path) for leaf_by_path in by_path]
        present = [leaf for leaf in pair if leaf is not None]
        if len(present) == 1 and present[0].is_default:
            continue  # Of a message that the other has not, what is written says it all.
        if len(present) == 1 or present[0].value != present[1].value:
            found.append(Difference(path, *pair))
    # A message that is there is implied by the fields that are set in it, if any are.
    told = [difference.path for difference in found]
    return [one for one in found if not any(path.startswith(f"{one.path}.") for path in told)]


def written(field: FieldDescriptor, value: Any) -> str:
    """A value as text format writes it; numbers as short as they can be and still be read back to the same float."""
    if field.enum_type is not None:
        return str(field.enum_type.values_by_number[value].name)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return shortest_float(value) if isinstance(value, float) else str(value)


def shortest_float(value: float) -> str:
    """A 32-bit float in as few digits as read back to the same one."""
    single = ctypes.c_float(value).value
    texts = (f"{value:.{digits}g}" for digits in range(1, 10))
    return repr(next((float(text) for text in texts if ctypes.c_float(float(text)).value == single), value))


def has_telling_default(field: FieldDescriptor) -> bool:
    """Whether the default of a field that is not set says something: training honours it, and it is no alternative."""
    if field.containing_oneof is not None or is_repeated(field) or field.message_type is not None:
        return False
    if field.type == FieldDescriptor.TYPE_STRING and not field.default_value:
        return False
    settings = SETTINGS_BY_MESSAGE.get(short_name(field.containing_type))
    return settings is not None and field.name in declared_names(settings)


def _messages(message: Message, field: FieldDescriptor, path: str, with_every_default: bool) -> Iterator[Leaf]:
    if is_map(field):
        below = [(f"{path}[{json.dumps(key)}]", value) for key, value in sorted(getattr(message, field.name).items())]
    elif is_repeated(field):
        below = [(f"{path}[{index}]", value) for index, value in enumerate(getattr(message, field.name))]
    else:
        below = [(path, getattr(message, field.name))] if message.HasField(field.name) else []
    for here, value in below:
        if not isinstance(value, Message):
            yield Leaf(here, json.dumps(value, ensure_ascii=False), False)
            continue
        if with_every_default or not value.ListFields():
            yield Leaf(here, "{ }", False)
        yield from leaves(value, here, with_every_default=with_every_default)
