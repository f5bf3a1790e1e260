"""Turns annotations of other makers into points.json, a label map and, where URLs are known, images.json.

Formats: coco (instances_*.json), pascal_voc (a folder of XML files), yolo (a folder of text files beside data.yaml or
classes.txt) and csv (filename,width,height,class,xmin,ymin,xmax,ymax; sizes may be missing, columns in any order).

A picture's file name without its suffix becomes its id. Where the name has folders or characters that an id may not
have, those become '_' and ten digits of the name's SHA-256 follow; --image_output_directory puts the pictures under
their ids. A box that cannot be trained on is left out, counted, and named in the ledger.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data_prep.annotations.class_ids import label_map_of
from data_prep.annotations.coco import read_coco
from data_prep.annotations.conversion import DEFAULT_MAX_OVERHANG, Options, Summary, convert
from data_prep.annotations.flat_csv import read_flat_csv
from data_prep.annotations.image_list import read_image_list
from data_prep.annotations.pascal_voc import read_pascal_voc
from data_prep.annotations.source_image import Reject, SourceSet
from data_prep.annotations.yolo import read_yolo
from data_prep.command_line import ArgumentParser, UsageError, UserError, fraction, run_command
from data_prep.csv_rows import printable
from data_prep.label_map import LabelMap, read_label_map, write_label_map
from data_prep.ledger import Ledger
from data_prep.points import json_array_writer, write_json_array
from data_prep.progress import progress

EXAMPLE = """\
  python -m data_prep.import_annotations --format coco --annotations_path annotations/instances_val2017.json \\
      --point_output_path data/validation/points.json --label_map_path data/label_map.pbtxt \\
      --image_index_output_path data/validation/images.json
  python -m data_prep.import_annotations --format pascal_voc --annotations_path VOCdevkit/VOC2012 \\
      --image_directory VOCdevkit/VOC2012/JPEGImages --image_list_path VOCdevkit/VOC2012/ImageSets/Main/train.txt \\
      --point_output_path data/train/points.json --label_map_path data/label_map.pbtxt"""
FORMATS = ("coco", "pascal_voc", "yolo", "csv")
LEDGER_SUFFIX = ".rejected.jsonl"
SHOWN = 10

# Flags that only some formats have, and what they are when nobody gives them.
_FORMATS_OF_FLAG = {
    "class_names_path": ("yolo",),
    "keep_category_ids": ("coco",),
    "coordinates": ("csv",),
    "one_based_pixels": ("pascal_voc", "csv"),
}


def read_source(flags: Any, reject: Reject) -> SourceSet:
    """Returns what the reader of `flags.format` makes of `flags.annotations_path`.

    Raises:
        UsageError: It is not of this format.
    """
    path: Path = flags.annotations_path
    if not path.exists():
        raise UsageError(f"--annotations_path {path} does not exist")
    if path.is_dir() and flags.format in ("coco", "csv"):
        raise UsageError(f"--annotations_path {path} is a folder; --format {flags.format} has all boxes in one file")
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


def import_annotations(
    source: SourceSet,
    *,
    options: Options,
    earlier: LabelMap | None,
    point_path: Path,
    label_map_path: Path,
    images_path: Path | None,
    ledger: Ledger,
) -> tuple[Summary, LabelMap, list[str]]:
    """Writes points, the label map and, where asked for, images.json.

    Args:
        source: From a reader.
        options: How to convert.
        earlier: A label map whose ids stay.
        point_path: points.json to write.
        label_map_path: The label map to write.
        images_path: images.json to write, if any picture has a URL; None for none.
        ledger: Gets what cannot be used.

    Returns:
        What became of the pictures and boxes, the label map, and what else to say.

    Raises:
        UserError: Nothing is left to write; earlier files stay as they were.
    """
    summary = Summary()
    remarks = list(source.remarks)
    addresses: list[dict[str, str]] = []
    with json_array_writer(point_path) as write_point:
        shown = progress(source.images, description="import annotations", unit="images")
        for point, url in convert(shown, options, summary, ledger.reject):
            write_point(point)
            if url:
                addresses.append({"id": point["id"], "url": url})
        if not summary.kept_by_label:
            raise UserError(_why_nothing(summary, ledger))
        label_map, remark = label_map_of(source.class_ids, source.class_remark, summary.kept_by_label, earlier)
    remarks.append(f"label map: {remark}")
    write_label_map(label_map_path, label_map)
    if images_path is not None and addresses:
        count = write_json_array(images_path, addresses)
        remarks.append(f"{count} of {summary.images_kept} pictures have a URL, in {images_path}")
    elif images_path is not None:
        remarks.append(f"no picture has a URL, so that {images_path} is not written")
    elif addresses:
        remarks.append(f"{len(addresses)} pictures have a URL; --image_index_output_path writes them for the download")
    return summary, label_map, remarks


def print_summary(summary: Summary, ledger: Ledger, options: Options, remarks: Sequence[str]) -> None:
    """Prints what was read, kept and left out, by reason."""
    not_wanted = f", {summary.images_not_wanted} not in the list" if options.wanted is not None else ""
    print(
        f"pictures: {summary.images_read} read{not_wanted}, {summary.images_kept} kept, "
        f"{summary.images_without_boxes} of them without a box"
    )
    print(f"boxes: {summary.boxes_read} read, {summary.kept_by_label.total()} kept")
    if options.wanted is not None and (not_met := options.wanted.not_met):
        examples = ", ".join(printable(name) for name in not_met[:SHOWN])
        more = ", ..." * (len(not_met) > SHOWN)
        print(f"{len(not_met)} of the {len(options.wanted)} pictures in the list have no annotations: {examples}{more}")
    print(f"boxes a class: {_commonest(summary.kept_by_label)}")
    for remark in remarks:
        print(remark)
    if summary.boxes_cut:
        print(f"{summary.boxes_cut} boxes stuck out and were cut, the most by {summary.largest_cut:.2g} of the side")
    if summary.images_scaled:
        print(f"{summary.images_scaled} pictures are of another size than annotated, of the same aspect ratio: kept")
    if summary.images_turned:
        print(f"{summary.images_turned} pictures were annotated as EXIF turns them: boxes turned back to the pixels")
    if summary.renamed is not None:
        name, image_id = summary.renamed
        print(f"{summary.num_renamed} names could not be ids as they are, such as {printable(name)!r} -> {image_id}")
    if options.placing_directory is not None:
        done = "linked" if options.placing == "link" else "copied"
        print(
            f"pictures in {options.placing_directory}: {summary.images_placed} {done}, "
            f"{summary.images_in_place} were there"
        )
    elif summary.images_under_other_names or (summary.num_renamed and options.image_directory is None):
        count = summary.images_under_other_names or summary.num_renamed
        print(
            f"note: {count} pictures are not called ID.jpg (.png, ...), as the next steps look for them; "
            "--image_directory with --image_output_directory puts them there"
        )
    print(ledger.summary())


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command."""
    flags = _parser().parse_args(argv)
    _check_flags(flags)
    point_path: Path = flags.point_output_path
    ledger_path: Path = flags.ledger_path or point_path.with_name(point_path.stem + LEDGER_SUFFIX)
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
    print_summary(summary, ledger, options, remarks)
    print(f"wrote {summary.images_kept} points to {point_path} and {len(label_map)} classes to {flags.label_map_path}")
    return ledger.exit_code(flags.max_failures)


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
        "--max_overhang",
        type=fraction,
        default=DEFAULT_MAX_OVERHANG,
        help="how far a box may stick out, as a share of the picture's side, and be cut; beyond it is rejected",
    )
    parser.add_argument(
        "--ledger_path",
        type=Path,
        help=f"JSON lines of what was rejected (default: beside points.json, *{LEDGER_SUFFIX})",
    )
    parser.add_argument("--max_failures", type=int, default=0, help="more rejects than this end with exit code 3")
    return parser


