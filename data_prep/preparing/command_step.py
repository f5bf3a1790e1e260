"""A step of a longer way: one command, as a person would type it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from data_prep.runtime.step_stamp import Step
from data_prep.runtime.url_credentials import without_credentials

_LINE_LENGTH = 100
_INDENT = "    "


@dataclass(frozen=True)
class CommandStep:
    """One command of several.

    Attributes:
        title: What it makes, in a few words, such as `points of train`.
        module: What Python runs, such as `data_prep.process_metadata`.
        words: Its command line.
        stamp: For a command that does all its work anew each time: what it reads, so that it is passed over where an
            earlier run has done it over the same files.
    """

    title: str
    module: str
    words: Sequence[str]
    stamp: Step | None = None

    def command(self) -> str:
        """Returns the command in one line, quoted for a shell, without passwords in URLs."""
        return without_credentials(shlex.join(["python", "-m", self.module, *self.words]))

    def wrapped_command(self) -> str:
        """Returns the command in lines that a shell takes as one, broken before flags where that will do."""
        groups: list[list[str]] = [["python", "-m", self.module]]
        for word in self.words:
            if word.startswith("--"):
                groups.append([])
            groups[-1].append(shlex.quote(word))
        lines = [""]
        for group in groups:
            # A list of classes may fill lines of its own.
            pieces = [" ".join(group)] if len(" ".join(group)) <= _LINE_LENGTH else group
            for number, piece in enumerate(pieces):
                if lines[-1] and len(lines[-1]) + len(piece) + 3 > _LINE_LENGTH:
                    lines.append(_INDENT * (2 if number else 1) + piece)
                else:
                    lines[-1] += f" {piece}" if lines[-1] else piece
        return without_credentials(" \\\n".join(lines))
