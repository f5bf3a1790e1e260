"""Makes the sample set: small furnished rooms, drawn and annotated, written exactly as Open Images is."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from data_prep.runtime.command_line import EXIT_DONE, ArgumentParser, int_between, positive_int, run_command
from data_prep.runtime.worker_pool import default_num_processes
from data_prep.sample_rooms.sample_set import (
    BASE_URL,
    SUBSETS,
    SampleSetOptions,
    SampleSetSummary,
    make_sample_set,
)

LARGEST_SIDE = 4096
SMALLEST_SIDE = 96


def main(argv: Sequence[str] | None = None) -> int:
    """Makes the sample set and says what is in it; returns the exit code."""
    arguments = _parser().parse_args(argv)
    width, height = arguments.image_size
    options = SampleSetOptions(arguments.num_train, arguments.num_validation, arguments.seed, width, height)
    summary = make_sample_set(
        arguments.output_directory, options, num_processes=arguments.num_processes, overwrite=arguments.overwrite
    )
    print(format_summary(summary))
    return EXIT_DONE


def format_summary(summary: SampleSetSummary) -> str:
    """Returns a table of a set's classes, and where it is."""
    counts = " and ".join(f"{summary.images[subset]} {subset}" for subset in SUBSETS)
    verb = "found, made earlier with the same options" if summary.reused else "made"
    lines = [f"{counts} images {verb}: {summary.directory}", "", "boxes (and images with them) by class"]
    lines.append(f"  {'class':<12}" + "".join(f"{subset:>16}" for subset in SUBSETS))
    for name in summary.boxes["train"]:
        cells = (f"{summary.boxes[subset][name]} ({summary.images_with[subset][name]})" for subset in SUBSETS)
        lines.append(f"  {name:<12}" + "".join(f"{cell:>16}" for cell in cells))
    totals = (str(sum(summary.boxes[subset].values())) for subset in SUBSETS)
    lines.append(f"  {'all':<12}" + "".join(f"{total:>16}" for total in totals))
    lines += ["", f"a sheet of its images with their boxes: {summary.contact_sheet}"]
    return "\n".join(lines)


def _parser() -> ArgumentParser:
    defaults = SampleSetOptions()
    parser = ArgumentParser(
        description=(
            "Draws small furnished rooms and writes them as Open Images is: boxes, image index, class descriptions,\n"
            "trainable classes, and a folder of images for each subset. The same seed gives the same files. The\n"
            f"image index' addresses begin with {BASE_URL}: `python -m http.server` in the folder serves them."
        ),
        example="  python -m data_prep.make_sample_set --output_directory data/rooms",
    )
    parser.add_argument("--output_directory", required=True, help="folder of the set; a set that is there is reused")
    parser.add_argument("--num_train", type=positive_int, default=defaults.num_train, help="images to train on")
    parser.add_argument(
        "--num_validation", type=positive_int, default=defaults.num_validation, help="held-out images to evaluate on"
    )
    parser.add_argument(
        "--seed",
        type=int_between(0, 2**63 - 1, "whole number"),
        default=defaults.seed,
        help="another seed gives other rooms",
    )
    parser.add_argument(
        "--image_size",
        type=_size,
        default=f"{defaults.image_width}x{defaults.image_height}",
        metavar="WIDTHxHEIGHT",
        help="of each image, in pixels",
    )
    parser.add_argument(
        "--num_processes",
        type=positive_int,
        default=default_num_processes(),
        help="images drawn at once; changes no byte",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace a sample set that was made there with other options"
    )
    return parser


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(side) for side in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not WIDTHxHEIGHT, such as 512x384") from None
    if not all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in (width, height)):
        raise argparse.ArgumentTypeError(f"{text}: each side must be {SMALLEST_SIDE} to {LARGEST_SIDE} pixels")
    return width, height


if __name__ == "__main__":
    run_command(main)
