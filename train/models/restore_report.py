"""What a restore did, variable by variable, for people and for machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class RestoreReport:
    """Which of a model's variables took their values from a checkpoint.

    Variables are named by their path in the model, such as `backbone/layer_with_weights-3/kernel`.

    Attributes:
        source: The checkpoint's path or package.
        kind: What the checkpoint is, in words.
        restored: The model's variables that took a value.
        skipped: Variables, of the model or of the checkpoint, that were left alone on purpose, each with the reason.
        missing: The model's variables that should have taken a value and for which the checkpoint holds none.
    """

    source: str
    kind: str
    restored: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """Lines for people: how much was restored, by part, and what was not, by reason."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        parts = _by_part(self.restored)
        yield f"restored {len(self.restored)} variables{f' ({parts})' if parts else ''} from {self.source}, {self.kind}"
        for reason, count in Counter(reason for _, reason in self.skipped).items():
            names = [name for name, its_reason in self.skipped if its_reason == reason]
            yield f"skipped {count} ({reason}): {_some(names)}"
        if self.missing:
            yield (
                f"not in the checkpoint, left as initialised: {len(self.missing)} ({_by_part(self.missing)}): "
                + _some(self.missing)
            )

    def to_json(self) -> dict[str, Any]:
        """The report as an object for `json.dump`."""
        return {
            "source": self.source,
            "kind": self.kind,
            "restored": self.restored,
            "skipped": [{"name": name, "reason": reason} for name, reason in self.skipped],
            "missing": self.missing,
        }


def _by_part(names: list[str]) -> str:
    """Counts names by what stands before their first slash: `backbone 229, head 12`."""
    return ", ".join(f"{part} {count}" for part, count in Counter(name.split("/")[0] for name in names).items())


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
