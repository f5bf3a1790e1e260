"""Finds images that are in two splits, copies of another size or quality included, and drops them from the larger.

An image of train that is in validation as well makes the evaluation measure memorised images instead of
learning. Each pair is named in the ledger; --report_path shows them side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.runtime.command_line import (
    ArgumentParser,
    UsageError,
    UserError,
    positive_int,
    refuse_same_paths,
    require_folder,
    run_command,
)
from data_prep.runtime.failure_limit import FailureLimit, Loss, add_max_failures_flag
from data_prep.runtime.ledger import Ledger
from data_prep.splitting.duplicates import SAME_ID, Duplicate, SplitHashes, copies_across_splits, copies_within
from data_prep.splitting.duplicates_page import write_duplicates_page
from data_prep.splitting.hash_cache import add_hash_flags, hash_images
from data_prep.splitting.points_table import PointsTable, read_points_table

EXAMPLE = """\
  python -m data_prep.find_duplicates --datapoints_input_path train/points.json validation/points.json \\
      --image_directory images/train images/validation \\
      --datapoints_output_path train/unique_points.json validation/unique_points.json \\
      --report_path duplicates.html"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    flags = _parser().parse_args(argv)
    names = _split_names(flags.datapoints_input_path)
    directories = _checked_directories(flags)
    with (
        Ledger(flags.ledger_path) as ledger,
        Ledger(flags.ledger_path.with_name(flags.ledger_path.stem + ".unreadable.jsonl")) as unreadable,
    ):
        tables = [read_points_table([path]) for path in flags.datapoints_input_path]
        splits = [
            _hashed(flags, name, table, directory, unreadable)
            for name, table, directory in zip(names, tables, directories, strict=True)
        ]
        found = copies_across_splits(splits, flags.max_distance, likeness_only=flags.likeness_only)
        for copy in found:
            match = f"{splits[copy.of_split].name}/{splits[copy.of_split].image_ids[copy.of_image]}"
            ledger.reject(
                f"{splits[copy.split].name}/{splits[copy.split].image_ids[copy.image]}",
                f"also in {splits[copy.of_split].name}",
                f"{match}, {SAME_ID if copy.distance is None else f'{copy.distance} of 64 bits differ'}",
            )
    for split in splits:
        num_groups, num_images = copies_within(split, flags.max_distance)
        print(f"{split.name}: near-duplicates within it: {num_images} images in {num_groups} groups, all kept")
    if flags.report_path is not None:
        shown = write_duplicates_page(flags.report_path, splits, found, flags.num_pairs_shown)
        print(f"wrote {shown} of {len(found)} pairs to {flags.report_path}")
    _drop(tables, splits, found, flags.datapoints_output_path)
    print(f"{len(found)} images are in a smaller split as well" + f"; see {flags.ledger_path}" * bool(found))
    if unreadable.total:
        reasons = ", ".join(f"{count} {reason}" for reason, count in unreadable.counts.most_common())
        print(f"{unreadable.total} images have no hash and stay ({reasons}); see {unreadable.path}")
    num_images = sum(map(len, tables))
    return flags.max_failures.exit_code(unreadable.total, [Loss("images", unreadable.total, num_images)])


def _drop(
    tables: Sequence[PointsTable],
    splits: Sequence[SplitHashes],
    found: Sequence[Duplicate],
    output_paths: Sequence[Path],
) -> None:
    """Writes each split without its duplicates, where there are paths for them, and prints how many these are."""
    kept = [np.ones(len(table), bool) for table in tables]
    for copy in found:
        kept[copy.split][copy.image] = False
    for split, stay in zip(splits, kept, strict=True):
        if output_paths and not stay.any():
            raise UserError(f"every image of {split.name} is in a smaller split: nothing would be left of it")
    for number, (split, stay) in enumerate(zip(splits, kept, strict=True)):
        dropped = int((~stay).sum())
        if output_paths:
            tables[number].write(output_paths[number], stay)
            print(
                f"{split.name}: {len(stay)} points, {dropped} dropped, {len(stay) - dropped} in {output_paths[number]}"
            )
        else:
            print(f"{split.name}: {len(stay)} points, {dropped} of them in a smaller split as well")


