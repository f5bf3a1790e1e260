"""A set of shards in the making: finished shards outlive a killed run, and the set takes its place together.

Shards are written to a folder beside their place, `.partial-NAME-shards`. When all are there, the new manifest is put
beside them, the old one is removed, and then they are renamed one by one, the manifest last. A run that finds such a
folder goes on with it: with the shards that are finished in it, or, where its manifest is there, with the renaming.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from data_prep.formats.shard_names import shard_path
from data_prep.records.manifest import Manifest, ShardEntry, manifest_path, read_manifest, write_manifest
from data_prep.records.record_shards import ENTRY_SUFFIX
from data_prep.records.shard_report import report_of_json
from data_prep.runtime.atomic_files import TEMPORARY_PREFIX
from data_prep.runtime.command_line import UserError

_MANIFEST_NAME = "manifest.json"
_LOCK_NAME = "lock"


@dataclass(frozen=True)
class RecordSet:
    """A set of shards that is being made.

    Attributes:
        output_path: What the shards' names begin with.
        num_shards: How many.
        folder: Where shards are written.
        before: The manifest of the set in place; None where there is none that can be trusted.
    """

    output_path: Path
    num_shards: int
    folder: Path
    before: Manifest | None

    @property
    def paths(self) -> list[Path]:
        """Where the shards are to be written."""
        return [
            self.folder / shard_path(self.output_path, index, self.num_shards).name for index in range(self.num_shards)
        ]

    def discard(self) -> None:
        """Removes what was written: the set is not to be."""
        for path in self.paths:
            path.with_name(path.name + ENTRY_SUFFIX).unlink(missing_ok=True)

    def known_entries(self) -> dict[str, tuple[ShardEntry, ...]]:
        """Returns the shards that are there, whole, by name: those in place first, then those in the folder."""
        in_place = self.before.shards if self.before is not None else ()
        known: dict[str, tuple[ShardEntry, ...]] = {}
        for folder, entries in ((self.output_path.parent, in_place), (self.folder, self.finished())):
            for entry in entries:
                if _has_size(folder / entry.name, entry.report.num_bytes):
                    known[entry.name] = (*known.get(entry.name, ()), entry)
        return known

    def finished(self) -> tuple[ShardEntry, ...]:
        """Returns the shards in the folder that an interrupted run had finished."""
        entries = (_read_entry(path.with_name(path.name + ENTRY_SUFFIX)) for path in self.paths)
        return tuple(entry for entry in entries if entry is not None)

    def is_in_place(self, manifest: Manifest) -> bool:
        """Tells whether the set in place is just what `manifest` says, but for the command that wrote it."""
        before = self.before
        return (
            before is not None
            and (before.shards, before.label_map, before.settings)
            == (manifest.shards, manifest.label_map, manifest.settings)
            and all(self._holds(entry) for entry in manifest.shards)
        )

    def put_in_place(self, manifest: Manifest) -> None:
        """Puts the shards that were written, and the manifest, in their place."""
        before = self.before.shards if self.before is not None else ()
        for entry in manifest.shards:
            if entry in before and self._holds(entry):
                # Were there one in the folder, it would be an interrupted run's, from what has changed back since.
                (self.folder / entry.name).unlink(missing_ok=True)
        write_manifest(self.folder / _MANIFEST_NAME, manifest)
        _finish(self.folder, self.output_path)

    def _holds(self, entry: ShardEntry) -> bool:
        return _has_size(self.output_path.with_name(entry.name), entry.report.num_bytes)


@contextlib.contextmanager
def record_set(output_path: Path, num_shards: int) -> Iterator[RecordSet]:
    """Yields the set of shards at `output_path`, with what an interrupted run left of it.

    An exception leaves what was there before, and in the folder the shards that are finished, for the next run.

    Raises:
        UserError: Another process is writing this set.
        OSError: The folder cannot be made.
    """
    folder = output_path.with_name(f"{TEMPORARY_PREFIX}{output_path.name}-shards")
    output_path.parent.mkdir(parents=True, exist_ok=True)
    is_leftover = folder.exists()
    folder.mkdir(exist_ok=True)
    with (folder / _LOCK_NAME).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # goes with the process, however it ends
        except BlockingIOError as error:
            raise UserError(f"another process is writing {output_path}; wait for it, or choose another name") from error
        if (folder / _MANIFEST_NAME).is_file():
            print(f"putting in place the shards in {folder}, which an interrupted run left")
            _finish(folder, output_path)
            is_leftover = False
        made = RecordSet(output_path, num_shards, folder, _manifest_in_place(output_path))
        if is_leftover and any(path.name != _LOCK_NAME for path in folder.iterdir()):
            num_finished = len(made.finished())
            print(f"going on with {num_finished} of {num_shards} shards in {folder}, which an interrupted run left")
        _remove_foreign(made)
        try:
            yield made
        finally:
            if not made.finished():
                shutil.rmtree(folder)


def remove_shards_of_other_counts(output_path: Path, num_shards: int) -> list[Path]:
    """Removes the shards of `output_path` that belong to a set of another number; returns them.

    Left beside the new ones, a glob would read both.
    """
    names = [path.name for path in output_path.parent.iterdir()]
    stale = [
        output_path.with_name(name) for name in sorted(shards_of_other_counts(output_path.name, num_shards, names))
    ]
    for path in stale:
        path.unlink()
    return stale


def shards_of_other_counts(output_name: str, num_shards: int, names: Iterable[str]) -> list[str]:
    """Returns which of some files' names are those of shards of `output_name` in a set of another number.

    A file with the plain name is not among them: whose it is, only a manifest tells.
    """
    pattern = re.compile(re.escape(output_name) + r"-\d{5}-of-(?P<count>\d{5})")
    matches = filter(None, map(pattern.fullmatch, names))
    return [match[0] for match in matches if num_shards == 1 or int(match["count"]) != num_shards]


def _finish(folder: Path, output_path: Path) -> None:
    """Puts a complete set in its place; a run that is killed in here is finished by the next."""
    new = read_manifest(folder / _MANIFEST_NAME)
    assert new is not None, "the caller has seen it"
    before = _manifest_in_place(output_path)
    if before is not None and is_stale_file(before, new):
        output_path.unlink(missing_ok=True)
        print(f"removed {output_path.name}, which the older run wrote as the only file of its set")
    manifest_path(output_path).unlink(missing_ok=True)  # of the old shards, of which some are about to go
    for entry in new.shards:
        written = folder / entry.name
        if written.is_file():
            written.replace(output_path.with_name(entry.name))
    for entry in new.shards:
        (folder / (entry.name + ENTRY_SUFFIX)).unlink(missing_ok=True)
    (folder / _MANIFEST_NAME).replace(manifest_path(output_path))


def is_stale_file(before: Manifest, after: Manifest) -> bool:
    """Tells whether an older run wrote its only file under the plain name, where the new one has shards."""
    return [entry.name for entry in before.shards] == [before.name] and len(after.shards) > 1


def _manifest_in_place(output_path: Path) -> Manifest | None:
    try:
        return read_manifest(manifest_path(output_path))
    except UserError as error:
        print(f"note: {error}; all shards are written again")
        return None


def _remove_foreign(made: RecordSet) -> None:
    """Removes from the folder what is no finished shard of this set."""
    finished = {entry.name for entry in made.finished()}
    kept = {_LOCK_NAME, *finished, *(name + ENTRY_SUFFIX for name in finished)}
    for path in made.folder.iterdir():
        if path.name not in kept:
            path.unlink()


def _read_entry(path: Path) -> ShardEntry | None:
    """Reads the entry beside a shard that is finished; None where there is none, or the shard is not its own."""
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_bytes())
        entry = ShardEntry(str(values["name"]), str(values["fingerprint"]), report_of_json(values))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    shard = path.with_name(path.name.removesuffix(ENTRY_SUFFIX))
    return entry if entry.name == shard.name and _has_size(shard, entry.report.num_bytes) else None


def _has_size(path: Path, num_bytes: int) -> bool:
    return path.is_file() and path.stat().st_size == num_bytes
