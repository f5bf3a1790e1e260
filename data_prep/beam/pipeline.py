"""The pipeline, and a run of it: planned here, done wherever the runner does it, and put in place by its last step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import apache_beam as beam
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.runner import PipelineState

from data_prep.beam import files
from data_prep.beam.image_work import NAMESPACE, MakeRecords
from data_prep.beam.plan import FoundImage, Plan, WorkSettings, write_plan
from data_prep.beam.shard_work import (
    DONE_NAME,
    MANIFEST_NAME,
    PutInPlace,
    WriteShard,
    manifest_at,
    stale_shards,
)
from data_prep.beam.work_folder import work_folder
from data_prep.formats.shard_names import shard_path
from data_prep.records.manifest import SUFFIX, Manifest, ShardEntry, format_manifest
from data_prep.records.point_index import PointIndex
from data_prep.runtime.command_line import UsageError, UserError

PLAN_NAME = "plan.jsonl"
_IN_THIS_PROCESS = "FnApiRunner"  # DirectRunner first tries to fetch one in Go from the web
_IN_PROCESS_RUNNERS = (_IN_THIS_PROCESS, "DirectRunner", "BundleBasedDirectRunner", "SwitchingDirectRunner")


@dataclass(frozen=True)
class BeamRun:
    """Result of a run.

    Attributes:
        manifest: All shards of the set.
        num_written: Shards that this run wrote.
        counters: What the workers counted, by name.
        is_unchanged: Whether the set was in place already, just as it is to be.
    """

    manifest: Manifest
    num_written: int
    counters: Counter[str]
    is_unchanged: bool = False


def pipeline_options(words: Sequence[str], more_words: Sequence[str]) -> PipelineOptions:
    """Returns Beam's options; without a `--runner`, the work is done in this process.

    Args:
        words: Words of the command line that are none of our flags.
        more_words: Words that were handed over as Beam's, what only a runner elsewhere knows among them.

    Raises:
        UsageError: One of `words` is not known to Beam either.
    """
    options = PipelineOptions([*words])
    unknown = set(options.get_all_options(retain_unknown_options=True)) - set(options.get_all_options())
    stray = [word for word in words[:1] if not word.startswith("-")]
    if unknown or stray:
        first = stray[0] if stray else f"--{min(unknown)}"
        raise UsageError(
            f"{first}: neither a flag of this command (--help lists them) nor an option of Beam's; what only a "
            "runner's own server knows goes after --"
        )
    all_words = [*words, *more_words]
    if not any(word.partition("=")[0] == "--runner" for word in all_words):
        all_words.append(f"--runner={_IN_THIS_PROCESS}")
    return PipelineOptions(all_words)


def run(
    points: PointIndex,
    find: Callable[[str], FoundImage],
    settings: WorkSettings,
    manifest: Manifest,
    *,
    output_path: str,
    ledger_path: str,
    rewrite: bool,
    options: PipelineOptions,
) -> BeamRun:
    """Writes a set of records, but for those of its shards that are in place, from the same input and rules.

    Args:
        points: The images, with their keys.
        find: Returns the URL or the file of each.
        settings: What is done to them.
        manifest: The new one, without shards.
        output_path: What the shards' names begin with.
        ledger_path: Where rejects are listed.
        rewrite: Write every shard, whether or not it is there.
        options: Of Beam and its runner.

    Raises:
        UserError: Not one image could be used (what was there before stays), or the pipeline did not end well.
        OSError: Something cannot be read or written.
    """
    folder, name = files.split(output_path)
    before = _manifest_before(files.join(folder, name + SUFFIX))
    in_place = {} if rewrite or before is None else _shards_in_place(before, output_path, settings.num_shards)
    in_process = options.view_as(StandardOptions).runner in _IN_PROCESS_RUNNERS
    with work_folder(folder, name, in_process=in_process) as work:
        plan_path = files.join(work, PLAN_NAME)
        with files.open_to_write(plan_path) as file:
            known = {number: entry.fingerprint for number, entry in in_place.items()}
            plan = write_plan(file, points, find, settings, known)
        kept = tuple(entry for number, entry in in_place.items() if number not in plan.fingerprints)
        manifest = replace(manifest, shards=kept)
        stale = stale_shards(output_path, settings.num_shards)
        if before is not None and not plan.fingerprints and not stale and _is_same_content(before, manifest):
            return BeamRun(before, 0, Counter(), is_unchanged=True)
        files.put(files.join(work, MANIFEST_NAME), format_manifest(manifest).encode())
        write_shard = WriteShard(name, settings.num_shards, work)
        put_in_place = PutInPlace(output_path, settings.num_shards, work, ledger_path)
        if plan.fingerprints:
            print(f"{plan.num_images} images for {len(plan.fingerprints)} of {settings.num_shards} shards")
            counters = _run_pipeline(plan, plan_path, MakeRecords(settings), write_shard, put_in_place, options)
        else:
            counters = Counter()
            list(put_in_place.process([]))
        done_path = files.join(work, DONE_NAME)
        if not files.exists(done_path):
            raise UserError("the pipeline ended before the records were in place: its runner says why")
        with files.open_to_read(done_path) as file:
            is_empty = not file.read()
    after = None if is_empty else manifest_at(files.join(folder, name + SUFFIX))
    if after is None:
        raise UserError(
            f"none of the {len(points)} images can be used, so no records are written; {ledger_path} says why"
        )
    return BeamRun(after, len(plan.fingerprints), counters)


def _run_pipeline(
    plan: Plan,
    plan_path: str,
    make_records: MakeRecords,
    write_shard: WriteShard,
    put_in_place: PutInPlace,
    options: PipelineOptions,
) -> Counter[str]:
    pipeline = beam.Pipeline(options=options)
    # A shard without an image is written as well: its fingerprint names it.
    shards = pipeline | "Shards" >> beam.Create(sorted(plan.fingerprints.items()))
    records = (
        pipeline
        | "Read the plan" >> beam.io.ReadFromText(plan_path)
        | "Share out" >> beam.Reshuffle()
        | "Make records" >> beam.ParDo(make_records)
    )
    _ = (
        (shards, records)
        | "With the fingerprints" >> beam.Flatten()
        | "By shard" >> beam.GroupByKey()
        | "Write shards" >> beam.ParDo(write_shard)
        | "All shards" >> beam.combiners.ToList()
        | "Put in place" >> beam.ParDo(put_in_place)
    )
    result = pipeline.run()
    state = result.wait_until_finish()
    if state != PipelineState.DONE:
        raise UserError(f"the pipeline ended as {state}: its runner says why")
    found = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))["counters"]
    return Counter({counter.key.metric.name: counter.result for counter in found})


def _manifest_before(path: str) -> Manifest | None:
    try:
        return manifest_at(path)
    except UserError as error:
        print(f"note: {error}; all shards are written again")
        return None


def _shards_in_place(before: Manifest, output_path: str, num_shards: int) -> dict[int, ShardEntry]:
    """Returns the entries of shards that are there, whole, by their number."""
    folder, name = files.split(output_path)
    sizes: Mapping[str, tuple[int, float]] = files.files_in(folder)
    entries = {entry.name: entry for entry in before.shards}
    names = {number: shard_path(name, number, num_shards).name for number in range(num_shards)}
    return {
        number: entries[name]
        for number, name in names.items()
        if name in entries and name in sizes and sizes[name][0] == entries[name].report.num_bytes
    }


def _is_same_content(before: Manifest, manifest: Manifest) -> bool:
    kept = (before.shards, before.label_map, dict(before.settings))
    return kept == (manifest.shards, manifest.label_map, dict(manifest.settings))