def _check_flags(flags: Any) -> None:
    """Refuses flags of another format, flags that need another, and outputs that would overwrite an input."""
    for name, formats in _FORMATS_OF_FLAG.items():
        if getattr(flags, name) not in (None, False) and flags.format not in formats:
            raise UsageError(f"--{name} is for --format {' or '.join(formats)}, not {flags.format}")
    directory: Path | None = flags.image_directory
    if directory is not None and not directory.is_dir():
        raise UsageError(f"--image_directory {directory} is no folder")
    target: Path | None = flags.image_output_directory
    if target is not None and directory is None:
        raise UsageError("--image_output_directory needs --image_directory, where the pictures are")
    if target is not None and directory is not None and target.resolve() == directory.resolve():
        raise UsageError("--image_output_directory and --image_directory are the same folder; give each its own")
    seen: dict[Path, str] = {}
    for name in ("annotations_path", "point_output_path", "label_map_path", "image_index_output_path", "ledger_path"):
        path: Path | None = getattr(flags, name)
        if path is not None:
            other = seen.setdefault(path.resolve(), name)
            if other != name:
                raise UsageError(f"--{other} and --{name} are the same file, {path}; give each its own")


def _why_nothing(summary: Summary, ledger: Ledger) -> str:
    reasons = [f"{summary.images_read} pictures read"]
    if summary.images_not_wanted:
        reasons.append(f"{summary.images_not_wanted} not in --image_list_path")
    return f"not one box is left, so nothing is written: {', '.join(reasons)}; {ledger.summary()}"


def _commonest(counts: Counter[str]) -> str:
    shown = [f"{printable(label)} {count}" for label, count in counts.most_common(SHOWN)]
    more = f" and {len(counts) - SHOWN} more classes" if len(counts) > SHOWN else ""
    return ", ".join(shown) + more


if __name__ == "__main__":
    run_command(main)
