"""What is wrong with a config, in one line."""

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
