"""Conversion of images and boxes, as a format states them, to points: checked, relative to the stored pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from data_prep.annotations.frame import BoxesAreOf, Frame, frame_of
from data_prep.annotations.image_folder import (
    ImageFile,
    Placing,
    examine_content,
    examine_image_file,
    find_image_file,
    is_same_content,
    place_image,
)
from data_prep.annotations.image_ids import image_id_of, safe_parts, stem_of
from data_prep.annotations.image_list import ImageList
from data_prep.annotations.source_image import Reject, SourceBox, SourceImage, check_label, shown
from data_prep.formats.points import COORDINATES, FLAGS
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.ledger import RejectedError

DEFAULT_MAX_OVERHANG = 0.02
ALL_BOXES_REJECTED = "all its boxes were rejected"
LISTED_TWICE = "image listed twice"
TWO_IMAGES = "two pictures of one id"


@dataclass(frozen=True)
class Options:
    """Options of a conversion.

    Attributes:
        image_directory: Holds the images whose folder no reader knows; None trusts the annotations' sizes.
        placing_directory: Where images go under their ids; None leaves them.
        placing: How they go there.
        ids_with_folders: Whether the folders in an image's name count for its id.
        max_overhang: How far a box may stick out of its image, as a share of its side, and be cut; beyond it is
            rejected.
        wanted: The images to take; None takes all.
        boxes_are_of: Whether boxes were drawn on the images as EXIF turns them, or as they are stored.
        with_images_of_rejected_boxes: Whether an image whose boxes were all rejected is kept, as one without objects.
        unites_entries: Whether the boxes of an image that is listed several times are united, for which all images are
            held in memory; otherwise all but its first entry are rejected.
    """

    image_directory: Path | None = None
    placing_directory: Path | None = None
    placing: Placing = "link"
    ids_with_folders: bool = True
    max_overhang: float = DEFAULT_MAX_OVERHANG
    wanted: ImageList | None = None
    boxes_are_of: BoxesAreOf = "shown"
    with_images_of_rejected_boxes: bool = False
    unites_entries: bool = False


@dataclass
class Summary:
    """Counts of the images and boxes that were read, by result.

    Attributes:
        images_read: Images.
        images_not_wanted: Of these, left out because a list does not name them.
        images_united: Entries of images that an earlier entry was of, united with that.
        images_kept: Written to points.
        images_without_boxes: Of these.
        images_of_rejected_boxes: Images whose boxes were all rejected, dropped or kept as `Options` say.
        boxes_read: Boxes of the images wanted.
        boxes_listed_twice: Of these, left out because an earlier entry of the image has the same.
        kept_by_label: Boxes written, by label.
        boxes_cut: Boxes that stuck out a little.
        largest_cut: By how much at most, as a share of the side.
        images_examined: Images whose file was looked at.
        images_scaled: Images of another size than the annotations say, at the same aspect ratio.
        images_turned: Images that their EXIF orientation turns in a viewer.
        images_placed: Images that were put under their ids.
        images_written: Of these, written out of a file of many.
        images_in_place: Images that were there already.
        images_under_other_names: Images whose file is not called ID.jpg (.png, ...).
        renamed: The first image whose id is not its file's name, and that id.
        num_renamed: How many there are.
    """

    images_read: int = 0
    images_not_wanted: int = 0
    images_united: int = 0
    images_kept: int = 0
    images_without_boxes: int = 0
    images_of_rejected_boxes: int = 0
    boxes_read: int = 0
    boxes_listed_twice: int = 0
    kept_by_label: Counter[str] = field(default_factory=Counter)
    boxes_cut: int = 0
    largest_cut: float = 0.0
    images_examined: int = 0
    images_scaled: int = 0
    images_turned: int = 0
    images_placed: int = 0
    images_written: int = 0
    images_in_place: int = 0
    images_under_other_names: int = 0
    renamed: tuple[str, str] | None = None
    num_renamed: int = 0


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
    for image_id, entries in _by_id(images, options, summary, reject):
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
                raise UsageError("--image_output_directory needs --image_directory, where the pictures are")
            was_placed = place_image(file, options.placing_directory, image_id, options.placing)
            summary.images_placed += was_placed
            summary.images_written += was_placed and file.content is not None
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


@dataclass(frozen=True)
class _Entry:
    """What one place in the annotations says of an image.

    Attributes:
        image: As read.
        name: By which it is found.
        directory: Where it was looked for.
        file: Its file; None where no folder is known.
        frame: Of its boxes.
    """

    image: SourceImage
    name: str
    directory: Path | None
    file: ImageFile | None
    frame: Frame


def _by_id(
    images: Iterable[SourceImage], options: Options, summary: Summary, reject: Reject
) -> Iterator[tuple[str, list[_Entry]]]:
    """Yields the entries of each image that can be used, with its id; several only where `options` unite them."""
    places: dict[str, str] = {}
    united: dict[str, list[_Entry]] = {}
    for image in images:
        summary.images_read += 1
        try:
            names = _names(image)
            if options.wanted is not None and not options.wanted.includes(names):
                summary.images_not_wanted += 1
                continue
            directory = image.directory or options.image_directory
            name, file = _find(image, names, directory)
            image_id = image_id_of(name, with_folders=options.ids_with_folders)
            if image_id in places and not options.unites_entries:
                raise RejectedError(LISTED_TWICE, f"{shown(name)} is {image_id}, as at {places[image_id]}")
            entry = _Entry(image, name, directory, file, frame_of(image, file, options.boxes_are_of))
            if image_id in united:
                _check_same_image(entry, united[image_id][0])
        except RejectedError as error:
            reject(image.where, error.reason, error.detail)
            continue
        places[image_id] = image.where
        if options.unites_entries:
            summary.images_united += image_id in united
            united.setdefault(image_id, []).append(entry)
        else:
            yield image_id, [entry]
    yield from united.items()


def _check_same_image(entry: _Entry, first: _Entry) -> None:
    """Refuses to unite entries of two images that happen to have one id: boxes would come to lie on the wrong one.

    Raises:
        RejectedError: Their files differ, or where there are none, their annotated sizes.
    """
    detail = f"{entry.image.where} and {first.image.where} are of different pictures"
    if entry.file is not None and first.file is not None:
        if not is_same_content(entry.file, first.file):
            raise RejectedError(TWO_IMAGES, f"{detail}: {entry.file.path}, {first.file.path}")
        return
    size, first_size = ((at.image.width, at.image.height) for at in (entry, first))
    if None not in (*size, *first_size) and size != first_size:
        raise RejectedError(TWO_IMAGES, f"{detail}: of {size[0]}x{size[1]} and {first_size[0]}x{first_size[1]} pixels")


def _names(image: SourceImage) -> list[str]:
    """Returns the image's names that are names, raising for the first if none is."""
    names = []
    problem = RejectedError("unsafe image name", "none")
    for name in image.names:
        try:
            names.append("/".join(safe_parts(name)))
        except RejectedError as error:
            problem = error
    if not names:
        raise problem
    return names


