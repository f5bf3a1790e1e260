"""The way of images to a format's writer: boxes around groups, losses, and the images' own files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from data_prep.annotation_export import coco_file, pascal_voc_files, yolo_files
from data_prep.annotation_export.export_summary import ExportSummary
from data_prep.annotation_export.exported_image import ExportedBox, ExportedImage
from data_prep.annotation_export.output_folder import OutputFolder
from data_prep.annotations.image_folder import Placing, place_image
from data_prep.runtime.command_line import UserError
from data_prep.runtime.ledger import Ledger, RejectedError
from data_prep.runtime.progress import progress
from data_prep.runtime.work_folders import shared_folder

Format = Literal["coco", "pascal_voc", "yolo"]
GroupOf = Literal["keep", "drop", "forgive"]

HELD_FLAGS: Final[dict[Format, frozenset[str]]] = {
    "coco": coco_file.HELD_FLAGS,
    "pascal_voc": pascal_voc_files.HELD_FLAGS,
    "yolo": yolo_files.HELD_FLAGS,
}
FORGIVEN_FLAG: Final[dict[Format, str]] = {"coco": "is_crowd", "pascal_voc": "is_difficult"}
_GROUP_OF: Final = "is_group_of"


@dataclass(frozen=True)
class ExportOptions:
    """How to export.

    Attributes:
        format: The format.
        group_of: Boxes around a group of objects: `keep` them as any box, `drop` them, or `forgive`: mark them by the
            flag of `FORGIVEN_FLAG`, so that evaluation in that format counts no detection in them as false.
        image_directory: Where the images go; None leaves them where they are.
        placing: How, where they are files; out of records they are written.
    """

    format: Format
    group_of: GroupOf
    image_directory: Path | None = None
    placing: Placing = "link"


def export(
    images: Iterable[ExportedImage],
    writer: contextlib.AbstractContextManager[Callable[[ExportedImage], None]],
    options: ExportOptions,
    summary: ExportSummary,
    ledger: Ledger,
) -> None:
    """Writes the images by a format's writer, and their files where these are wanted.

    Args:
        images: From a source, which counts what it reads in `summary`.
        writer: Of the format.
        options: How.
        summary: Counted in.
        ledger: Gets what cannot be used.

    Raises:
        UserError: Not one image is left; a file that is written as a whole stays as it was.
        OSError: Something cannot be written.
    """
    with _image_placer(options, summary) as place, writer as write:
        for image in progress(images, description=f"export {options.format}", unit="images"):
            adapted = replace(image, boxes=tuple(_adapted(image.boxes, options, summary)))
            try:
                write(adapted)
            except RejectedError as error:
                ledger.reject(image.image_id, error.reason, error.detail)
                summary.boxes_lost += len(image.boxes)
                continue
            place(image)
            _count(adapted, options.format, summary)
        if not summary.boxes_by_class:
            other = summary.boxes_of_other_labels
            why = f"{other} of labels outside the label map; " * bool(other)
            raise UserError(
                f"not one box is left of {summary.images_read} images with {summary.boxes_read} boxes: {why}"
                f"{ledger.summary()}"
            )


def _adapted(boxes: Iterable[ExportedBox], options: ExportOptions, summary: ExportSummary) -> Iterator[ExportedBox]:
    for box in boxes:
        if _GROUP_OF not in box.flags or options.group_of == "keep":
            yield box
        elif options.group_of == "drop":
            summary.group_of_dropped += 1
        else:
            summary.group_of_forgiven += 1
            yield replace(box, flags=box.flags - {_GROUP_OF} | {FORGIVEN_FLAG[options.format]})


def _count(image: ExportedImage, format_name: Format, summary: ExportSummary) -> None:
    summary.images_written += 1
    summary.images_without_boxes += not image.boxes
    summary.verified_labels += image.num_verified_labels
    summary.images_of_verified_labels += image.num_verified_labels > 0
    for box in image.boxes:
        summary.boxes_by_class[box.class_id] += 1
        summary.not_held.update(box.flags - HELD_FLAGS[format_name])
        if box.segment_area is not None and format_name != "coco":
            summary.not_held["segment_area"] += 1
        if box.confidence != 1.0:
            summary.not_held["confidence"] += 1
        if box.weight != 1.0:
            summary.not_held["weight"] += 1


@contextlib.contextmanager
def _image_placer(options: ExportOptions, summary: ExportSummary) -> Iterator[Callable[[ExportedImage], None]]:
    directory = options.image_directory
    if directory is None:
        yield lambda image: None
        return
    folder = OutputFolder(directory)

    def place(image: ExportedImage) -> None:
        if isinstance(image.content, bytes):
            folder.write(image.file_name, image.content)
        elif image.content is not None:
            place_image(image.content.path, folder.path, image.image_id, options.placing)
        summary.images_in_place += 1

    with shared_folder(directory):
        yield place
