"""Writes points.json and its pictures as sharded TFRecords, several shards at a time.

Which picture goes to which shard, and where in it, depends on the points, the seed and the number of shards alone: any
number of processes gives the same bytes. The shards appear together at the end, and an older set stays until then.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_prep import worker_pool
from data_prep.command_line import ArgumentParser, UsageError, UserError, positive_int, run_command
from data_prep.label_map import LabelMap, read_label_map
from data_prep.ledger import Ledger
from data_prep.points import read_points
from data_prep.progress import progress
from data_prep.record_shards import (
    ShardReport,
    ShardTask,
    remove_shards_of_other_counts,
    shards_in_the_making,
    write_shard,
)
from data_prep.tf_example import MAX_SHARDS, shard_path

CLASSES_SHOWN = 20
IMAGES_WORTH_A_PROCESS = 1000  # each imports TensorFlow first, which takes as long as some hundred images do

# Writing records wants no accelerator, and nothing said about its absence.
_WORKER_ENVIRONMENT = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}


def unknown_labels(points: Sequence[Mapping[str, Any]], label_map: LabelMap) -> Counter[str]:
    """Returns how many boxes have a label that the label map lacks, by label."""
    counts = Counter(annotation["label"] for point in points for annotation in point["annotations"])
    return Counter({label: count for label, count in counts.items() if label not in label_map})


def write_records(
    points: Sequence[Mapping[str, Any]],
    *,
    image_directory: Path,
    label_map: LabelMap,
    output_path: Path,
    num_shards: int,
    num_processes: int,
    shuffle_seed: int | None,
    ledger: Ledger,
) -> list[ShardReport]:
    """Writes `points` and their pictures as `num_shards` shards, which appear together at the end.

    Args:
        points: As in points.json. Annotations whose label is not in the map are left out.
        image_directory: Holds ID.jpg or the like.
        label_map: The classes.
        output_path: What the shards' names begin with.
        num_shards: How many.
        num_processes: How many shards are written at a time; 1 writes in this process.
        shuffle_seed: Spreads the pictures over the shards by chance, the same for the same seed; None deals them out in
            their order.
        ledger: Takes the images and boxes that are left out.

    Returns:
        A report for each shard.

    Raises:
        UserError: Not one picture could be used; what was there before stays.
        OSError: The shards cannot be written.
    """
    order = list(points)
    if shuffle_seed is not None:
        random.Random(shuffle_seed).shuffle(order)
    label_ids = {item.name: item.id for item in label_map.items}
    with shards_in_the_making(output_path, num_shards) as paths:
        tasks = [
            ShardTask(path, order[index::num_shards], image_directory, label_ids) for index, path in enumerate(paths)
        ]
        reports: list[ShardReport] = []
        steps = _in_processes(tasks, reports, num_processes) if num_processes > 1 else _one_by_one(tasks, reports)
        for _ in progress(steps, description="write records", total=len(order), unit="images"):
            pass
        for item, reason, detail in (entry for report in reports for entry in report.rejected):
            ledger.reject(item, reason, detail)
        if not any(report.num_images for report in reports):
            raise UserError(
                f"none of the {len(order)} pictures can be used, so no records are written: {ledger.summary()}"
            )
    return reports


def make_parser() -> ArgumentParser:
    """Returns the command's flags."""
    parser = ArgumentParser(
        description="Writes points.json and its pictures as TFRecords, in shards RECORD_OUTPUT_PATH-00000-of-000NN.\n"
        "The same points, seed and number of shards give the same bytes.",
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
    points = read_points(flags.datapoints_input_path)
    if not points:
        raise UserError(f"{flags.datapoints_input_path} lists no pictures: no records to write")
    unknown = unknown_labels(points, label_map)
    if unknown and not flags.drop_unknown_labels:
        label, count = unknown.most_common(1)[0]
        others = f" (and {len(unknown) - 1} more labels)" if len(unknown) > 1 else ""
        raise UsageError(
            f"{flags.datapoints_input_path}: label {label!r} of {count} boxes{others} is not in "
            f"{flags.label_map_path}; add it there, or leave such boxes out with --drop_unknown_labels"
        )
    ledger_path = flags.ledger_path or output_path.with_name(output_path.name + ".rejected.jsonl")
    try:
        with Ledger(ledger_path) as ledger:
            reports = write_records(
                points,
                image_directory=flags.image_directory,
                label_map=label_map,
                output_path=output_path,
                num_shards=flags.num_shards,
                num_processes=min(flags.num_processes or _default_num_processes(len(points)), flags.num_shards),
                shuffle_seed=None if flags.no_shuffle else flags.shuffle_seed,
                ledger=ledger,
            )
        stale = remove_shards_of_other_counts(output_path, flags.num_shards)
    except OSError as error:
        raise UserError(f"cannot write records to {output_path.parent}: {error.strerror or error}") from error
    if stale:
        print(f"removed {len(stale)} shards of an older run with another number of them: {stale[0].name}, ...")
    num_records = sum(report.num_images for report in reports)
    without_boxes = sum(report.num_images_without_boxes for report in reports)
    print(f"{len(points)} points: {num_records} records, {without_boxes} of them without a box; {ledger.summary()}")
    if unknown:
        print(f"left out {unknown.total()} boxes of {len(unknown)} labels that are not in the label map")
    _print_classes(sum((report.boxes_by_label for report in reports), Counter()), label_map)
    first, last = (shard_path(output_path, index, len(reports)).name for index in (0, len(reports) - 1))
    names = first if len(reports) == 1 else f"{first} .. {last}"
    megabytes = sum(report.num_bytes for report in reports) / 1e6
    print(f"wrote {len(reports)} shards, {megabytes:.1f} MB, to {output_path.parent}: {names}")
    return ledger.exit_code(flags.max_failures)


def _default_num_processes(num_images: int) -> int:
    return max(1, min(worker_pool.default_num_processes(), num_images // IMAGES_WORTH_A_PROCESS))


def _one_by_one(tasks: Sequence[ShardTask], reports: list[ShardReport]) -> Iterator[None]:
    for task in tasks:
        report = yield from write_shard(task)
        reports.append(report)


def _in_processes(tasks: Sequence[ShardTask], reports: list[ShardReport], num_processes: int) -> Iterator[None]:
    counter = worker_pool.SharedCounter()
    with worker_pool.process_pool(num_processes, environment=_WORKER_ENVIRONMENT, counter=counter) as executor:
        futures = [executor.submit(_write_shard_counting, task) for task in tasks]
        with worker_pool.ending_cleanly(futures):
            yield from counter.until_done(futures)
            reports.extend(future.result() for future in futures)


def _write_shard_counting(task: ShardTask) -> ShardReport:
    steps = write_shard(task)
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            report: ShardReport = stop.value
            return report
        worker_pool.count_one()


def _print_classes(boxes_by_label: Counter[str], label_map: LabelMap) -> None:
    print(f"{boxes_by_label.total():>10}  boxes, of which")
    for label, count in boxes_by_label.most_common(CLASSES_SHOWN):
        print(f"{count:>10}  {label_map.display_name_of(label_map.id_of(label))}")
    if len(boxes_by_label) > CLASSES_SHOWN:
        print(f"            and {len(boxes_by_label) - CLASSES_SHOWN} classes with fewer boxes")
    if len(boxes_by_label) < len(label_map):
        print(f"{len(label_map) - len(boxes_by_label)} of the label map's {len(label_map)} classes have no box")


if __name__ == "__main__":
    os.environ.update(_WORKER_ENVIRONMENT)
    run_command(main)
