"""Writes points or records as annotations of other tools: COCO JSON, Pascal VOC XML or YOLO text.

Class ids are the label map's (YOLO counts from 0: id 1 is class 0). What a format cannot hold, such as a depiction in
COCO, is counted and told. `import_annotations` reads all of it back, the boxes the same to a thousandth of a pixel
(Pascal VOC's to half a pixel unless --fractional_pixels).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from data_prep.annotation_export.coco_file import coco_writer
from data_prep.annotation_export.export_summary import ExportSummary, summary_lines
from data_prep.annotation_export.exported_image import ClassNames, ExportedClasses, ExportedImage, classes_of
from data_prep.annotation_export.exporting import FORGIVEN_FLAG, ExportOptions, Format, GroupOf, export
from data_prep.annotation_export.pascal_voc_files import Pixels, pascal_voc_writer
from data_prep.annotation_export.points_source import images_of_points
from data_prep.annotation_export.records_source import images_of_records, refuse_another_label_map
from data_prep.annotation_export.yolo_files import yolo_writer
from data_prep.annotations.frame import BoxesAreOf
from data_prep.annotations.image_folder import Placing
from data_prep.formats.label_map import LabelMap, read_label_map
from data_prep.formats.shard_names import find_shards
from data_prep.runtime.atomic_files import remove_leftovers
from data_prep.runtime.command_line import (
    ArgumentParser,
    UsageError,
    positive_int,
    refuse_same_paths,
    require_folder,
    run_command,
)
from data_prep.runtime.failure_limit import FailureLimit, add_max_failures_flag
from data_prep.runtime.ledger import Ledger

EXAMPLE = """\
  python -m data_prep.export_annotations --format coco --datapoints_input_path data/train.clean.json \\
      --image_directory data/images/train --label_map_path data/label_map.pbtxt --output_path data/instances_train.json
  python -m data_prep.export_annotations --format yolo --input_path 'data/train.record-*' \\
      --label_map_path data/label_map.pbtxt --output_directory data/yolo --split train \\
      --image_output_directory data/yolo/images/train"""
LEDGER_SUFFIX = ".rejected.jsonl"

_SPLIT = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FORMATS_OF_FLAG = {
    "output_path": ("coco",),
    "output_directory": ("pascal_voc", "yolo"),
    "split": ("pascal_voc", "yolo"),
    "one_based_pixels": ("pascal_voc",),
    "fractional_pixels": ("pascal_voc",),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command."""
    flags = _parser().parse_args(argv)
    _check_flags(flags)
    label_map = read_label_map(flags.label_map_path)
    classes = classes_of(label_map, flags.class_names)
    split: str = flags.split or "train"
    output: Path = flags.output_path or flags.output_directory
    default_ledger = output.with_name(output.stem) if flags.output_path else output / split
    ledger_path: Path = flags.ledger_path or default_ledger.with_name(default_ledger.name + LEDGER_SUFFIX)
    paths = ("datapoints_input_path", "label_map_path", "output_path")
    refuse_same_paths([*((f"--{flag}", getattr(flags, flag)) for flag in paths), ("--ledger_path", ledger_path)])
    default: GroupOf = "forgive" if flags.format == "coco" else "keep"
    options = ExportOptions(
        flags.format, flags.group_of_boxes or default, flags.image_output_directory, flags.image_placing
    )
    summary = ExportSummary()
    remove_leftovers(ledger_path)
    with Ledger(ledger_path) as ledger:
        images = _images(flags, label_map, summary, ledger)
        export(images, _writer(flags, classes, split), options, summary, ledger)
    lines = [*summary_lines(summary, ledger, classes, flags.format), *_remarks(flags, classes, split)]
    print("\n".join([*lines, *_note_of_others(flags, split, summary)]))
    if options.image_directory is not None:
        print(f"images in {options.image_directory}: {summary.images_in_place}")
    print(f"wrote {summary.boxes_by_class.total()} boxes of {summary.images_written} images to {output}")
    exit_code: int = flags.max_failures.exit_code(ledger.total, summary.losses())
    return exit_code