def _find(image: SourceImage, names: list[str], directory: Path | None) -> tuple[str, ImageFile | None]:
    """Returns the name by which the image is found and its file; the first name where no folder is given."""
    if image.content is not None and image.container is not None:
        return names[0], examine_content(image.content, image.container)
    if directory is None:
        return names[0], None
    for name in names:
        path = find_image_file(directory, name)
        if path is not None:
            return name, examine_image_file(path)
    raise RejectedError("missing", f"no {shown(names[0])} in {directory}")


def _united_annotations(
    entries: list[_Entry], max_overhang: float, summary: Summary, reject: Reject
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
        of_size = "" if frame.width == 1 else f" of a picture of {frame.width:g}x{frame.height:g}"
        raise RejectedError("box outside the picture", edges + of_size)
    edges_cut = max(xmin, 0.0), max(ymin, 0.0), min(xmax, 1.0), min(ymax, 1.0)
    xmin, ymin, xmax, ymax = frame.stored(*edges_cut)
    if edges_cut[0] >= edges_cut[2] or edges_cut[1] >= edges_cut[3] or xmin == xmax or ymin == ymax:
        raise RejectedError("box without area", edges)
    if overhang > 0:
        summary.boxes_cut += 1
        summary.largest_cut = max(summary.largest_cut, overhang)
    return replace(box, xmin=xmin, ymin=ymin, xmax=xmax, ymax=ymax)
