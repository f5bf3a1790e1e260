"""Writes points.json and its pictures as sharded TFRecords, several shards at a time.

Which picture goes to which shard, and where in it, depends on its id, the seed and the number of shards alone: any
number of processes gives the same bytes, and a picture that joins, changes or leaves concerns its own shard only. The
shards appear together at the end, and an older set stays until then. Run again, the command writes the shards whose
points, pictures, ids or rules have changed; killed and run again, it goes on with the shards that were finished.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_prep import record_policies, worker_pool
from data_prep.command_line import ArgumentParser, UsageError, UserError, fraction, positive_int, run_command
from data_prep.label_map import LabelMap, read_label_map
from data_prep.ledger import Ledger
from data_prep.manifest import manifest_path
from data_prep.point_index import PointIndex, index_points
from data_prep.record_policies import RecordPolicies
from data_prep.record_set import remove_shards_of_other_counts
from data_prep.record_writing import WrittenSet, write_records
from data_prep.shard_assignment import shuffle_key
from data_prep.shard_report import ShardReport
from data_prep.tf_example import MAX_SHARDS, shard_path

CLASSES_SHOWN = 20
IMAGES_WORTH_A_PROCESS = 500  # starting one takes as long as some hundred images do


def make_parser() -> ArgumentParser:
    """Returns the command's flags."""
    parser = ArgumentParser(
        description="Writes points.json and its pictures as TFRecords, in shards RECORD_OUTPUT_PATH-00000-of-000NN,\n"
        "and beside them RECORD_OUTPUT_PATH.manifest.json, which says what is in them. The same points, pictures,\n"
        "seed and number of shards give the same bytes. Run again, it writes only the shards for which something has\n"
        "changed (a picture's change shows in its size or its time of change).",
        example="  python -m data_prep.make_tfrecords --datapoints_input_path clean_points.json \\\n"
        "      --image_directory images --label_map_path label_map.pbtxt \\\n"
        "      --record_output_path train.record --num_shards 10",
    )
    parser.add_argument("--datapoints_input_path", required=True, type=Path, help="clean_points.json")
    parser.add_argument("--image_directory", required=True, type=Path, help="holds ID.jpg (or .jpeg, .png, .webp, ...)")
    parser.add_argument("--label_map_path", required=True, type=Path, help="label_map.pbtxt")
    parser.add_argument("--record_output_path", required=True, type=Path, help="what the shards' names begin with")
    parser.add_argument("--num_shards", type=positive_int, default=10, help="number of files")
    parser.add_argument(
        "--num_processes",
        type=positive_int,
        help=f"shards written at a time, whatever they hold (by default one for {IMAGES_WORTH_A_PROCESS} images, up to "
        "the number of cores)",
    )
    parser.add_argument("--shuffle_seed", type=int, default=0, help="of the chance that spreads pictures over shards")
    parser.add_argument("--no_shuffle", action="store_true", help="deal the pictures out in the order of the points")
    parser.add_argument(
        "--drop_unknown_labels", action="store_true", help="leave out boxes whose label is not in the label map"
    )
    parser.add_argument(
        "--images_without_boxes",
        type=_share_of_images_without_boxes,
        default="keep",
        metavar="keep|drop|FRACTION",
        help="pictures that have no box (left): keep them, drop them, or keep this share of them, by chance",
    )
    parser.add_argument(
        "--group_of_boxes",
        choices=record_policies.GROUP_OF_CHOICES,
        default="keep",
        help="boxes around a group: keep them with their flag, drop them, or keep them and flag them as a crowd too, "
        "which COCO's metrics leave out",
    )
    parser.add_argument(
        "--max_boxes_per_image", type=positive_int, help="keep no more than so many boxes of a picture, the largest"
    )
    parser.add_argument(
        "--image_check",
        choices=record_policies.IMAGE_CHECKS,
        default="whole",
        help="whole: read every JPEG to its end; header: trust those whose header and end mark are there, as after "
        "validate_images",
    )
    parser.add_argument("--rewrite", action="store_true", help="write every shard, whether or not something changed")
    parser.add_argument(
        "--ledger_path", type=Path, help="where rejects are listed (by default RECORD_OUTPUT_PATH.rejected.jsonl)"
    )
    parser.add_argument("--max_failures", type=int, default=0, help="more rejects than this end with exit code 3")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    flags = make_parser().parse_args(argv)
    output_path: Path = flags.record_output_path
    if flags.num_shards > MAX_SHARDS:
        raise UsageError(
            f"--num_shards {flags.num_shards}: at most {MAX_SHARDS}, a shard's name has five digits for it"
        )
    if not flags.image_directory.is_dir():
        raise UsageError(f"--image_directory {flags.image_directory} is no folder")
    label_map = read_label_map(flags.label_map_path)
    ledger_path = flags.ledger_path or output_path.with_name(output_path.name + ".rejected.jsonl")

    def key_of(image_id: str, number: int) -> int:
        return number if flags.no_shuffle else shuffle_key(image_id, flags.shuffle_seed)

    points = index_points(flags.datapoints_input_path, key_of)
    unknown = _check_points(points, label_map, flags)
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
                policies=_policies(flags),
                settings=_settings(flags),
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
    return ledger.exit_code(flags.max_failures)


