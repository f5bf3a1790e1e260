"""Report of a restore, variable by variable, for people and for machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

OTHER_SHAPE = "another shape"
OTHER_CLASSES = "another number of classes"


@dataclass
class RestoreReport:
    """Report of which of a model's variables took their values from a checkpoint.

    Variables are named by their path in the model, such as `backbone/layer_with_weights-3/kernel`; those of the Object
    Detection API's networks as its checkpoints name them.

    Attributes:
        source: The checkpoint's path or package.
        kind: What the checkpoint is, in words.
        restored: The model's variables that took a value.
        skipped: Variables, of the model or of the checkpoint, that were left alone, each with the reason.
        missing: The model's variables that should have taken a value and for which the checkpoint holds none.
        details: More about some variables, by name: both shapes where they differ.
        unused: How many of the checkpoint's variables were not used, by part.
        has_folded_norms: Whether the checkpoint's batch norms have no statistics, so that they must not train.
        notes: Further sentences, such as which classes kept their rows.
        trunk_check: How the trunk's first activations compare with what the checkpoint says of them; empty where it
            says nothing.
        trunk_agrees: Whether they are the same; None where the checkpoint says nothing.
    """

    source: str
    kind: str
    restored: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    details: dict[str, str] = field(default_factory=dict)
    unused: dict[str, int] = field(default_factory=dict)
    has_folded_norms: bool = False
    notes: list[str] = field(default_factory=list)
    trunk_check: str = ""
    trunk_agrees: bool | None = None

    @property
    def num_promised(self) -> int:
        """Number of variables that the checkpoint should have: those taken, missing and misfitting."""
        misfits = sum(reason == OTHER_SHAPE for _, reason in self.skipped)
        return len(self.restored) + len(self.missing) + misfits

    def summary(self, *, planned: bool = False) -> str:
        """Lines for people: how much was restored, by part, and what was not, by reason.

        Args:
            planned: Whether it would be done, and is not.
        """
        return "\n".join(self._lines("would restore" if planned else "restored"))

    def _lines(self, verb: str) -> Iterator[str]:
        parts = _by_part(self.restored)
        yield f"{verb} {len(self.restored)} variables{f' ({parts})' if parts else ''} from {self.source}, {self.kind}"
        for reason, count in Counter(reason for _, reason in self.skipped).items():
            names = [name for name, its_reason in self.skipped if its_reason == reason]
            detail = f" ({self.details[names[0]]})" if names[0] in self.details else ""
            yield f"skipped {count} ({reason}): {_some(names)}{detail}"
        if self.missing:
            yield (
                f"not in the checkpoint, left as initialised: {len(self.missing)} ({_by_part(self.missing)}): "
                + _some(self.missing)
            )
        if self.unused:
            parts = ", ".join(f"{part} {count}" for part, count in self.unused.items())
            yield f"in the checkpoint and not used: {sum(self.unused.values())} ({parts})"
        yield from self.notes
        if self.trunk_check:
            yield self.trunk_check

    def to_json(self) -> dict[str, Any]:
        """The report as an object for `json.dump`."""
        return {
            "source": self.source,
            "kind": self.kind,
            "num_restored": len(self.restored),
            "num_promised": self.num_promised,
            "restored": self.restored,
            "skipped": [
                {"name": name, "reason": reason} | ({"detail": self.details[name]} if name in self.details else {})
                for name, reason in self.skipped
            ],
            "missing": self.missing,
            "unused": self.unused,
            "notes": self.notes,
            "trunk_check": self.trunk_check,
            "trunk_agrees": self.trunk_agrees,
        }


def _by_part(names: list[str]) -> str:
    """Counts names by what stands before their first slash: `backbone 229, head 12`."""
    return ", ".join(f"{part} {count}" for part, count in Counter(name.split("/")[0] for name in names).items())


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
