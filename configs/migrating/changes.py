"""A change of one field of a config, with what it was and why."""

from __future__ import annotations

import dataclasses
import textwrap
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import Message

from configs.schema.descriptors import schema_pool
from data_prep.formats.label_map_text import quote

_MOST_SHOWN = 72
_COMMENT_WIDTH = 100
# What the comments in the file begin with.
MARK = "configs.migrate:"


@dataclasses.dataclass(frozen=True)
class Change:
    """A change of a field.

    Attributes:
        path: Of the field, from the root.
        value: As text format writes it; None takes the field out.
        was: The same of what was there; empty where the field was not set.
        reason: Why.
    """

    path: str
    value: str | None
    was: str
    reason: str

    def __str__(self) -> str:
        """The change as a line to read."""
        now = "deleted" if self.value is None else _shortened(self.value)
        return f"{self.path}: {now}, was {_shortened(self.was) if self.was else 'not set'}; {self.reason}"

    @property
    def comment(self) -> list[str]:
        """The change as lines of a comment, with all that was there."""
        name = self.path.rpartition(".")[2]
        was = f"was {self.was}" if self.was else "was not set"
        words = f"{MARK} {name} {'is deleted, ' if self.value is None else ''}{was}; {self.reason}"
        return textwrap.wrap(words, _COMMENT_WIDTH, break_long_words=False, break_on_hyphens=False)


def written(value: Any) -> str:
    """A value as text format writes it: a text in quotes, a flag in small letters, a message in braces, on lines."""
    if isinstance(value, Message):
        body = text_format.MessageToString(value, as_utf8=True, indent=2, descriptor_pool=schema_pool())
        return f"{{\n{body}}}" if body else "{ }"
    if isinstance(value, str):
        return quote(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def on_one_line(value: Any) -> str:
    """A value as text format writes it, on one line."""
    return " ".join(written(value).split()) if isinstance(value, Message) else written(value)


def _shortened(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _MOST_SHOWN else flat[: _MOST_SHOWN - 3] + "..."
