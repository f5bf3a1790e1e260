"""Problems of a config, and notes about it, a line each."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from data_prep.runtime.command_line import UsageError


class ConfigError(UsageError):
    """A pipeline config that cannot be read, or that asks for what cannot be done.

    The message has a line for each problem; most often that is one. A command that does not catch it ends with exit
    code 2.

    Attributes:
        problems: One line each: where, the full path of the field, what is wrong, and what to write instead.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclasses.dataclass(frozen=True)
class Problem:
    """A field that cannot be honoured, or that is missing.

    Attributes:
        path: Of the field, from the root.
        reason: Why it cannot be honoured.
        use_instead: What to write instead.
    """

    path: str
    reason: str
    use_instead: str

    def below(self, path: str) -> Problem:
        """The same with a path from a message further up, in which this one's message has the path `path`."""
        return dataclasses.replace(self, path=f"{path}.{self.path}".rstrip("."))

    def __str__(self) -> str:
        """The problem as a person reads it."""
        return f"{self.path}: {self.reason}; {self.use_instead}"


@dataclasses.dataclass(frozen=True)
class TrainingProblem(Problem):
    """A field that training cannot honour, and that evaluation and export have no use for: they run all the same."""


@dataclasses.dataclass(frozen=True)
class Note:
    """Something that is no problem, but that a person should know: a field without effect, or one read as another.

    Attributes:
        path: Of the field, from the root.
        text: What there is to know.
    """

    path: str
    text: str

    def below(self, path: str) -> Note:
        """The same with a path from a message further up, in which this one's message has the path `path`."""
        return dataclasses.replace(self, path=f"{path}.{self.path}".rstrip("."))

    def __str__(self) -> str:
        """The note as a person reads it."""
        return f"{self.path}: {self.text}"
