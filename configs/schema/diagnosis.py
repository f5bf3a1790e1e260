"""Diagnosis of a text format parser's error, in lines to act on: place, whole path, what to write instead."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from google.protobuf import text_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from configs.schema.descriptors import paths_by_field_name, short_name
from configs.schema.mentions import EXTENSION, Mention, Scan, find_mentions
from data_prep.formats.text_tokens import Token, tokens_of, typographic_advice

_MOST_PROBLEMS_TOLD = 20
_MOST_NAMES_LISTED = 12
_LONGEST_QUOTE = 60
_LONGEST_MESSAGE = 200
# Higher than difflib's own: of "batch_size" and "num_parallel_batches", neither is a slip of the other.
_NEARNESS = 0.72
_SHORTEST_PART = 4

# What a notebook shows of the dictionary that the API's config_util reads a config as.
_PRINTED = re.compile(r"\s*\{\s*['\"]\w+['\"]\s*:")
_PRINTED_ADVICE = (
    "is what Python prints of a dictionary of configs, and no pipeline config; take the pipeline.config that was read"
)

# Fields that the API's schema once had, by message and name: its own parser refuses them now.
FORMER_FIELDS = {
    ("SsdFeatureExtractor", "batch_norm_trainable"): "the API's schema had it until 2018; delete it, or write "
    "model.ssd.freeze_batchnorm: true where it is false"
}

_NEEDS = {
    FieldDescriptor.TYPE_INT32: "a whole number from -2147483648 to 2147483647",
    FieldDescriptor.TYPE_UINT32: "a whole number from 0 to 4294967295",
    FieldDescriptor.TYPE_FLOAT: "a number",
    FieldDescriptor.TYPE_BOOL: "true or false",
    FieldDescriptor.TYPE_STRING: "text in quotes",
    FieldDescriptor.TYPE_MESSAGE: "a message in braces",
}


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name that `name` is most likely a slip of, or the only one that it is a part of, or None."""
    names = list(names)
    near = difflib.get_close_matches(name, names, n=1, cutoff=_NEARNESS)
    if not near and len(name) >= _SHORTEST_PART:
        near = [candidate for candidate in names if name in candidate]
    return near[0] if len(near) == 1 else None


def diagnose(error: text_format.ParseError, text: str, where: str, root: Descriptor) -> list[str]:
    """Explains why a text config does not parse.

    The parser stops at its first error; a scan of our own finds all fields that do not exist, to report all at once.

    Args:
        error: The parser's.
        text: What it parsed.
        where: What to call the text, such as its file name.
        root: The type that the text describes.

    Returns:
        A line for each problem, in the order of the text: `where:line:column: full.path: what is wrong`.
    """
    if _PRINTED.match(text):
        return [f"{where}: {_PRINTED_ADVICE}"]
    scan = find_mentions(text, root)
    place = (error.GetLine() or 1, error.GetColumn() or 1)
    said = _bare_message(error, text)
    told: dict[tuple[int, int], str] = {}
    for mention in scan.mentions:
        if mention.is_unknown:
            told[mention.line, mention.column] = f"{mention.path}: {_unknown_field(mention)}"
            if _is_field_of_enclosing(mention):
                break  # A brace is missing: whatever comes after is read one level too deep.
    if place not in told and not _is_of_extension(said):
        # A missing brace shows up far from where it is missing, and what follows it is misread: tell what lies before.
        told = {other: problem for other, problem in told.items() if other < place}
        advice = typographic_advice("".join(text.split("\n")[place[0] - 1 : place[0]]))
        told[place] = f"{_parser_error(said, text, place, scan)}{advice}"
    lines = [f"{where}:{line}:{column}: {problem}" for (line, column), problem in sorted(told.items())]
    if len(lines) > _MOST_PROBLEMS_TOLD:
        rest = len(lines) - _MOST_PROBLEMS_TOLD
        lines = [*lines[:_MOST_PROBLEMS_TOLD], f"{where}: and {rest} more fields that do not exist"]
    return lines


