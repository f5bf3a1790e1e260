"""Conversion of Open Images' CSVs to points.json and images.json: the work of `process_metadata`."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data_prep.formats.json_array import encoded_json_array_writer
from data_prep.metadata.box_points import encoded_points
from data_prep.metadata.box_reading import read_boxes, refuse_unknown_labels, why_no_boxes
from data_prep.metadata.box_repeats import are_in_earlier_file
from data_prep.metadata.box_table import Boxes, BoxTable, Numbering, count_by_label
from data_prep.metadata.class_choice import Choice, Sources
from data_prep.metadata.hierarchy_expansion import expand_boxes, expand_image_labels
from data_prep.metadata.image_choice import choose_images
from data_prep.metadata.image_index import NUMBER, images_in_order, read_image_index
from data_prep.metadata.image_labels import read_image_labels
from data_prep.metadata.points_summary import Summary
from data_prep.runtime.command_line import UserError
from data_prep.runtime.ledger import Ledger

NOT_IN_INDEX = "image not in the index"
ALL_BOXES_REJECTED = "all its boxes were rejected"


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
    files = ", ".join(sources.boxes)
    table, num_by_file = read_boxes(sources.boxes, choice, ledger, summary)
    if choice.names is None and choice.labels is not None and choice.expansion is None:
        refuse_unknown_labels(sources.boxes, choice.labels, table)
    if not len(table) and not choice.with_images_without_boxes:
        raise UserError(why_no_boxes(sources.boxes, choice, ledger, summary))
    if sources.image_labels:
        rejected_before = ledger.total
        summary.image_labels = read_image_labels(
            sources.image_labels,
            labels=choice.labels,
            expansion=choice.expansion,
            images=table.images,
            label_numbers=table.labels,
            with_new_images=choice.with_images_without_boxes,
            ledger=ledger,
        )
        summary.image_labels_rejected = ledger.total - rejected_before
    boxes = _expanded(_of_all_files(table, num_by_file, summary), table.labels, choice, summary)
    image_ids, labels = table.images.texts, table.labels.texts
    rejected_before = ledger.total
    entries = read_image_index(sources.image_index, table.images, ledger, summary.index)
    summary.index_rejected = ledger.total - rejected_before
    summary.images_wanted = len(image_ids)
    if not len(entries):
        raise UserError(
            f"none of the {len(image_ids)} images with boxes, such as {image_ids[0]}, "
            f"can be had from the {summary.index.read} of {', '.join(sources.image_index)}; "
            "are both files of the same subset?"
            if len(image_ids)
            else f"{files}: no boxes are left, and no verified labels; {ledger.summary()}"
        )
    _reject_images_without_entry(boxes, image_ids, entries, ledger, summary)
    entries = _without_images_of_rejected_boxes(boxes, image_ids, entries, choice, ledger, summary)
    if not len(entries):
        raise UserError(f"{files}: the boxes of all images were rejected; {ledger.summary()}")
    if choice.max_images_per_class is not None:
        entries = _drawn(boxes, image_ids, labels, entries, choice, summary)
    images = entries[NUMBER].to_numpy()
    with (
        encoded_json_array_writer(point_path) as write_points,
        encoded_json_array_writer(images_path) as write_images,
        ThreadPoolExecutor(1) as executor,
    ):
        counted = executor.submit(_count_kept, images, boxes, image_ids, labels, summary)
        images_written = executor.submit(lambda: [write_images(text.encode()) for text in images_in_order(entries)])
        for text in encoded_points(images, boxes, summary.image_labels, image_ids, labels):
            write_points(text.encode())
        counted.result()
        images_written.result()
    return summary


def _of_all_files(table: BoxTable, num_by_file: Sequence[int], summary: Summary) -> Boxes:
    """Returns the boxes read, without those that an earlier file has as well."""
    boxes = table.take()
    if len(num_by_file) < 2:
        return boxes
    repeated = are_in_earlier_file(boxes, num_by_file)
    summary.boxes_in_earlier_file = int(np.count_nonzero(repeated))
    return boxes.pick(np.flatnonzero(~repeated)) if summary.boxes_in_earlier_file else boxes


def _expanded(boxes: Boxes, labels: Numbering, choice: Choice, summary: Summary) -> Boxes:
    """Returns the boxes, and copies for classes above theirs where these are asked for; image labels likewise."""
    if choice.expansion is None:
        return boxes
    if summary.image_labels is not None:
        summary.image_labels, summary.image_labels_copied = expand_image_labels(
            summary.image_labels, labels, choice.expansion
        )
    boxes, summary.boxes_copied, summary.boxes_not_copied = expand_boxes(boxes, labels, choice.expansion)
    return boxes


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
    summary.images_without_entry = int(lost.sum())
    summary.boxes_without_image = int(counts[lost].sum())


def _without_images_of_rejected_boxes(
    boxes: Boxes, image_ids: pl.Series, entries: pl.DataFrame, choice: Choice, ledger: Ledger, summary: Summary
) -> pl.DataFrame:
    """Returns the entries without those of images that had boxes, all of them rejected, unless they are to be kept."""
    if not summary.images_of_rejected:
        return entries
    has_box = np.zeros(len(image_ids), np.bool_)
    has_box[boxes.image] = True
    numbers = entries[NUMBER].to_numpy()
    ids = image_ids.gather(numbers)
    lost = ids.is_in(list(summary.images_of_rejected)) & pl.Series(~has_box[numbers])
    summary.images_of_rejected_boxes = int(lost.sum())
    if choice.with_images_of_rejected_boxes:
        return entries
    for image_id in ids.filter(lost):
        ledger.note(image_id, ALL_BOXES_REJECTED)
    return entries.filter(~lost)


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
