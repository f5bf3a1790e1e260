"""Tokens of protobuf text format, with line and column: for readers that say where something is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"(?P<skipped>\s+|\#[^\n]*)"
    r"|(?P<word>[A-Za-z_][0-9A-Za-z_+-]*)"
    r"|(?P<number>[0-9+-][0-9A-Za-z_.+-]*|\.[0-9][0-9A-Za-z_.+-]*)"
    r"|(?P<string>\"(?:\\[^\n]|[^\"\\\n])*\"|'(?:\\[^\n]|[^'\\\n])*')"
    r"|(?P<unclosed>[\"'](?:\\[^\n]|[^\\\n])*)"
    r"|(?P<mark>.)",
    re.DOTALL,
)

# What word processors, chats and web pages make of the two quotes that text format knows.
_TYPOGRAPHIC_QUOTES = {
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4`", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
}


@dataclass(frozen=True)
class Token:
    """A piece of the text.

    Attributes:
        kind: word, number, string, unclosed (a string without its second quote), or mark (one other character).
        text: As it is written, quotes included.
        line: From 1.
        column: From 1.
    """

    kind: str
    text: str
    line: int
    column: int

    @property
    def is_string(self) -> bool:
        """Whether it begins with a quote."""
        return self.kind in ("string", "unclosed")


def tokens_of(text: str) -> Iterator[Token]:
    """Splits a text as the protobuf parser does; spaces and comments are left out."""
    line, line_start = 1, 0
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "mark"
        if kind != "skipped":
            yield Token(kind, match.group(), line, match.start() - line_start + 1)
        newlines = match.group().count("\n")
        if newlines:
            line += newlines
            line_start = match.start() + match.group().rindex("\n") + 1


def typographic_advice(line: str) -> str:
    """What to add to an error about a line of text in which somebody's quotes are typographic; else nothing."""
    pairs = dict.fromkeys(
        f"{quote} (U+{ord(quote):04X}) as {_TYPOGRAPHIC_QUOTES[quote]}"
        for quote in line
        if quote in _TYPOGRAPHIC_QUOTES
    )
    return f"; typographic quotes close or open no text: write {', '.join(pairs)}" if pairs else ""
