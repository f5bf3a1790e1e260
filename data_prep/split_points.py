"""Splits the images of one or more points.json into train, validation and test, each class in the same proportion.

Images that show the same object stay together, where something tells them: a column of a CSV (--group_by), or their
likeness (--near_duplicates). Several inputs, such as official splits, are merged and split anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.metadata.open_images import read_class_descriptions
from data_prep.runtime.command_line import (
    ArgumentParser,
    UsageError,
    UserError,
    fraction,
    refuse_same_paths,
    require_folder,
    run_command,
)
from data_prep.runtime.failure_limit import FailureLimit, Loss, add_max_failures_flag
from data_prep.runtime.ledger import Ledger
from data_prep.splitting.class_distribution import Part, distribution_lines
from data_prep.splitting.hash_cache import add_hash_flags
from data_prep.splitting.image_groups import group_sizes_line, groups_by_column, groups_by_likeness, united_groups
from data_prep.splitting.image_lists import share_out_images
from data_prep.splitting.points_table import LISTED_TWICE, PointsTable, read_points_table
from data_prep.splitting.stratification import group_images, stratify

EXAMPLE = """\
  python -m data_prep.split_points --datapoints_input_path train/points.json validation/points.json \\
      --images_path train/images.json validation/images.json --output_directory split \\
      --train_fraction 0.8 --validation_fraction 0.1 --test_fraction 0.1 \\
      --near_duplicates --image_directory images
      (writes split/train/points.json, split/train/images.json, and so on for validation and test)"""
SPLITS = ("train", "validation", "test")
CLASSES_SHOWN = 30
LARGE_GROUP = 0.05  # of all images: with one of this size, fractions can hardly be kept


def split_images(table: PointsTable, groups: np.ndarray, fractions: Sequence[float], *, seed: int) -> np.ndarray:
    """Returns the split of each image.

    Args:
        table: N images.
        groups: [N] int64, from 0 without gaps: images of one group go to the same split.
        fractions: Of the images, one a split; they add up to 1. A split of 0 stays empty.
        seed: Decides between groups that are alike.

    Returns:
        [N] int64, indices of `fractions`.
    """
    ends = [round(sum(fractions[: number + 1]) * len(table)) for number in range(len(fractions))]
    ends[-1] = len(table)
    sizes = [end - start for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    summed_up = group_images(table.image_of_pair, table.class_of_pair, groups, len(table.labels))
    required = [number for number, size in enumerate(sizes) if size]
    return stratify(summed_up, sizes, required=required, seed=seed)[groups]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    flags = _parser().parse_args(argv)
    fractions = _checked_fractions(flags)
    points_paths = {name: flags.output_directory / name / "points.json" for name in SPLITS}
    images_paths = {name: flags.output_directory / name / "images.json" for name in SPLITS}
    _check_paths(flags, {**points_paths, **{f"{name} images": path for name, path in images_paths.items()}})
    names = read_class_descriptions(flags.class_description_path) if flags.class_description_path else {}
    with Ledger(flags.ledger_path or flags.output_directory / "split.rejected.jsonl") as ledger:
        table = read_points_table(flags.datapoints_input_path, ledger)
        if not len(table):
            raise UserError(f"{flags.datapoints_input_path[0]} lists no images: nothing to split")
        groups = _grouped(flags, table, ledger)
        splits = split_images(table, groups, fractions, seed=flags.seed)
        written = [number for number, part in enumerate(fractions) if part > 0]
        for number in written:
            if not (splits == number).any():
                raise UserError(
                    f"no images are left for {SPLITS[number]}: {group_sizes_line(groups, table.image_ids)}; "
                    "take larger fractions, more images or smaller groups"
                )
        for number in written:
            table.write(points_paths[SPLITS[number]], splits == number)
        _print_distribution(flags, table, splits, written, names)
        for number in written:
            path = points_paths[SPLITS[number]]
            print(f"wrote {int((splits == number).sum())} points to {path}")
        if flags.images_path:
            place = {number: place for place, number in enumerate(written)}
            part_of_id = {table.image_ids[i]: place[split] for i, split in enumerate(splits.tolist())}
            outputs = [images_paths[SPLITS[number]] for number in written]
            counts, missing = share_out_images(flags.images_path, part_of_id, outputs)
            for count, path in zip(counts, outputs, strict=True):
                print(f"wrote {count} images to {path}")
            if missing:
                print(f"{len(missing)} images are not in --images_path, such as {missing[0]}")
    num_read = len(table) + ledger.counts[LISTED_TWICE]
    print(f"{num_read} points read, {len(table)} split; {ledger.summary()}")
    return flags.max_failures.exit_code(ledger.total, [Loss("points", ledger.total, num_read)])


def _grouped(flags: Any, table: PointsTable, ledger: Ledger) -> np.ndarray:
    groupings = [np.arange(len(table))]
    if flags.group_by:
        found = groups_by_column(
            table.image_ids,
            flags.group_csv_path,
            id_column=flags.group_id_column,
            group_column=flags.group_by,
            ledger=ledger,
        )
        groupings.append(found.groups)
        print(f"by {flags.group_by}: {group_sizes_line(found.groups, table.image_ids)}")
        if found.num_without_value or found.num_not_listed:
            print(
                f"by {flags.group_by}: {found.num_without_value} images have no value and {found.num_not_listed} "
                "are not listed; each is a group of its own"
            )
    if flags.near_duplicates:
        likeness = groups_by_likeness(
            table.image_ids,
            flags.image_directory,
            max_distance=flags.max_distance,
            ledger=ledger,
            num_processes=flags.num_processes,
            cache_directory=flags.hash_cache_directory,
        )
        groupings.append(likeness.groups)
        print(
            f"by likeness: {likeness.num_hashed} images hashed, {likeness.num_from_cache} hashed by an earlier run; "
            f"{group_sizes_line(likeness.groups, table.image_ids)}"
        )
    groups = united_groups(*groupings)
    largest = int(np.bincount(groups).max())
    if largest > 1 and largest > LARGE_GROUP * len(table):
        print(
            f"the largest group has {100 * largest / len(table):.1f}% of all images: fractions and distributions "
            "are kept less well; is --group_by too coarse, or --max_distance too large?"
        )
    return groups


def _print_distribution(
    flags: Any, table: PointsTable, splits: np.ndarray, written: Sequence[int], names: Mapping[str, str]
) -> None:
    whole = Part("all", len(table), table.image_counts(), table.box_counts())
    parts = []
    for number in written:
        chosen = splits == number
        parts.append(Part(SPLITS[number], int(chosen.sum()), table.image_counts(chosen), table.box_counts(chosen)))
    print("\n".join(distribution_lines(whole, parts, table.labels, names, flags.num_classes_shown)))


def _checked_fractions(flags: Any) -> list[float]:
    fractions = [flags.train_fraction, flags.validation_fraction, flags.test_fraction]
    if abs(sum(fractions) - 1.0) > 1e-6:
        raise UsageError(
            f"--train_fraction, --validation_fraction and --test_fraction add up to {sum(fractions):g}, not to 1"
        )
    return fractions


def _check_paths(flags: Any, outputs: Mapping[str, Path]) -> None:
    if bool(flags.group_by) != bool(flags.group_csv_path):
        raise UsageError("--group_by names a column and --group_csv_path the CSV that has it; give both or neither")
    if flags.near_duplicates and not flags.image_directory:
        raise UsageError("--near_duplicates looks at the images: give their --image_directory")
    for directory in flags.image_directory:
        require_folder("--image_directory", directory)
    refuse_same_paths(
        [
            *(("--datapoints_input_path", path) for path in flags.datapoints_input_path),
            *(("--images_path", path) for path in flags.images_path),
            *((f"the output for {name}", path) for name, path in outputs.items()),
        ]
    )


def _parser() -> ArgumentParser:
    parser = ArgumentParser(description=__doc__ or "", example=EXAMPLE)
    parser.add_argument(
        "--datapoints_input_path",
        required=True,
        type=Path,
        nargs="+",
        action="extend",
        help="points.json; several are merged, and of an image in two the first is taken",
    )
    parser.add_argument(
        "--images_path", type=Path, nargs="+", action="extend", default=[], help="images.json of the same images"
    )
    parser.add_argument("--output_directory", required=True, type=Path, help="gets train/points.json and so on")
    parser.add_argument("--train_fraction", type=fraction, default=0.8, help="of the images")
    parser.add_argument("--validation_fraction", type=fraction, default=0.2, help="of the images")
    parser.add_argument("--test_fraction", type=fraction, default=0.0, help="of the images; 0 writes no test split")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other splits")
    parser.add_argument("--group_by", help="column of --group_csv_path, such as Author: its images stay together")
    parser.add_argument(
        "--group_csv_path", type=Path, nargs="+", action="extend", default=[], help="such as the image index"
    )
    parser.add_argument("--group_id_column", default="ImageID", help="column of --group_csv_path with the image id")
    parser.add_argument("--near_duplicates", action="store_true", help="keeps near-duplicate images together")
    parser.add_argument(
        "--image_directory", type=Path, nargs="+", action="extend", default=[], help="where the images are"
    )
    add_hash_flags(parser)
    parser.add_argument("--class_description_path", help="class descriptions, MID,Name; to print names")
    parser.add_argument(
        "--num_classes_shown", type=int, default=CLASSES_SHOWN, help="classes printed, commonest first; 0 prints all"
    )
    parser.add_argument(
        "--ledger_path",
        type=Path,
        help="JSON lines of images listed twice and images without a hash (default: in OUTPUT_DIRECTORY)",
    )
    add_max_failures_flag(parser, FailureLimit(1000, 1.0), "more entries of the ledger than this end with exit code 3")
    return parser


if __name__ == "__main__":
    run_command(main)
