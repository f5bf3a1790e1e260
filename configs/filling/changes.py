"""Changes of a pipeline config, made to its message and to its text alike."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from configs.filling.config_text import ConfigText
from configs.schema.descriptors import is_repeated
from configs.schema.pipeline_file import parse_pipeline_config
from configs.schema.problem import ConfigError
from configs.views.leaves import written
from data_prep.formats.label_map_text import quote

_INDEXED = re.compile(r"(?P<name>\w+)\[(?P<index>\d+)\]")


@dataclass(frozen=True)
class Change:
    """One field's new value.

    Attributes:
        path: From the root, such as `eval_input_reader[0].label_map_path`.
        value: A number or text; of a list, its only element from then on; None takes the field out.
    """

    path: str
    value: Any


def changed_text(text: str, config: Message, changes: Sequence[Change], where: str) -> str:
    """Returns a config's text with changes made in it, its comments and layout as they were.

    Args:
        text: The config's.
        config: What it says, a `TrainEvalPipelineConfig`; gets the changes too.
        changes: None of them at or below another's path.
        where: What to call the text in errors.

    Raises:
        ConfigError: The edited text does not say what the changed message says.
    """
    edits = ConfigText(text)
    for change in changes:
        parent, name, _ = place_of(config, change.path)
        field = parent.DESCRIPTOR.fields_by_name[name]
        if change.value is None:
            edits.delete(change.path)
        else:
            edits.set(
                change.path, quote(change.value) if isinstance(change.value, str) else written(field, change.value)
            )
    for change in reversed(changes):  # an element taken out leaves the numbers before it
        _apply(config, change)
    edited = edits.edited()
    if parse_pipeline_config(edited, where) != config:
        paths = ", ".join(change.path for change in changes)
        raise ConfigError(f"{where}: cannot be edited in place ({paths}); write these fields in the usual layout")
    return edited


def _apply(config: Message, change: Change) -> None:
    parent, name, index = place_of(config, change.path)
    value: Any = getattr(parent, name)
    if change.value is None and index is not None:
        del value[index]
    elif change.value is None:
        parent.ClearField(name)
    elif is_repeated(parent.DESCRIPTOR.fields_by_name[name]):
        del value[:]
        value.append(change.value)
    else:
        setattr(parent, name, change.value)


def place_of(config: Message, path: str) -> tuple[Message, str, int | None]:
    """Returns the message that a path's last field is in, made where it is missing, that field's name, and an index."""
    message: Any = config
    *above, last = path.split(".")
    for step in above:
        match = _INDEXED.fullmatch(step)
        message = getattr(message, match["name"])[int(match["index"])] if match else getattr(message, step)
    match = _INDEXED.fullmatch(last)
    return (message, match["name"], int(match["index"])) if match else (message, last, None)
