"""Conversion of images and boxes, as a format states them, to points: checked, relative to the stored pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from data_prep.annotations.conversion_options import Options, Summary
from data_prep.annotations.frame import Frame
from data_prep.annotations.image_entries import Entry, entries_by_id
from data_prep.annotations.image_folder import place_image, write_image
from data_prep.annotations.image_ids import stem_of
from data_prep.annotations.source_image import Reject, SourceBox, SourceImage, check_label
from data_prep.formats.points import COORDINATES, FLAGS
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.ledger import RejectedError

ALL_BOXES_REJECTED = "all its boxes were rejected"


def convert(
    images: Iterable[SourceImage],
    options: Options,
    summary: Summary,
    reject: Reject,
    note_dropped: Reject = lambda *_: None,
) -> Iterator[tuple[dict[str, Any], str]]:
    """Yields the point of each image that can be used, and its URL (or an empty string), in their order.

    A point whose id is not its file's name holds that name as `file_name`.

    Args:
        images: From a reader.
        options: How.
        summary: Counted in.
        reject: Takes images and boxes that cannot be used.
        note_dropped: Takes images that are left out since all of their boxes were rejected.

    Raises:
        UsageError: Images are to be placed, and it is not known where they are.
        OSError: An image cannot be placed.
    """
    for image_id, entries in entries_by_id(images, options, summary, reject):
        first = entries[0]
        annotations = _united_annotations(entries, options.max_overhang, summary, reject)
        num_boxes = sum(entry.image.num_rejected + len(entry.image.boxes) for entry in entries)
        if not annotations and num_boxes:
            summary.images_of_rejected_boxes += 1
            if not options.with_images_of_rejected_boxes:
                note_dropped(
                    first.image.where, ALL_BOXES_REJECTED, f"image {image_id}: {num_boxes} box{'es' * (num_boxes != 1)}"
                )
                continue
        summary.images_scaled += any(entry.frame.is_scaled for entry in entries)
        file = first.file
        if file is not None:
            summary.images_examined += 1
            summary.images_turned += file.orientation != 1
        if options.placing_directory is not None:
            if file is None:
                raise UsageError("--image_output_directory needs --image_directory, where the images are")
            if file.content is None:
                was_placed = place_image(file.path, options.placing_directory, image_id, options.placing)
            else:
                was_placed = write_image(file, options.placing_directory, image_id)
                summary.images_written += was_placed
            summary.images_placed += was_placed
            summary.images_in_place += not was_placed
        elif file is not None:
            is_found = file.content is None and file.path.name == image_id + file.suffix
            summary.images_under_other_names += not (is_found and file.path.parent == first.directory)
        point: dict[str, Any] = {"id": image_id}
        if stem_of(first.name) != image_id:
            summary.num_renamed += 1
            summary.renamed = summary.renamed or (first.name, image_id)
            point["file_name"] = first.name
        point["annotations"] = annotations
        summary.images_kept += 1
        summary.images_without_boxes += not annotations
        yield point, next((entry.image.url for entry in entries if entry.image.url), "")


def _united_annotations(
    entries: list[Entry], max_overhang: float, summary: Summary, reject: Reject
) -> list[dict[str, Any]]:
    """Returns the annotations of all entries of an image, those that an earlier entry has too left out and counted."""
    annotations = list(_annotations(entries[0].image, entries[0].frame, max_overhang, summary, reject))
    for entry in entries[1:]:
        known = {_identity(annotation) for annotation in annotations}
        for annotation in _annotations(entry.image, entry.frame, max_overhang, summary, reject):
            if _identity(annotation) in known:
                summary.boxes_listed_twice += 1
                summary.kept_by_label[annotation["label"]] -= 1
            else:
                annotations.append(annotation)
    return annotations


def _identity(annotation: dict[str, Any]) -> tuple[Any, ...]:
    """Returns what is equal for a box that two files state, in pixels or in shares with six digits."""
    return (annotation["label"], *(round(annotation[key], 5) for key in COORDINATES))


def _annotations(
    image: SourceImage, frame: Frame, max_overhang: float, summary: Summary, reject: Reject
) -> Iterator[dict[str, Any]]:
    for box in image.boxes:
        summary.boxes_read += 1
        try:
            label = check_label(box.label)
            relative = _relative_box(box, frame, max_overhang, summary)
        except RejectedError as error:
            reject(box.where, error.reason, error.detail)
            continue
        summary.kept_by_label[label] += 1
        yield {
            "label": label,
            "confidence": box.extra.get("confidence", 1.0),
            "x0": relative.xmin,
            "x1": relative.xmax,
            "y0": relative.ymin,
            "y1": relative.ymax,
            **{flag: box.extra.get(flag, False) for flag in FLAGS},
            **{key: value for key, value in box.extra.items() if key not in FLAGS and key != "confidence"},
        }


def _relative_box(box: SourceBox, frame: Frame, max_overhang: float, summary: Summary) -> SourceBox:
    """Returns a box in shares of the stored image, cut to it.

    Raises:
        RejectedError: It is reversed, without area, or outside.
    """
    edges = f"xmin {box.xmin:g}, ymin {box.ymin:g}, xmax {box.xmax:g}, ymax {box.ymax:g}"
    if box.xmax < box.xmin or box.ymax < box.ymin:
        raise RejectedError("reversed box", edges)
    xmin, xmax = box.xmin / frame.width, box.xmax / frame.width
    ymin, ymax = box.ymin / frame.height, box.ymax / frame.height
    overhang = max(-xmin, -ymin, xmax - 1, ymax - 1, 0.0)
    if overhang > max_overhang:
        of_size = "" if frame.width == 1 else f" of an image of {frame.width:g}x{frame.height:g}"
        raise RejectedError("box outside the image", edges + of_size)
    edges_cut = max(xmin, 0.0), max(ymin, 0.0), min(xmax, 1.0), min(ymax, 1.0)
    xmin, ymin, xmax, ymax = frame.stored(*edges_cut)
    if edges_cut[0] >= edges_cut[2] or edges_cut[1] >= edges_cut[3] or xmin == xmax or ymin == ymax:
        raise RejectedError("box without area", edges)
    if overhang > 0:
        summary.boxes_cut += 1
        summary.largest_cut = max(summary.largest_cut, overhang)
    return replace(box, xmin=xmin, ymin=ymin, xmax=xmax, ymax=ymax)
