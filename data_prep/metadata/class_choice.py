"""The choice of classes and boxes from Open Images: the input files, and the filters on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from data_prep.metadata.box_filters import BoxFilters
from data_prep.runtime.command_line import printable

MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class Sources:
    """The files to read; plain or gzipped, the image labels None where there are none."""

    boxes: str
    image_index: str
    image_labels: str | None = None


@dataclass(frozen=True)
class Choice:
    """The classes, boxes and images to keep.

    Attributes:
        labels: The classes to keep; None keeps all.
        names: Class names by label; None where there are no descriptions, so that any label is a class.
        filters: Which boxes.
        with_images_without_boxes: Whether images are kept that have verified labels but no box.
        max_images_per_class: None keeps all images.
        seed: For the draw of these, 0..`MAX_SEED`.
    """

    labels: Sequence[str] | None = None
    names: Mapping[str, str] | None = None
    filters: BoxFilters = field(default_factory=BoxFilters)
    with_images_without_boxes: bool = False
    max_images_per_class: int | None = None
    seed: int = 0

    def name_of(self, label: str) -> str:
        """Returns what people call a label."""
        return (self.names or {}).get(label) or printable(label, 80)
