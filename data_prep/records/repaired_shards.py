"""Writing of a set of repaired records, shard by shard in processes; finished shards stay, and the input as it is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Final

from data_prep.formats.label_map import LabelMap
from data_prep.records.image_checks import TENSORFLOW_ENVIRONMENT
from data_prep.records.manifest import Manifest, ShardEntry, label_map_hash
from data_prep.records.record_files import CorruptRecordError, RecordWriter, read_damaged_file
from data_prep.records.record_repair import RecordRepairer
from data_prep.records.record_set import record_set
from data_prep.records.record_shards import ENTRY_SUFFIX, UNFINISHED_SUFFIX
from data_prep.records.record_writing import WrittenSet
from data_prep.records.shard_checks import CORRUPT_FILE
from data_prep.records.shard_report import ShardReport
from data_prep.runtime import worker_pool
from data_prep.runtime.atomic_files import write_json
from data_prep.runtime.command_line import UserError
from data_prep.runtime.ledger import Ledger
from data_prep.runtime.progress import progress

# Part of every fingerprint: to be counted up when the same input is to give other bytes.
_REPAIR_VERSION: Final = 1


@dataclass(frozen=True)
class Source:
    """Part of a file: each `every`th of its records, from `first` on.

    Attributes:
        path: The file.
        first: Number of a record.
        every: 1: all of them.
    """

    path: str
    first: int
    every: int


@dataclass(frozen=True)
class RepairTask:
    """Inputs of one shard.

    Attributes:
        path: The file to write.
        sources: What is repaired, in this order.
        label_map: The classes.
        known: Entries of shards of this name that are there already, whole.
    """

    path: Path
    sources: tuple[Source, ...]
    label_map: LabelMap
    known: tuple[ShardEntry, ...]

    def fingerprint(self) -> str:
        """Returns a hash of all that decides the shard's bytes; of files, that is name, size and time of change."""
        digest = hashlib.blake2b(f"{_REPAIR_VERSION} {label_map_hash(self.label_map)}\n".encode(), digest_size=16)
        for source in self.sources:
            state = _state(source.path)
            digest.update(f"{PurePath(source.path).name} {source.first} {source.every} {state}\n".encode())
        return digest.hexdigest()


def sources_of_shards(paths: Sequence[str], num_shards: int) -> list[tuple[Source, ...]]:
    """Shares files out to shards: several files to each, or where there are fewer files, parts of one."""
    if num_shards <= len(paths):
        return [tuple(Source(path, 0, 1) for path in paths[shard::num_shards]) for shard in range(num_shards)]
    shards_of_file = [range(index, num_shards, len(paths)) for index in range(len(paths))]
    found: dict[int, tuple[Source, ...]] = {}
    for path, shards in zip(paths, shards_of_file, strict=True):
        found |= {shard: (Source(path, first, len(shards)),) for first, shard in enumerate(shards)}
    return [found[shard] for shard in range(num_shards)]


