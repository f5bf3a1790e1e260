"""One of those that are compared: what it is, where it lies, and what it costs."""

from __future__ import annotations

import dataclasses
import enum
from pathlib import Path


class Kind(enum.Enum):
    """A kind of candidate, in words for people."""

    CHECKPOINT = "checkpoint"
    SAVED_MODEL = "SavedModel"
    TFLITE = "TensorFlow Lite"
    DETECTIONS = "detections"


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One of those that are compared.

    Attributes:
        letter: How it is called: `A`, `B`.
        name: The path as it was given.
        path: Of its files: a folder, a file, or a checkpoint's prefix.
        kind: What it is.
    """

    letter: str
    name: str
    path: Path
    kind: Kind

    def files(self) -> list[Path]:
        """Returns the files that it is made of."""
        if self.kind is Kind.CHECKPOINT:
            return sorted(self.path.parent.glob(f"{self.path.name}.*"))
        if self.path.is_dir():
            return sorted(path for path in self.path.rglob("*") if path.is_file())
        return [self.path]


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a candidate takes; None where it is not known, as of a file of detections.

    Attributes:
        milliseconds: The median of an image, without reading it, on this machine as busy as it was; a checkpoint's
            images go through in batches.
        megabytes: Of a model's files (10^6 bytes); of a checkpoint the weights of its network alone, as float32.
    """

    milliseconds: float | None = None
    megabytes: float | None = None
