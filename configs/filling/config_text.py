"""A pipeline config's text, edited in place: values replaced, fields put in or taken out, all else as it stands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from data_prep.formats.text_tokens import Token, tokens_of

_STEP = re.compile(r"(?P<name>\w+)(?:\[(?P<index>\d+)\])?")
_COMMENT = re.compile(r"#[^\n]*")
_INDENTATION = re.compile(r"[ \t]*")
_OPENING, _CLOSING = {"{": "}", "<": ">"}, {"}", ">"}


@dataclass(frozen=True)
class _Body:
    """The inside of a message's braces, or the whole text.

    Attributes:
        start: Offset of its first character.
        end: Offset of the closing brace, or the text's length.
        fields: In the order of the text.
    """

    start: int
    end: int
    fields: tuple[_Field, ...]


@dataclass(frozen=True)
class _Field:
    """One mention of a field, `name: value` or `name { ... }`; offsets into the text.

    Attributes:
        bodies: Of its messages; none for a scalar, several for a list of messages in brackets.
    """

    name: str
    start: int
    value_start: int
    end: int
    bodies: tuple[_Body, ...]


class ConfigText:
    """Edits of a text, gathered and then made at once, so that comments, order and layout stay."""

    def __init__(self, text: str) -> None:
        """Takes a text that protobuf's parser has taken; of any other, the edits mean nothing."""
        self._text = text
        self._edits: list[tuple[int, int, str]] = []
        parser = _Parser(text)
        self._root = parser.root()
        self._comments = parser.comments(text)

    def set(self, path: str, value: str, comment: Sequence[str] = ()) -> None:
        """Writes a value, in place of what is there or at the end of the message that is to have it.

        Args:
            path: From the root, such as `train_config.num_steps` or `eval_input_reader[0].label_map_path`.
            value: As text format writes it; lines after the first are indented as the field is. It takes the place of
                all elements of a list.
            comment: Lines to put above it, without their `#`; comments within what was there come to stand above these.
        """
        *above, last = path.split(".")
        body = self._root
        for number, step in enumerate(above):
            inner = _bodies(body, step)
            if not inner:
                names = "".join(f"{name.partition('[')[0]} {{ " for name in above[number:])
                self._insert(body, f"{names}{last}: {value}" + " }" * len(above[number:]), comment)
                return
            body = inner[0]
        found = [field for field in body.fields if field.name == last]
        if not found:
            self._insert(body, f"{last}: {value}", comment)
            return
        first = found[0]
        self._put_above(first, comment)
        lines = value.replace("\n", f"\n{self._indentation_at(first.start)}")
        self._edits.append((first.value_start, first.end, lines))
        for field in found[1:]:
            self._cut(field)

    def delete(self, path: str, comment: Sequence[str] = ()) -> None:
        """Takes out a field with all that it has, or with an index one element of a list of messages; it is there.

        Args:
            path: From the root.
            comment: Lines to put where it was, without their `#`, and above these the comments that were within it.
        """
        *above, last = path.split(".")
        body = self._root
        for step in above:
            body = _bodies(body, step)[0]
        match = _STEP.fullmatch(last)
        assert match is not None
        fields = [field for field in body.fields if field.name == match["name"]]
        if match["index"] is not None:
            fields = [fields[int(match["index"])]]
        for field in fields:
            self._put_above(field, comment)
            self._cut(field)

    def edited(self) -> str:
        """Returns the text with all edits made."""
        text = self._text
        # From the end, so that offsets stay; of those at one place, the last first.
        ordered = sorted(enumerate(self._outside_others()), key=lambda edit: (*edit[1][:2], edit[0]), reverse=True)
        for _, (start, end, replacement) in ordered:
            text = text[:start] + replacement + text[end:]
        return text

    def _insert(self, body: _Body, field: str, comment: Sequence[str]) -> None:
        line_start = self._text.rfind("\n", 0, body.end) + 1
        before_end = self._text[line_start : body.end]
        if body is self._root:
            separator = "" if not self._text or self._text.endswith("\n") else "\n"
            above = "".join(f"# {line}\n" for line in comment)
            self._edits.append((body.end, body.end, f"{separator}{above}{field}\n"))
        elif before_end.strip():  # on the line of the brace: `{ a: 1 }`
            place = body.fields[-1].end if body.fields else body.start
            space = "" if self._text[place].isspace() else " "
            self._put_lines_above(place, [f"# {line}" for line in comment])
            self._edits.append((place, place, f" {field}{space}"))
        else:
            lines = [*(f"# {line}" for line in comment), *field.split("\n")]
            written = "".join(f"{before_end}  {line}\n" for line in lines)
            self._edits.append((line_start, line_start, written))

    def _put_above(self, field: _Field, comment: Sequence[str]) -> None:
        """Puts a comment above a field, and above it those that are within the field."""
        if comment:
            within = [text for start, text in self._comments if field.start < start < field.end]
            self._put_lines_above(field.start, [*within, *(f"# {line}" for line in comment)])

    def _put_lines_above(self, place: int, lines: Sequence[str]) -> None:
        line_start, indentation = self._line_start(place), self._indentation_at(place)
        if lines:
            self._edits.append((line_start, line_start, "".join(f"{indentation}{line}\n" for line in lines)))

    def _outside_others(self) -> list[tuple[int, int, str]]:
        """The edits; lines above a field whose line begins within what another edit replaces go above that, too."""
        edits = []
        for start, end, replacement in self._edits:
            around = next((other for other in self._edits if start == end and other[0] < start < other[1]), None)
            place = self._line_start(around[0]) if around is not None else start
            edits.append((place, place if around is not None else end, replacement))
        return edits

    def _line_start(self, place: int) -> int:
        return self._text.rfind("\n", 0, place) + 1

    def _indentation_at(self, place: int) -> str:
        match = _INDENTATION.match(self._text, self._line_start(place))
        assert match is not None
        return match.group()

    def _cut(self, field: _Field) -> None:
        """Takes out a field, and its line where nothing else stands on it."""
        start, end = field.start, field.end
        separator = re.compile(r"[ \t]*[,;]").match(self._text, end)
        end = separator.end() if separator else end
        line_start = self._text.rfind("\n", 0, start) + 1
        line_end = self._text.find("\n", end)
        line_end = len(self._text) if line_end < 0 else line_end + 1
        if not (self._text[line_start:start] + self._text[end:line_end]).strip():
            start, end = line_start, line_end
        self._edits.append((start, end, ""))


