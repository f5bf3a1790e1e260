"""The cache of training's encoded records, `extensions.cache`: what is read from afar is read once.

In memory, each set of records is one tensor of strings. On disk, each file is copied, under a name made of its path,
size and time: a copy is there whole or not at all, and one of a file that has changed since is deleted. The order in
which records come is the same with a cache and without.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from configs.settings.inputs import RecordCache
from data_prep.runtime.atomic_files import TEMPORARY_PREFIX, new_temporary_path
from data_prep.runtime.command_line import UsageError, UserError
from data_prep.runtime.progress import progress
from train.inputs.record_errors import damage_in_words
from train.inputs.records import RecordFiles, RecordSet

_SUFFIX = ".tfrecord"
_LOCK_NAME = ".lock"
_SETTING = "extensions.cache"
# Of what is free now, so that the batches and the network find room beside the records.
_SHARE_OF_MEMORY = 0.7


def cached_sets(sets: Sequence[RecordSet], settings: RecordCache | None, where: str) -> list[RecordSet]:
    """Fills the cache, where one is set, and returns the sets as they are read from it.

    Args:
        sets: Of the files that this process reads.
        settings: None: nothing is cached.
        where: The input reader's path in the config, for messages.

    Raises:
        UsageError: The records need more room than there is.
        UserError: A file cannot be read, or the folder cannot be written to.
    """
    if settings is None:
        return list(sets)
    if settings.place == "DISK":
        paths = [path for files, _ in sets for path in files.paths]
        copies = dict(zip(paths, copy_to_disk(paths, Path(settings.directory), where), strict=True))
        return [RecordSet(RecordFiles([copies[path] for path in files.paths]), weight) for files, weight in sets]
    num_bytes = sum(_size(path) for files, _ in sets for path in files.paths)
    free = _free_memory_bytes()
    if free is not None and num_bytes > _SHARE_OF_MEMORY * free:
        raise UsageError(
            f"{_SETTING}: the records of {where} are {_in_words(num_bytes)}, too much for the {_in_words(free)} of "
            'memory that are free; use place: DISK directory: "...", or delete it'
        )
    print(f"reading {_in_words(num_bytes)} of records into memory", flush=True)
    return [RecordSet(RecordsInMemory(files), weight) for files, weight in sets]


class RecordsInMemory(RecordFiles):
    """Files whose records are held in memory."""

    def __init__(self, files: RecordFiles) -> None:
        """Reads them.

        Args:
            files: Where they are.

        Raises:
            UserError: A file is broken.
        """
        super().__init__(files.paths)
        self._counts = files.counts()
        total = sum(self._counts)
        # In one batch, which takes the strings over; putting tensors together by themselves would copy them.
        records = tf.data.Dataset.range(len(files.paths)).flat_map(files.read).batch(max(total, 1))
        try:
            self._records = records.get_single_element() if total else tf.zeros([0], tf.string)
        except tf.errors.OpError as error:
            raise UserError(damage_in_words(files.paths, error.message) or f"{_SETTING}: {error.message}") from error

    def read(self, index: tf.Tensor) -> tf.data.Dataset:
        """See `RecordFiles.read`."""
        ends = tf.constant(np.cumsum([0, *self._counts]), tf.int64)
        return tf.data.Dataset.range(ends[index], ends[index + 1]).map(lambda number: self._records[number])

    def is_empty(self) -> bool:
        """See `RecordFiles.is_empty`."""
        return not any(self._counts)

    def counts(self) -> list[int]:
        """See `RecordFiles.counts`."""
        return self._counts


def copy_to_disk(paths: Sequence[str], directory: Path, where: str) -> list[str]:
    """Copies files into a folder, but for those that are there from an earlier time and have not changed since.

    Processes that come at once wait for the one that copies.

    Args:
        paths: Of the files, here or what `tf.io.gfile` opens (`gs://...`).
        directory: Is made if missing.
        where: The input reader's path in the config, for messages.

    Returns:
        The copies' paths, in the same order.

    Raises:
        UsageError: There is too little room.
        UserError: A file cannot be copied.
    """
    try:
        targets = [directory / _name_of_copy(path) for path in paths]
        directory.mkdir(parents=True, exist_ok=True)
        with _locked(directory / _LOCK_NAME):
            _delete_remains(targets, directory)
            missing = [(path, target) for path, target in zip(paths, targets, strict=True) if not target.exists()]
            num_bytes, free = sum(_size(path) for path, _ in missing), shutil.disk_usage(directory).free
            if num_bytes > free:
                raise UsageError(
                    f"{_SETTING}.directory: {directory} has {_in_words(free)} free, and the records of {where} that "
                    f"it lacks are {_in_words(num_bytes)}; name another folder, or delete {_SETTING}"
                )
            for path, target in progress(missing, description="copying records", unit="file"):
                _copy(path, target)
    except (OSError, tf.errors.OpError) as error:
        raise UserError(f"{_SETTING}.directory: {str(error).splitlines()[0]}") from error
    return [str(target) for target in targets]


def _copy(path: str, target: Path) -> None:
    temporary = new_temporary_path(target)
    try:
        tf.io.gfile.copy(path, str(temporary), overwrite=True)
        if temporary.stat().st_size != _size(path):
            raise OSError(f"{path} changed while it was copied")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _delete_remains(targets: Sequence[Path], directory: Path) -> None:
    """Deletes what a killed process left, and copies of what has changed since."""
    current = {target.name for target in targets}
    sources = {_source_part(name) for name in current}
    for path in directory.iterdir():
        is_stale = path.name.endswith(_SUFFIX) and _source_part(path.name) in sources and path.name not in current
        is_part = path.name.startswith(TEMPORARY_PREFIX) and path.name.endswith(_SUFFIX)
        if is_stale or is_part:
            path.unlink(missing_ok=True)


def _name_of_copy(path: str) -> str:
    """A name that says which file it is of, and in which state: nothing of it is taken from the path's own words."""
    if "://" in path:
        source, remote = path, tf.io.gfile.stat(path)
        state = f"{remote.length} {remote.mtime_nsec}"
    else:  # where TensorFlow tells the time in whole seconds
        source, local = str(Path(path).resolve()), Path(path).stat()
        state = f"{local.st_size} {local.st_mtime_ns}"
    return "-".join(map(_digest, (source, state))) + _SUFFIX


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:24]


def _source_part(name: str) -> str:
    return name.partition("-")[0]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keeps other processes out of a folder; where there are no such locks, two that come at once both copy."""
    with path.open("w") as file:
        with contextlib.suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _size(path: str) -> int:
    return int(tf.io.gfile.stat(path).length)


def _free_memory_bytes() -> int | None:
    """What programs can get: of the machine, or of the container if that has less; None where nothing says it."""
    machine, container = _numbers(Path("/proc/meminfo")), _numbers(Path("/sys/fs/cgroup/memory.stat"))
    found = [machine["MemAvailable:"] * 1024] if "MemAvailable:" in machine else []
    with contextlib.suppress(OSError, ValueError):  # a container without a limit says "max"
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        found.append(max(limit - container.get("anon", 0), 0))
    return min(found, default=None)


def _numbers(path: Path) -> dict[str, int]:
    """The lines of a report of the system, by their first word; nothing where there is none."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}


def _in_words(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.3g} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.3g} MB"
