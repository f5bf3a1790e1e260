"""Open Images' labels of images as a whole: those that a person verified, present (1) or absent (0)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data_prep.formats.points import MAX_LABEL_LENGTH, check_image_id
from data_prep.metadata.box_table import IMAGE_ID, LABEL, Numbering
from data_prep.metadata.class_choice import names_of
from data_prep.metadata.csv_frames import LINE, read_frames
from data_prep.metadata.csv_rows import REPLACEMENT, BadRow
from data_prep.metadata.hierarchy import Expansion
from data_prep.metadata.open_images import IMAGE_LABEL_OPTIONAL_COLUMNS, IMAGE_LABEL_REQUIRED_COLUMNS, MACHINE_SOURCE
from data_prep.runtime.command_line import UserError
from data_prep.runtime.ledger import Ledger

_FILE = "file"
_SCHEMA = {"image": pl.UInt32, "label": pl.UInt32, "present": pl.Boolean, LINE: pl.Int64, _FILE: pl.UInt32}
_CONFIDENCES = {"1": True, "1.0": True, "0": False, "0.0": False}


@dataclass
class ImageLabels:
    """Verified labels, one after the other; all arrays are as long as there are labels.

    Attributes:
        image: The number of the label's image, uint32.
        label: The label's number, uint32.
        present: Whether it is on the image (else a person saw that it is not), Boolean.
        dropped: Rows that were not asked for, by reason.
        read: Rows of the file.
    """

    image: NDArray[np.uint32]
    label: NDArray[np.uint32]
    present: NDArray[np.bool_]
    dropped: Counter[str] = field(default_factory=Counter)
    read: int = 0

    def __len__(self) -> int:
        """Returns how many labels there are."""
        return len(self.image)


def read_image_labels(
    paths: Sequence[str],
    *,
    labels: Sequence[str] | None,
    expansion: Expansion | None = None,
    images: Numbering,
    label_numbers: Numbering,
    with_new_images: bool,
    ledger: Ledger,
) -> ImageLabels:
    """Reads the labels that a person verified.

    Args:
        paths: The CSVs, plain or gzipped. Rows whose Source is `machine` were verified by no person and are left out.
        labels: The labels to keep; None keeps all.
        expansion: Which labels others stand for; those that stand for one of `labels` are read too. None for none.
        images: The images to keep; gets more where `with_new_images` is set.
        label_numbers: Gets the labels that are new.
        with_new_images: Whether labels of other images are kept too.
        ledger: Gets the rows that cannot be used: a Confidence other than 0 and 1, an unsafe image id, a bad label, and
            a label that says the opposite of an earlier row.

    Raises:
        UsageError: A file cannot be read or lacks a column.
        UserError: One is damaged.
    """
    found = ImageLabels(np.zeros(0, np.uint32), np.zeros(0, np.uint32), np.zeros(0, np.bool_))

    names = names_of(paths)
    wanted = labels if expansion is None else expansion.labels_of_images
    parts = [pl.DataFrame(schema=_SCHEMA)]
    for number, (path, name) in enumerate(zip(paths, names, strict=True)):

        def reject(line: int, reason: str, detail: str, name: str = name) -> None:
            ledger.reject(f"{name}:{line}", reason, detail)

        def reject_and_count(line: int, reason: str, detail: str, name: str = name) -> None:
            found.read += 1
            ledger.reject(f"{name}:{line}", reason, detail)

        frames = read_frames(
            path,
            required=IMAGE_LABEL_REQUIRED_COLUMNS,
            optional=IMAGE_LABEL_OPTIONAL_COLUMNS,
            key=LABEL,
            keep=None if wanted is None else lambda cells: cells.is_in(list(wanted)),
            on_bad_row=reject_and_count,
            description="reading the image labels",
        )
        for rows, frame in frames:
            found.read += rows
            _count(found.dropped, "of other classes", rows - len(frame))
            by_people = frame.filter(~pl.col("Source").str.starts_with(MACHINE_SOURCE))
            _count(found.dropped, "by machine", len(frame) - len(by_people))
            good = _checked(by_people, reject)
            if labels is not None and expansion is not None:
                wanted_rows = _standing_for_any(good, expansion)
                _count(found.dropped, "of other classes", len(good) - len(wanted_rows))
                good = wanted_rows
            if not with_new_images:
                known = good.filter(images.contains(good[IMAGE_ID]))
                _count(found.dropped, "of images without a box", len(good) - len(known))
                good = known
            parts.append(
                pl.DataFrame(
                    [
                        pl.Series("image", images.numbers_of(good[IMAGE_ID]), pl.UInt32),
                        pl.Series("label", label_numbers.numbers_of(good[LABEL]), pl.UInt32),
                        good["Confidence"].replace_strict(_CONFIDENCES, return_dtype=pl.Boolean).alias("present"),
                        good[LINE],
                        pl.repeat(number, len(good), eager=True, dtype=pl.UInt32).alias(_FILE),
                    ]
                )
            )
    once = _without_repeated(pl.concat(parts, rechunk=True), found.dropped, images, label_numbers, names, ledger)
    found.image, found.label, found.present = (once[key].to_numpy() for key in ("image", "label", "present"))
    return found


def _standing_for_any(rows: pl.DataFrame, expansion: Expansion) -> pl.DataFrame:
    """Returns the rows whose label stands for a class that is kept: present for those above, absent for those below."""
    labels = rows[LABEL].unique().to_list()
    present, absent = (
        [label for label in labels if expansion.of_image_label(label, is_present=value)] for value in (True, False)
    )
    is_present = pl.col("Confidence").replace_strict(_CONFIDENCES, return_dtype=pl.Boolean)
    return rows.filter((is_present & pl.col(LABEL).is_in(present)) | (~is_present & pl.col(LABEL).is_in(absent)))


def _count(dropped: Counter[str], reason: str, number: int) -> None:
    if number:
        dropped[reason] += number


def _checked(frame: pl.DataFrame, reject: BadRow) -> pl.DataFrame:
    """Returns the rows that can be used."""
    ids = frame[IMAGE_ID].unique()
    bad_ids = [image_id for image_id in ids.to_list() if not _is_image_id(image_id)]
    label = pl.col(LABEL)
    good = (
        label.str.len_chars().is_between(1, MAX_LABEL_LENGTH)
        & ~label.str.contains(REPLACEMENT, literal=True)
        & pl.col("Confidence").is_in(list(_CONFIDENCES))
        & ~pl.col(IMAGE_ID).is_in(bad_ids)
    )
    mask = frame.select(good).to_series()
    for line, image_id, text, confidence in frame.filter(~mask).select(LINE, IMAGE_ID, LABEL, "Confidence").iter_rows():
        if not _is_image_id(image_id):
            reject(line, "unsafe image id" if image_id else "empty image id", f"image id {image_id[:80]!r}")
        elif confidence not in _CONFIDENCES:
            detail = f"image {image_id}: Confidence {confidence[:80]!r} is neither 0 nor 1"
            reject(line, "not a verified label", detail)
        else:
            reject(line, "bad label", f"image {image_id}: LabelName {text[:80]!r}")
    return frame.filter(mask)


def _is_image_id(text: str) -> bool:
    try:
        check_image_id(text)
    except UserError:
        return False
    return True


def _without_repeated(
    labels: pl.DataFrame,
    dropped: Counter[str],
    images: Numbering,
    label_numbers: Numbering,
    names: Sequence[str],
    ledger: Ledger,
) -> pl.DataFrame:
    """Returns the first row of each image and label; a later one that says the opposite is rejected."""
    first = labels.select(pl.struct("image", "label").is_first_distinct()).to_series()
    if first.all():
        return labels
    once = labels.filter(first)
    later = labels.filter(~first).join(once, on=["image", "label"], how="left", maintain_order="left", suffix="_first")
    opposite = later.filter(pl.col("present") != pl.col("present_first"))
    for row in opposite.iter_rows(named=True):
        image_id, label = images.texts[row["image"]], label_numbers.texts[row["label"]]
        file, first_file, first_line = row[_FILE], row[f"{_FILE}_first"], row[f"{LINE}_first"]
        see = f"line {first_line}" if file == first_file else f"{names[first_file]}:{first_line}"
        ledger.reject(
            f"{names[file]}:{row[LINE]}", "contradicts an earlier row", f"image {image_id}: {label}, see {see}"
        )
    _count(dropped, "given twice", len(later) - len(opposite))
    return once
