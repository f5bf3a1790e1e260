"""Findings of the checks of one record."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from data_prep.records.record_rules import SEVERITIES, Severity
from data_prep.runtime.command_line import printable

MAX_SHOWN: Final = 80  # characters of a value in a message: records come from anywhere


@dataclass
class RecordReport:
    """Contents and problems of one record.

    Attributes:
        source_id: The image's id, or else what training names it by, made safe to print; empty where there is neither.
        num_boxes: How many boxes it has.
        num_unusable: Of these, those that training leaves out for their place or weight.
        class_ids: Label map ids of the boxes that training takes, counted.
        verified_class_ids: Those that a person looked for in the whole image, found or not.
        has_image: Whether there is an image that decodes, as far as it was looked at.
        image_size: Its height and width, where there is one.
        image_format: Pillow's name for its format.
        problems: (kind, detail); the kinds are those of `record_rules.SEVERITIES`.
    """

    source_id: str = ""
    num_boxes: int = 0
    num_unusable: int = 0
    class_ids: Counter[int] = field(default_factory=Counter)
    verified_class_ids: set[int] = field(default_factory=set)
    has_image: bool = False
    image_size: tuple[int, int] = (0, 0)
    image_format: str = ""
    problems: list[tuple[str, str]] = field(default_factory=list)

    def note(self, kind: str, detail: str) -> None:
        """Notes a problem."""
        self.problems.append((kind, detail))

    @property
    def errors(self) -> list[tuple[str, str]]:
        """The problems that stop training."""
        return [problem for problem in self.problems if SEVERITIES[problem[0]] is Severity.ERROR]


def text_of_value(value: Any) -> str:
    """Returns a value of a record as text that is short and without control characters."""
    text = printable(value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value))
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."