class _Parser:
    """Offsets of every field, read off the tokens."""

    def __init__(self, text: str) -> None:
        self._length = len(text)
        starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._tokens: Sequence[tuple[int, Token]] = [
            (starts[token.line - 1] + token.column - 1, token) for token in tokens_of(text)
        ]
        self._next = 0

    def comments(self, text: str) -> list[tuple[int, str]]:
        """The comments of the text, with their offsets."""
        ends = [0, *(start + len(token.text) for start, token in self._tokens)]
        starts = [*(start for start, _ in self._tokens), self._length]
        gaps = zip(ends, starts, strict=True)
        return [(match.start(), match.group()) for gap in gaps for match in _COMMENT.finditer(text, *gap)]

    def root(self) -> _Body:
        return _Body(0, self._length, tuple(self._fields()))

    def _fields(self) -> Iterator[_Field]:
        """Reads fields up to a closing brace, which stays, or the end."""
        while (text := self._peek()) is not None and text not in _CLOSING:
            if text in ",;":
                self._next += 1
            else:
                yield self._field()

    def _field(self) -> _Field:
        start, name = self._take()
        if self._peek() == ":":
            self._take()
        value_start = self._tokens[self._next][0]
        bodies: list[_Body] = []
        if self._peek() == "[":
            self._take()
            while self._peek() != "]":
                if self._peek() in _OPENING:
                    bodies.append(self._message())
                else:
                    self._take()
            self._take()
        elif self._peek() in _OPENING:
            bodies.append(self._message())
        else:
            _, value = self._take()
            while value[0] in "\"'" and self._next < len(self._tokens) and self._tokens[self._next][1].is_string:
                self._take()  # adjacent strings are one
        last_start, last = self._tokens[self._next - 1]
        return _Field(name, start, value_start, last_start + len(last.text), tuple(bodies))

    def _message(self) -> _Body:
        start, _ = self._take()
        fields = tuple(self._fields())
        end, _ = self._take()
        return _Body(start + 1, end, fields)

    def _peek(self) -> str | None:
        return self._tokens[self._next][1].text if self._next < len(self._tokens) else None

    def _take(self) -> tuple[int, str]:
        offset, token = self._tokens[self._next]
        self._next += 1
        return offset, token.text


def _bodies(body: _Body, step: str) -> list[_Body]:
    """Returns the messages that a step of a path names; with an index, that one alone."""
    match = _STEP.fullmatch(step)
    assert match is not None
    found = [inner for field in body.fields if field.name == match["name"] for inner in field.bodies]
    return found if match["index"] is None else found[int(match["index"]) :][:1]
