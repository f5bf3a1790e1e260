"""Reader of a boxes CSV of Open Images into columns, and the error where no box is left."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from data_prep.metadata import open_images
from data_prep.metadata.box_table import LABEL, BoxTable, check_boxes
from data_prep.metadata.class_choice import Choice, names_of
from data_prep.metadata.csv_frames import read_frames
from data_prep.metadata.points_summary import Summary
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.ledger import Ledger
from data_prep.runtime.summary_lines import CLASSES_SHOWN, commonest

LABELS_COUNTED = 100_000  # a hostile file must not fill the memory with made-up ones


def read_boxes(paths: Sequence[str], choice: Choice, ledger: Ledger, summary: Summary) -> tuple[BoxTable, list[int]]:
    """Reads boxes CSVs.

    Args:
        paths: The CSVs, plain or gzipped.
        choice: Which of their boxes to keep.
        ledger: Gets the rows that cannot be trained on.
        summary: `boxes_*` are counted in it; `images_of_rejected` gets the images of rows that are rejected, where
            images without boxes are kept.

    Returns:
        The boxes, and how many are of each file.

    Raises:
        UsageError: A file cannot be read or lacks a column.
        UserError: One is damaged.
    """
    table = BoxTable()
    num_by_file = []
    for path, name in zip(paths, names_of(paths), strict=True):
        before = len(table)
        _read_file(path, name, table, choice, ledger, summary)
        num_by_file.append(len(table) - before)
    return table, num_by_file


def _read_file(path: str, name: str, table: BoxTable, choice: Choice, ledger: Ledger, summary: Summary) -> None:
    known = None if choice.names is None else list(choice.names)

    def reject(line: int, reason: str, detail: str) -> None:
        summary.boxes_rejected += 1
        ledger.reject(f"{name}:{line}", reason, detail)

    def reject_and_count(line: int, reason: str, detail: str) -> None:
        summary.boxes_read += 1
        reject(line, reason, detail)

    labels = choice.labels_of_boxes
    wanted = labels or ()
    others = list(set(known or ()).difference(wanted))

    def keep(labels: pl.Series) -> pl.Series:
        return labels.is_in(list(wanted)) if known is None else ~labels.is_in(others)  # unknown labels are reported

    images_of_rejected = summary.images_of_rejected if choice.with_images_without_boxes else None
    frames = read_frames(
        path,
        required=open_images.BOX_REQUIRED_COLUMNS,
        optional=open_images.BOX_OPTIONAL_COLUMNS,
        key=LABEL,
        keep=None if labels is None else keep,
        on_bad_row=reject_and_count,
        description="reading boxes",
    )
    for rows, frame in frames:
        summary.boxes_read += rows
        summary.boxes_of_other_classes += rows - len(frame)
        good = check_boxes(frame, known, reject, images_of_rejected)
        table.add(choice.filters.apply(good, summary.boxes_filtered))


def _labels_of_files(paths: Sequence[str]) -> Counter[str]:
    """Returns how many rows each label of boxes CSVs has: read once more, for a message; none of a pipe's."""
    counts: Counter[str] = Counter()
    frames = (
        frame
        for path in paths
        if Path(path).is_file()
        for _, frame in read_frames(path, required=(LABEL,), key=LABEL, keep=None, on_bad_row=lambda *_: None)
    )
    for frame in frames:
        for label, number in frame[LABEL].value_counts(name="count").iter_rows():
            counts[label if label in counts or len(counts) < LABELS_COUNTED else "(others)"] += number
    return counts


def refuse_unknown_labels(paths: Sequence[str], labels: Sequence[str], table: BoxTable) -> None:
    """Refuses a label that the boxes CSVs never use, unless it is a MID: a split may well have no box of some class."""
    kept = set(table.labels.texts.to_list())
    missing = [label for label in labels if label not in kept and not label.startswith("/")]
    if not missing:
        return
    known = _labels_of_files(paths)
    for label in missing:
        if known and label not in known:
            near = difflib.get_close_matches(label[:100], list(known), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageError(
                f"no box of {' or '.join(paths)} has the label {label[:100]!r}{hint}; "
                "to use class names, give --class_description_path"
            )


def why_no_boxes(paths: Sequence[str], choice: Choice, ledger: Ledger, summary: Summary) -> str:
    """Returns one line of why no box of the CSVs is kept."""
    files = ", ".join(paths)
    its, it = ("its", "it") if len(paths) == 1 else ("their", "them")
    if not summary.boxes_read:
        return f"{files}: no boxes in {it}, only the line that names the columns"
    reasons = []
    if choice.labels is not None and summary.boxes_of_other_classes:
        wanted = ", ".join(map(choice.name_of, choice.labels[:CLASSES_SHOWN]))
        more = ", ..." if len(choice.labels) > CLASSES_SHOWN else ""
        others = commonest(_labels_of_files(paths), choice.name_of)
        listed = f": {others}" if others else ""
        reasons.append(f"{summary.boxes_of_other_classes} are of other classes than {wanted}{more}{listed}")
    reasons += [f"{count} dropped: {reason}" for reason, count in summary.boxes_filtered.most_common()]
    if summary.boxes_rejected:
        reasons.append(ledger.summary())
    return f"{files}: none of {its} {summary.boxes_read} boxes is left: {'; '.join(reasons)}"
