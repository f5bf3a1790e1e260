"""Reads every record and fails on what would stop training, with the shard, the record and the image of it.

What trains all the same, such as a box without area, which training leaves out, is a warning that is counted. The rules
are those that the reader of training goes by: `records/record_rules.py`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from data_prep.formats.label_map import LabelMap, read_label_map
from data_prep.formats.shard_names import find_shards
from data_prep.records.image_checks import TENSORFLOW_ENVIRONMENT
from data_prep.records.manifest import Manifest, class_differences, manifest_path_of_shard, read_manifest
from data_prep.records.record_checks import RecordChecker
from data_prep.records.shard_checks import ShardCheck, ShardSummary, check_shard, num_repeated, sum_of
from data_prep.runtime import worker_pool
from data_prep.runtime.command_line import ArgumentParser, UserError, fraction, positive_int, run_command
from data_prep.runtime.progress import progress

BYTES_WORTH_A_PROCESS = 32_000_000  # starting one takes as long as reading so many
DIFFERS = "differs from the manifest"


def verify_records(
    shards: Sequence[str],
    label_map: LabelMap,
    *,
    num_processes: int,
    max_problems_shown: int,
    decode_fraction: float = 1.0,
    is_strict: bool = False,
) -> ShardSummary:
    """Checks every record of `shards`; see `record_checks.RecordChecker` for what; and against their manifests.

    Args:
        shards: Record files.
        label_map: The classes that they may have.
        num_processes: Files read at a time.
        max_problems_shown: How many examples of each kind are kept.
        decode_fraction: The share of the images that is decoded whole.
        is_strict: Whether boxes that training leaves out are errors.
    """
    checks = [ShardCheck(shard, label_map, max_problems_shown, decode_fraction, is_strict) for shard in shards]
    summaries: list[ShardSummary] = []
    steps = worker_pool.counted_steps(_one_by_one, checks, summaries, num_processes, environment=TENSORFLOW_ENVIRONMENT)
    for _ in progress(steps, description="verify", unit="records"):
        pass
    for manifest_path in dict.fromkeys(map(manifest_path_of_shard, shards)):
        manifest = read_manifest(manifest_path)
        if manifest is not None:
            of_manifest = [summary for summary in summaries if manifest_path_of_shard(summary.shard) == manifest_path]
            _check_manifest(manifest_path, manifest, of_manifest, label_map)
    return sum_of(summaries, max_problems_shown)


def _check_manifest(path: str, manifest: Manifest, summaries: Sequence[ShardSummary], label_map: LabelMap) -> None:
    """Notes in the first of `summaries` how the label map differs, and in each how its shard does."""
    entries = {entry.name: entry for entry in manifest.shards}
    listed = [summary for summary in summaries if Path(summary.shard).name in entries]
    for difference in class_differences(manifest, label_map) if listed else ():
        listed[0].note(DIFFERS, f"{path} (there) and the label map (here): {difference}")
    for summary in listed:
        entry = entries[Path(summary.shard).name]
        if not summary.breaks_off and summary.num_records != entry.report.num_images:
            summary.note(
                DIFFERS, f"{summary.shard} has {summary.num_records} records, {path} says {entry.report.num_images}"
            )


def _one_by_one(checks: Sequence[ShardCheck], summaries: list[ShardSummary]) -> Iterator[None]:
    checker = RecordChecker(checks[0].label_map)
    for check in checks:
        summaries.append((yield from check_shard(check, checker)))


def _default_num_processes(shards: Sequence[str]) -> int:
    local = [Path(shard) for shard in shards if "://" not in shard]
    num_bytes = sum(path.stat().st_size for path in local)
    worth = len(shards) if len(local) < len(shards) else num_bytes // BYTES_WORTH_A_PROCESS
    return max(1, min(worker_pool.default_num_processes(), len(shards), worth))


def format_problems(summary: ShardSummary, counts: Counter[str], prefix: str = "") -> str:
    """Returns problems by kind, most frequent first, each with its examples indented below.

    Args:
        summary: Has the examples.
        counts: Its problems, or its warnings.
        prefix: Stands before each kind.
    """
    lines = []
    for kind, count in counts.most_common():
        lines.append(f"{count:>8}  {prefix}{kind}")
        lines.extend(f"          {example}" for example in summary.examples[kind])
        if count > len(summary.examples[kind]):
            lines.append(f"          and {count - len(summary.examples[kind])} more")
    return "\n".join(lines)


def format_classes(summary: ShardSummary, label_map: LabelMap) -> str:
    """Returns a table of boxes and images by class, most frequent first, and how many classes have none."""
    lines = [f"{'boxes':>10}{'images':>10}  class"]
    for class_id, count in summary.boxes_by_class.most_common():
        name = label_map.display_name_of(class_id)
        lines.append(f"{count:>10}{summary.images_by_class[class_id]:>10}  {name} ({class_id})")
    missing = [item for item in label_map.items if item.id not in summary.boxes_by_class]
    if missing:
        names = ", ".join(item.display_name or item.name for item in missing[:5])
        lines.append(f"{len(missing)} of {len(label_map)} classes have no box: {names}{', ...' * (len(missing) > 5)}")
    if verified := summary.verified_by_class:
        named = ", ".join(f"{label_map.display_name_of(key)} {count}" for key, count in verified.most_common(5))
        more = ", ..." * (len(verified) > 5)
        lines.append(f"{verified.total()} verified labels of whole images, of {len(verified)} classes: {named}{more}")
    return "\n".join(lines)


def make_parser() -> ArgumentParser:
    """Returns the command's flags."""
    parser = ArgumentParser(
        description="Reads every record and fails on what would stop training: class ids outside the label map beside\n"
        "which no known text stands, lists of unequal length, an image that is missing or does not decode, keys of\n"
        "another type, a corrupt file, shards or a label map that are not those of the manifest beside them, and\n"
        "records of which training would leave every box out.\n"
        "What trains all the same is shown and counted as a warning: boxes that training leaves out, as they are\n"
        "without area, reversed, far outside the image or not finite; class texts that the map lacks or that disagree\n"
        "with their id; keys that are missing; sizes, formats and checksums that are not those of the image.\n"
        "data_prep.repair_tfrecords writes the records anew without what is left out.",
        example="  python -m data_prep.verify_tfrecords --input_path 'train.record-?????-of-00010' \\\n"
        "      --label_map_path label_map.pbtxt",
    )
    parser.add_argument(
        "--input_path", required=True, nargs="+", help="record files: paths, a glob, NAME@10, or several with commas"
    )
    parser.add_argument("--label_map_path", required=True, type=Path, help="label_map.pbtxt")
    parser.add_argument(
        "--max_problems_shown", type=positive_int, default=5, help="examples shown of each kind of problem"
    )
    parser.add_argument(
        "--num_processes",
        "--num_threads",
        type=positive_int,
        help=f"files read at a time (by default one for {BYTES_WORTH_A_PROCESS // 10**6} MB, up to the cores' number)",
    )
    parser.add_argument(
        "--decode_fraction",
        type=fraction,
        default=1.0,
        help="the share of the images, by chance, that is decoded; of the others only the header is read",
    )
    parser.add_argument(
        "--strict_records",
        action="store_true",
        help="fail on boxes that training leaves out as well, as training itself does with extensions.strict_records",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    flags = make_parser().parse_args(argv)
    label_map = read_label_map(flags.label_map_path)
    shards = find_shards(flags.input_path)
    summary = verify_records(
        shards,
        label_map,
        num_processes=min(flags.num_processes or _default_num_processes(shards), len(shards)),
        max_problems_shown=flags.max_problems_shown,
        decode_fraction=flags.decode_fraction,
        is_strict=flags.strict_records,
    )
    if summary.warnings:
        print(format_problems(summary, summary.warnings, "warning: "))
    if summary.problems:
        print(format_problems(summary, summary.problems))
        raise UserError(
            f"{summary.problems.total()} problems in {summary.num_bad_records} of {summary.num_records} records of "
            f"{len(shards)} files; they would stop training (data_prep.repair_tfrecords writes the others)"
        )
    if not summary.num_records:
        raise UserError(f"{len(shards)} files, but not one record in them: {', '.join(shards[:3])}")
    if summary.num_boxes and not summary.boxes_by_class:
        raise UserError(
            f"training would leave out every one of {summary.num_boxes} boxes, for the reasons above; is "
            f"{flags.label_map_path} the label map of these records?"
        )
    print(format_classes(summary, label_map))
    if repeated := num_repeated(summary):
        print(f"note: {repeated} records have another's source_id, and evaluation confuses them")
    unusable = f" ({summary.num_unusable} of them cannot be trained on)" if summary.num_unusable else ""
    print(
        f"{summary.num_records} records in {len(shards)} files are sound: {summary.num_boxes} boxes{unusable}, "
        f"{summary.num_without_boxes} records without any"
        + (f"; {summary.warnings.total()} warnings" if summary.warnings else "")
    )
    return 0


if __name__ == "__main__":
    os.environ.update(TENSORFLOW_ENVIRONMENT)
    run_command(main)
