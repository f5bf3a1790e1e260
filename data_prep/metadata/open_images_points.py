"""From Open Images' CSVs to points.json and images.json: the work of `process_metadata`, and its summary."""

from __future__ import annotations

import difflib
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data_prep.command_line import UsageError, UserError
from data_prep.ledger import Ledger
from data_prep.metadata import open_images
from data_prep.metadata.box_filters import BoxFilters
from data_prep.metadata.box_points import encoded_points
from data_prep.metadata.box_table import LABEL, Boxes, BoxTable, check_boxes, count_by_label
from data_prep.metadata.csv_cells import ListedCells
from data_prep.metadata.csv_frames import number_of_blocks, read_frames
from data_prep.metadata.csv_rows import printable
from data_prep.metadata.image_choice import choose_images
from data_prep.metadata.image_index import NUMBER, images_in_order, read_image_index
from data_prep.metadata.image_labels import ImageLabels, read_image_labels
from data_prep.points import encoded_json_array_writer
from data_prep.progress import progress

NOT_IN_INDEX = "image not in the index"
CLASSES_SHOWN = 10
LABELS_COUNTED = 100_000  # a hostile file must not fill the memory with made-up ones


@dataclass(frozen=True)
class Sources:
    """The files to read; plain or gzipped, the image labels None where there are none."""

    boxes: str
    image_index: str
    image_labels: str | None = None


@dataclass(frozen=True)
class Choice:
    """What is wanted of them.

    Attributes:
        labels: The classes to keep; None keeps all.
        names: Class names by label; None where there are no descriptions, so that any label is a class.
        filters: Which boxes.
        with_images_without_boxes: Whether images are kept that have verified labels but no box.
        max_images_per_class: None keeps all images.
        seed: For the draw of these.
    """

    labels: Sequence[str] | None = None
    names: Mapping[str, str] | None = None
    filters: BoxFilters = field(default_factory=BoxFilters)
    with_images_without_boxes: bool = False
    max_images_per_class: int | None = None
    seed: int = 0

    def name_of(self, label: str) -> str:
        """Returns what people call a label."""
        return (self.names or {}).get(label) or printable(label)


@dataclass
class Summary:
    """What became of the rows.

    Attributes:
        boxes_read: Rows of the boxes CSV.
        boxes_rejected: Of these, rows that cannot be trained on, images missing from the index aside.
        boxes_of_other_classes: Rows of classes that nobody asked for.
        boxes_filtered: Boxes that the filters drop, by reason.
        boxes_without_image: Good boxes whose image the index lacks, or lists in a row that cannot be used.
        boxes_not_drawn: Boxes of images beyond `max_images_per_class`.
        kept_by_label: Boxes written to points.json, by label.
        images_by_label: Images written to points.json with such a box, by label.
        images_read: Rows of the image index.
        images_kept: Images written to both files.
        images_without_boxes: Of these, how many have no box.
        image_labels: The verified labels read; None where there are none.
        image_labels_kept: How many were written, present and absent.
    """

    boxes_read: int = 0
    boxes_rejected: int = 0
    boxes_of_other_classes: int = 0
    boxes_filtered: Counter[str] = field(default_factory=Counter)
    boxes_without_image: int = 0
    boxes_not_drawn: int = 0
    kept_by_label: Counter[str] = field(default_factory=Counter)
    images_by_label: Counter[str] = field(default_factory=Counter)
    images_read: int = 0
    images_kept: int = 0
    images_without_boxes: int = 0
    image_labels: ImageLabels | None = None
    image_labels_kept: tuple[int, int] = (0, 0)

    @property
    def boxes_kept(self) -> int:
        """Boxes written to points.json."""
        return self.kept_by_label.total()


