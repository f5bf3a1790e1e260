"""Validation of a folder's images: shared out to processes, and left alone where an earlier run has dealt with them.

What was found is kept in the folder's log: see `validation_log`.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from data_prep.cleaning.image_validation import (
    AS_THEY_WERE,
    DONE_EARLIER,
    TOO_SMALL,
    Outcome,
    Validation,
    too_small_detail,
    validate_image,
)
from data_prep.cleaning.validation_log import FileVersion, LogEntry, ValidationLog, version_in, version_of
from data_prep.images.image_file import find_image, fitted_size
from data_prep.runtime.work_folders import shared_folder
from data_prep.runtime.worker_pool import map_in_order, process_pool

BATCH: Final = 8  # images that a process takes at a time


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
        detail = f"{source}: {too_small_detail(entry.width, entry.height, size, validation.min_dimension)}"
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


def _remove_stale_result(entry: LogEntry, earlier: LogEntry | None, validation: Validation) -> None:
    """Removes what an earlier run made of an image that has since been replaced by one that is rejected."""
    if not entry.reason or earlier is None or earlier.reason or validation.is_in_place:
        return
    if _is_result_of(earlier, validation):
        validation.target_of(entry.image_id).unlink(missing_ok=True)
