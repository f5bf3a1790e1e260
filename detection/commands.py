"""The project's commands, found by reading its files: their names, modules and summaries, without importing any."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# In the order of the work, each with what its commands are for.
ROOMS = {
    "data_prep": "data",
    "configs": "pipeline configs",
    "train": "training and evaluation",
    "export": "export",
    "serving": "serving",
}
_RUNS = '\nif __name__ == "__main__":'


@dataclass(frozen=True)
class Command:
    """A command of the project.

    Attributes:
        room: The package that it lies in, such as `serving`.
        name: Its own name, such as `client`; no two rooms have the same.
        summary: What it does: the first line of its docstring, without the full stop.
    """

    room: str
    name: str
    summary: str

    @property
    def module(self) -> str:
        """What `python -m` runs."""
        return f"{self.room}.{self.name}"


def find_commands(root: Path = ROOT) -> list[Command]:
    """Returns the commands at the doors of the rooms in `root`, room by room, sorted by name."""
    found = []
    for room in ROOMS:
        for path in sorted((root / room).glob("*.py")):
            source = path.read_text(encoding="utf-8")
            if _RUNS in source:
                docstring = ast.get_docstring(ast.parse(source)) or ""
                found.append(Command(room, path.stem, docstring.split("\n", 1)[0].rstrip(".")))
    return found


def command_called(name: str, commands: Iterable[Command]) -> Command | None:
    """Returns the command of a name, with dashes or underscores, or of a module; None where there is none."""
    name = name.replace("-", "_")
    return next((command for command in commands if name in (command.name, command.module)), None)