def _hashed(flags: Any, name: str, table: PointsTable, directory: Path, unreadable: Ledger) -> SplitHashes:
    hashes = np.zeros(len(table), np.uint64)
    has_hash = np.zeros(len(table), bool)
    paths: list[Path | None] = []
    from_cache = 0
    outcomes = hash_images(
        table.image_ids,
        [directory],
        num_processes=flags.num_processes,
        cache_directory=flags.hash_cache_directory,
        description=f"hashing {name}",
    )
    for number, outcome in enumerate(outcomes):
        paths.append(outcome.path)
        if outcome.hash is None:
            unreadable.reject(f"{name}/{table.image_ids[number]}", outcome.reason, outcome.detail)
            continue
        hashes[number], has_hash[number] = outcome.hash, True
        from_cache += outcome.from_cache
    print(f"{name}: {int(has_hash.sum()) - from_cache} images hashed, {from_cache} hashed by an earlier run")
    return SplitHashes(name, table.image_ids, paths, hashes, has_hash)


def _split_names(paths: Sequence[Path]) -> list[str]:
    """Returns a short name for each split: the folder's, the file's, or as much of the path as tells them apart."""
    for names in (
        [path.resolve().parent.name for path in paths],
        [path.name.partition(".")[0] for path in paths],
        [path.stem for path in paths],
        [str(path) for path in paths],
    ):
        if len(set(names)) == len(names) and all(names):
            return names
    raise UsageError("--datapoints_input_path names a file twice")


def _checked_directories(flags: Any) -> list[Path]:
    num_splits = len(flags.datapoints_input_path)
    if num_splits < 2:
        raise UsageError("--datapoints_input_path: give the points.json of two or more splits")
    for flag in ("image_directory", "datapoints_output_path"):
        given = len(getattr(flags, flag))
        allowed = (1, num_splits) if flag == "image_directory" else (0, num_splits)
        if given not in allowed:
            raise UsageError(f"--{flag}: {given} given, but there are {num_splits} splits; give one for each")
    for directory in flags.image_directory:
        require_folder("--image_directory", directory)
    refuse_same_paths(
        [
            *(("--datapoints_input_path", path) for path in flags.datapoints_input_path),
            *(("--datapoints_output_path", path) for path in flags.datapoints_output_path),
            ("--ledger_path", flags.ledger_path),
            ("--report_path", flags.report_path),
        ]
    )
    return flags.image_directory * (num_splits // len(flags.image_directory))


def _parser() -> ArgumentParser:
    parser = ArgumentParser(description=__doc__ or "", example=EXAMPLE)
    parser.add_argument(
        "--datapoints_input_path",
        required=True,
        type=Path,
        nargs="+",
        action="extend",
        help="points.json of each split, two or more; in the order of these, the later of equally large ones is cut",
    )
    parser.add_argument(
        "--image_directory",
        required=True,
        type=Path,
        nargs="+",
        action="extend",
        help="where each split's images are, or one folder for all",
    )
    parser.add_argument(
        "--datapoints_output_path",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        help="points.json to write of each split; without it, duplicates are only reported",
    )
    parser.add_argument(
        "--ledger_path",
        type=Path,
        default=Path("duplicates.jsonl"),
        help="JSON lines of what is in two splits; images without a hash go beside it, into *.unreadable.jsonl",
    )
    parser.add_argument("--report_path", type=Path, help="HTML page to write, with both images of each pair")
    parser.add_argument(
        "--num_pairs_shown", type=positive_int, default=500, help="pairs in the page, least alike first"
    )
    parser.add_argument(
        "--likeness_only",
        action="store_true",
        help="take images of the same id for copies only if they look alike: for ids that are made of file names, of "
        "which 0001 of the one split is not that of the other",
    )
    add_hash_flags(parser)
    add_max_failures_flag(parser, FailureLimit(0), "more images without a hash than this end with exit code 3")
    return parser


if __name__ == "__main__":
    run_command(main)
