"""Writes points.json and its images as sharded TFRecords, several shards at a time.

Which image goes to which shard, and where in it, depends on its id, the seed and the number of shards alone: any
number of processes gives the same bytes, and an image that joins, changes or leaves concerns its own shard only. The
shards appear together at the end, and an older set stays until then. Run again, the command writes the shards whose
points, images, ids or rules have changed; killed and run again, it goes on with the shards that were finished.
"""

from __future__ import annotations

import functools
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from data_prep.formats.image_id_list import IMAGE_IDS_HELP, read_image_ids, told_missing
from data_prep.formats.label_map import read_label_map
from data_prep.formats.shard_names import shard_path
from data_prep.records.manifest import manifest_path
from data_prep.records.point_index import index_points
from data_prep.records.record_flags import (
    add_record_flags,
    check_labels,
    check_num_shards,
    key_of_image,
    policies_of,
    settings_of,
)
from data_prep.records.record_set import remove_shards_of_other_counts
from data_prep.records.record_writing import WrittenSet, write_records
from data_prep.records.shard_report import print_contents
from data_prep.runtime import worker_pool
from data_prep.runtime.command_line import (
    ArgumentParser,
    UsageError,
    UserError,
    positive_int,
    require_folder,
    run_command,
)
from data_prep.runtime.failure_limit import FailureLimit, Loss, add_max_failures_flag
from data_prep.runtime.ledger import Ledger

IMAGES_WORTH_A_PROCESS = 500  # starting one takes as long as some hundred images do


def make_parser() -> ArgumentParser:
    """Returns the command's flags."""
    parser = ArgumentParser(
        description="Writes points.json and its images as TFRecords, in shards RECORD_OUTPUT_PATH-00000-of-000NN (a\n"
        "single one is RECORD_OUTPUT_PATH itself), and beside them RECORD_OUTPUT_PATH.manifest.json, which says what\n"
        "is in them. The same points, images, seed and number of shards give the same bytes. Run again, it writes\n"
        "only the shards for which something has changed (an image's change shows in its size or its time of change).",
        example="  python -m data_prep.make_tfrecords --datapoints_input_path clean_points.json \\\n"
        "      --image_directory images --label_map_path label_map.pbtxt \\\n"
        "      --record_output_path train.record --num_shards 10",
    )
    parser.add_argument("--datapoints_input_path", required=True, type=Path, help="clean_points.json")
    parser.add_argument("--image_directory", required=True, type=Path, help="holds ID.jpg (or .jpeg, .png, .webp, ...)")
    parser.add_argument("--label_map_path", required=True, type=Path, help="label_map.pbtxt")
    parser.add_argument("--record_output_path", required=True, type=Path, help="what the shards' names begin with")
    parser.add_argument("--image_ids_path", type=Path, help=f"write only these images: {IMAGE_IDS_HELP}")
    add_record_flags(parser)
    parser.add_argument(
        "--num_processes",
        type=positive_int,
        help=f"shards written at a time, whatever they hold (by default one for {IMAGES_WORTH_A_PROCESS} images, up to "
        "the number of cores)",
    )
    parser.add_argument("--rewrite", action="store_true", help="write every shard, whether or not something changed")
    parser.add_argument(
        "--ledger_path", type=Path, help="where rejects are listed (by default RECORD_OUTPUT_PATH.rejected.jsonl)"
    )
    add_max_failures_flag(parser, FailureLimit(0), "more rejects than this end with exit code 3")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    flags = make_parser().parse_args(argv)
    output_path: Path = flags.record_output_path
    check_num_shards(flags)
    require_folder("--image_directory", flags.image_directory)
    label_map = read_label_map(flags.label_map_path)
    ledger_path = flags.ledger_path or output_path.with_name(output_path.name + ".rejected.jsonl")
    ids_path: Path | None = flags.image_ids_path
    image_ids = read_image_ids(ids_path) if ids_path is not None else None
    points = index_points(flags.datapoints_input_path, functools.partial(key_of_image, flags), image_ids)
    if ids_path is not None and points.missing_ids:
        missing = told_missing(ids_path, list(points.missing_ids), flags.datapoints_input_path)
        if not len(points):
            raise UsageError(missing)
        print(missing)
    unknown = check_labels(
        points, label_map, flags, points_path=flags.datapoints_input_path, label_map_path=flags.label_map_path
    )
    try:
        with Ledger(ledger_path) as ledger:
            written = write_records(
                points,
                image_directory=flags.image_directory,
                label_map=label_map,
                label_map_path=flags.label_map_path,
                output_path=output_path,
                num_shards=flags.num_shards,
                num_processes=min(flags.num_processes or _default_num_processes(len(points)), flags.num_shards),
                policies=policies_of(flags),
                settings={**settings_of(flags), **({"image_ids_path": str(ids_path)} if ids_path is not None else {})},
                command=shlex.join(
                    ["python", "-m", "data_prep.make_tfrecords", *(sys.argv[1:] if argv is None else argv)]
                ),
                rewrite=flags.rewrite,
                ledger=ledger,
            )
        stale = remove_shards_of_other_counts(output_path, flags.num_shards)
    except OSError as error:
        raise UserError(f"cannot write records to {output_path.parent}: {error.strerror or error}") from error
    if stale:
        print(f"removed {len(stale)} shards of an older run with another number of them: {stale[0].name}, ...")
    _print_summary(written, len(points), unknown, ledger, output_path)
    return flags.max_failures.exit_code(ledger.total, [Loss("images", ledger.total, len(points))])


def _default_num_processes(num_images: int) -> int:
    return max(1, min(worker_pool.default_num_processes(), num_images // IMAGES_WORTH_A_PROCESS))


def _print_summary(
    written: WrittenSet, num_points: int, unknown: Counter[str], ledger: Ledger, output_path: Path
) -> None:
    manifest, total = written.manifest, written.manifest.total()
    print(
        f"{num_points} points: {total.num_images} records, {total.num_images_without_boxes} of them without a box; "
        f"{ledger.summary()}"
    )
    print_contents(total, manifest.label_map, unknown)
    num_shards = len(manifest.shards)
    first, last = (shard_path(output_path, index, num_shards).name for index in (0, num_shards - 1))
    names = first if num_shards == 1 else f"{first} .. {last}"
    size = f"{total.num_bytes / 1e6:.1f} MB"
    if written.is_unchanged:
        print(f"nothing to do: {num_shards} shards, {size}, in {output_path.parent} are as they should be: {names}")
        return
    num_kept = num_shards - written.num_written - written.num_resumed
    notes = [f"{num_kept} as they were"] * bool(num_kept)
    notes += [f"{written.num_resumed} finished by the interrupted run"] * bool(written.num_resumed)
    if notes:
        print(f"of {num_shards} shards, {written.num_written} written now, {', '.join(notes)}")
    wrote = f"wrote {num_shards - num_kept} shards" if num_kept < num_shards else "wrote the manifest anew; the shards"
    print(f"{wrote}, {size} in all, to {output_path.parent}: {names}; {manifest_path(output_path).name} lists them")


if __name__ == "__main__":
    run_command(main)
