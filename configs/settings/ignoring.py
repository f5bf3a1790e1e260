"""Removal of fields of a config by path, as if they had never been written: `--ignore_unsupported`."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from configs.schema.descriptors import ROOT_MESSAGE, is_map, is_repeated, message_class, short_name
from configs.schema.diagnosis import nearest
from configs.schema.problem import ConfigError, Problem

FLAG = "--ignore_unsupported"

_PART = re.compile(r"(?P<name>\w+)(?:\[(?P<index>\d+|\"[^\"]*\")\])?(?:\.|$)")


def require_refused(paths: Sequence[str], problems: Sequence[Problem]) -> None:
    """Checks that each path is one that was refused.

    Args:
        paths: What a person asks to be ignored.
        problems: What was refused.

    Raises:
        ConfigError: A line for each path that was not, with the nearest that was.
    """
    refused = [problem.path for problem in problems]
    lines = []
    for path in paths:
        if path in refused:
            continue
        below = [other for other in refused if other.startswith((f"{path}.", f"{path}["))]
        near = nearest(path, refused)
        if below:
            hint = f"; what is refused is {', '.join(below)}"
        elif near is not None:
            hint = f"; the nearest that is refused is {near}"
        elif refused:
            hint = f"; what is refused is {', '.join(refused)}"
        else:
            hint = ": nothing is"
        lines.append(f"{FLAG} {path}: no such field is refused{hint}")
    if lines:
        raise ConfigError(lines)


def without_fields(config: Message, paths: Sequence[str]) -> Any:
    """Copies a config without some of its fields.

    Args:
        config: A `TrainEvalPipelineConfig`; left as it is.
        paths: Of fields, as problems have them: `model.ssd.mask_head_config`, `eval_config.metrics_set[1]`,
            `eval_config.super_categories["animal"]`. One that is not set is let be. Of an augmentation the whole
            `data_augmentation_options` element goes, and of a plugin's part that is not registered the whole part.

    Returns:
        A new message.
    """
    remaining = message_class(ROOT_MESSAGE)()
    remaining.CopyFrom(config)
    single: list[tuple[Message, str]] = []
    elements: dict[str, tuple[Any, set[int]]] = {}
    keys: list[tuple[Any, Any]] = []
    for path in paths:
        parts = [(match["name"], match["index"]) for match in _PART.finditer(path)]
        parent = _resolve(remaining, parts[:-1])
        if parent is None:
            continue
        message = short_name(parent.DESCRIPTOR)
        if len(parts) > 1 and (message == "PreprocessingStep" or (message == "PluginPart" and parts[-1][0] == "name")):
            parts = parts[:-1]
            parent = _resolve(remaining, parts[:-1])
            assert parent is not None
        name, index = parts[-1]
        if index is None:
            single.append((parent, name))
        elif is_map(parent.DESCRIPTOR.fields_by_name[name]):
            keys.append((getattr(parent, name), json.loads(index)))
        else:
            in_list = ".".join(name if at is None else f"{name}[{at}]" for name, at in [*parts[:-1], (name, None)])
            elements.setdefault(in_list, (getattr(parent, name), set()))[1].add(int(index))
    # All are found before any goes: the numbers of a list's elements change as it shrinks.
    for parent, name in single:
        parent.ClearField(name)
    for container, key in keys:
        container.pop(key, None)
    for values, indices in elements.values():
        for number in sorted(indices, reverse=True):
            if number < len(values):
                del values[number]
    return remaining


def _resolve(message: Message, parts: Sequence[tuple[str, str | None]]) -> Message | None:
    """The message at a path, or None if it is not set."""
    here: Any = message
    for name, index in parts:
        field: FieldDescriptor | None = here.DESCRIPTOR.fields_by_name.get(name)
        if field is None or field.message_type is None:
            return None
        value = getattr(here, name)
        if is_map(field):
            if index is None or json.loads(index) not in value:
                return None
            value = value[json.loads(index)]
        elif is_repeated(field):
            if index is None or not index.isdigit() or int(index) >= len(value):
                return None
            value = value[int(index)]
        elif not here.HasField(name):
            return None
        here = value
    return here if isinstance(here, Message) else None