def _unknown_field(mention: Mention) -> str:
    assert mention.parent is not None
    if mention.name == EXTENSION:
        return "extensions registered by somebody's own code cannot be read here; delete it"
    former = FORMER_FIELDS.get((short_name(mention.parent), mention.name))
    if former is not None:
        return f"no such field in {short_name(mention.parent)}: {former}"
    names = [field.name for field in mention.parent.fields]
    near = nearest(mention.name, names)
    elsewhere = paths_by_field_name().get(mention.name, ())
    if _is_field_of_enclosing(mention):
        hint = "; is a closing brace missing before it?"
    elif near is not None:
        hint = f"; did you mean {near!r}?"
    elif elsewhere:
        more = ", among others" if len(elsewhere) > 3 else ""
        hint = f"; a field of this name is at {', '.join(elsewhere[:3])}{more}"
    elif not names:
        hint = ", which has none"
    elif len(names) <= _MOST_NAMES_LISTED:
        hint = f"; it has {', '.join(names)}"
    else:
        closest = difflib.get_close_matches(mention.name, names, n=3, cutoff=0.0)
        hint = f"; the nearest are {', '.join(closest)}"
    return f"no such field in {short_name(mention.parent)}{hint}"


def _is_field_of_enclosing(mention: Mention) -> bool:
    return any(mention.name in descriptor.fields_by_name for descriptor in mention.enclosing)


def _parser_error(said: str, text: str, place: tuple[int, int], scan: Scan) -> str:
    """The parser's error, with the path of the field that it was at."""
    found = next((token for token in tokens_of(text) if (token.line, token.column) == place), None)
    before = [mention for mention in scan.mentions if (mention.line, mention.column) <= place]
    if scan.unclosed is not None and said.startswith(('Expected "}"', 'Expected ">"')):
        return f"{scan.unclosed.path}: its opening brace in line {scan.unclosed.line} is never closed"
    owner = scan.values.get(place)
    if owner is not None and owner.field is not None and "multiple" not in said:
        return f"{owner.path}: {_wrong_value(owner.field, found)}"
    if found is not None and found.text in "}>" and said.startswith("Expected identifier"):
        return "a closing brace that nothing opened"
    if not before:
        return _shortened(said)
    mention = before[-1]
    conflict = _conflict(mention, before[:-1]) if "multiple" in said or "is specified along with" in said else None
    if conflict is not None:
        return f"{mention.path}: {conflict}"
    # Where the text says it all, the parser names what it found; elsewhere the token helps.
    return f"{mention.path}: {_shortened(said)}" + (f" Found {_quoted(found)}." if found is not None else "")


def _conflict(mention: Mention, before: list[Mention]) -> str | None:
    """The clash of a field with an earlier one: the same once more, or another member of its oneof."""
    rivals = [mention.name]
    if mention.field is not None and mention.field.containing_oneof is not None:
        rivals += [field.name for field in mention.field.containing_oneof.fields]
    prefix = mention.path.removesuffix(mention.name)
    for other in before:
        if other.path == mention.path:
            return f"is set twice, first in line {other.line}; keep one"
        if other.name in rivals and other.path == prefix + other.name:
            return f"excludes {other.name}, which line {other.line} sets; keep one"
    return None


def _wrong_value(field: FieldDescriptor, found: Token | None) -> str:
    given = _quoted(found)
    if field.enum_type is None:
        return f"needs {_NEEDS.get(field.type, 'another value')}, not {given}"
    names = [value.name for value in field.enum_type.values]
    near = nearest(found.text.upper(), names) if found is not None else None
    hint = f"; did you mean {near}?" if near else ""
    return f"{given} is no value of {short_name(field.enum_type)}: {', '.join(names)}{hint}"


def _is_of_extension(said: str) -> bool:
    return "not registered" in said or "does not have extensions" in said


def _quoted(token: Token | None) -> str:
    if token is None:
        return "the end of the file"
    shown = token.text if len(token.text) <= _LONGEST_QUOTE else token.text[: _LONGEST_QUOTE - 3] + "..."
    return shown if token.is_string else f"'{shown}'"


def _bare_message(error: text_format.ParseError, text: str) -> str:
    """The parser's message without the position and the line of text that it puts in front."""
    said = str(error)
    position, separator, rest = said.partition(" : ")
    if separator and position.replace(":", "").isdigit():
        said = rest
    line = error.GetLine() or 0
    lines = text.split("\n")
    if 0 < line <= len(lines):
        said = said.removeprefix(f"'{lines[line - 1]}': ")
    return said


def _shortened(message: str) -> str:
    flat = " ".join(message.split())
    return flat if len(flat) <= _LONGEST_MESSAGE else flat[: _LONGEST_MESSAGE - 3] + "..."
