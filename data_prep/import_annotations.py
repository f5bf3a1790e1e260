"""Turns annotations of other makers into points.json, a label map and, where URLs are known, images.json.

Formats, and what --annotations_path is for each:
{formats}

An image's file name without its suffix becomes its id. Where the name has folders or characters that an id may not
have, those become '_' and ten digits of the name's SHA-256 follow; --image_output_directory puts the images under
their ids. A box that cannot be trained on is left out, counted, and named in the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from data_prep.annotations.conversion_options import Summary
from data_prep.annotations.importing import import_annotations, summary_lines
from data_prep.annotations.several_sources import read_sources, source_state
from data_prep.annotations.source_flags import (
    add_conversion_flags,
    add_placing_flags,
    add_source_flags,
    check_placing_flags,
    check_source_flags,
    conversion_options,
    format_lines,
)
from data_prep.formats.label_map import read_label_map
from data_prep.formats.points import read_points
from data_prep.images.image_file import find_image
from data_prep.runtime.command_line import ArgumentParser, refuse_same_paths, run_command
from data_prep.runtime.failure_limit import FailureLimit, Loss, add_max_failures_flag
from data_prep.runtime.ledger import Ledger
from data_prep.runtime.step_stamp import Step

EXAMPLE = """\
  python -m data_prep.import_annotations --format coco --annotations_path annotations/instances_val2017.json \\
      --point_output_path data/validation/points.json --label_map_path data/label_map.pbtxt \\
      --image_index_output_path data/validation/images.json
  python -m data_prep.import_annotations --format pascal_voc --annotations_path VOCdevkit/VOC2012 \\
      --image_directory VOCdevkit/VOC2012/JPEGImages --image_list_path VOCdevkit/VOC2012/ImageSets/Main/train.txt \\
      --point_output_path data/train/points.json --label_map_path data/label_map.pbtxt
  python -m data_prep.import_annotations --format oidv4_toolkit --annotations_path OID/Dataset --splits train \\
      --image_output_directory data/images --point_output_path data/train/points.json \\
      --label_map_path data/label_map.pbtxt"""
RULES = "data_prep.import_annotations, rules 3"  # another number where the same files would give other points
LEDGER_SUFFIX = ".rejected.jsonl"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command."""
    flags = _parser().parse_args(argv)
    _check_flags(flags)
    point_path: Path = flags.point_output_path
    ledger_path: Path = flags.ledger_path or point_path.with_name(point_path.stem + LEDGER_SUFFIX)
    step = _step(flags, ledger_path)
    notes = None if flags.force else step.earlier_notes()
    if notes is not None and _are_all_placed(point_path, flags.image_output_directory):
        print(f"nothing to do: {point_path} is of these files and flags already (--force does it again); it holds")
        print("\n".join(notes["lines"]))
        # A stamp of an earlier version does not say of how many: then any that was rejected is more than any share.
        losses = [Loss(*values) for values in notes.get("losses", [("entries", notes["rejected"], 0)])]
        earlier_code: int = flags.max_failures.exit_code(notes["rejected"], losses)
        return earlier_code
    inputs = step.inputs_now()
    earlier_path: Path | None = flags.earlier_label_map_path
    if earlier_path is None and flags.label_map_path.exists():
        earlier_path = flags.label_map_path
    earlier = read_label_map(earlier_path) if earlier_path is not None else None
    options = conversion_options(flags)
    if options.placing_directory is not None:
        options.placing_directory.mkdir(parents=True, exist_ok=True)
    with Ledger(ledger_path) as ledger:
        source = read_sources(flags, ledger.reject)
        summary, label_map, remarks = import_annotations(
            source,
            options=options,
            earlier=earlier,
            point_path=point_path,
            label_map_path=flags.label_map_path,
            images_path=flags.image_index_output_path,
            ledger=ledger,
        )
    lines = summary_lines(summary, ledger, options, remarks)
    print("\n".join(lines))
    print(f"wrote {summary.images_kept} points to {point_path} and {len(label_map)} classes to {flags.label_map_path}")
    losses = _losses(summary, ledger)
    step.write(inputs, {"lines": lines, "rejected": ledger.total, "losses": [astuple(loss) for loss in losses]})
    exit_code: int = flags.max_failures.exit_code(ledger.total, losses)
    return exit_code


