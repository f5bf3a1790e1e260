"""From a year of Pascal VOC (--data_dir/YEAR with Annotations, JPEGImages, ImageSets) to records at --output_path."""

from __future__ import annotations

import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
if sys.path[0] == str(_HERE) and _HERE.parent.name == "object_detection":
    # Called by its path: the package is found from the folder above it.
    sys.path[0] = str(_HERE.parents[1])

from object_detection.dataset_tools.steps import parse, records_step, refuse, run_steps  # noqa: E402

# isort: split
from data_prep.runtime.absl_flags import AbslArgumentParser, BooleanFlag  # noqa: E402

_DIFFICULT = "difficult boxes are kept with their flag, and evaluation ignores them; leave it out"


def main() -> int:
    """Runs the steps; returns the exit code."""
    parser = AbslArgumentParser(
        description=__doc__ or "",
        example="  python create_pascal_tf_record.py --data_dir VOCdevkit --year VOC2012 --set train --output_path "
        "pascal.record --label_map_path pascal_label_map.pbtxt",
    )
    parser.add_argument("--data_dir", type=Path, required=True, help="holds VOC2007, VOC2012")
    parser.add_argument("--set", default="train", choices=("train", "val", "trainval", "test"), help="which images")
    parser.add_argument("--annotations_dir", default="Annotations", help="the XML files, below the year")
    parser.add_argument("--year", default="VOC2007", choices=("VOC2007", "VOC2012"), help="which challenge")
    parser.add_argument("--output_path", type=Path, required=True, help="the file of records to write")
    parser.add_argument(
        "--label_map_path", type=Path, required=True, help="its ids are taken; classes that it lacks, or all, are added"
    )
    parser.add_argument("--ignore_difficult_instances", action=BooleanFlag, default=False, help="refused")
    arguments = parse(parser)
    refuse(parser, ignore_difficult_instances=(arguments.ignore_difficult_instances, _DIFFICULT))
    year = arguments.data_dir / arguments.year
    sets = year / "ImageSets" / "Main"
    # The list of one class names all images of the set, each with 1 or -1 after it.
    named = [sets / f"{arguments.set}.txt", sets / f"aeroplane_{arguments.set}.txt"]
    listed = next((path for path in named if path.is_file()), None)
    if listed is None:
        parser.error(f"{named[0]}: no such file; it names the images of --set {arguments.set}")
    work = arguments.output_path.parent / f"{arguments.output_path.name}.steps"
    work.mkdir(parents=True, exist_ok=True)
    names = work / "images.txt"
    names.write_text("".join(f"{line.split()[0]}\n" for line in listed.read_text().splitlines() if line.strip()))
    return run_steps(
        [
            *("data_prep.import_annotations", "--format", "pascal_voc"),
            *("--annotations_path", year / arguments.annotations_dir, "--image_directory", year / "JPEGImages"),
            *("--image_list_path", names, "--image_output_directory", work / "images"),
            *("--point_output_path", work / "points.json", "--label_map_path", arguments.label_map_path),
        ],
        records_step(work, work / "images", arguments.label_map_path, arguments.output_path, 1),
    )


if __name__ == "__main__":
    sys.exit(main())
