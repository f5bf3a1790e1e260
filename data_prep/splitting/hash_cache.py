"""Perceptual hashes of folders of images: computed by many processes, and cached, so that each image is read once.

A folder's hashes are kept in an SQLite file beside it, `FOLDER.hashes.sqlite`, by file name, size and time of change: a
image that is replaced is hashed anew, a run that was killed goes on where it was, and all steps share what is there.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.images.image_file import ImageError, find_image, read_image_file
from data_prep.runtime.command_line import int_between, positive_int
from data_prep.runtime.progress import progress
from data_prep.runtime.row_store import RowStore
from data_prep.runtime.worker_pool import default_num_processes, map_in_order, process_pool
from data_prep.splitting.image_hash import DEFAULT_MAX_DISTANCE, LARGEST_MAX_DISTANCE, hash_content

CACHE_SUFFIX = ".hashes.sqlite"
BATCH = 32  # images that a process takes at a time
_TABLE = "phash64_1"  # another one for other hashes
_COLUMNS = {
    "file": "TEXT", "size": "INTEGER", "mtime_ns": "INTEGER", "hash": "TEXT", "reason": "TEXT", "detail": "TEXT"
}  # fmt: skip


@dataclass(frozen=True)
class HashOutcome:
    """Hash of an image, or why it has none.

    Attributes:
        path: Its file, or None where there is none.
        hash: The perceptual hash, or None where there is none.
        reason: Why there is no hash, in a few words; otherwise empty.
        detail: What was seen.
        from_cache: Whether an earlier run worked it out.
    """

    path: Path | None
    hash: int | None
    reason: str = ""
    detail: str = ""
    from_cache: bool = False


def hash_images(
    image_ids: Sequence[str],
    directories: Sequence[Path],
    *,
    num_processes: int | None = None,
    cache_directory: Path | None = None,
    description: str = "hashing images",
) -> Iterator[HashOutcome]:
    """Yields the hash of each image, in the order of `image_ids`.

    Args:
        image_ids: Plain file names.
        directories: Where ID.jpg, ID.png or the like is looked for, one after the other.
        num_processes: How many images are worked on at a time; None for one a core.
        cache_directory: Where hashes are kept; None for beside each folder.
        description: For the progress bar.

    Raises:
        UserError: The cache is no SQLite file of this command, or cannot be written.
    """
    num_processes = num_processes or default_num_processes()
    caches = {directory: cache_path(directory, cache_directory) for directory in directories}
    with contextlib.ExitStack() as stack:
        open_caches = {directory: stack.enter_context(_Cache(path)) for directory, path in caches.items()}
        batches = (image_ids[start : start + BATCH] for start in range(0, len(image_ids), BATCH))
        work = functools.partial(_look_up, caches=open_caches)
        looked_up = map(work, batches)
        outcomes = _hashed(looked_up, open_caches, num_processes, stack)
        yield from progress(outcomes, description=description, total=len(image_ids), unit="images")


def cache_path(directory: Path, cache_directory: Path | None = None) -> Path:
    """Returns the file that keeps the hashes of a folder's images."""
    folder = directory.resolve()
    if cache_directory is None:
        return folder.with_name(folder.name + CACHE_SUFFIX)
    digest = hashlib.sha256(str(folder).encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return cache_directory / f"{folder.name}-{digest}{CACHE_SUFFIX}"


@dataclass(frozen=True)
class _Task:
    """An image that is to be hashed, or is done."""

    outcome: HashOutcome
    directory: Path | None = None
    size: int = 0
    mtime_ns: int = 0

    @property
    def is_done(self) -> bool:
        return self.outcome.hash is not None or bool(self.outcome.reason)


class _Cache:
    """One folder's hashes."""

    def __init__(self, path: Path) -> None:
        self._rows = RowStore(
            path,
            _TABLE,
            _COLUMNS,
            problem="cannot keep hashes there",
            remedy="delete the file, or give --hash_cache_directory",
        )

    def __enter__(self) -> _Cache:
        self._rows.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._rows.__exit__(*error)

    def get(self, path: Path, size: int, mtime_ns: int) -> HashOutcome | None:
        row = self._rows.get([path.name]).get(path.name)
        if row is None or row[1:3] != (size, mtime_ns):
            return None
        text, reason, detail = row[3:]
        return HashOutcome(path, int(text, 16) if text else None, reason, detail, from_cache=True)

    def put(self, path: Path, size: int, mtime_ns: int, outcome: HashOutcome) -> None:
        text = "" if outcome.hash is None else f"{outcome.hash:016x}"
        self._rows.put((path.name, size, mtime_ns, text, outcome.reason, outcome.detail))


def _look_up(image_ids: Sequence[str], caches: dict[Path, _Cache]) -> list[_Task]:
    return [_task(image_id, caches) for image_id in image_ids]


def _task(image_id: str, caches: dict[Path, _Cache]) -> _Task:
    for directory, cache in caches.items():
        path = find_image(directory, image_id)
        if path is None:
            continue
        try:
            status = path.stat()
        except OSError as error:
            return _Task(HashOutcome(path, None, "unreadable", str(error.strerror or error)))
        known = cache.get(path, status.st_size, status.st_mtime_ns)
        return _Task(known or HashOutcome(path, None), directory, status.st_size, status.st_mtime_ns)
    return _Task(HashOutcome(None, None, "missing", f"no {image_id}.jpg (.png, ...)"))


def _hashed(
    batches: Iterator[list[_Task]], caches: dict[Path, _Cache], num_processes: int, stack: contextlib.ExitStack
) -> Iterator[HashOutcome]:
    """Hashes what is not done; a run that finds everything in the cache starts no process."""
    todo: list[list[_Task]] = []
    for batch in batches:
        if all(task.is_done for task in batch):
            yield from (task.outcome for task in batch)
            continue
        todo.append(batch)
        break
    if not todo:
        return
    rest = _chain(todo, batches)
    if num_processes == 1:
        done: Iterator[list[_Task]] = map(_hash_batch, rest)
    else:
        pool = stack.enter_context(process_pool(num_processes))
        done = map_in_order(pool, _hash_batch, rest, num_workers=num_processes)
    for tasks in done:
        for task in tasks:
            outcome = task.outcome
            if task.directory is not None and outcome.path is not None and not outcome.from_cache:
                caches[task.directory].put(outcome.path, task.size, task.mtime_ns, outcome)
            yield outcome


def _chain(first: Sequence[list[_Task]], rest: Iterator[list[_Task]]) -> Iterator[list[_Task]]:
    yield from first
    yield from rest


def _hash_batch(tasks: list[_Task]) -> list[_Task]:
    return [task if task.is_done else _hash_task(task) for task in tasks]


def _hash_task(task: _Task) -> _Task:
    path = task.outcome.path
    assert path is not None, "a task without a file is done"
    try:
        outcome = HashOutcome(path, hash_content(read_image_file(path)))
    except ImageError as error:
        outcome = HashOutcome(path, None, error.reason, error.detail)
    return _Task(outcome, task.directory, task.size, task.mtime_ns)


def add_hash_flags(parser: argparse.ArgumentParser) -> None:
    """Adds --max_distance, --num_processes and --hash_cache_directory."""
    parser.add_argument(
        "--max_distance",
        type=int_between(0, LARGEST_MAX_DISTANCE, "number of bits"),
        default=DEFAULT_MAX_DISTANCE,
        help="bits, of 64, in which the hashes of near-duplicates may differ: 0 finds copies of another size or "
        f"quality, 4 light retouching too, 8 small crops and now and then a wrong pair; at most {LARGEST_MAX_DISTANCE}",
    )
    parser.add_argument(
        "--num_processes", type=positive_int, default=default_num_processes(), help="images hashed at a time"
    )
    parser.add_argument(
        "--hash_cache_directory",
        type=Path,
        help="where hashes are kept between runs (default: beside each image folder, FOLDER.hashes.sqlite)",
    )
