"""Writes records anew without what training cannot use, and with the keys that they lack; names all that it changes.

Left out are boxes that training leaves out (without area, reversed, far outside, not finite, of a class that the label
map lacks) and records that would stop it: damaged, not parsable, without an image that decodes, of unequal lists. Keys
that are missing or wrong are filled in from the image, its name and the label map. The input stays as it is. Killed and
run again, the command goes on with the shards that were finished.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from data_prep.formats.label_map import read_label_map
from data_prep.formats.shard_names import find_shards, shard_path
from data_prep.records.image_checks import TENSORFLOW_ENVIRONMENT
from data_prep.records.manifest import manifest_path, manifest_path_of_shard
from data_prep.records.record_flags import check_num_shards
from data_prep.records.record_set import remove_shards_of_other_counts
from data_prep.records.record_writing import WrittenSet
from data_prep.records.repaired_shards import write_repaired
from data_prep.records.shard_report import print_contents
from data_prep.runtime import worker_pool
from data_prep.runtime.command_line import ArgumentParser, UsageError, UserError, positive_int, run_command
from data_prep.runtime.failure_limit import FailureLimit, Loss, add_max_failures_flag
from data_prep.runtime.ledger import Ledger

_OF_BOX = re.compile(r", box \d+$")  # in the ledger


def make_parser() -> ArgumentParser:
    """Returns the command's flags."""
    parser = ArgumentParser(
        description=__doc__ or "",
        example="  python -m data_prep.repair_tfrecords --input_path 'theirs/train.record*' \\\n"
        "      --label_map_path label_map.pbtxt --record_output_path data/train.record",
    )
    parser.add_argument(
        "--input_path", required=True, nargs="+", help="record files: paths, a glob, NAME@10, or several with commas"
    )
    parser.add_argument("--label_map_path", required=True, type=Path, help="label_map.pbtxt")
    parser.add_argument("--record_output_path", required=True, type=Path, help="what the shards' names begin with")
    parser.add_argument("--num_shards", type=positive_int, help="number of files (by default as many as are read)")
    parser.add_argument(
        "--num_processes", type=positive_int, default=worker_pool.default_num_processes(), help="shards at a time"
    )
    parser.add_argument(
        "--ledger_path", type=Path, help="where what is left out is listed (by default OUTPUT.rejected.jsonl)"
    )
    add_max_failures_flag(
        parser, FailureLimit(percent=50.0), "more records or boxes left out than this end with exit code 3"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    flags = make_parser().parse_args(argv)
    output_path: Path = flags.record_output_path
    label_map = read_label_map(flags.label_map_path)
    paths = find_shards(flags.input_path)
    num_shards = flags.num_shards = flags.num_shards or len(paths)
    check_num_shards(flags)
    _check_apart(paths, output_path, num_shards)
    ledger_path = flags.ledger_path or output_path.with_name(output_path.name + ".rejected.jsonl")
    try:
        with Ledger(ledger_path) as ledger:
            written = write_repaired(
                paths,
                label_map=label_map,
                label_map_path=flags.label_map_path,
                output_path=output_path,
                num_shards=num_shards,
                num_processes=min(flags.num_processes, num_shards),
                settings={"num_shards": num_shards, "repaired_from": list(flags.input_path)},
                command=shlex.join(
                    ["python", "-m", "data_prep.repair_tfrecords", *(sys.argv[1:] if argv is None else argv)]
                ),
                ledger=ledger,
            )
        stale = remove_shards_of_other_counts(output_path, num_shards)
    except OSError as error:
        raise UserError(f"cannot repair records to {output_path}: {error.strerror or error}") from error
    if stale:
        print(f"removed {len(stale)} shards of an older run with another number of them: {stale[0].name}, ...")
    return flags.max_failures.exit_code(ledger.total, _print_summary(written, ledger, output_path))


def _check_apart(paths: Sequence[str], output_path: Path, num_shards: int) -> None:
    """Refuses to write where it reads, or to leave a set beside the input that a glob would take with it."""
    written = {shard_path(output_path, index, num_shards).resolve() for index in range(num_shards)}
    mixed = [path for path in paths if Path(path).resolve() in written or _is_of_set(path, output_path)]
    if mixed:
        raise UsageError(
            f"--record_output_path {output_path}: {mixed[0]}, which is read, is of that name; choose another name or "
            "folder, as the input stays as it is"
        )


def _is_of_set(path: str, output_path: Path) -> bool:
    other = manifest_path_of_shard(path)
    return "://" not in path and Path(other).resolve() == manifest_path(output_path).resolve()


def _print_summary(written: WrittenSet, ledger: Ledger, output_path: Path) -> list[Loss]:
    """Prints what was done; returns what was lost."""
    manifest, total = written.manifest, written.manifest.total()
    num_lost_boxes = sum(
        bool(_OF_BOX.search(item)) for entry in manifest.shards for item, _, _ in entry.report.rejected
    )
    num_boxes = total.boxes_by_label.total() + num_lost_boxes
    print(
        f"{total.num_points} records: {total.num_images} written, {total.num_points - total.num_images} left out; of "
        f"{num_boxes} boxes in those written, {num_lost_boxes} left out"
    )
    print(ledger.summary())
    for change, count in total.repaired.most_common():
        print(f"{count:>10}  {change}")
    print_contents(total, manifest.label_map, Counter())
    num_shards = len(manifest.shards)
    first, last = (shard_path(output_path, index, num_shards).name for index in (0, num_shards - 1))
    names = first if num_shards == 1 else f"{first} .. {last}"
    if written.is_unchanged:
        print(f"nothing to do: {num_shards} shards in {output_path.parent} are as they should be: {names}")
    else:
        resumed = f", {written.num_resumed} of them finished by the interrupted run" if written.num_resumed else ""
        print(
            f"wrote {num_shards} shards{resumed}, {total.num_bytes / 1e6:.1f} MB, to {output_path.parent}: {names}; "
            f"{manifest_path(output_path).name} lists them"
        )
    return [
        Loss("records", total.num_points - total.num_images, total.num_points),
        Loss("boxes", num_lost_boxes, num_boxes),
    ]


if __name__ == "__main__":
    os.environ.update(TENSORFLOW_ENVIRONMENT)
    run_command(main)
