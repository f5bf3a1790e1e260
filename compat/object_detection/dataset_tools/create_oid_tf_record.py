"""From Open Images' boxes CSV and a folder of its images to records; images that are not there are left out."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
if sys.path[0] == str(_HERE) and _HERE.parent.name == "object_detection":
    # Called by its path: the package is found from the folder above it.
    sys.path[0] = str(_HERE.parents[1])

from object_detection.dataset_tools.steps import parse, records_step, run_steps  # noqa: E402

# isort: split
from data_prep.formats.label_map import read_label_map  # noqa: E402
from data_prep.runtime.absl_flags import AbslArgumentParser  # noqa: E402
from data_prep.runtime.command_line import UserError, int_from_zero  # noqa: E402


def main() -> int:
    """Runs the steps; returns the exit code."""
    parser = AbslArgumentParser(
        description=__doc__ or "",
        example="  python create_oid_tf_record.py --input_box_annotations_csv boxes.csv "
        "--input_images_directory images --input_label_map oid.pbtxt --output_tf_record_path_prefix train.record",
    )
    parser.add_argument("--input_box_annotations_csv", required=True, help="boxes, as Open Images publishes them")
    parser.add_argument("--input_images_directory", type=Path, required=True, help="images by their ids")
    parser.add_argument("--input_image_label_annotations_csv", help="verified labels of images as a whole")
    parser.add_argument("--input_label_map", type=Path, required=True, help="names are Open Images' MIDs")
    parser.add_argument("--output_tf_record_path_prefix", type=Path, required=True, help="what names begin with")
    parser.add_argument("--num_shards", type=int_from_zero, default=100, help="files of records")
    arguments = parse(parser)
    prefix = arguments.output_tf_record_path_prefix
    work = prefix.parent / f"{prefix.name}.steps"
    work.mkdir(parents=True, exist_ok=True)
    try:
        classes = [item.name for item in read_label_map(arguments.input_label_map)]
        images = sorted(path for path in arguments.input_images_directory.iterdir() if path.is_file())
    except UserError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"{arguments.input_images_directory}: {error.strerror}")
    (work / "classes.txt").write_text("".join(f"{name}\n" for name in classes))
    with (work / "images.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("ImageID", "Subset", "OriginalURL"))
        rows.writerows((path.stem, "", "") for path in images)
    labels = arguments.input_image_label_annotations_csv
    return run_steps(
        [
            *("data_prep.process_metadata", "--annotations_input_path", arguments.input_box_annotations_csv),
            *("--image_index_input_path", work / "images.csv", "--trainable_classes_path", work / "classes.txt"),
            *(("--image_labels_input_path", labels) if labels else ()),
            *("--point_output_path", work / "points.json", "--image_index_output_path", work / "images.json"),
            # The boxes CSV is of all images, and few are at hand: those are no rejects to end with.
            *("--max_failures", "100%"),
        ],
        records_step(work, arguments.input_images_directory, arguments.input_label_map, prefix, arguments.num_shards),
    )


if __name__ == "__main__":
    sys.exit(main())
