"""The work on shards: each is written from its images' records, and the set takes its place together.

A runner may do any of this twice, at the same time even. Shards are therefore written under names of their own, of
which the set takes those that count, and putting the set in place goes on where it was broken off.
"""

from __future__ import annotations

import contextlib
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import apache_beam as beam

from data_prep.beam import files
from data_prep.beam.image_work import ImageResult
from data_prep.formats.shard_names import shard_path
from data_prep.records.manifest import SUFFIX, Manifest, ShardEntry, format_manifest, read_manifest
from data_prep.records.record_files import FRAME_BYTES, RecordWriter
from data_prep.records.record_set import is_stale_file, shards_of_other_counts
from data_prep.records.shard_report import sum_of
from data_prep.runtime.command_line import UserError
from data_prep.runtime.ledger import Ledger

DONE_NAME = "done"
MANIFEST_NAME = "manifest.json"


@dataclass(frozen=True)
class WrittenShard:
    """A shard that is written, but not in its place.

    Attributes:
        number: Of the shard.
        path: The file.
        entry: Its entry in the manifest.
    """

    number: int
    path: str
    entry: ShardEntry


class WriteShard(beam.DoFn):
    """Turns (shard, its fingerprint and its `ImageResult`s) into a `WrittenShard`.

    The records pass through a file on the worker's disk, for which they need room there, and none in memory.
    """

    def __init__(self, name: str, num_shards: int, work_folder: str) -> None:
        self._name = name
        self._num_shards = num_shards
        self._work_folder = work_folder

    def process(self, shard: tuple[int, Iterable[str | ImageResult]]) -> Iterator[WrittenShard]:
        """Writes one shard."""
        number, values = shard
        name = shard_path(self._name, number, self._num_shards).name
        path = files.join(self._work_folder, f"{name}.{secrets.token_hex(6)}")
        with tempfile.TemporaryFile() as spool:
            fingerprint, results, places = _spool(values, spool)
            report = sum_of(result.report for result in results)
            report.rejected = [reject for result in results for reject in result.report.rejected]
            with RecordWriter(files.open_to_write(path)) as writer:
                for offset, length in places:
                    spool.seek(offset)
                    writer.write(spool.read(length))
                    report.num_bytes += length + FRAME_BYTES
        if any(result.is_passing for result in results):
            fingerprint = ""  # so that the next run tries again
        yield WrittenShard(number, path, ShardEntry(name, fingerprint, report))


def _spool(
    values: Iterable[str | ImageResult], spool: IO[bytes]
) -> tuple[str, list[ImageResult], list[tuple[int, int]]]:
    """Puts records aside as they come.

    Returns:
        The shard's fingerprint; the results of its images, without their records, in the order of the shard; and
        where in `spool` its records are, in that order: offset and length.
    """
    fingerprint = ""
    results: list[tuple[int, int, ImageResult, tuple[int, int] | None]] = []
    end = 0
    for value in values:
        if isinstance(value, str):
            fingerprint = value
            continue
        place = None
        if value.record is not None:
            spool.write(value.record)
            place = (end, len(value.record))
            end += len(value.record)
        results.append((value.key, value.order, replace(value, record=None), place))
    results.sort(key=lambda item: item[:2])
    places = [place for _, _, _, place in results if place is not None]
    return fingerprint, [result for _, _, result, _ in results], places


class PutInPlace(beam.DoFn):
    """Turns the list of all `WrittenShard`s into the set of records, its manifest and its ledger.

    The manifest goes first, the shards follow, and the new manifest comes last, as with `make_tfrecords`. When all is
    done, there is a file called `DONE_NAME` in the work folder: its content is the manifest's, or empty where not one
    image could be used; then all stays as it was.
    """

    def __init__(self, output_path: str, num_shards: int, work_folder: str, ledger_path: str) -> None:
        """Prepares.

        Args:
            output_path: What the shards' names begin with.
            num_shards: How many there are to be.
            work_folder: Where the written ones are, and `MANIFEST_NAME`: the manifest to be, as yet with those shards
                alone that stay as they are.
            ledger_path: Where rejects are listed.
        """
        self._output_path = output_path
        self._num_shards = num_shards
        self._work_folder = work_folder
        self._ledger_path = ledger_path

    def process(self, written: Sequence[WrittenShard]) -> Iterator[str]:
        """Puts the set in place; yields the manifest's path."""
        before = manifest_at(files.join(self._work_folder, MANIFEST_NAME))
        assert before is not None, "it is put there before any work begins"
        entries = {entry.name: entry for entry in (*before.shards, *(shard.entry for shard in written))}
        if len(entries) != self._num_shards:
            raise RuntimeError(f"{len(entries)} of {self._num_shards} shards of {self._output_path} are there")
        manifest = replace(before, shards=tuple(entries[name] for name in sorted(entries)))
        write_ledger(manifest, self._ledger_path)
        text = format_manifest(manifest).encode()
        done_path = files.join(self._work_folder, DONE_NAME)
        if not manifest.total().num_images:
            files.put(done_path, b"")
            return
        folder, name = files.split(self._output_path)
        manifest_path = files.join(folder, name + SUFFIX)
        if files.exists(manifest_path):
            in_place = _manifest_if_sound(manifest_path)
            if in_place is not None and is_stale_file(in_place, manifest) and files.exists(self._output_path):
                files.remove(self._output_path)
            files.remove(manifest_path)
        for shard in written:
            target = files.join(folder, shard.entry.name)
            if files.exists(shard.path):
                files.move(shard.path, target)
            elif not files.exists(target):
                raise RuntimeError(f"{shard.path} is gone")
        files.put(manifest_path, text)
        for stale in stale_shards(self._output_path, self._num_shards):
            files.remove(stale)
        files.put(done_path, text)
        yield manifest_path


def manifest_at(path: str) -> Manifest | None:
    """Reads a manifest; None where there is none.

    Raises:
        UserError: It is there, but is none.
    """
    if not files.exists(path):
        return None
    with files.local_copy(path) as local:
        return read_manifest(local)


def _manifest_if_sound(path: str) -> Manifest | None:
    with contextlib.suppress(UserError):
        return manifest_at(path)
    return None


def write_ledger(manifest: Manifest, path: str) -> None:
    """Lists what was rejected, as the commands' ledgers do; where nothing was, an earlier list goes."""
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / "rejected.jsonl"
        with Ledger(local) as ledger:
            for entry in manifest.shards:
                for item, reason, detail in entry.report.rejected:
                    ledger.reject(item, reason, detail)
        if ledger.total:
            files.put(path, local.read_bytes())
        elif files.exists(path):
            files.remove(path)


def stale_shards(output_path: str, num_shards: int) -> list[str]:
    """Returns the shards of `output_path` that belong to a set of another number."""
    folder, name = files.split(output_path)
    stale = shards_of_other_counts(name, num_shards, sorted(files.files_in(folder)))
    return [files.join(folder, other) for other in stale]