def process_metadata(sources: Sources, choice: Choice, *, point_path: str, images_path: str, ledger: Ledger) -> Summary:
    """Reads the CSVs and writes points.json and images.json, in the order of the image index.

    Args:
        sources: The CSVs.
        choice: What of them.
        point_path: points.json to write.
        images_path: images.json to write.
        ledger: Gets what is left out because it cannot be trained on.

    Raises:
        UsageError: A file cannot be read or lacks a column.
        UserError: A file is damaged, or nothing is left to write; earlier outputs then stay as they were.
    """
    summary = Summary()
    table = read_boxes(sources.boxes, choice, ledger, summary)
    if choice.names is None and choice.labels is not None:
        _refuse_unknown_labels(sources.boxes, choice.labels, table)
    if not len(table) and not choice.with_images_without_boxes:
        raise UserError(_why_no_boxes(sources.boxes, choice, ledger, summary))
    if sources.image_labels is not None:
        summary.image_labels = read_image_labels(
            sources.image_labels,
            labels=choice.labels,
            images=table.images,
            label_numbers=table.labels,
            with_new_images=choice.with_images_without_boxes,
            ledger=ledger,
        )
    image_ids, labels = table.images.texts, table.labels.texts
    boxes = table.take()
    count: Counter[str] = Counter()
    entries = read_image_index(sources.image_index, table.images, ledger, count)
    summary.images_read = count["read"]
    if not len(entries):
        raise UserError(
            f"none of the {len(image_ids)} images with boxes, such as {image_ids[0]}, "
            f"can be had from the {count['read']} of {sources.image_index}; are both files of the same subset?"
            if len(image_ids)
            else f"{sources.boxes}: no boxes are left, and no verified labels; {ledger.summary()}"
        )
    _reject_images_without_entry(boxes, image_ids, entries, ledger, summary)
    if choice.max_images_per_class is not None:
        entries = _drawn(boxes, image_ids, labels, entries, choice, summary)
    images = entries[NUMBER].to_numpy()
    with (
        encoded_json_array_writer(point_path) as write_points,
        encoded_json_array_writer(images_path) as write_images,
    ):
        for text in encoded_points(images, boxes, summary.image_labels, image_ids, labels):
            write_points(text)
        for text in images_in_order(entries):
            write_images(text)
    _count_kept(images, boxes, image_ids, labels, summary)
    return summary


def read_boxes(path: str, choice: Choice, ledger: Ledger, summary: Summary) -> BoxTable:
    """Reads the boxes CSV.

    Args:
        path: The CSV, plain or gzipped.
        choice: Which of its boxes to keep.
        ledger: Gets the rows that cannot be trained on.
        summary: `boxes_*` are counted in it.

    Raises:
        UsageError: The file cannot be read or lacks a column.
        UserError: It is damaged.
    """
    table = BoxTable()
    name = Path(path).name
    known = None if choice.names is None else list(choice.names)

    def reject(line: int, reason: str, detail: str) -> None:
        summary.boxes_rejected += 1
        ledger.reject(f"{name}:{line}", reason, detail)

    def reject_and_count(line: int, reason: str, detail: str) -> None:
        summary.boxes_read += 1
        reject(line, reason, detail)

    if choice.labels is None:
        keep = None
    elif known is None:
        keep = ListedCells(frozenset(choice.labels), keep=True)
    else:
        keep = ListedCells(frozenset(known).difference(choice.labels), keep=False)  # an unknown label is to be told
    frames = read_frames(
        path,
        required=open_images.BOX_REQUIRED_COLUMNS,
        optional=open_images.BOX_OPTIONAL_COLUMNS,
        key=LABEL,
        keep=keep,
        on_bad_row=reject_and_count,
    )
    for rows, frame in progress(frames, description="reading boxes", total=number_of_blocks(path), unit="blocks"):
        summary.boxes_read += rows
        summary.boxes_of_other_classes += rows - len(frame)
        good = check_boxes(frame, known, reject)
        table.add(choice.filters.apply(good, summary.boxes_filtered))
    return table


def summary_lines(summary: Summary, ledger: Ledger, choice: Choice) -> list[str]:
    """Returns what was read, kept and left out, by reason, a line each."""
    filtered = "".join(f", {count} {reason}" for reason, count in summary.boxes_filtered.most_common())
    not_drawn = f", {summary.boxes_not_drawn} of images not drawn" * (choice.max_images_per_class is not None)
    bare = f", {summary.images_without_boxes} of them without a box" * choice.with_images_without_boxes
    lines = [
        f"boxes: {summary.boxes_read} read, {summary.boxes_kept} kept, "
        f"{summary.boxes_of_other_classes} of other classes, {summary.boxes_rejected} rejected, "
        f"{summary.boxes_without_image} whose image is not in the index{filtered}{not_drawn}",
        f"images: {summary.images_read} in the index, {summary.images_kept} kept{bare}",
        f"boxes a class: {_commonest(summary.kept_by_label, choice)}",
        f"images a class: {_commonest(summary.images_by_label, choice)}",
    ]
    if summary.image_labels is not None:
        present, absent = summary.image_labels_kept
        dropped = "".join(f", {count} {reason}" for reason, count in summary.image_labels.dropped.most_common())
        lines.append(
            f"verified image labels: {summary.image_labels.read} read, {present} present and {absent} absent kept"
            f"{dropped}"
        )
    empty = [choice.name_of(label) for label in choice.labels or () if label not in summary.kept_by_label]
    if empty:
        more = f" and {len(empty) - CLASSES_SHOWN} more" if len(empty) > CLASSES_SHOWN else ""
        lines.append(f"classes without a box: {', '.join(empty[:CLASSES_SHOWN])}{more}")
    return [*lines, ledger.summary()]


