"""The one error that reading a pipeline config raises."""

from __future__ import annotations

from collections.abc import Sequence


class ConfigError(ValueError):
    """A pipeline config that cannot be read, or that asks for what cannot be done.

    The message has a line for each problem; most often that is one. A command that catches it ends with exit code 2.

    Attributes:
        problems: One line each: where, the full path of the field, what is wrong, and what to write instead.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))
