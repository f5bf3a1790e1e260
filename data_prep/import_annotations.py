"""Turns annotations of other makers into points.json, a label map and, where URLs are known, images.json.

Formats: coco (instances_*.json), pascal_voc (a folder of XML files), yolo (a folder of text files beside data.yaml or
classes.txt) and csv (filename,width,height,class,xmin,ymin,xmax,ymax; sizes may be missing, columns in any order).

An image's file name without its suffix becomes its id. Where the name has folders or characters that an id may not
have, those become '_' and ten digits of the name's SHA-256 follow; --image_output_directory puts the images under
their ids. A box that cannot be trained on is left out, counted, and named in the ledger.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from data_prep.annotations.coco import read_coco
from data_prep.annotations.conversion import DEFAULT_MAX_OVERHANG, Options, Summary
from data_prep.annotations.flat_csv import read_flat_csv
from data_prep.annotations.image_list import read_image_list
from data_prep.annotations.importing import import_annotations, summary_lines
from data_prep.annotations.pascal_voc import read_pascal_voc
from data_prep.annotations.source_image import Reject, SourceSet
from data_prep.annotations.yolo import find_class_names, read_yolo
from data_prep.formats.label_map import read_label_map
from data_prep.formats.points import read_points
from data_prep.images.image_file import SUFFIXES, find_image
from data_prep.runtime.command_line import (
    ArgumentParser,
    UsageError,
    fraction,
    run_command,
)
from data_prep.runtime.failure_limit import FailureLimit, Loss, add_max_failures_flag
from data_prep.runtime.ledger import Ledger
from data_prep.runtime.step_stamp import Step

EXAMPLE = """\
  python -m data_prep.import_annotations --format coco --annotations_path annotations/instances_val2017.json \\
      --point_output_path data/validation/points.json --label_map_path data/label_map.pbtxt \\
      --image_index_output_path data/validation/images.json
  python -m data_prep.import_annotations --format pascal_voc --annotations_path VOCdevkit/VOC2012 \\
      --image_directory VOCdevkit/VOC2012/JPEGImages --image_list_path VOCdevkit/VOC2012/ImageSets/Main/train.txt \\
      --point_output_path data/train/points.json --label_map_path data/label_map.pbtxt"""
FORMATS = ("coco", "pascal_voc", "yolo", "csv")
RULES = "data_prep.import_annotations, rules 2"  # another number where the same files would give other points
LEDGER_SUFFIX = ".rejected.jsonl"

_SUFFIX_OF_FOLDERS = {"pascal_voc": ".xml", "yolo": ".txt"}

# Flags that only some formats have, with their defaults.
_FORMATS_OF_FLAG = {
    "class_names_path": ("yolo",),
    "keep_category_ids": ("coco",),
    "coordinates": ("csv",),
    "one_based_pixels": ("pascal_voc", "csv"),
}


def read_source(flags: Any, reject: Reject) -> SourceSet:
    """Reads `flags.annotations_path` with the reader of `flags.format`.

    Raises:
        UsageError: It is not of this format.
    """
    path: Path = flags.annotations_path
    first_pixel = int(flags.one_based_pixels)
    if flags.format == "coco":
        return read_coco(path, keep_category_ids=flags.keep_category_ids, reject=reject)
    if flags.format == "pascal_voc":
        return read_pascal_voc(path, first_pixel=first_pixel, reject=reject)
    if flags.format == "yolo":
        return read_yolo(
            path, class_names_path=flags.class_names_path, image_directory=flags.image_directory, reject=reject
        )
    return read_flat_csv(path, coordinates=flags.coordinates or "auto", first_pixel=first_pixel, reject=reject)


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
    options = Options(
        image_directory=flags.image_directory,
        placing_directory=flags.image_output_directory,
        placing=flags.image_placing,
        ids_with_folders=flags.image_ids == "path",
        max_overhang=flags.max_overhang,
        wanted=read_image_list(flags.image_list_path) if flags.image_list_path is not None else None,
        boxes_are_of=flags.boxes_are_of,
        with_images_of_rejected_boxes=flags.keep_images_of_rejected_boxes,
    )
    if options.placing_directory is not None:
        options.placing_directory.mkdir(parents=True, exist_ok=True)
    with Ledger(ledger_path) as ledger:
        source = read_source(flags, ledger.reject)
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
    num_boxes, num_images = summary.kept_by_label.total(), summary.images_read - summary.images_not_wanted
    return [
        Loss("boxes", summary.boxes_read - num_boxes, summary.boxes_read),
        Loss("pictures", num_images - summary.images_kept, num_images),
        Loss("entries", ledger.total, ledger.total + num_boxes + summary.images_kept),  # some could not even be read
    ]


def _step(flags: Any, ledger_path: Path) -> Step:
    """Returns what a stamp is to say of this run: files by their content, folders by names, sizes and times."""
    inputs: dict[str, Path] = {
        flag: path
        for flag in ("earlier_label_map_path", "image_list_path", "class_names_path")
        if (path := getattr(flags, flag)) is not None
    }
    settings = {flag: value for flag, value in vars(flags).items() if not isinstance(value, Path)}
    settings = {flag: value for flag, value in settings.items() if flag not in ("max_failures", "force")}
    settings["ledger_path"] = str(ledger_path)
    for flag in ("image_directory", "image_output_directory"):
        directory: Path | None = getattr(flags, flag)
        settings[flag] = str(directory.resolve()) if directory is not None else None
    if flags.image_directory is not None:
        settings["pictures"] = _folder_state(flags.image_directory, SUFFIXES)
    if flags.format in _SUFFIX_OF_FOLDERS:
        settings["annotations"] = _folder_state(flags.annotations_path, {_SUFFIX_OF_FOLDERS[flags.format]})
    else:
        inputs["annotations_path"] = flags.annotations_path
    if flags.format == "yolo" and flags.class_names_path is None:
        inputs["class_names_path"] = find_class_names(flags.annotations_path)
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
    parser = ArgumentParser(description=__doc__ or "", example=EXAMPLE)
    parser.add_argument("--format", required=True, choices=FORMATS, help="who wrote the annotations")
    parser.add_argument(
        "--annotations_path", required=True, type=Path, help="the JSON or CSV, or the folder of XML or text files"
    )
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
    parser.add_argument(
        "--image_directory",
        type=Path,
        help="holds the pictures: sizes that annotations lack are read from them, others checked against them",
    )
    parser.add_argument(
        "--image_output_directory", type=Path, help="puts the pictures there as ID.jpg (.png, ...), as later steps want"
    )
    parser.add_argument(
        "--image_placing", choices=("link", "copy"), default="link", help="whether it links or copies them there"
    )
    parser.add_argument(
        "--image_ids",
        choices=("path", "name"),
        default="path",
        help="made of names with their folders, or file names alone (of two alike the second is rejected)",
    )
    parser.add_argument(
        "--image_list_path",
        type=Path,
        help="takes only the pictures that this text names, one a line (VOC's ImageSets)",
    )
    parser.add_argument(
        "--class_names_path", type=Path, help="yolo: data.yaml or classes.txt, if not beside the labels"
    )
    parser.add_argument("--keep_category_ids", action="store_true", help="coco: keep category ids that have gaps")
    parser.add_argument(
        "--coordinates",
        choices=("auto", "pixel", "relative"),
        help="csv: what boxes are in; auto, the default, takes edges of at most 2 as shares of the picture",
    )
    parser.add_argument(
        "--one_based_pixels",
        action="store_true",
        help="pascal_voc, csv: pixels count from 1, as in the challenge's own files: xmin and ymin less one. Without "
        "it they are taken as they are, as the Object Detection API does",
    )
    parser.add_argument(
        "--boxes_are_of",
        choices=("shown", "stored"),
        default="shown",
        help="whether boxes were drawn on the pictures as EXIF turns them, which most tools show, or on the stored "
        "pixels, which later steps and TensorFlow take; boxes are turned to those",
    )
    parser.add_argument(
        "--max_overhang",
        type=fraction,
        default=DEFAULT_MAX_OVERHANG,
        help="how far a box may stick out, as a share of the picture's side, and be cut; beyond it is rejected",
    )
    parser.add_argument(
        "--keep_images_of_rejected_boxes",
        action="store_true",
        help="keep pictures whose boxes were all rejected, as pictures without objects; training takes them for that",
    )
    parser.add_argument(
        "--ledger_path",
        type=Path,
        help=f"JSON lines of what was rejected (default: beside points.json, *{LEDGER_SUFFIX})",
    )
    add_max_failures_flag(parser, FailureLimit(0), "more rejects than this end with exit code 3")
    parser.add_argument("--force", action="store_true", help="do the work even where nothing has changed")
    return parser


def _check_flags(flags: Any) -> None:
    """Refuses flags of another format, flags that need another, and outputs that would overwrite an input."""
    source: Path = flags.annotations_path
    if not source.exists():
        raise UsageError(f"--annotations_path {source} does not exist")
    if source.is_dir() and flags.format not in _SUFFIX_OF_FOLDERS:
        raise UsageError(f"--annotations_path {source} is a folder; --format {flags.format} has all boxes in one file")
    if not source.is_dir() and flags.format in _SUFFIX_OF_FOLDERS:
        raise UsageError(f"--annotations_path {source} is no folder; --format {flags.format} has a file a picture")
    for name, formats in _FORMATS_OF_FLAG.items():
        if getattr(flags, name) not in (None, False) and flags.format not in formats:
            raise UsageError(f"--{name} is for --format {' or '.join(formats)}, not {flags.format}")
    directory: Path | None = flags.image_directory
    if directory is not None and not directory.is_dir():
        raise UsageError(f"--image_directory {directory} is no folder")
    target: Path | None = flags.image_output_directory
    if target is not None and directory is None:
        raise UsageError("--image_output_directory needs --image_directory, where the pictures are")
    if target is not None and directory is not None and target.resolve().is_relative_to(directory.resolve()):
        raise UsageError("--image_output_directory is within --image_directory, and would be read; give each its own")
    seen: dict[Path, str] = {}
    for name in ("annotations_path", "point_output_path", "label_map_path", "image_index_output_path", "ledger_path"):
        path: Path | None = getattr(flags, name)
        if path is not None:
            other = seen.setdefault(path.resolve(), name)
            if other != name:
                raise UsageError(f"--{other} and --{name} are the same file, {path}; give each its own")


def _folder_state(directory: Path, suffixes: Collection[str]) -> str:
    """Returns a digest of the names, sizes and times of all files below `directory` that have one of `suffixes`.

    Nothing is read: a hundred thousand label files take a second or two.

    Args:
        directory: The folder; one that is missing is an empty one.
        suffixes: In small letters, with the dot.
    """
    lines = []
    for path in directory.rglob("*"):
        if path.suffix.lower() in suffixes and path.is_file():
            status = path.stat()
            lines.append(f"{path.relative_to(directory).as_posix()}\0{status.st_size}\0{status.st_mtime_ns}")
    digest = hashlib.sha256()
    for line in sorted(lines):
        digest.update(line.encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()


if __name__ == "__main__":
    run_command(main)