def _images(flags: Any, label_map: LabelMap, summary: ExportSummary, ledger: Ledger) -> Iterator[ExportedImage]:
    are_shown = flags.boxes_are_of == "shown"
    if flags.input_path is None:
        return images_of_points(
            flags.datapoints_input_path,
            flags.image_directory,
            label_map,
            are_shown=are_shown,
            num_threads=flags.num_threads,
            summary=summary,
            ledger=ledger,
        )
    shards = find_shards(flags.input_path)
    refuse_another_label_map(shards, label_map)
    return images_of_records(shards, label_map, are_shown=are_shown, summary=summary, ledger=ledger)


def _writer(
    flags: Any, classes: ExportedClasses, split: str
) -> contextlib.AbstractContextManager[Callable[[ExportedImage], None]]:
    if flags.format == "coco":
        return coco_writer(flags.output_path, classes)
    if flags.format == "pascal_voc":
        pixels = Pixels(int(flags.one_based_pixels), flags.fractional_pixels)
        return pascal_voc_writer(flags.output_directory, split, classes, pixels)
    return yolo_writer(flags.output_directory, split, classes, _yolo_image_directory(flags, split))


def _yolo_image_directory(flags: Any, split: str) -> Path:
    directory: Path = flags.image_output_directory or flags.image_directory or flags.output_directory / "images" / split
    return directory


def _remarks(flags: Any, classes: ExportedClasses, split: str) -> list[str]:
    """Returns what a reader of the files should know."""
    remarks = []
    if flags.format == "yolo" and not classes.are_counted_from_one:
        old = [class_id for class_id, _ in classes]
        changed = next(number for number, class_id in enumerate(old) if class_id != number + 1)
        remarks.append(f"class ids have gaps, and YOLO's classes none: id {old[changed]} is class {changed}, and so on")
    if flags.format == "pascal_voc" and not flags.fractional_pixels:
        remarks.append("edges are rounded to whole pixels (--fractional_pixels keeps them)")
    if flags.format == "yolo":
        fitting = flags.output_directory / "images" / split
        if _yolo_image_directory(flags, split).resolve() != fitting.resolve():
            remarks.append(f"note: trainers look for the images in {fitting}; --image_output_directory puts them there")
    return remarks


def _note_of_others(flags: Any, split: str, summary: ExportSummary) -> list[str]:
    """Returns what to say of annotation files that lie among those written, of other splits or an earlier export."""
    if flags.format == "coco":
        return []
    inner, suffix = ("Annotations", ".xml") if flags.format == "pascal_voc" else (f"labels/{split}", ".txt")
    folder: Path = flags.output_directory / inner
    num_others = sum(path.suffix == suffix for path in folder.iterdir()) - summary.images_written
    listed = "ImageSets/Main/" * (flags.format == "pascal_voc") + f"{split}.txt"
    return [f"note: {num_others} more files in {folder} are not of this export, which {listed} lists"] * (
        num_others > 0
    )


