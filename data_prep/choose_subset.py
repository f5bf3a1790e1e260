"""Chooses a part of points.json: listed images, or some with the class shares of all of them."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data_prep.formats.image_id_list import IMAGE_IDS_HELP, read_image_ids, told_missing
from data_prep.metadata.open_images import read_class_descriptions
from data_prep.runtime.command_line import (
    ArgumentParser,
    UsageError,
    UserError,
    positive_int,
    refuse_same_paths,
    run_command,
)
from data_prep.splitting.class_distribution import Part, distribution_lines
from data_prep.splitting.image_lists import share_out_images
from data_prep.splitting.points_table import PointsTable, read_points_table
from data_prep.splitting.stratification import group_images, stratify

EXAMPLE = """\
  python -m data_prep.choose_subset --fraction 0.1 \\
      --datapoints_input_path points.json --datapoints_output_path points_10_percent.json \\
      --images_path images.json --images_output_path images_10_percent.json"""
CLASSES_SHOWN = 30


def choose_subset(table: PointsTable, num_images: int, *, seed: int, keep_every_class: bool) -> np.ndarray:
    """Returns which images make up a subset of the same class distribution.

    Args:
        table: All images.
        num_images: How many to choose, 0..N; exactly as many are.
        seed: Decides between images that are alike.
        keep_every_class: Whether every class is to have an image in the subset, where the subset is large enough.

    Returns:
        [N] bool.
    """
    groups = group_images(table.image_of_pair, table.class_of_pair, np.arange(len(table)), len(table.labels))
    sizes = (num_images, len(table) - num_images)
    required = (0,) if keep_every_class else ()
    return stratify(groups, sizes, required=required, seed=seed, strict_sizes=True) == 0


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    flags = _parser().parse_args(argv)
    if (flags.images_path is None) != (flags.images_output_path is None):
        raise UsageError("--images_path and --images_output_path belong together; give both or neither")
    refuse_same_paths(
        [
            ("--datapoints_input_path", flags.datapoints_input_path),
            ("--datapoints_output_path", flags.datapoints_output_path),
            ("--images_path", flags.images_path),
            ("--images_output_path", flags.images_output_path),
        ]
    )
    names = read_class_descriptions(flags.class_description_path) if flags.class_description_path else {}
    table = read_points_table([flags.datapoints_input_path])
    if not len(table):
        raise UserError(f"{flags.datapoints_input_path} lists no images: nothing to choose from")
    started = time.monotonic()
    if flags.image_ids_path is not None:
        chosen, how = _listed(table, flags), f"as {flags.image_ids_path} lists them"
    else:
        chosen, how = _drawn(table, flags), f"(seed {flags.seed})"
    seconds = time.monotonic() - started
    num_images = int(np.count_nonzero(chosen))
    table.write(flags.datapoints_output_path, chosen)
    whole = Part("all", len(table), table.image_counts(), table.box_counts())
    subset = Part("subset", num_images, table.image_counts(chosen), table.box_counts(chosen))
    print("\n".join(distribution_lines(whole, [subset], table.labels, names, flags.num_classes_shown)))
    print(
        f"{num_images} of {len(table)} images chosen in {seconds:.1f} s {how}; "
        f"wrote their {int(subset.box_counts.sum())} boxes to {flags.datapoints_output_path}"
    )
    if flags.images_path is not None:
        wanted = {table.image_ids[number]: 0 for number in np.flatnonzero(chosen).tolist()}
        (written,), missing = share_out_images([flags.images_path], wanted, [flags.images_output_path])
        print(f"wrote {written} images to {flags.images_output_path}")
        if missing:
            print(f"{len(missing)} of the chosen images are not in {flags.images_path}, such as {missing[0]}")
    return 0


def _drawn(table: PointsTable, flags: argparse.Namespace) -> np.ndarray:
    num_images = flags.num_images if flags.num_images is not None else round(flags.fraction * len(table))
    if not 1 <= num_images <= len(table):
        raise UsageError(
            f"a subset of {num_images} of the {len(table)} images of {flags.datapoints_input_path} cannot be chosen"
        )
    return choose_subset(table, num_images, seed=flags.seed, keep_every_class=flags.keep_every_class)


def _listed(table: PointsTable, flags: argparse.Namespace) -> np.ndarray:
    ids = read_image_ids(flags.image_ids_path)
    chosen = np.array([image_id in ids for image_id in table.image_ids], bool)
    if missing := ids.difference(table.image_ids):
        told = told_missing(flags.image_ids_path, list(missing), flags.datapoints_input_path)
        if not chosen.any():
            raise UsageError(told)
        print(told)
    return chosen


def _parser() -> ArgumentParser:
    parser = ArgumentParser(description=__doc__ or "", example=EXAMPLE)
    parser.add_argument("--datapoints_input_path", required=True, type=Path, help="points.json")
    parser.add_argument("--datapoints_output_path", required=True, type=Path, help="points.json to write")
    parser.add_argument("--images_path", type=Path, help="images.json of the same images")
    parser.add_argument("--images_output_path", type=Path, help="images.json to write")
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--fraction", type=_positive_fraction, help="the part of the images to choose, such as 0.1")
    size.add_argument("--num_images", type=positive_int, help="how many images to choose")
    size.add_argument("--image_ids_path", type=Path, help=f"choose just these images: {IMAGE_IDS_HELP}")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives another subset")
    parser.add_argument(
        "--keep_every_class",
        action="store_true",
        help="keeps an image of classes too rare for the fraction, at a cost to the other classes' shares",
    )
    parser.add_argument("--class_description_path", help="class descriptions, MID,Name; to print names")
    parser.add_argument(
        "--num_classes_shown", type=int, default=CLASSES_SHOWN, help="classes printed, commonest first; 0 prints all"
    )
    return parser


def _positive_fraction(text: str) -> float:
    value = float(text)
    if not 0.0 < value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0 and up to 1")
    return value


if __name__ == "__main__":
    run_command(main)
