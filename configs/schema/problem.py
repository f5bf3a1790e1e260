"""What is wrong with a config, and what is worth knowing about it, a line each."""

from __future__ import annotations

import dataclasses


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

    def __str__(self) -> str:
        """The problem as a person reads it."""
        return f"{self.path}: {self.reason}; {self.use_instead}"


@dataclasses.dataclass(frozen=True)
class Note:
    """Something that is no problem, but that a person should know: a field without effect, or one read as another.

    Attributes:
        path: Of the field, from the root.
        text: What there is to know.
    """

    path: str
    text: str

    def __str__(self) -> str:
        """The note as a person reads it."""
        return f"{self.path}: {self.text}"
