"""A config as text that shows what was written and what is a default, and that reads back to the same config."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from configs.schema.descriptors import is_map, is_repeated
from configs.schema.fields import set_fields
from configs.views.leaves import has_telling_default, written

_INDENT = "  "
_LONGEST_LIST = 80


def annotated_text(config: Message, file: Message, merged: Message) -> str:
    """Writes a config with its defaults.

    What is set is written as text format; defaults follow as comments, in their places; what does not stand in the file
    is marked with where it comes from. The text parses to an equal message.

    Args:
        config: The effective `TrainEvalPipelineConfig`.
        file: The one that was read.
        merged: That one with the override merged over it.
    """
    return "\n".join(_Writer(file, merged).lines(config, "")) + "\n"


class _Writer:
    """Writes messages, knowing what stood in the file and what in the override."""

    def __init__(self, file: Message, merged: Message) -> None:
        self._file, self._merged = (
            {path: value for path, _, value in set_fields(source) if not isinstance(value, Message)}
            for source in (file, merged)
        )

    def lines(self, message: Message, path: str) -> Iterator[str]:
        """The lines of a message's fields, without braces around them."""
        for field in message.DESCRIPTOR.fields:
            here = f"{path}.{field.name}" if path else field.name
            value = getattr(message, field.name)
            if is_map(field):
                yield from self._map(field, here, value)
            elif field.message_type is not None:
                yield from self._messages(field, here, value, is_set=is_repeated(field) or message.HasField(field.name))
            elif is_repeated(field):
                yield from self._list(field, here, list(value))
            elif message.HasField(field.name):
                yield f"{field.name}: {written(field, value)}{self._origin(here, value)}"
            elif has_telling_default(field):
                yield f"# {field.name}: {written(field, field.default_value)}"

    def _messages(self, field: FieldDescriptor, path: str, value: Any, *, is_set: bool) -> Iterator[str]:
        elements = enumerate(value) if is_repeated(field) else [(None, value)] if is_set else []
        for index, element in elements:
            yield from self._braced(field.name, element, path if index is None else f"{path}[{index}]")

    def _braced(self, name: str, message: Message, path: str) -> Iterator[str]:
        below = [f"{_INDENT}{line}" for line in self.lines(message, path)]
        yield from [f"{name} {{", *below, "}"] if below else [f"{name} {{ }}"]

    def _map(self, field: FieldDescriptor, path: str, value: Any) -> Iterator[str]:
        value_field = field.message_type.fields_by_name["value"]
        for key in sorted(value):
            yield f"{field.name} {{"
            yield f"{_INDENT}key: {json.dumps(key)}"
            if isinstance(value[key], Message):
                below = self._braced("value", value[key], f"{path}[{json.dumps(key)}]")
                yield from (f"{_INDENT}{line}" for line in below)
            else:
                yield f"{_INDENT}value: {written(value_field, value[key])}"
            yield "}"

    def _list(self, field: FieldDescriptor, path: str, values: list[Any]) -> Iterator[str]:
        texts = [written(field, value) for value in values]
        origins = [self._origin(f"{path}[{index}]", value) for index, value in enumerate(values)]
        if len(values) > 1 and len(set(origins)) == 1 and len(", ".join(texts)) <= _LONGEST_LIST:
            yield f"{field.name}: [{', '.join(texts)}]{origins[0]}"
        else:
            yield from (f"{field.name}: {text}{origin}" for text, origin in zip(texts, origins, strict=True))

    def _origin(self, path: str, value: Any) -> str:
        """Where a value comes from, as a comment; nothing if it stands in the file."""
        if self._file.get(path) == value:
            return ""
        if self._merged.get(path) == value:
            return "  # from --config_override"
        return "  # read as this" + (f' where "{self._merged[path]}" is written' if path in self._merged else "")
