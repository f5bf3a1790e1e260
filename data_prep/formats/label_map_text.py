"""The text of a label map: protobuf text format, read without protobuf, with the line of what is wrong."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any

from data_prep.formats.text_tokens import Token, tokens_of, typographic_advice
from data_prep.runtime.command_line import UsageError

_ESCAPE = re.compile(
    rb"\\(?:(?P<octal>[0-7]{1,3})|x(?P<hexadecimal>[0-9A-Fa-f]{1,2})"
    rb"|u(?P<short>[0-9A-Fa-f]{4})|U(?P<long>[0-9A-Fa-f]{8})|(?P<letter>.))",
    re.DOTALL,
)
_LETTER_ESCAPES = {
    b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v",
    b"\\": b"\\", b"'": b"'", b'"': b'"', b"?": b"?",
}  # fmt: skip
_SYMBOLS = frozenset("{}<>[]:,;")
_CLOSERS = {"{": "}", "<": ">"}

# StringIntLabelMapItem of the Object Detection API. What only other tasks use is checked for its kind and passed over.
_ITEM_FIELDS = {
    "name": "string",
    "id": "integer",
    "display_name": "string",
    "keypoints": "keypoint",
    "ancestor_ids": "integers",
    "descendant_ids": "integers",
    "frequency": "word",
    "instance_count": "integer",
}
_KEYPOINT_FIELDS = {"id": "integer", "label": "string"}


def parse_items(text: str, where: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the line and the fields of each item of a label map.

    There is `id`, and `name`, `display_name` or both; `ancestor_ids` and `descendant_ids` are tuples.

    Args:
        text: Protobuf text format of the API's StringIntLabelMap.
        where: The file's name, for messages.

    Raises:
        UsageError: With `where` and the line.
    """
    return _Parser(text, where).read_items()


