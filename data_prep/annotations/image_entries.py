"""Entries of images: what a place in the annotations says of an image, found by its name, with its id and its frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from data_prep.annotations.conversion_options import Options, Summary
from data_prep.annotations.frame import Frame, frame_of
from data_prep.annotations.image_folder import (
    ImageFile,
    examine_content,
    examine_image_file,
    find_image_file,
    is_same_content,
)
from data_prep.annotations.image_ids import image_id_of, safe_parts
from data_prep.annotations.source_image import Reject, SourceImage, shown
from data_prep.runtime.command_line import UsageError
from data_prep.runtime.ledger import RejectedError

LISTED_TWICE = "image listed twice"
TWO_IMAGES = "two images of one id"


@dataclass(frozen=True)
class Entry:
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


def entries_by_id(
    images: Iterable[SourceImage], options: Options, summary: Summary, reject: Reject
) -> Iterator[tuple[str, list[Entry]]]:
    """Yields the entries of each image that can be used, with its id; several only where `options` unite them.

    Raises:
        UsageError: They would unite images whose bytes are in the annotations.
    """
    places: dict[str, str] = {}
    united: dict[str, list[Entry]] = {}
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
            entry = Entry(image, name, directory, file, frame_of(image, file, options.boxes_are_of))
            if image_id in united:
                _check_same_image(entry, united[image_id][0])
        except RejectedError as error:
            reject(image.where, error.reason, error.detail)
            continue
        places[image_id] = image.where
        if options.unites_entries:
            if image.content is not None:
                raise UsageError("--images_listed_twice unite would hold all images of the records in memory")
            summary.images_united += image_id in united
            united.setdefault(image_id, []).append(entry)
        else:
            yield image_id, [entry]
    yield from united.items()


def _check_same_image(entry: Entry, first: Entry) -> None:
    """Refuses to unite entries of two images that happen to have one id: boxes would come to lie on the wrong one.

    Raises:
        RejectedError: Their files differ, or where there are none, their annotated sizes.
    """
    detail = f"{entry.image.where} and {first.image.where} are of different images"
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