def _check_points(points: PointIndex, label_map: LabelMap, flags: argparse.Namespace) -> Counter[str]:
    """Returns how many boxes have a label that the label map lacks, by label, if the flags allow for such."""
    if not len(points):
        raise UserError(f"{flags.datapoints_input_path} lists no pictures: no records to write")
    unknown = Counter({label: count for label, count in points.boxes_by_label.items() if label not in label_map})
    if unknown and not flags.drop_unknown_labels:
        label, count = unknown.most_common(1)[0]
        others = f" (and {len(unknown) - 1} more labels)" if len(unknown) > 1 else ""
        raise UsageError(
            f"{flags.datapoints_input_path}: label {label!r} of {count} boxes{others} is not in "
            f"{flags.label_map_path}; add it there, or leave such boxes out with --drop_unknown_labels"
        )
    return unknown


def _policies(flags: argparse.Namespace) -> RecordPolicies:
    return RecordPolicies(
        without_boxes=flags.images_without_boxes,
        group_of=flags.group_of_boxes,
        max_boxes_per_image=flags.max_boxes_per_image,
        image_check=flags.image_check,
        seed=flags.shuffle_seed,
    )


def _settings(flags: argparse.Namespace) -> dict[str, Any]:
    shuffle_seed = None if flags.no_shuffle else flags.shuffle_seed
    return {"num_shards": flags.num_shards, "shuffle_seed": shuffle_seed, **_policies(flags).as_json()}


def _share_of_images_without_boxes(text: str) -> float:
    named = {"keep": 1.0, "drop": 0.0}.get(text)
    if named is not None:
        return named
    try:
        return fraction(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither keep nor drop nor a number from 0 to 1") from None


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
    if unknown:
        print(f"left out {unknown.total()} boxes of {len(unknown)} labels that are not in the label map")
    for what, count in sorted(total.left_out.items()):
        if what == record_policies.BEYOND_MOST:
            print(f"left out {count} {what}, of {total.left_out[record_policies.BEYOND_MOST_IMAGES]} images")
        elif what not in (record_policies.UNKNOWN_LABELS, record_policies.BEYOND_MOST_IMAGES):
            print(f"left out {count} {what}")
    if total.verified_present or total.verified_absent:
        present, absent = total.verified_present.total(), total.verified_absent.total()
        print(f"{present + absent} verified labels of whole pictures: {present} present, {absent} absent")
    _print_classes(total, manifest.label_map)
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


def _print_classes(total: ShardReport, label_map: LabelMap) -> None:
    boxes_by_label = total.boxes_by_label
    print(f"{boxes_by_label.total():>10}  boxes, of which")
    most = sorted(boxes_by_label.items(), key=lambda item: (-item[1], label_map.id_of(item[0])))
    for label, count in most[:CLASSES_SHOWN]:
        print(f"{count:>10}  {label_map.display_name_of(label_map.id_of(label))}")
    if len(boxes_by_label) > CLASSES_SHOWN:
        print(f"            and {len(boxes_by_label) - CLASSES_SHOWN} classes with fewer boxes")
    if len(boxes_by_label) < len(label_map):
        print(f"{len(label_map) - len(boxes_by_label)} of the label map's {len(label_map)} classes have no box")


if __name__ == "__main__":
    run_command(main)