def _reject_images_without_entry(
    boxes: Boxes, image_ids: pl.Series, entries: pl.DataFrame, ledger: Ledger, summary: Summary
) -> None:
    lost = np.ones(len(image_ids), np.bool_)
    lost[entries[NUMBER].to_numpy()] = False
    if not lost.any():
        return
    counts = np.bincount(boxes.image, minlength=len(image_ids))
    for number in np.flatnonzero(lost).tolist():
        ledger.reject(image_ids[number], NOT_IN_INDEX, f"{counts[number]} box{'es' * int(counts[number] != 1)}")
    summary.boxes_without_image = int(counts[lost].sum())


def _drawn(
    boxes: Boxes, image_ids: pl.Series, labels: pl.Series, entries: pl.DataFrame, choice: Choice, summary: Summary
) -> pl.DataFrame:
    """Returns the entries of the images drawn, and of those that have no box and are kept for their labels."""
    indexed = np.zeros(len(image_ids), np.bool_)
    indexed[entries[NUMBER].to_numpy()] = True
    can_be_had = indexed[boxes.image]
    chosen = choose_images(
        boxes.image[can_be_had],
        boxes.label[can_be_had],
        image_ids,
        labels,
        max_images_per_class=choice.max_images_per_class or 1,
        seed=choice.seed,
    )
    summary.boxes_not_drawn = int(np.count_nonzero(can_be_had & ~chosen[boxes.image]))
    with_boxes = np.zeros(len(image_ids), np.bool_)
    with_boxes[boxes.image] = True
    wanted = chosen | ~with_boxes
    return entries.filter(pl.Series(wanted[entries[NUMBER].to_numpy()]))


def _count_kept(
    images: NDArray[np.uint32], boxes: Boxes, image_ids: pl.Series, labels: pl.Series, summary: Summary
) -> None:
    kept = np.zeros(len(image_ids), np.bool_)
    kept[images] = True
    of_kept = kept[boxes.image]
    image, label = boxes.image[of_kept], boxes.label[of_kept]
    summary.kept_by_label = count_by_label(label, labels)
    pairs = np.unique((label.astype(np.uint64) << np.uint64(32)) | image)
    summary.images_by_label = count_by_label((pairs >> np.uint64(32)).astype(np.uint32), labels)
    summary.images_kept = len(images)
    summary.images_without_boxes = len(images) - len(np.unique(image))
    if summary.image_labels is not None:
        present = summary.image_labels.present[kept[summary.image_labels.image]]
        summary.image_labels_kept = (int(present.sum()), int((~present).sum()))


def _labels_of_file(path: str) -> Counter[str]:
    """Returns how many rows each label of a boxes CSV has: read once more, for a message."""
    counts: Counter[str] = Counter()
    lock = threading.Lock()

    def count(cells: pl.Series) -> pl.Series:
        with lock:
            for label, number in cells.value_counts(name="count").iter_rows():
                counts[label if label in counts or len(counts) < LABELS_COUNTED else "(others)"] += number
        return pl.repeat(False, len(cells), dtype=pl.Boolean, eager=True)

    for _ in read_frames(path, required=(LABEL,), key=LABEL, keep=count, on_bad_row=lambda line, reason, detail: None):
        pass
    return counts


def _refuse_unknown_labels(path: str, labels: Sequence[str], table: BoxTable) -> None:
    """Refuses a label that the boxes CSV never uses, unless it is a MID: a split may well have no box of some class."""
    kept = set(table.labels.texts.to_list())
    missing = [label for label in labels if label not in kept and not label.startswith("/")]
    if not missing:
        return
    known = _labels_of_file(path)
    for label in missing:
        if known and label not in known:
            near = difflib.get_close_matches(label[:100], list(known), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageError(
                f"no box of {path} has the label {label[:100]!r}{hint}; "
                "to use class names, give --class_description_path"
            )


def _why_no_boxes(path: str, choice: Choice, ledger: Ledger, summary: Summary) -> str:
    if not summary.boxes_read:
        return f"{path}: no boxes in it, only the line that names the columns"
    reasons = []
    if choice.labels is not None and summary.boxes_of_other_classes:
        wanted = ", ".join(map(choice.name_of, choice.labels[:CLASSES_SHOWN]))
        more = ", ..." if len(choice.labels) > CLASSES_SHOWN else ""
        others = _commonest(_labels_of_file(path), choice)
        reasons.append(f"{summary.boxes_of_other_classes} are of other classes than {wanted}{more}: {others}")
    reasons += [f"{count} dropped: {reason}" for reason, count in summary.boxes_filtered.most_common()]
    if summary.boxes_rejected:
        reasons.append(ledger.summary())
    return f"{path}: none of its {summary.boxes_read} boxes is left: {'; '.join(reasons)}"


def _commonest(counts: Counter[str], choice: Choice) -> str:
    shown = [f"{choice.name_of(label)} {count}" for label, count in counts.most_common(CLASSES_SHOWN)]
    more = f" and {len(counts) - CLASSES_SHOWN} more classes" if len(counts) > CLASSES_SHOWN else ""
    return ", ".join(shown) + more
