"""The flags by which a command is told which annotations to read and how to take them; one list for all commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data_prep.annotations.conversion_options import DEFAULT_MAX_OVERHANG, Options
from data_prep.annotations.csv_columns import RETINANET_COLUMNS, check_asked_columns
from data_prep.annotations.image_list import read_image_list
from data_prep.annotations.source_formats import FORMATS, asked_columns
from data_prep.runtime.command_line import ArgumentParser, UsageError, fraction, require_folder

_COLUMN_HELP = {
    "file": "the image's file, if not called filename, image, path or the like",
    "class": "the class, if not called class, label, category, name or the like",
    "xmin": "the left edge, if not called xmin, x1 or left; so for the other edges",
    "ymin": "the upper edge",
    "xmax": "the right edge",
    "ymax": "the lower edge",
    "width": "the image's width",
    "height": "the image's height",
    "confidence": "the confidence, if not called confidence or score",
    "x_center": "the box's centre, with --box_width_column",
    "y_center": "the box's centre, with --box_height_column",
    "box_width": "the box's width, instead of its right edge",
    "box_height": "the box's height, instead of its lower edge",
}

_FORMAT_FLAGS = tuple(dict.fromkeys(flag for source_format in FORMATS.values() for flag in source_format.flags))


def _formats_with(flag: str) -> str:
    return ", ".join(name for name, source_format in FORMATS.items() if flag in source_format.flags)


def format_lines() -> str:
    """Returns what the formats are, a line each, for a command's description."""
    width = max(map(len, FORMATS))
    return "\n".join(f"  {name:{width}}  {source_format.description}" for name, source_format in FORMATS.items())


def add_source_flags(parser: ArgumentParser) -> None:
    """Adds `--format`, `--annotations_path`, `--image_directory`, and the flags that only some formats have."""
    parser.add_argument("--format", required=True, choices=tuple(FORMATS), help="who wrote the annotations")
    parser.add_argument(
        "--annotations_path",
        required=True,
        nargs="+",
        type=Path,
        help="the file or folder of annotations that the format says; several of one format are read as one set",
    )
    parser.add_argument(
        "--image_directory",
        nargs="+",
        type=Path,
        help="holds the images: sizes that annotations lack are read from them, others checked against them; one for "
        "all, or one for each of --annotations_path",
    )
    parser.add_argument(
        "--class_names_path", type=Path, help="yolo: data.yaml or classes.txt, if not beside the labels"
    )
    parser.add_argument(
        "--splits",
        nargs="+",
        metavar="SPLIT",
        help=f"{_formats_with('splits')}: which of the splits to take, such as train, where there are several; those "
        "named are taken as one set",
    )
    parser.add_argument("--keep_category_ids", action="store_true", help="coco: keep category ids that have gaps")
    parser.add_argument(
        "--coordinates",
        choices=("auto", "pixel", "relative"),
        help="csv: what boxes are in; auto, the default, takes edges of at most 2 as shares of the image",
    )
    parser.add_argument(
        "--no_header",
        action="store_true",
        help=f"csv: the file has no header, and the columns {', '.join(RETINANET_COLUMNS)}",
    )
    for column, what in _COLUMN_HELP.items():
        parser.add_argument(f"--{column}_column", metavar="NAME", help=f"csv: the column with {what}")
    parser.add_argument(
        "--one_based_pixels",
        action="store_true",
        help="pascal_voc, csv: pixels count from 1, as in the challenge's own files: xmin and ymin less one. Without "
        "it they are taken as they are, as the Object Detection API does",
    )


def add_conversion_flags(parser: ArgumentParser) -> None:
    """Adds the flags of how images and boxes are taken, whatever their format."""
    parser.add_argument(
        "--image_ids",
        choices=("path", "name"),
        default="path",
        help="made of names with their folders, or file names alone (of two alike the second is rejected)",
    )
    parser.add_argument(
        "--image_list_path",
        type=Path,
        help="takes only the images that this text names, one a line (VOC's ImageSets)",
    )
    parser.add_argument(
        "--images_listed_twice",
        choices=("reject", "unite"),
        default="reject",
        help="what becomes of an image that several entries, or files, name: rejects all but the first, or unites "
        "their boxes, as where each file has another class (boxes alike in both are taken once)",
    )
    parser.add_argument(
        "--boxes_are_of",
        choices=("shown", "stored"),
        default="shown",
        help="whether boxes were drawn on the images as EXIF turns them, which most tools show, or on the stored "
        "pixels, which later steps and TensorFlow take; boxes are turned to those",
    )
    parser.add_argument(
        "--max_overhang",
        type=fraction,
        default=DEFAULT_MAX_OVERHANG,
        help="how far a box may stick out, as a share of the image's side, and be cut; beyond it is rejected",
    )
    parser.add_argument(
        "--keep_images_of_rejected_boxes",
        action="store_true",
        help="keep images whose boxes were all rejected, as images without objects; training takes them for that",
    )


