"""Writing of a set of records from points and images, shard by shard in processes; finished shards stay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.formats.label_map import LabelMap
from data_prep.records.manifest import Manifest
from data_prep.records.point_index import PointIndex
from data_prep.records.record_policies import RecordPolicies
from data_prep.records.record_set import record_set
from data_prep.records.record_shards import ShardOutcome, ShardTask, make_shard
from data_prep.runtime import worker_pool
from data_prep.runtime.command_line import UserError
from data_prep.runtime.ledger import Ledger
from data_prep.runtime.progress import progress


@dataclass(frozen=True)
class WrittenSet:
    """Result of a run.

    Attributes:
        manifest: All shards of the set.
        num_written: Shards that this run wrote.
        num_resumed: Shards that an interrupted run had finished, and that this one put in place.
        is_unchanged: Whether the set was in place already, just as it is to be.
    """

    manifest: Manifest
    num_written: int
    num_resumed: int
    is_unchanged: bool


def write_records(
    points: PointIndex,
    *,
    image_directory: Path,
    label_map: LabelMap,
    label_map_path: Path,
    output_path: Path,
    num_shards: int,
    num_processes: int,
    policies: RecordPolicies,
    settings: dict[str, Any],
    command: str,
    rewrite: bool,
    ledger: Ledger,
) -> WrittenSet:
    """Writes `points` and their images as `num_shards` shards, which appear together at the end.

    Args:
        points: The images of points.json, with the keys that share them out. Annotations whose label is not in the
            map are left out.
        image_directory: Holds ID.jpg or the like.
        label_map: The classes.
        label_map_path: Where they were read from, for the manifest.
        output_path: What the shards' names begin with.
        num_shards: How many.
        num_processes: How many shards are written at a time; 1 writes in this process.
        policies: What of an image's annotations goes into its record.
        settings: For the manifest: the flags that decide what is written.
        command: For the manifest.
        rewrite: Write every shard, whether or not it is there.
        ledger: Takes the images and boxes that cannot be used.

    Returns:
        What is in place now.

    Raises:
        UserError: Not one image could be used; what was there before stays.
        OSError: The shards cannot be written.
    """
    label_ids = {item.name: item.id for item in label_map.items}
    with record_set(output_path, num_shards) as made:
        known = {} if rewrite else made.known_entries()
        tasks = [
            ShardTask(path, part, image_directory, label_ids, policies, known.get(path.name, ()))
            for path, part in zip(made.paths, points.shards(num_shards), strict=True)
        ]
        outcomes: list[ShardOutcome] = []
        steps = worker_pool.counted_steps(_one_by_one, tasks, outcomes, num_processes)
        for _ in progress(steps, description="write records", total=len(points), unit="images"):
            pass
        manifest = Manifest(
            name=output_path.name,
            label_map=label_map,
            label_map_path=str(label_map_path),
            settings=settings,
            command=command,
            shards=tuple(outcome.entry for outcome in outcomes),
        )
        for item, reason, detail in (reject for entry in manifest.shards for reject in entry.report.rejected):
            ledger.reject(item, reason, detail)
        total = manifest.total()
        if not total.num_images:
            made.discard()
            raise UserError(
                f"none of the {len(points)} images can be used, so no records are written: {ledger.summary()}"
                + "".join(f"; {count} {what} left out" for what, count in sorted(total.left_out.items()))
            )
        is_unchanged = not rewrite and made.is_in_place(manifest)
        in_place = made.before.shards if made.before is not None else ()
        if not is_unchanged:
            made.put_in_place(manifest)
    num_written = sum(outcome.is_written for outcome in outcomes)
    num_resumed = sum(not outcome.is_written and outcome.entry not in in_place for outcome in outcomes)
    return WrittenSet(manifest, num_written, num_resumed, is_unchanged)


def _one_by_one(tasks: Sequence[ShardTask], outcomes: list[ShardOutcome]) -> Iterator[None]:
    for task in tasks:
        steps = make_shard(task)
        while True:
            try:
                num_images = next(steps)
            except StopIteration as stop:
                outcomes.append(stop.value)
                break
            for _ in range(num_images):
                yield
