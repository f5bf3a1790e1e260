"""Places and paths of the fields of a text config, which the protobuf parser's errors lack.

The parser says `12:7 : Message type "...Ssd" has no field named "x"`; a person wants `model.ssd.x`. This scan is
tolerant: it stops where it no longer understands, which is never before the place where the parser does.
"""

from __future__ import annotations

import dataclasses
import enum

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from configs.schema.descriptors import is_repeated
from data_prep.formats.text_tokens import Token, tokens_of

# The name that the mention of a `[package.extension]` gets.
EXTENSION = "[extension]"


@dataclasses.dataclass(frozen=True)
class Mention:
    """A field's name, where it is written.

    Attributes:
        line: From 1.
        column: From 1.
        path: From the root, such as `train_config.data_augmentation_options[1].random_crop_image.min_area`.
        name: The last part of the path, without an index.
        parent: The message type that should have the field; None below a field that is itself unknown.
        enclosing: The types around `parent`, from the root inwards.
    """

    line: int
    column: int
    path: str
    name: str
    parent: Descriptor | None
    enclosing: tuple[Descriptor, ...]

    @property
    def field(self) -> FieldDescriptor | None:
        """The field, or None if there is none of this name."""
        return None if self.parent is None else self.parent.fields_by_name.get(self.name)

    @property
    def is_unknown(self) -> bool:
        """Whether the message type is known and has no such field."""
        return self.parent is not None and self.field is None


@dataclasses.dataclass(frozen=True)
class Scan:
    """Findings of a scan.

    Attributes:
        mentions: Every field name, in the order of the text.
        values: For the line and column of each scalar value, the mention that it belongs to.
        unclosed: The innermost mention whose brace is not closed.
    """

    mentions: tuple[Mention, ...]
    values: dict[tuple[int, int], Mention]
    unclosed: Mention | None


class _State(enum.Enum):
    NAME = enum.auto()
    AFTER_NAME = enum.auto()
    VALUE = enum.auto()
    LIST = enum.auto()


@dataclasses.dataclass
class _Frame:
    """A message whose braces are open."""

    path: str
    descriptor: Descriptor | None
    opened_by: Mention | None
    state_after: _State
    current: Mention | None = None
    counts: dict[str, int] = dataclasses.field(default_factory=dict)


def find_mentions(text: str, root: Descriptor) -> Scan:
    """Finds every field name in a text config.

    Args:
        text: The config.
        root: The type of the message that it describes.
    """
    return _Scanner(root).run(text)


class _Scanner:
    """A walk over the tokens with a stack of the messages that are open."""

    def __init__(self, root: Descriptor) -> None:
        self.frames = [_Frame("", root, None, _State.NAME)]
        self.mentions: list[Mention] = []
        self.values: dict[tuple[int, int], Mention] = {}
        self.state = _State.NAME

    def run(self, text: str) -> Scan:
        in_brackets = False
        for token in tokens_of(text):
            if in_brackets:  # The name of an extension, `[a.b.c]`: one mention, already noted.
                in_brackets = token.text != "]"
            elif self.state is _State.NAME and token.text == "[":
                self._note(dataclasses.replace(token, text=EXTENSION))
                in_brackets = True
            elif not self._step(token):
                break
        return Scan(tuple(self.mentions), self.values, self.frames[-1].opened_by)

    def _step(self, token: Token) -> bool:
        """Takes one token; False where the text makes no sense any more."""
        if self.state is _State.NAME:
            return self._step_name(token)
        if token.text in "{<":
            self._open()
        elif token.text == "[" and self.state is not _State.LIST:
            self.state = _State.LIST
        elif self.state is _State.AFTER_NAME:
            if token.text != ":":
                return False
            self.state = _State.VALUE
        elif token.text == "]" and self.state is _State.LIST:
            self.state = _State.NAME
        elif token.text != ",":
            self.values[token.line, token.column] = self.mentions[-1]
            self.state = _State.LIST if self.state is _State.LIST else _State.NAME
        return True

    def _step_name(self, token: Token) -> bool:
        if token.kind in ("word", "number"):
            self._note(token)
        elif token.text in "}>":
            if len(self.frames) == 1:
                return False
            self.state = self.frames.pop().state_after
        else:  # Separators, and the second of two adjacent strings, which make one value.
            return token.text in ",;" or token.is_string
        return True

    def _note(self, token: Token) -> None:
        frame = self.frames[-1]
        path = f"{frame.path}.{token.text}" if frame.path else token.text
        enclosing = tuple(frame.descriptor for frame in self.frames[:-1] if frame.descriptor is not None)
        mention = Mention(token.line, token.column, path, token.text, frame.descriptor, enclosing)
        if mention.field is not None and mention.field.message_type is not None and is_repeated(mention.field):
            mention = dataclasses.replace(mention, path=f"{path}[{frame.counts.get(token.text, 0)}]")
        self.mentions.append(mention)
        frame.current = mention
        self.state = _State.AFTER_NAME

    def _open(self) -> None:
        frame = self.frames[-1]
        mention = frame.current
        assert mention is not None
        field = mention.field
        path = mention.path
        if field is not None and field.message_type is not None and is_repeated(field):
            index = frame.counts.get(mention.name, 0)
            frame.counts[mention.name] = index + 1
            path = f"{path.rpartition('[')[0]}[{index}]"
        after = _State.LIST if self.state is _State.LIST else _State.NAME
        self.frames.append(_Frame(path, None if field is None else field.message_type, mention, after))
        self.state = _State.NAME