def _parser() -> ArgumentParser:
    parser = ArgumentParser(description=__doc__ or "", example=EXAMPLE)
    parser.add_argument("--format", required=True, choices=get_args(Format), help="who is to read the annotations")
    parser.add_argument("--datapoints_input_path", type=Path, help="points.json; or give --input_path")
    parser.add_argument("--image_directory", type=Path, help="the images of points.json, whose sizes are read")
    parser.add_argument("--input_path", nargs="+", help="record files: paths, a glob, NAME@10, or several with commas")
    parser.add_argument("--label_map_path", required=True, type=Path, help="label_map.pbtxt: the classes and their ids")
    parser.add_argument("--output_path", type=Path, help="coco: the JSON to write")
    parser.add_argument(
        "--output_directory",
        type=Path,
        help="pascal_voc: gets Annotations/ID.xml, ImageSets/Main/SPLIT.txt and labelmap.txt; "
        "yolo: gets labels/SPLIT/ID.txt, SPLIT.txt with the images, and data.yaml",
    )
    parser.add_argument("--split", help="pascal_voc, yolo: the part that this is, such as val (default: train)")
    parser.add_argument(
        "--image_output_directory", type=Path, help="puts the images there, as ID.jpg (.png, ...); out of records too"
    )
    parser.add_argument(
        "--image_placing",
        choices=get_args(Placing),
        default="link",
        help="whether images of --image_directory are linked or copied there",
    )
    parser.add_argument(
        "--class_names",
        choices=get_args(ClassNames),
        default="display_name",
        help="which of the label map's names the classes get (where it has no display_name, the name)",
    )
    parser.add_argument(
        "--group_of_boxes",
        choices=get_args(GroupOf),
        help="boxes around a group of things: keep them as any box, drop them, or forgive: iscrowd (coco) or difficult "
        "(pascal_voc), in which evaluation counts no detection as false (default: forgive for coco, else keep)",
    )
    parser.add_argument(
        "--boxes_are_of",
        choices=get_args(BoxesAreOf),
        default="shown",
        help="whether boxes and sizes are to be of the images as EXIF turns them, which most tools show, or of the "
        "stored pixels; the same flag of import_annotations reads them back",
    )
    parser.add_argument(
        "--one_based_pixels",
        action="store_true",
        help="pascal_voc: count pixels from 1, as the challenge's own files and most readers of them do",
    )
    parser.add_argument(
        "--fractional_pixels",
        action="store_true",
        help="pascal_voc: write fractions of a pixel; some readers take whole numbers only",
    )
    parser.add_argument("--num_threads", type=positive_int, default=8, help="images' headers read at a time")
    parser.add_argument(
        "--ledger_path",
        type=Path,
        help=f"JSON lines of what was rejected (default: beside the JSON, or SPLIT{LEDGER_SUFFIX} in the folder)",
    )
    add_max_failures_flag(parser, FailureLimit(0), "more rejects than this end with exit code 3")
    return parser


def _check_flags(flags: Any) -> None:
    """Refuses flags of another format, and flags that do not go together."""
    for name, formats in _FORMATS_OF_FLAG.items():
        if getattr(flags, name) not in (None, False) and flags.format not in formats:
            raise UsageError(f"--{name} is for --format {' or '.join(formats)}, not {flags.format}")
    needed = "output_path" if flags.format == "coco" else "output_directory"
    if getattr(flags, needed) is None:
        raise UsageError(f"--format {flags.format} needs --{needed}")
    if (flags.input_path is None) == (flags.datapoints_input_path is None):
        raise UsageError("give either --datapoints_input_path, points.json, or --input_path, records")
    directory: Path | None = flags.image_directory
    if (directory is None) != (flags.input_path is not None):
        raise UsageError("--image_directory belongs to --datapoints_input_path: the images' sizes are read from there")
    if directory is not None:
        require_folder("--image_directory", directory)
    target: Path | None = flags.image_output_directory
    if target is not None and directory is not None and target.resolve().is_relative_to(directory.resolve()):
        raise UsageError("--image_output_directory is within --image_directory; give each its own")
    if flags.split is not None and not _SPLIT.fullmatch(flags.split):
        raise UsageError(f"--split {flags.split[:80]!r} is no plain name of letters, digits, '_' and '-'")
    if flags.format == "yolo" and flags.split in ("nc", "names", "path", "classes"):
        raise UsageError(f"--split {flags.split} has another meaning in YOLO's files")
    if flags.group_of_boxes == "forgive" and flags.format not in FORGIVEN_FLAG:
        raise UsageError(f"--group_of_boxes forgive: {flags.format} has no mark for such boxes; keep or drop them")


if __name__ == "__main__":
    run_command(main)