def write_repaired(
    paths: Sequence[str],
    *,
    label_map: LabelMap,
    label_map_path: Path,
    output_path: Path,
    num_shards: int,
    num_processes: int,
    settings: dict[str, Any],
    command: str,
    ledger: Ledger,
) -> WrittenSet:
    """Writes the records of some files, repaired, as `num_shards` shards, which appear together at the end.

    Args:
        paths: Of the files; none of them is one of those that are written.
        label_map: The classes.
        label_map_path: Where they were read from, for the manifest.
        output_path: What the shards' names begin with.
        num_shards: How many.
        num_processes: How many shards are written at a time; 1 writes in this process.
        settings: For the manifest.
        command: For the manifest.
        ledger: Takes the boxes and records that are left out.

    Raises:
        UserError: Not one record is left; what was there before stays.
        OSError: A file cannot be read, or a shard cannot be written.
    """
    with record_set(output_path, num_shards) as made:
        known = made.known_entries()
        tasks = [
            RepairTask(path, sources, label_map, known.get(path.name, ()))
            for path, sources in zip(made.paths, sources_of_shards(paths, num_shards), strict=True)
        ]
        entries: list[tuple[ShardEntry, bool]] = []
        steps = worker_pool.counted_steps(
            _one_by_one, tasks, entries, num_processes, environment=TENSORFLOW_ENVIRONMENT
        )
        for _ in progress(steps, description="repair records", unit="records"):
            pass
        manifest = Manifest(
            name=output_path.name,
            label_map=label_map,
            label_map_path=str(label_map_path),
            settings=settings,
            command=command,
            shards=tuple(entry for entry, _ in entries),
        )
        for item, reason, detail in (reject for entry in manifest.shards for reject in entry.report.rejected):
            ledger.reject(item, reason, detail)
        if not manifest.total().num_images:
            made.discard()
            raise UserError(f"not one of the records can be repaired, so none are written: {ledger.summary()}")
        is_unchanged = made.is_in_place(manifest)
        in_place = made.before.shards if made.before is not None else ()
        if not is_unchanged:
            made.put_in_place(manifest)
    num_resumed = sum(not is_written and entry not in in_place for entry, is_written in entries)
    return WrittenSet(manifest, sum(is_written for _, is_written in entries), num_resumed, is_unchanged)


def _one_by_one(tasks: Sequence[RepairTask], entries: list[tuple[ShardEntry, bool]]) -> Iterator[None]:
    for task in tasks:
        entries.append((yield from _make_shard(task)))


def _make_shard(task: RepairTask) -> Generator[None, None, tuple[ShardEntry, bool]]:
    """Writes a shard, unless a known one is what would be written; yields once a record.

    Returns:
        The shard's entry, and whether it was written now. The file appears whole, and its entry after it.
    """
    fingerprint = task.fingerprint()
    for entry in task.known:
        if entry.fingerprint == fingerprint:
            return entry, False
    entry_path = task.path.with_name(task.path.name + ENTRY_SUFFIX)
    entry_path.unlink(missing_ok=True)
    report, repairer = ShardReport(), RecordRepairer(task.label_map)
    unfinished = task.path.with_name(task.path.name + UNFINISHED_SUFFIX)
    with RecordWriter(unfinished) as writer:
        for source in task.sources:
            for number, content in _records(source):
                _repair_record(source.path, number, content, repairer, report, writer.write)
                yield
    report.num_bytes = unfinished.stat().st_size
    unfinished.replace(task.path)
    entry = ShardEntry(task.path.name, fingerprint, report)
    write_json(entry_path, entry.as_json())
    return entry, True


def _records(source: Source) -> Iterator[tuple[int, bytes | CorruptRecordError]]:
    for number, content in enumerate(read_damaged_file(source.path)):
        if number % source.every == source.first:
            yield number, content


def _repair_record(
    path: str,
    number: int,
    content: bytes | CorruptRecordError,
    repairer: RecordRepairer,
    report: ShardReport,
    write: Callable[[bytes], None],
) -> None:
    where = f"{path}, record {number}"
    report.num_points += 1
    if isinstance(content, CorruptRecordError):
        rest = "" if content.goes_on else "; nothing behind it can be read"
        report.rejected.append((where, CORRUPT_FILE, f"{content}{rest}"))
        return
    repair = repairer(content, f"{PurePath(path).name} {number}")
    where += f", image {repair.name}" * bool(repair.name)
    for box, reason, detail in repair.left_out:
        report.rejected.append((where if box is None else f"{where}, box {box}", reason, detail))
    report.repaired.update(repair.changes)
    if repair.record is None:
        return
    write(repair.record)
    report.num_images += 1
    report.num_images_without_boxes += not repair.labels
    report.boxes_by_label.update(repair.labels)
    report.images_by_label.update(set(repair.labels))


def _state(path: str) -> str:
    if "://" not in path:
        local = Path(path).stat()
        return f"{local.st_size} {local.st_mtime_ns}"
    import tensorflow as tf

    remote = tf.io.gfile.stat(path)
    return f"{remote.length} {remote.mtime_nsec}"
