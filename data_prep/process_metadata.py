"""Turns Open Images' boxes and image index into points.json (what is on each image) and images.json (what to fetch).

Only boxes of the classes asked for, and images that have such a box, are kept. A row that cannot be trained on (not a
number, reversed, empty or outside the image, an unknown label, an unsafe image id, an image that the index lacks) is
left out, counted, and named in the ledger. Running it again over unchanged files with the same flags does no work.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

from data_prep.metadata.class_choice import MAX_SEED, Choice, Sources, add_filter_flags, filters_of_flags
from data_prep.metadata.hierarchy import Expansion, read_hierarchy
from data_prep.metadata.open_images import add_class_flags, classes_of_flags
from data_prep.runtime.atomic_files import remove_leftovers
from data_prep.runtime.command_line import (
    ArgumentParser,
    UsageError,
    int_between,
    positive_int,
    refuse_same_paths,
    run_command,
)
from data_prep.runtime.failure_limit import FailureLimit, Loss, add_max_failures_flag
from data_prep.runtime.ledger import Ledger
from data_prep.runtime.step_stamp import Step

EXAMPLE = """\
  python -m data_prep.process_metadata --annotations_input_path data/train-annotations-bbox.csv \\
      --image_index_input_path data/train-images-boxable-with-rotation.csv \\
      --classes 'Bed' 'Television' --class_description_path data/class-descriptions-boxable.csv \\
      --point_output_path data/train/points.json --image_index_output_path data/train/images.json"""
LEDGER_SUFFIX = ".rejected.jsonl"
RULES = "data_prep.process_metadata, rules 2"  # another number where the same files and flags would give other points
_PATH_FLAGS = frozenset(
    {
        "annotations_input_path", "image_index_input_path", "image_labels_input_path", "trainable_classes_path",
        "class_description_path", "hierarchy_path", "point_output_path", "image_index_output_path",
    }
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command."""
    flags = _parser().parse_args(argv)
    point_path = Path(flags.point_output_path)
    ledger_path = Path(flags.ledger_path or point_path.with_name(point_path.stem + LEDGER_SUFFIX))
    step = _step(flags, ledger_path)
    refuse_same_paths(
        [
            *((f"--{flag.partition(' ')[0]}", Path(path)) for flag, path in step.inputs.items()),
            ("--point_output_path", point_path),
            ("--image_index_output_path", Path(flags.image_index_output_path)),
            ("--ledger_path", ledger_path),
        ]
    )
    # Here too, for a run that finds nothing to do: a killed one may have been told to --force it.
    remove_leftovers(point_path, flags.image_index_output_path, ledger_path, step.stamp_path)
    notes = step.earlier_notes()
    if notes is not None and not flags.force:
        print(f"nothing to do: {point_path} is of these files and flags already (--force does it again); it holds")
        print("\n".join(notes["lines"]))
        losses = [Loss(*values) for values in notes["losses"]]
        return flags.max_failures.exit_code(notes["rejected"], losses)
    inputs = step.inputs_now()
    labels, descriptions = classes_of_flags(flags)
    choice = Choice(
        labels=labels,
        names=descriptions,
        filters=filters_of_flags(flags),
        with_images_without_boxes=flags.keep_images_without_boxes,
        with_images_of_rejected_boxes=flags.keep_images_of_rejected_boxes,
        max_images_per_class=flags.max_images_per_class,
        seed=flags.seed,
        expansion=Expansion(read_hierarchy(flags.hierarchy_path), labels, descriptions)
        if flags.expand_hierarchy
        else None,
    )
    if choice.with_images_without_boxes and flags.image_labels_input_path is None:
        raise UsageError("--keep_images_without_boxes keeps those with verified labels; give --image_labels_input_path")
    if choice.with_images_of_rejected_boxes and not choice.with_images_without_boxes:
        raise UsageError(
            "--keep_images_of_rejected_boxes keeps them as images without boxes; give --keep_images_without_boxes"
        )
    # Here, as Polars takes a third of a second: a mistake need not wait for it, and the inputs are hashed meanwhile.
    from data_prep.metadata.open_images_points import process_metadata
    from data_prep.metadata.points_summary import summary_lines

    with Ledger(ledger_path) as ledger:
        summary = process_metadata(
            Sources(flags.annotations_input_path, flags.image_index_input_path, flags.image_labels_input_path or ()),
            choice,
            point_path=flags.point_output_path,
            images_path=flags.image_index_output_path,
            ledger=ledger,
        )
    lines = summary_lines(summary, ledger, choice)
    print("\n".join(lines))
    losses = summary.losses()
    step.write(inputs, {"lines": lines, "rejected": ledger.total, "losses": [astuple(loss) for loss in losses]})
    return flags.max_failures.exit_code(ledger.total, losses)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(description=__doc__ or "", example=EXAMPLE)
    parser.add_argument(
        "--annotations_input_path",
        required=True,
        nargs="+",
        metavar="CSV",
        help="boxes CSVs, plain or gzipped; a box that an earlier one has as well is taken once",
    )
    parser.add_argument(
        "--image_index_input_path",
        required=True,
        nargs="+",
        metavar="CSV",
        help="image index CSVs, plain or gzipped; points stand in their order, one after the other",
    )
    parser.add_argument(
        "--image_labels_input_path",
        nargs="+",
        metavar="CSV",
        help="CSVs of labels of images as a whole that people verified, present (1) and absent (0); "
        "they go into points.json, where evaluation on Open Images looks for them",
    )
    add_class_flags(parser, "classes to keep (default: all)")
    parser.add_argument(
        "--expand_hierarchy",
        action="store_true",
        help="as the challenge evaluates: repeat a box for each class above its own in --hierarchy_path (a Bed is "
        "Furniture), and verified labels: present ones for those above, absent ones for those below; classes that "
        "were not asked for are left out",
    )
    add_filter_flags(parser)
    parser.add_argument(
        "--keep_images_without_boxes",
        action="store_true",
        help="keep images too that have verified labels of the classes, but no box that is kept",
    )
    parser.add_argument(
        "--keep_images_of_rejected_boxes",
        action="store_true",
        help="with it: also those whose boxes were all rejected; training takes them for images without objects",
    )
    parser.add_argument(
        "--max_images_per_class",
        type=positive_int,
        help="draw images until each class has this many, or all it has; rare classes draw first, and what they draw "
        "counts for the classes that are on it as well",
    )
    parser.add_argument(
        "--seed",
        type=int_between(0, MAX_SEED, "whole number"),
        default=0,
        help="of the draw: the same seed draws the same images",
    )
    parser.add_argument("--point_output_path", required=True, help="points.json to write")
    parser.add_argument("--image_index_output_path", required=True, help="images.json to write")
    parser.add_argument(
        "--ledger_path", help=f"JSON lines of what was rejected (default: beside points.json, *{LEDGER_SUFFIX})"
    )
    add_max_failures_flag(
        parser,
        FailureLimit(1000, 1.0),
        "more rejected rows and images than this end with exit code 3; a share is of the boxes of the classes asked "
        "for, of their images, and of the rows of each other file",
    )
    parser.add_argument("--force", action="store_true", help="do the work even where nothing has changed")
    return parser


def _step(flags: argparse.Namespace, ledger_path: Path) -> Step:
    values = vars(flags)
    inputs = {}
    for flag in sorted(_PATH_FLAGS):
        paths = values[flag] if "output" not in flag else None
        for number, path in enumerate([paths] if isinstance(paths, str) else paths or (), start=1):
            inputs[flag if number == 1 else f"{flag} {number}"] = path
    others = {flag: value for flag, value in values.items() if flag not in {*_PATH_FLAGS, "max_failures", "force"}}
    others["ledger_path"] = str(ledger_path)
    return Step(RULES, others, inputs, (flags.point_output_path, flags.image_index_output_path))


if __name__ == "__main__":
    run_command(main, leaves_at_once=True)
