"""Decodes every image of points.json whole, makes it an RGB JPEG of bounded size, and drops the points without one.

Run again, it goes on where it was: an image that an earlier run has dealt with, and that has not changed since, is not
decoded again.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from data_prep.cleaning.image_validation import (
    ENCODED_ANEW,
    MISSING,
    Outcome,
    Validation,
    add_dimension_flags,
)
from data_prep.cleaning.validation_run import validate_images
from data_prep.formats.points import write_points
from data_prep.records.point_index import PointIndex, index_points
from data_prep.runtime.command_line import (
    ArgumentParser,
    UserError,
    positive_int,
    require_folder,
    run_command,
)
from data_prep.runtime.failure_limit import FailureLimit, Loss, add_max_failures_flag
from data_prep.runtime.ledger import Ledger
from data_prep.runtime.progress import progress
from data_prep.runtime.worker_pool import default_num_processes


def make_parser() -> ArgumentParser:
    """Returns the command's flags."""
    parser = ArgumentParser(
        description="Decodes every image of points.json, makes it an RGB JPEG of at most --max_dimension pixels\n"
        "a side, and writes the points whose image is sound. EXIF orientation is removed, never applied:\n"
        "the boxes relate to the pixels as stored.",
        example="  python -m data_prep.validate_images --image_directory images \\\n"
        "      --image_saving_directory images_1024 \\\n"
        "      --datapoints_input_path points.json --datapoints_output_path clean_points.json",
    )
    parser.add_argument("--image_directory", required=True, type=Path, help="holds ID.jpg (or .jpeg, .png, .webp, ...)")
    parser.add_argument(
        "--image_saving_directory",
        type=Path,
        help="where sound images go, as ID.jpg; without it, what has to change is replaced where it is",
    )
    parser.add_argument("--datapoints_input_path", required=True, type=Path, help="points.json")
    parser.add_argument("--datapoints_output_path", required=True, type=Path, help="the points with a sound image")
    add_dimension_flags(parser)
    parser.add_argument(
        "--num_processes", type=positive_int, default=default_num_processes(), help="images worked on at a time"
    )
    parser.add_argument(
        "--ledger_path", type=Path, help="where rejects are listed (by default DATAPOINTS_OUTPUT_PATH.rejected.jsonl)"
    )
    add_max_failures_flag(parser, FailureLimit(0), "more rejects than this end with exit code 3")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    flags = make_parser().parse_args(argv)
    source_directory: Path = flags.image_directory
    validation = Validation(
        source_directory,
        flags.image_saving_directory or source_directory,
        max_dimension=flags.max_dimension,
        min_dimension=flags.min_dimension,
    )
    output_path: Path = flags.datapoints_output_path
    require_folder("--image_directory", source_directory)
    points = index_points(flags.datapoints_input_path, lambda image_id, number: number)
    if not len(points):
        raise UserError(f"{flags.datapoints_input_path} lists no images: nothing to validate")
    ledger_path = flags.ledger_path or output_path.with_name(output_path.name + ".rejected.jsonl")
    counts = _Counts()
    with Ledger(ledger_path) as ledger:
        num_processes = min(flags.num_processes, len(points))
        num_kept = write_points(output_path, _sound_points(points, validation, num_processes, counts, ledger))
    print(f"{len(points)} images: {', '.join([*counts.in_words(), ledger.summary()])}")
    print(
        f"wrote {num_kept} points with {counts.boxes} boxes to {output_path}; images are in "
        f"{validation.target_directory}"
    )
    if not counts.worked_on:
        print("nothing had to be decoded: all images are as an earlier run found or left them")
    return flags.max_failures.exit_code(ledger.total, [Loss("images", ledger.total, len(points))])


class _Counts:
    """Counts of the images, by result."""

    def __init__(self) -> None:
        self.kept: Counter[str] = Counter()
        self.changes: Counter[str] = Counter()
        self.boxes = 0
        self.worked_on = 0  # images that this run has read

    def add(self, outcome: Outcome) -> None:
        self.worked_on += not outcome.is_known and outcome.what != MISSING
        if outcome.kept:
            self.kept[outcome.what] += 1
            self.changes.update(outcome.changes)

    def in_words(self) -> list[str]:
        why = ", ".join(f"{number} {kind}" for kind, number in self.changes.most_common())
        return [
            f"{count} {what} ({why})" if what == ENCODED_ANEW and why else f"{count} {what}"
            for what, count in self.kept.most_common()
        ]


def _sound_points(
    points: PointIndex, validation: Validation, num_processes: int, counts: _Counts, ledger: Ledger
) -> Iterator[dict[str, Any]]:
    """Yields the points whose image is sound, in order; of millions, only a few are held in memory."""
    ahead, behind = itertools.tee(map(json.loads, points.texts()))
    outcomes = validate_images((point["id"] for point in ahead), validation, num_processes=num_processes)
    shown = progress(outcomes, description="validate", total=len(points), unit="images")
    try:
        for point, outcome in zip(behind, shown, strict=True):
            counts.add(outcome)
            if outcome.kept:
                counts.boxes += len(point["annotations"])
                yield point
            else:
                ledger.reject(point["id"], outcome.what, outcome.detail)
    except OSError as error:
        where = validation.target_directory
        raise UserError(f"cannot write images to {where}: {error.strerror or error}") from error
    if not counts.kept:
        raise UserError(f"none of the {len(points)} images is sound, so no points are written; see {ledger.path}")


if __name__ == "__main__":
    run_command(main)