class _Parser:
    """A recursive descent over the three levels that a label map has: file, item, keypoint."""

    def __init__(self, text: str, where: str) -> None:
        self._where = where
        self._text = text
        self._tokens = self._tokenize(text)
        self._next = next(self._tokens)

    def read_items(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yields each item's line and fields."""
        while self._next.kind != "end":
            field = self._take()
            if field.kind != "word" or field.text != "item":
                raise self._error(field, f"expected 'item {{', found {_shown(field)}")
            values = self._read_message(field, _ITEM_FIELDS)
            if "id" not in values:
                raise self._error(field, "an item without 'id'")
            if "name" not in values and "display_name" not in values:
                raise self._error(field, "an item without 'name' and without 'display_name'")
            yield field.line, values

    def _read_message(self, field: Token, fields: dict[str, str]) -> dict[str, Any]:
        self._skip(":")
        opener = self._take()
        if opener.text not in _CLOSERS or opener.kind != "mark":
            raise self._error(opener, f"expected '{{' after {field.text!r}, found {_shown(opener)}")
        values: dict[str, Any] = {}
        while self._next.text != _CLOSERS[opener.text] or self._next.kind != "mark":
            name = self._take()
            if name.kind == "end":
                raise self._error(opener, f"the {field.text!r} that begins here is never closed")
            if name.kind != "word":
                raise self._error(name, f"expected a field of {field.text!r}, found {_shown(name)}")
            if name.text not in fields:
                near = difflib.get_close_matches(name.text, fields, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(fields)}"
                raise self._error(name, f"{field.text!r} has no field {name.text!r}; {hint}")
            kind = fields[name.text]
            if kind == "keypoint":
                self._read_message(name, _KEYPOINT_FIELDS)
            elif kind == "integers":
                values[name.text] = (*values.get(name.text, ()), *self._read_integers(name))
            elif name.text in values:
                raise self._error(name, f"{name.text!r} is given twice in one {field.text}")
            else:
                values[name.text] = self._read_value(name, kind)
        self._take()
        self._skip(",", ";")
        return values

    def _read_value(self, name: Token, kind: str) -> str | int:
        colon = self._take()
        if colon.text != ":" or colon.kind != "mark":
            raise self._error(colon, f"expected ':' after {name.text!r}, found {_shown(colon)}")
        value: str | int
        if kind == "string":
            value = self._read_string(name)
        elif kind == "integer":
            value = self._integer(name, self._take())
        else:
            value = self._take().text
        self._skip(",", ";")
        return value

    def _read_string(self, name: Token) -> str:
        first = self._next
        if first.kind != "string":
            raise self._error(first, f"{name.text!r} must be a text in quotes, not {_shown(first)}")
        content = b""
        while self._next.kind == "string":  # texts beside each other are one text, as in C
            content += self._unescape(self._take())
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._error(first, f"the escapes in {name.text!r} do not make UTF-8 text") from error

    def _unescape(self, token: Token) -> bytes:
        def replace(match: re.Match[bytes]) -> bytes:
            if match["octal"]:
                code = int(match["octal"], 8)
                if code > 0xFF:
                    raise self._error(token, f"\\{match['octal'].decode()} is no byte")
                return bytes([code])
            if match["hexadecimal"]:
                return bytes([int(match["hexadecimal"], 16)])
            digits = match["short"] or match["long"]
            if digits:
                code = int(digits, 16)
                if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
                    raise self._error(token, f"\\u{digits.decode()} is not a character")
                return chr(code).encode("utf-8")
            if match["letter"] not in _LETTER_ESCAPES:
                raise self._error(token, f"unknown escape \\{match['letter'].decode('utf-8', 'replace')} in a text")
            return _LETTER_ESCAPES[match["letter"]]

        return _ESCAPE.sub(replace, token.text[1:-1].encode("utf-8"))

    def _integer(self, name: Token, token: Token) -> int:
        problem = f"{name.text!r} must be a whole number, not {_shown(token)}"
        if token.kind != "number" or len(token.text) > 20 or "_" in token.text:
            raise self._error(token, problem)
        digits = token.text.lstrip("+-")
        is_octal = len(digits) > 1 and digits.startswith("0") and digits.isdigit()
        try:
            return int(token.text, 8 if is_octal else 0)
        except ValueError as error:
            raise self._error(token, problem) from error

    def _read_integers(self, name: Token) -> list[int]:
        found = []
        colon = self._take()
        if colon.text != ":" or colon.kind != "mark":
            raise self._error(colon, f"expected ':' after {name.text!r}, found {_shown(colon)}")
        if self._skip("["):
            while not self._skip("]"):
                found.append(self._integer(name, self._take()))
                self._skip(",")
        else:
            found.append(self._integer(name, self._take()))
        self._skip(",", ";")
        return found

    def _take(self) -> Token:
        token = self._next
        if token.kind != "end":
            self._next = next(self._tokens)
        return token

    def _skip(self, *symbols: str) -> bool:
        if self._next.kind == "mark" and self._next.text in symbols:
            self._take()
            return True
        return False

    def _tokenize(self, text: str) -> Iterator[Token]:
        for token in tokens_of(text):
            if token.kind == "unclosed" or (token.kind == "mark" and token.text not in _SYMBOLS):
                problem = "a quote that is never closed:" if token.is_string else "cannot read"
                rest = self._line(token)[token.column - 1 :][:20]
                raise self._error(token, f"{problem} {rest!r}")
            yield token
        yield Token("end", "", text.count("\n") + 1, 1)

    def _error(self, token: Token, message: str) -> UsageError:
        message += typographic_advice(self._line(token))
        return UsageError(f"{self._where}:{token.line}: {message}")

    def _line(self, token: Token) -> str:
        return self._text.split("\n")[token.line - 1]


def _shown(token: Token) -> str:
    """Returns a token for a message: short, whatever it holds."""
    if token.kind == "end":
        return "the end of the file"
    return repr(token.text if len(token.text) <= 40 else token.text[:40] + "...")


def quote(text: str) -> str:
    """Returns `text` as protobuf text format writes it, in double quotes with escapes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda match: f"\\{ord(match.group()):03o}", escaped) + '"'