def _losses(summary: Summary, ledger: Ledger) -> list[Loss]:
    """Returns what a share of `--max_failures` is held against."""
    num_boxes, num_unlike = summary.kept_by_label.total(), summary.boxes_read - summary.boxes_listed_twice
    num_images = summary.images_read - summary.images_not_wanted - summary.images_united
    return [
        Loss("boxes", num_unlike - num_boxes, num_unlike),
        Loss("images", num_images - summary.images_kept, num_images),
        Loss("entries", ledger.total, ledger.total + num_boxes + summary.images_kept),  # some could not even be read
    ]


def _step(flags: Any, ledger_path: Path) -> Step:
    """Returns what a stamp is to say of this run: files by their content, folders by names, sizes and times."""
    inputs, folders = source_state(flags)
    for flag in ("earlier_label_map_path", "image_list_path"):
        path: Path | None = getattr(flags, flag)
        if path is not None:
            inputs[flag] = path
    settings = {flag: value for flag, value in vars(flags).items() if not isinstance(value, Path)}
    for flag in ("max_failures", "force", "annotations_path", "image_directory"):
        del settings[flag]
    settings |= folders
    settings["ledger_path"] = str(ledger_path)
    placing_directory: Path | None = flags.image_output_directory
    settings["image_output_directory"] = str(placing_directory.resolve()) if placing_directory is not None else None
    outputs = [flags.point_output_path, flags.label_map_path]
    if flags.image_index_output_path is not None:
        outputs.append(flags.image_index_output_path)
    return Step(RULES, settings, inputs, outputs)


def _are_all_placed(point_path: Path, directory: Path | None) -> bool:
    """Tells whether the image of each point is in `directory`, if there is to be one."""
    if directory is None:
        return True
    return all(find_image(directory, point["id"]) is not None for point in read_points(point_path))


def _parser() -> ArgumentParser:
    parser = ArgumentParser(description=(__doc__ or "").format(formats=format_lines()), example=EXAMPLE)
    add_source_flags(parser)
    parser.add_argument("--point_output_path", required=True, type=Path, help="points.json to write")
    parser.add_argument(
        "--label_map_path",
        required=True,
        type=Path,
        help="label map to write; one that is there keeps its ids, and new classes follow",
    )
    parser.add_argument(
        "--earlier_label_map_path", type=Path, help="a label map of an earlier run elsewhere, whose ids are kept"
    )
    parser.add_argument(
        "--image_index_output_path", type=Path, help="images.json to write for the download, where COCO names URLs"
    )
    add_placing_flags(parser)
    add_conversion_flags(parser)
    parser.add_argument(
        "--ledger_path",
        type=Path,
        help=f"JSON lines of what was rejected (default: beside points.json, *{LEDGER_SUFFIX})",
    )
    add_max_failures_flag(parser, FailureLimit(0), "more rejects than this end with exit code 3")
    parser.add_argument("--force", action="store_true", help="do the work even where nothing has changed")
    return parser


def _check_flags(flags: Any) -> None:
    """Refuses flags that do not go together, and outputs that would overwrite an input."""
    check_source_flags(flags)
    check_placing_flags(flags)
    outputs = ("point_output_path", "label_map_path", "image_index_output_path", "ledger_path")
    refuse_same_paths(
        [
            *(("--annotations_path", path) for path in flags.annotations_path),
            *((f"--{name}", getattr(flags, name)) for name in outputs),
        ]
    )


if __name__ == "__main__":
    run_command(main)
