"""Decodes every record and fails on whatever would break training, with the shard, the record and the image of it."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.command_line import ArgumentParser, UserError, positive_int, run_command
from data_prep.label_map import LabelMap, read_label_map
from data_prep.progress import progress
from data_prep.record_checks import RecordReport, check_record, tensorflow_message
from data_prep.tf_example import find_shards
from data_prep.worker_pool import default_num_processes, map_in_order


@dataclass(frozen=True)
class Record:
    """One record as it lies in its file.

    Attributes:
        shard: The file.
        index: The record's number in it, from 0.
        serialized: Its bytes; None where they could not be read.
        problem: Why they could not.
    """

    shard: str
    index: int
    serialized: bytes | None
    problem: str = ""


@dataclass
class Summary:
    """What all records hold, and what is wrong with them.

    Attributes:
        num_records: Records read.
        num_bad_records: Of these, those with a problem, and files that broke off.
        num_boxes: In all.
        num_without_boxes: Records that have none.
        boxes_by_class: By label map id.
        images_by_class: Records that have a box of the class, by label map id.
        problems: How often each kind was found.
        examples: The first of each kind, in words.
        repeated_source_ids: How many records have the id of an earlier one.
    """

    num_records: int = 0
    num_bad_records: int = 0
    num_boxes: int = 0
    num_without_boxes: int = 0
    boxes_by_class: Counter[int] = field(default_factory=Counter)
    images_by_class: Counter[int] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    examples: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    repeated_source_ids: int = 0


def read_records(shards: Sequence[str]) -> Iterator[Record]:
    """Yields the records of `shards` one by one; a file that breaks off ends with one whose `serialized` is None."""
    import tensorflow as tf

    for shard in shards:
        index = 0
        try:
            for serialized in tf.data.TFRecordDataset(shard).as_numpy_iterator():
                yield Record(shard, index, serialized)
                index += 1
        except tf.errors.OpError as error:
            yield Record(shard, index, None, tensorflow_message(error))


def verify_records(shards: Sequence[str], label_map: LabelMap, *, num_threads: int, max_problems_shown: int) -> Summary:
    """Checks every record of `shards`; see `record_checks.check_record` for what.

    Args:
        shards: Record files.
        label_map: The classes that they may have.
        num_threads: Records checked at a time.
        max_problems_shown: How many examples of each kind are kept.
    """
    summary = Summary()
    seen: set[str] = set()

    def check(record: Record) -> tuple[Record, RecordReport]:
        if record.serialized is None:
            return record, RecordReport(problems=[("corrupt record file", record.problem)])
        return record, check_record(record.serialized, label_map)

    with ThreadPoolExecutor(num_threads) as executor:
        results = map_in_order(executor, check, read_records(shards), num_workers=num_threads)
        for record, report in progress(results, description="verify", unit="records"):
            if record.serialized is not None:
                summary.num_records += 1
                summary.num_boxes += report.num_boxes
                summary.num_without_boxes += report.num_boxes == 0
                summary.boxes_by_class.update(report.class_ids)
                summary.images_by_class.update(report.class_ids.keys())
                summary.repeated_source_ids += report.source_id in seen
                seen.add(report.source_id)
            summary.num_bad_records += bool(report.problems)
            for kind, detail in report.problems:
                summary.problems[kind] += 1
                if len(summary.examples[kind]) < max_problems_shown:
                    image = f", image {report.source_id}" if report.source_id else ""
                    summary.examples[kind].append(f"{record.shard}, record {record.index}{image}: {detail}")
    return summary


def format_problems(summary: Summary) -> str:
    """Returns the problems by kind, most frequent first, each with its examples indented below."""
    lines = []
    for kind, count in summary.problems.most_common():
        lines.append(f"{count:>8}  {kind}")
        lines.extend(f"          {example}" for example in summary.examples[kind])
        if count > len(summary.examples[kind]):
            lines.append(f"          and {count - len(summary.examples[kind])} more")
    return "\n".join(lines)


def format_classes(summary: Summary, label_map: LabelMap) -> str:
    """Returns a table of boxes and images by class, most frequent first, and how many classes have none."""
    lines = [f"{'boxes':>10}{'images':>10}  class"]
    for class_id, count in summary.boxes_by_class.most_common():
        name = label_map.display_name_of(class_id)
        lines.append(f"{count:>10}{summary.images_by_class[class_id]:>10}  {name} ({class_id})")
    missing = [item for item in label_map.items if item.id not in summary.boxes_by_class]
    if missing:
        names = ", ".join(item.display_name or item.name for item in missing[:5])
        lines.append(f"{len(missing)} of {len(label_map)} classes have no box: {names}{', ...' * (len(missing) > 5)}")
    return "\n".join(lines)


def make_parser() -> ArgumentParser:
    """Returns the command's flags."""
    parser = ArgumentParser(
        description="Decodes every record and fails on whatever would break training: class ids outside the label\n"
        "map, class texts that disagree with their id, lists of unequal length, boxes that are not finite, reversed,\n"
        "without area or outside the image, an image that does not decode or is of another size, a missing key,\n"
        "a corrupt file.",
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
        "--num_threads", type=positive_int, default=default_num_processes(), help="records checked at a time"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    flags = make_parser().parse_args(argv)
    label_map = read_label_map(flags.label_map_path)
    shards = find_shards(flags.input_path)
    summary = verify_records(
        shards, label_map, num_threads=flags.num_threads, max_problems_shown=flags.max_problems_shown
    )
    if summary.problems:
        print(format_problems(summary))
        raise UserError(
            f"{summary.problems.total()} problems in {summary.num_bad_records} of {summary.num_records} records of "
            f"{len(shards)} files; they would break training"
        )
    if not summary.num_records:
        raise UserError(f"{len(shards)} files, but not one record in them: {', '.join(shards[:3])}")
    print(format_classes(summary, label_map))
    if summary.repeated_source_ids:
        print(f"note: {summary.repeated_source_ids} records have another's source_id, and evaluation confuses them")
    print(
        f"{summary.num_records} records in {len(shards)} files are sound: {summary.num_boxes} boxes, "
        f"{summary.num_without_boxes} records without any"
    )
    return 0


if __name__ == "__main__":
    # Decoding pictures wants no accelerator: on one, TensorFlow would take all the memory from under a training.
    os.environ.update({"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"})
    run_command(main)