def add_placing_flags(parser: ArgumentParser) -> None:
    """Adds the flags that put images where the next steps look for them."""
    parser.add_argument(
        "--image_output_directory", type=Path, help="puts the images there as ID.jpg (.png, ...), as later steps want"
    )
    parser.add_argument(
        "--image_placing", choices=("link", "copy"), default="link", help="whether it links or copies them there"
    )


def check_source_flags(flags: Any) -> None:
    """Refuses paths that are not what the format takes, flags of another format, and flags that need another.

    Raises:
        UsageError: With the flag.
    """
    source_format = FORMATS[flags.format]
    for path in flags.annotations_path:
        if not path.exists():
            raise UsageError(f"--annotations_path {path} does not exist")
        if path.is_dir() and source_format.takes == "file":
            raise UsageError(
                f"--annotations_path {path} is a folder; --format {flags.format} has all boxes in one file"
            )
        if not path.is_dir() and source_format.takes == "folder":
            raise UsageError(
                f"--annotations_path {path} is no folder; --format {flags.format} has a file for each image"
            )
    _refuse_twice("annotations_path", flags.annotations_path)
    for name in _FORMAT_FLAGS:
        if getattr(flags, name) not in (None, False) and name not in source_format.flags:
            formats = [other for other, its in FORMATS.items() if name in its.flags]
            raise UsageError(f"--{name} is for --format {' or '.join(formats)}, not {flags.format}")
    asked = asked_columns(flags)
    check_asked_columns(asked)
    if flags.one_based_pixels and not asked.keys().isdisjoint(("x_center", "y_center")):
        raise UsageError("--one_based_pixels is for edges, and --x_center_column or --y_center_column is no edge")
    directories: list[Path] = flags.image_directory or []
    for directory in directories:
        require_folder("--image_directory", directory)
    if len(directories) > 1 and len(directories) != len(flags.annotations_path):
        raise UsageError(
            f"{len(directories)} folders for --image_directory and {len(flags.annotations_path)} for "
            "--annotations_path; give one folder for all, or one for each"
        )


def check_placing_flags(flags: Any) -> None:
    """Refuses a folder for images that would be read again, or where there are no images to put there.

    Raises:
        UsageError: With the flag.
    """
    target: Path | None = flags.image_output_directory
    if target is None:
        return
    sources: list[Path] = list(flags.image_directory or [])
    flag = "--image_directory"
    if not sources and FORMATS[flags.format].has_images:
        sources, flag = [path for path in flags.annotations_path if path.is_dir()], "--annotations_path"
    elif not sources:
        raise UsageError("--image_output_directory needs --image_directory, where the images are")
    if any(target.resolve().is_relative_to(source.resolve()) for source in sources):
        raise UsageError(f"--image_output_directory is within {flag}, and would be read; give each its own")


def conversion_options(flags: Any) -> Options:
    """Returns the options that the flags of this module give.

    Raises:
        UsageError: The list of images cannot be read.
    """
    directories = flags.image_directory or []
    return Options(
        image_directory=directories[0] if len(directories) == 1 else None,
        placing_directory=flags.image_output_directory,
        placing=flags.image_placing,
        ids_with_folders=flags.image_ids == "path",
        max_overhang=flags.max_overhang,
        wanted=read_image_list(flags.image_list_path) if flags.image_list_path is not None else None,
        boxes_are_of=flags.boxes_are_of,
        with_images_of_rejected_boxes=flags.keep_images_of_rejected_boxes,
        unites_entries=flags.images_listed_twice == "unite",
    )


def _refuse_twice(flag: str, paths: list[Path]) -> None:
    if len({path.resolve() for path in paths}) < len(paths):
        raise UsageError(f"--{flag} names a file or folder twice; give each once")
