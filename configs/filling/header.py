"""The comment at the head of a filled config: where it comes from, how to train with it, whether it was edited since.

A recipe's own header says what the recipe takes and reaches, with its own steps, on its own data. In a filled config it
stands as a quotation, without the commands that fill a recipe in.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from configs.schema.fields import PLACEHOLDER

_FIRST = "# Filled in by configs.fill from "
_QUOTATION = (
    "# The recipe says of itself, of its own number of steps and the sets that it was tried on, not of this file:"
)
_QUOTE = "#   | "
_SEAL = re.compile(
    r"^# Not edited since, if the other lines have the SHA-256 (?P<digest>[0-9a-f]{64})\.\n", re.MULTILINE
)
_COMMAND = re.compile(r"^#(?: {4,}|\t)")


def with_header(text: str, recipe_path: str, facts: Sequence[str], command: str) -> str:
    """Returns a filled config with its header.

    Args:
        text: The filled config, with the recipe's header.
        recipe_path: The recipe's.
        facts: Lines on what it was filled in with.
        command: What trains with it.
    """
    own, body = _split(text)
    lines = [f"{_FIRST}{recipe_path}", *(f"# {fact}" for fact in facts), "#", f"#     {command}", "#"]
    if own:
        lines += [_QUOTATION, "#", *(f"{_QUOTE}{line}".rstrip() for line in own), "#"]
    header, body = "\n".join(lines) + "\n", ("" if body.startswith("\n") else "\n") + body
    return f"{header}# Not edited since, if the other lines have the SHA-256 {_digest(header + body)}.\n{body}"


def seal_of(text: str) -> str | None:
    """Returns the digest that a filled config had when it was written; None for a text that has none."""
    match = _SEAL.search(text)
    return match["digest"] if match and text.startswith(_FIRST) else None


def is_as_written(text: str) -> bool:
    """Tells whether a filled config is what `configs.fill` wrote, to the last character."""
    return seal_of(text) == _digest(_SEAL.sub("", text, count=1))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _split(text: str) -> tuple[list[str], str]:
    """Returns the lines of a recipe's own header, without what concerns filling it in, and all that follows it."""
    lines = text.splitlines(keepends=True)
    length = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    header, body = [line.rstrip() for line in lines[:length]], "".join(lines[length:])
    if header and header[0].startswith(_FIRST):  # filled in before: what that recipe said
        quoted = [
            line.removeprefix(_QUOTE.rstrip()).removeprefix(" ") for line in header if line.startswith(_QUOTE[:5])
        ]
        return quoted, body
    own = [line.removeprefix("#").removeprefix(" ") for line in _without_filling(header)]
    while own and not own[-1]:
        own.pop()
    return own, body


def _without_filling(header: Sequence[str]) -> list[str]:
    """Leaves out blocks of commands that put something in place of PATH_TO_BE_CONFIGURED, and the blank after them."""
    kept: list[str] = []
    number = 0
    while number < len(header):
        block = number
        while block < len(header) and _COMMAND.match(header[block]):
            block += 1
        if any(PLACEHOLDER in line for line in header[number:block]):
            number = block + (block < len(header) and header[block] == "#")
        else:
            kept.append(header[number])
            number += 1
    return kept
