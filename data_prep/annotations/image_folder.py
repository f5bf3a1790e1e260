"""The images that annotations name: found below one folder, measured by their headers, put under their ids."""

from __future__ import annotations

import filecmp
import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data_prep.annotations.image_ids import safe_parts, stem_of
from data_prep.images.image_file import MAX_BYTES, SUFFIXES, ImageError, read_header, read_image_file, read_orientation
from data_prep.images.png_data import has_metadata
from data_prep.runtime.atomic_files import atomic_path
from data_prep.runtime.ledger import RejectedError

HEADER_BYTES = 64 * 1024  # enough for most; a JPEG with large metadata is read whole

Placing = Literal["link", "copy"]

_SUFFIX_OF_FORMAT = {"JPEG": ".jpg", "MPO": ".jpg"}
_ALL_SUFFIXES = tuple(suffix for lower in SUFFIXES for suffix in (lower, lower.upper()))


@dataclass(frozen=True)
class ImageFile:
    """An image on disk.

    Attributes:
        path: Its file.
        width: Of the pixels as stored, whatever EXIF says.
        height: Likewise.
        orientation: Its EXIF orientation, 1 (as stored) to 8.
        content: Its bytes, where `path` is a file of many images; None where it is the image's own.
        content_suffix: Of the file that they are to be written to.
    """

    path: Path
    width: int
    height: int
    orientation: int = 1
    content: bytes | None = None
    content_suffix: str = ""

    @property
    def suffix(self) -> str:
        """Of the file name that it has, or is to have, in small letters."""
        return self.path.suffix.lower() if self.content is None else self.content_suffix


def find_image_file(directory: Path, name: str) -> Path | None:
    """Returns the file that annotations call `name`, or None.

    Looked for are the whole name below `directory`, then its last part alone; each also with the suffix of any format
    we read, if the name has none or the file is not there.

    Raises:
        RejectedError: The name leads elsewhere.
    """
    parts = safe_parts(name)
    for tail in dict.fromkeys((parts, parts[-1:])):
        exact = directory.joinpath(*tail)
        if exact.is_file() and exact.suffix.lower() in SUFFIXES:
            return exact
        stem = directory.joinpath(*tail[:-1], stem_of(tail[-1]))
        for suffix in _ALL_SUFFIXES:
            candidate = stem.with_name(stem.name + suffix)
            if candidate.is_file():
                return candidate
    return None


def is_same_content(image: ImageFile, other: ImageFile) -> bool:
    """Tells whether two images are one file, or hold the same bytes.

    Raises:
        OSError: One cannot be read.
    """
    if image.content is None and other.content is None:
        if image.path.samefile(other.path):
            return True
        is_same_size = image.path.stat().st_size == other.path.stat().st_size
        return is_same_size and filecmp.cmp(image.path, other.path, shallow=False)
    contents = (at.content if at.content is not None else at.path.read_bytes() for at in (image, other))
    return next(contents) == next(contents)


def all_images(directory: Path) -> Iterator[str]:
    """Yields the name of every file below `directory` that has an image's suffix, with `/` between folders."""
    for path in directory.rglob("*"):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            yield path.relative_to(directory).as_posix()


def examine_image_file(path: Path) -> ImageFile:
    """Returns the image's size and orientation, for which its header is read and nothing decoded.

    A PNG that holds metadata is decoded: only then does Pillow read those behind its pixels.

    Raises:
        RejectedError: It is no image.
    """
    try:
        with path.open("rb") as file:
            start = file.read(HEADER_BYTES)
        try:
            header = read_header(start)
        except ImageError:
            header = read_header(read_image_file(path))
        # Pillow decodes a PNG to look for EXIF behind its pixels; few have any.
        may_be_turned = header.format != "PNG" or has_metadata(path)
        orientation = read_orientation(path) if may_be_turned else 1
    except ImageError as error:
        raise RejectedError(error.reason, f"{path}: {error.detail}") from error
    except OSError as error:
        raise RejectedError("unreadable", f"{path}: {error.strerror or error}") from error
    return ImageFile(path, header.width, header.height, orientation)


def examine_content(content: bytes, container: Path) -> ImageFile:
    """Returns the size and orientation of an image that lies within another file; see `examine_image_file`.

    Raises:
        RejectedError: It is no image, or larger than an image's file may be.
    """
    if len(content) > MAX_BYTES:
        raise RejectedError("too many bytes", f"more than {MAX_BYTES / 2**20:g} MiB")
    header = read_header(content)
    suffix = _SUFFIX_OF_FORMAT.get(header.format, f".{header.format.lower()}")
    orientation = read_orientation(io.BytesIO(content))
    return ImageFile(container, header.width, header.height, orientation, content, suffix)


def place_image(source: Path, directory: Path, image_id: str, placing: Placing) -> bool:
    """Puts an image into `directory` under its id, with its suffix in small letters.

    A link is symbolic and absolute; steps that repair images in place replace the link and never touch what it points
    to. A file that is there and not older than the source stays: it may be the repaired one.

    Args:
        source: The image.
        directory: Exists.
        image_id: Checked by the caller.
        placing: `link` or `copy`.

    Returns:
        Whether anything had to be done.

    Raises:
        OSError: It cannot be written.
    """
    target = directory / f"{image_id}{source.suffix.lower()}"
    absolute = source.resolve()
    if target.is_symlink():
        if placing == "link" and target.readlink() == absolute:
            return False
    elif _is_up_to_date(target, absolute):
        return False
    with atomic_path(target) as temporary:
        if placing == "link":
            temporary.unlink()
            temporary.symlink_to(absolute)
        else:
            shutil.copy2(absolute, temporary)
    return True


def write_image(source: ImageFile, directory: Path, image_id: str) -> bool:
    """Writes an image that lies within another file into `directory` under its id; see `place_image`.

    Raises:
        OSError: It cannot be written.
    """
    if source.content is None:
        raise ValueError(f"{source.path} is the image's own file: it is placed, not written")
    target = directory / f"{image_id}{source.suffix}"
    if not target.is_symlink() and _is_up_to_date(target, source.path):
        return False
    with atomic_path(target) as temporary:
        temporary.write_bytes(source.content)
    return True


def _is_up_to_date(target: Path, source: Path) -> bool:
    return target.exists() and target.stat().st_mtime_ns >= source.stat().st_mtime_ns
