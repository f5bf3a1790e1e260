"""Validation of an image: decoded whole, repaired where possible, left as an RGB JPEG of bounded size, or rejected."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from data_prep.cleaning.validation_log import LogEntry, version_of
from data_prep.images.image_file import (
    ImageError,
    ImageHeader,
    find_image,
    fitted_size,
    read_header,
    read_image_file,
)
from data_prep.images.prepared_image import PreparedImage, is_srgb, prepare_image
from data_prep.runtime.atomic_files import write_bytes
from data_prep.runtime.command_line import ArgumentParser, positive_int

AS_THEY_WERE: Final = "as they were"
ENCODED_ANEW: Final = "encoded anew"
COPIED: Final = "copied"
DONE_EARLIER: Final = "done by an earlier run"
MISSING: Final = "missing"
TOO_SMALL: Final = "too small"
DEFAULT_MAX_DIMENSION: Final = 1024
DEFAULT_MIN_DIMENSION: Final = 16

# What may be otherwise the next time though the file is the same one.
_PASSING_REASONS: Final = frozenset({MISSING, "unreadable", "out of memory"})


@dataclass(frozen=True)
class Outcome:
    """Result of validating one image.

    Attributes:
        kept: Whether its points stay.
        what: For counting: `as they were`, `encoded anew`, `copied`, `done by an earlier run`, or why it was rejected.
        detail: What was seen.
        changes: Why it was encoded anew.
        entry: For the log; None where nothing is to be remembered.
        is_known: Whether it is what an earlier run found, so that nothing was decoded.
    """

    kept: bool
    what: str
    detail: str = ""
    changes: tuple[str, ...] = ()
    entry: LogEntry | None = None
    is_known: bool = False


@dataclass(frozen=True)
class Validation:
    """Folders and size limits of a validation.

    Attributes:
        source_directory: Holds ID.jpg, ID.png or the like.
        target_directory: Where ID.jpg goes. It may be the same; then only what has to change is written.
        max_dimension: The longest side, in pixels, that is kept.
        min_dimension: The shortest side, in pixels, below which an image is rejected.
    """

    source_directory: Path
    target_directory: Path
    max_dimension: int
    min_dimension: int = DEFAULT_MIN_DIMENSION

    @functools.cached_property
    def is_in_place(self) -> bool:
        """Whether images are replaced where they are."""
        return self.target_directory.resolve() == self.source_directory.resolve()

    def target_of(self, image_id: str) -> Path:
        """Returns the file of the result."""
        return self.target_directory / f"{image_id}.jpg"


def add_dimension_flags(parser: ArgumentParser) -> None:
    """Adds --max_dimension and --min_dimension."""
    parser.add_argument(
        "--max_dimension", type=positive_int, default=DEFAULT_MAX_DIMENSION, help="the longest side kept, in pixels"
    )
    parser.add_argument(
        "--min_dimension",
        type=positive_int,
        default=DEFAULT_MIN_DIMENSION,
        help="images with a shorter side than this, in pixels, are rejected",
    )


def validate_image(image_id: str, validation: Validation, *, may_be_done: bool = True) -> Outcome:
    """Checks one image and leaves it as ID.jpg in the target folder.

    The pixels' frame is the stored one, which the boxes relate to: EXIF orientation is removed and never applied.

    Args:
        image_id: A plain file name.
        validation: What to do.
        may_be_done: Whether a sound result that is newer than its source is taken for that of an earlier run.

    Returns:
        The result; an image that is missing or broken is no exception.

    Raises:
        UserError: The id is not a plain file name.
        OSError: The result cannot be written.
    """
    source = find_image(validation.source_directory, image_id)
    if source is None:
        return Outcome(False, MISSING, f"no {image_id}.jpg (.png, ...) in {validation.source_directory}")
    target = validation.target_of(image_id)
    is_in_place = validation.is_in_place
    # Before it is read: should it be replaced meanwhile, the next run sees another time than the one noted.
    before = version_of(source)
    if before is None:
        return Outcome(False, MISSING, f"{source} is gone")
    entry = LogEntry(image_id, before.name, before.size, before.mtime_ns, 0, 0, 0, 0, validation.max_dimension)
    try:
        content = read_image_file(source)
        header = read_header(content)
        entry = replace(entry, width=header.width, height=header.height)
        size = _size_kept(header, validation.max_dimension, validation.min_dimension)
        # An earlier version of this step left other colours than sRGB as they were, where no log tells of it.
        if may_be_done and not is_in_place and _is_done(source, target, size) and is_srgb(content):
            return _kept(DONE_EARLIER, entry, target)
        prepared = _prepared(content, validation.max_dimension)
    except ImageError as error:
        detail = f"{source}: {error.detail}"
        rejected = None if error.reason in _PASSING_REASONS else replace(entry, reason=error.reason, detail=detail)
        return Outcome(False, error.reason, detail, entry=rejected)
    if not prepared.changes and source == target:
        return _kept(AS_THEY_WERE, entry, target)
    write_bytes(target, prepared.content)
    if is_in_place:  # from now on, this is the image that is found
        written = version_of(target) or before
        width, height = prepared.width, prepared.height
        entry = LogEntry(
            image_id, written.name, written.size, written.mtime_ns, width, height, 0, 0, validation.max_dimension
        )
    return _kept(ENCODED_ANEW if prepared.changes else COPIED, entry, target, prepared.changes)


def validate_content(content: bytes, *, max_dimension: int, min_dimension: int) -> PreparedImage:
    """Validates a file's content as `validate_image` does, and returns the image.

    Args:
        content: The file.
        max_dimension: The longest side, in pixels, that is kept.
        min_dimension: The shortest side, in pixels, below which an image is rejected.

    Raises:
        ImageError: It is rejected.
    """
    _size_kept(read_header(content), max_dimension, min_dimension)
    return _prepared(content, max_dimension)


def _kept(what: str, entry: LogEntry, target: Path, changes: tuple[str, ...] = ()) -> Outcome:
    result = version_of(target)
    if result is not None:
        entry = replace(entry, result_size=result.size, result_mtime_ns=result.mtime_ns)
    return Outcome(True, what, changes=changes, entry=entry)


def _is_done(source: Path, target: Path, size: tuple[int, int]) -> bool:
    """Tells whether `target` is what validating `source` gives: newer, of the right size, and sound.

    For what a run has written that was killed before its log knew of it.
    """
    if not target.is_file() or target.stat().st_mtime_ns < source.stat().st_mtime_ns:
        return False
    try:
        done = prepare_image(read_image_file(target), keep_grey=False)
    except ImageError:  # whatever it is, it is made anew
        return False
    return not done.changes and (done.width, done.height) == size


def _size_kept(header: ImageHeader, max_dimension: int, min_dimension: int) -> tuple[int, int]:
    """Returns (width, height) of what is kept of an image; raises ImageError where a side falls short."""
    size = fitted_size(header.width, header.height, max_dimension)
    if min(size) < min_dimension:
        raise ImageError(TOO_SMALL, too_small_detail(header.width, header.height, size, min_dimension))
    return size


def _prepared(content: bytes, max_dimension: int) -> PreparedImage:
    return prepare_image(content, max_dimension=max_dimension, keep_grey=False, refuse_animations=True)


def too_small_detail(width: int, height: int, size: tuple[int, int], min_dimension: int) -> str:
    """Returns in words how an image falls short.

    Args:
        width: Of the image, in pixels.
        height: The same.
        size: (width, height) of what would be kept.
        min_dimension: Below which a side of that is too small.
    """
    shrunk = "" if size == (width, height) else f", {size[0]}x{size[1]} once shrunk"
    return f"{width}x{height} pixels{shrunk}; a side under {min_dimension}"
