"""Reads a message from protobuf text format, with errors that name the place, the whole path and the nearest name."""

from __future__ import annotations

import difflib
from typing import Any

from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from configs.descriptors import ROOT_MESSAGE, message_class, paths_by_field_name, schema_pool, short_name
from configs.errors import ConfigError
from configs.mentions import Mention, Scan, Token, find_mentions, tokens_of

_MOST_PROBLEMS_TOLD = 20
_MOST_NAMES_LISTED = 12
_LONGEST_QUOTE = 60
# Higher than difflib's own: of "batch_size" and "num_parallel_batches", neither is a slip of the other.
_NEARNESS = 0.72

_WHOLE_NUMBERS = {
    FieldDescriptor.TYPE_INT32: "a whole number from -2147483648 to 2147483647",
    FieldDescriptor.TYPE_UINT32: "a whole number from 0 to 4294967295",
}


def parse_text(text: str, where: str, message_name: str = ROOT_MESSAGE) -> Message:
    """Parses text format strictly: unknown fields, wrong types and fields given twice are errors.

    Args:
        text: The config.
        where: What to call it in errors, such as its file name.
        message_name: The type to read.

    Raises:
        ConfigError: A line for each problem found: `where:line:column: full.path: what is wrong`.
    """
    message = message_class(message_name)()
    try:
        text_format.Parse(text, message, descriptor_pool=schema_pool())
    except text_format.ParseError as error:
        raise ConfigError(_explain(error, text, where, message)) from None
    return message


def format_text(message: Message) -> str:
    """Writes a message in text format: what is set, in the order of field numbers, unicode readable."""
    return text_format.MessageToString(message, as_utf8=True, descriptor_pool=schema_pool())


def nearest(name: str, names: Any) -> str | None:
    """The name that `name` is most likely a slip of, or None."""
    return next(iter(difflib.get_close_matches(name, list(names), n=1, cutoff=_NEARNESS)), None)


def _explain(error: text_format.ParseError, text: str, where: str, message: Message) -> list[str]:
    """One line for the parser's error and one for each further field that does not exist."""
    scan = find_mentions(text, message.DESCRIPTOR)
    line, column = error.GetLine() or 1, error.GetColumn() or 1
    told: dict[tuple[int, int], str] = {}
    for mention in scan.mentions:
        if not mention.is_unknown:
            continue
        told[mention.line, mention.column] = f"{mention.path}: {_unknown_field(mention)}"
        if _is_field_of_enclosing(mention):
            break  # A brace is missing: whatever comes after is read one level too deep.
    if (line, column) not in told:
        at = (line, column)
        before = [m for m in scan.mentions if (m.line, m.column) <= at]
        # A brace that is missing shows up at the end, far from where it is missing.
        told = {place: problem for place, problem in told.items() if place < at}
        told[at] = _parser_error(error, text, line, column, before, scan)
    lines = [f"{where}:{line}:{column}: {problem}" for (line, column), problem in sorted(told.items())]
    if len(lines) > _MOST_PROBLEMS_TOLD:
        rest = len(lines) - _MOST_PROBLEMS_TOLD
        lines = [*lines[:_MOST_PROBLEMS_TOLD], f"{where}: and {rest} more fields that do not exist"]
    return lines


def _unknown_field(mention: Mention) -> str:
    assert mention.parent is not None
    says = f"no such field in {short_name(mention.parent)}"
    if _is_field_of_enclosing(mention):
        return f"{says}; is a closing brace missing before it?"
    names = [field.name for field in mention.parent.fields]
    near = nearest(mention.name, names)
    if near is not None:
        return f"{says}; did you mean {near!r}?"
    elsewhere = paths_by_field_name().get(mention.name, ())
    if elsewhere:
        more = ", among others" if len(elsewhere) > 3 else ""
        return f"{says}; a field of this name is at {', '.join(elsewhere[:3])}{more}"
    if not names:
        return f"{says}, which has none"
    if len(names) <= _MOST_NAMES_LISTED:
        return f"{says}; it has {', '.join(names)}"
    closest = difflib.get_close_matches(mention.name, names, n=3, cutoff=0.0)
    return f"{says}; the nearest are {', '.join(closest)}"


def _is_field_of_enclosing(mention: Mention) -> bool:
    return any(mention.name in descriptor.fields_by_name for descriptor in mention.enclosing)


def _parser_error(
    error: text_format.ParseError, text: str, line: int, column: int, before: list[Mention], scan: Scan
) -> str:
    """What the parser found, with the path of the field that it was at."""
    said = _without_position(str(error))
    mention = before[-1] if before else None
    if mention is None:
        return _shortened(said)
    earlier = [m for m in before[:-1] if m.path == mention.path]
    if "should not have multiple" in said and earlier:
        return f"{mention.path}: is set twice, first in line {earlier[0].line}; keep one"
    if "is specified along with" in said and mention.field is not None and mention.field.containing_oneof is not None:
        return f"{mention.path}: {_oneof_conflict(mention, before)}"
    found = next((token for token in tokens_of(text) if (token.line, token.column) == (line, column)), None)
    if scan.unclosed is not None and found is not None and said.startswith('Expected "}"'):
        unclosed = scan.unclosed
        return f"{unclosed.path}: its opening brace in line {unclosed.line} is never closed"
    is_value = found is not None and (line, column) > (mention.line, mention.column)
    if is_value and mention.field is not None and not said.startswith(('Expected "', "Expected identifier")):
        return f"{mention.path}: {_wrong_value(mention.field, found)}"
    return f"{mention.path}: {_shortened(said)}" + (f" Found {_quoted(found)}." if found is not None else "")


def _oneof_conflict(mention: Mention, before: list[Mention]) -> str:
    assert mention.field is not None
    names = [field.name for field in mention.field.containing_oneof.fields]
    prefix = mention.path.removesuffix(mention.name)
    for other in reversed(before[:-1]):
        if other.name in names and other.path == prefix + other.name:
            return f"excludes {other.name}, which line {other.line} sets; keep one"
    return f"excludes the other of {', '.join(names)}; keep one"


def _wrong_value(field: FieldDescriptor, found: Token | None) -> str:
    given = _quoted(found)
    if field.enum_type is not None:
        names = [value.name for value in field.enum_type.values]
        near = nearest(found.text.upper(), names) if found is not None else None
        hint = f"; did you mean {near}?" if near else ""
        return f"{given} is no value of {short_name(field.enum_type)}: {', '.join(names)}{hint}"
    if field.type in _WHOLE_NUMBERS:
        return f"needs {_WHOLE_NUMBERS[field.type]}, not {given}"
    if field.type == FieldDescriptor.TYPE_FLOAT:
        return f"needs a number, not {given}"
    if field.type == FieldDescriptor.TYPE_BOOL:
        return f"needs true or false, not {given}"
    if field.type == FieldDescriptor.TYPE_STRING:
        return f"needs text in quotes, not {given}"
    return f"needs a message in braces, not {given}"


def _quoted(token: Token | None) -> str:
    if token is None:
        return "the end of the file"
    shown = token.text if len(token.text) <= _LONGEST_QUOTE else token.text[: _LONGEST_QUOTE - 3] + "..."
    return shown if token.kind == "string" else f"'{shown}'"


def _without_position(message: str) -> str:
    """Drops the parser's own `line:column : ` from its message."""
    position, separator, rest = message.partition(" : ")
    return rest if separator and position.replace(":", "").isdigit() else message


def _shortened(message: str) -> str:
    flat = " ".join(message.split())
    return flat if len(flat) <= 200 else flat[:197] + "..."
