"""The choice of classes and boxes from Open Images: the input files, and the filters on them."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from data_prep.formats.points import FLAGS
from data_prep.metadata.hierarchy import Expansion
from data_prep.metadata.open_images import BOX_FLAG_COLUMNS
from data_prep.runtime.command_line import UsageError, fraction, printable

if TYPE_CHECKING:
    import polars as pl

MAX_SEED = 2**63 - 1
INCLUDE, EXCLUDE, ONLY = "include", "exclude", "only"
_MEANINGS = {
    "is_occluded": "partly hidden by something else",
    "is_truncated": "that reach beyond the image",
    "is_group_of": "around five or more things that touch",
    "is_depiction": "of a drawing, a toy or a statue",
    "is_inside": "seen from inside, such as a car's cabin",
}


@dataclass(frozen=True)
class BoxFilters:
    """The boxes to keep.

    Attributes:
        policies: For each of `points.FLAGS` INCLUDE (boxes with and without the flag), EXCLUDE (those without) or ONLY
            (those with). A flag that was not annotated (-1) is not set.
        min_confidence: 0..1.
        min_side: The least width and height, relative to the image's, 0..1.
        min_area: The least area, relative to the image's, 0..1.
    """

    policies: dict[str, str] = field(default_factory=dict)
    min_confidence: float = 0.0
    min_side: float = 0.0
    min_area: float = 0.0

    def apply(self, boxes: pl.DataFrame, dropped: Counter[str]) -> pl.DataFrame:
        """Returns those of `boxes` (as `box_table.check_boxes` returns them) that are wanted; counts others by reason.

        A box that several filters drop is counted under the first.
        """
        import polars as pl  # a third of a second, which a mistake in the flags need not wait for

        width, height = pl.col("XMax") - pl.col("XMin"), pl.col("YMax") - pl.col("YMin")
        rules: list[tuple[str, pl.Expr]] = []
        for flag, column in zip(FLAGS, BOX_FLAG_COLUMNS, strict=True):
            policy = self.policies.get(flag, INCLUDE)
            if policy == EXCLUDE:
                rules.append((flag, ~pl.col(column)))
            elif policy == ONLY:
                rules.append((f"not {flag}", pl.col(column)))
        if self.min_confidence > 0.0:
            rules.append((f"confidence below {self.min_confidence:g}", pl.col("Confidence") >= self.min_confidence))
        if self.min_side > 0.0:
            # A billionth: 0.3 - 0.1 is a hair less than 0.2.
            least = self.min_side - 1e-9
            rules.append((f"side below {self.min_side:g}", (width >= least) & (height >= least)))
        if self.min_area > 0.0:
            rules.append((f"area below {self.min_area:g}", width * height >= self.min_area - 1e-9))
        for reason, wanted in rules:
            before = len(boxes)
            boxes = boxes.filter(wanted)
            if len(boxes) < before:
                dropped[reason] += before - len(boxes)
        return boxes


@dataclass(frozen=True)
class Sources:
    """The files to read, plain or gzipped; of image labels there may be none.

    Points stand in the order of the image indexes, one after the other.
    """

    boxes: Sequence[str]
    image_index: Sequence[str]
    image_labels: Sequence[str] = ()


def names_of(paths: Sequence[str]) -> list[str]:
    """Returns what the ledger calls each file: its name, or its whole path where two have one name."""
    names = [Path(path).name for path in paths]
    return [name if names.count(name) == 1 else path for name, path in zip(names, paths, strict=True)]


@dataclass(frozen=True)
class Choice:
    """The classes, boxes and images to keep.

    Attributes:
        labels: The classes to keep; None keeps all.
        names: Class names by label; None where there are no descriptions, so that any label is a class.
        filters: Which boxes.
        with_images_without_boxes: Whether images are kept that have verified labels but no box.
        with_images_of_rejected_boxes: Whether that holds for images, too, whose boxes were all rejected.
        max_images_per_class: None keeps all images.
        seed: For the draw of these, 0..`MAX_SEED`.
        expansion: Which classes boxes and image labels stand for beside their own; None for no others.
    """

    labels: Sequence[str] | None = None
    names: Mapping[str, str] | None = None
    filters: BoxFilters = field(default_factory=BoxFilters)
    with_images_without_boxes: bool = False
    with_images_of_rejected_boxes: bool = False
    max_images_per_class: int | None = None
    seed: int = 0
    expansion: Expansion | None = None

    @property
    def labels_of_boxes(self) -> Sequence[str] | None:
        """The classes whose boxes are read; None for all."""
        return self.labels if self.expansion is None else self.expansion.labels_of_boxes

    def name_of(self, label: str) -> str:
        """Returns what people call a label."""
        return (self.names or {}).get(label) or printable(label, 80)


def add_filter_flags(parser: argparse._ActionsContainer) -> None:
    """Adds the flags of `BoxFilters` to a command's parser."""
    for flag in FLAGS:
        parser.add_argument(
            f"--{flag}",
            choices=(INCLUDE, EXCLUDE, ONLY),
            default=INCLUDE,
            help=f"boxes {_MEANINGS[flag]}: keep them with the others, leave them out, or keep only them",
        )
    parser.add_argument("--min_confidence", type=fraction, default=0.0, help="least Confidence of a box to keep")
    parser.add_argument(
        "--min_box_side", type=fraction, default=0.0, help="least width and height to keep, as a share of the image's"
    )
    parser.add_argument(
        "--min_box_area", type=fraction, default=0.0, help="least area of a box to keep, as a share of the image's"
    )


def filters_of_flags(flags: argparse.Namespace) -> BoxFilters:
    """Returns the filters that a command's flags ask for, by `add_filter_flags`.

    Raises:
        UsageError: A least size is the whole image or NaN, so that no box could be kept.
    """
    for name in ("min_box_side", "min_box_area"):
        if not getattr(flags, name) < 1.0:
            raise UsageError(f"--{name} {getattr(flags, name):g} leaves no box: it is a share of the image, below 1")
    policies = {flag: getattr(flags, flag) for flag in FLAGS}
    return BoxFilters(policies, flags.min_confidence, flags.min_box_side, flags.min_box_area)
