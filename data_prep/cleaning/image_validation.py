"""Validation of images: decoded whole, repaired where possible, left as RGB JPEGs of bounded size, or rejected.

Work is shared out to processes, and an image that an earlier run has dealt with is only looked at in its folder: see
`validation_log`.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from data_prep.cleaning.validation_log import FileVersion, LogEntry, ValidationLog, version_in, version_of
from data_prep.images.image_file import (
    ImageError,
    ImageHeader,
    PreparedImage,
    find_image,
    fitted_size,
    is_srgb,
    prepare_image,
    read_header,
    read_image_file,
)
from data_prep.runtime.atomic_files import write_bytes
from data_prep.runtime.work_folders import shared_folder
from data_prep.runtime.worker_pool import map_in_order, process_pool

AS_THEY_WERE: Final = "as they were"
ENCODED_ANEW: Final = "encoded anew"
COPIED: Final = "copied"
DONE_EARLIER: Final = "done by an earlier run"
MISSING: Final = "missing"
TOO_SMALL: Final = "too small"
DEFAULT_MIN_DIMENSION: Final = 16
BATCH: Final = 8  # images that a process takes at a time

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


def validate_images(image_ids: Iterable[str], validation: Validation, *, num_processes: int) -> Iterator[Outcome]:
    """Yields the result of each image, in the order of `image_ids`; see `validate_image`.

    What was found is kept in the folder's log. Where that has all images, no process is started. Files that killed
    runs have left half written are removed first.

    Args:
        image_ids: Plain file names; only some are taken ahead of what has been yielded.
        validation: What to do.
        num_processes: How many images are worked on at a time.

    Raises:
        UserError: An id is not a plain file name, or the log cannot be used.
        OSError: A result cannot be written.
    """
    with shared_folder(validation.target_directory), ValidationLog(validation.target_directory) as log:
        ids = iter(image_ids)
        batches = iter(lambda: list(itertools.islice(ids, BATCH)), [])
        looked_up = (_look_up(batch, validation, log) for batch in batches)
        for outcome, earlier in itertools.chain.from_iterable(_validated(looked_up, validation, num_processes)):
            if not outcome.is_known and outcome.entry is not None:
                _remove_stale_result(outcome.entry, earlier, validation)
                log.put(outcome.entry)
            yield outcome


@dataclass(frozen=True)
class _Task:
    """An image to be dealt with, or what is known of it."""

    image_id: str
    known: Outcome | None
    earlier: LogEntry | None


def _look_up(image_ids: Sequence[str], validation: Validation, log: ValidationLog) -> list[_Task]:
    entries = log.get(image_ids)
    return [
        _Task(image_id, _known_outcome(image_id, entries.get(image_id), validation), entries.get(image_id))
        for image_id in image_ids
    ]


def _known_outcome(image_id: str, entry: LogEntry | None, validation: Validation) -> Outcome | None:
    """Returns what an earlier run made of an image, if neither that nor the image nor what is asked has changed."""
    if entry is None:
        return None
    if _version_of_source(image_id, entry, validation) != entry.source:
        return None
    if entry.reason and entry.reason != TOO_SMALL:
        return Outcome(False, entry.reason, entry.detail, entry=entry, is_known=True)
    size = fitted_size(entry.width, entry.height, validation.max_dimension)
    if min(size) < validation.min_dimension:
        source = validation.source_directory / entry.source_name
        detail = f"{source}: {_too_small(entry.width, entry.height, size, validation.min_dimension)}"
        return Outcome(False, TOO_SMALL, detail, entry=entry, is_known=True) if entry.reason else None
    if size != fitted_size(entry.width, entry.height, entry.max_dimension) or not _is_result_of(entry, validation):
        return None
    return Outcome(True, AS_THEY_WERE if validation.is_in_place else DONE_EARLIER, entry=entry, is_known=True)


def _version_of_source(image_id: str, entry: LogEntry, validation: Validation) -> FileVersion | None:
    if entry.source_name == f"{image_id}.jpg":  # the name that is looked for first
        return version_in(validation.source_directory, entry.source_name)
    source = find_image(validation.source_directory, image_id)
    return None if source is None else version_of(source)


def _is_result_of(entry: LogEntry, validation: Validation) -> bool:
    result = version_in(validation.target_directory, f"{entry.image_id}.jpg")
    return result is not None and (result.size, result.mtime_ns) == (entry.result_size, entry.result_mtime_ns)


class _LazyPool(Executor):
    """Processes that are started once there is something to do; what is known is passed on at once."""

    def __init__(self, num_processes: int) -> None:
        self._num_processes = num_processes
        self._pool: ProcessPoolExecutor | None = None

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if all(task.known is not None for task in args[0]):
            future: Future[Any] = Future()
            future.set_result(function(*args, **kwargs))
            return future
        if self._pool is None:
            self._pool = process_pool(self._num_processes)
        return self._pool.submit(function, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait, cancel_futures=cancel_futures)


def _validated(
    batches: Iterator[list[_Task]], validation: Validation, num_processes: int
) -> Iterator[list[tuple[Outcome, LogEntry | None]]]:
    function = functools.partial(_validate_batch, validation=validation)
    if num_processes == 1:
        yield from map(function, batches)
        return
    with _LazyPool(num_processes) as pool:
        yield from map_in_order(pool, function, batches, num_workers=num_processes)


def _validate_batch(tasks: Sequence[_Task], validation: Validation) -> list[tuple[Outcome, LogEntry | None]]:
    return [
        (
            task.known or validate_image(task.image_id, validation, may_be_done=task.earlier is None),
            task.earlier,
        )
        for task in tasks
    ]


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


def _remove_stale_result(entry: LogEntry, earlier: LogEntry | None, validation: Validation) -> None:
    """Removes what an earlier run made of an image that has since been replaced by one that is rejected."""
    if not entry.reason or earlier is None or earlier.reason or validation.is_in_place:
        return
    if _is_result_of(earlier, validation):
        validation.target_of(entry.image_id).unlink(missing_ok=True)


def _size_kept(header: ImageHeader, max_dimension: int, min_dimension: int) -> tuple[int, int]:
    """Returns (width, height) of what is kept of an image; raises ImageError where a side falls short."""
    size = fitted_size(header.width, header.height, max_dimension)
    if min(size) < min_dimension:
        raise ImageError(TOO_SMALL, _too_small(header.width, header.height, size, min_dimension))
    return size


def _prepared(content: bytes, max_dimension: int) -> PreparedImage:
    return prepare_image(content, max_dimension=max_dimension, keep_grey=False, refuse_animations=True)


def _too_small(width: int, height: int, size: tuple[int, int], min_dimension: int) -> str:
    shrunk = "" if size == (width, height) else f", {size[0]}x{size[1]} once shrunk"
    return f"{width}x{height} pixels{shrunk}; a side under {min_dimension}"
