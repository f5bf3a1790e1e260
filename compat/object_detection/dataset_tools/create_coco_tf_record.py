"""From COCO's JSON and images to coco_train.record, coco_val.record and coco_testdev.record in --output_dir.

Boxes only. Classes have COCO's category ids, and their names are in label_map.pbtxt beside the records.
"""

from __future__ import annotations

import sys
from pathlib import Path

_HERE = Path(__file__).resolve().parent
if sys.path[0] == str(_HERE) and _HERE.parent.name == "object_detection":
    # Called by its path: the package is found from the folder above it.
    sys.path[0] = str(_HERE.parents[1])

from object_detection.dataset_tools.steps import Step, parse, records_step, refuse, run_steps  # noqa: E402

# isort: split
from data_prep.runtime.absl_flags import AbslArgumentParser, BooleanFlag  # noqa: E402

_MASKS = "only boxes are detected here; leave it out"
_PEOPLE = "give annotations of people alone; python -m data_prep.choose_subset takes classes out of points.json"


def main() -> int:
    """Runs the steps of each split that is given; returns the exit code."""
    parser = AbslArgumentParser(
        description=__doc__ or "",
        example="  python create_coco_tf_record.py --train_image_dir train2017 --train_annotations_file instances.json "
        "--output_dir records",
    )
    # The splits, as the flags and the records name them, and how many shards each has.
    splits = (("train", "train", "train", 100), ("val", "val", "val", 50), ("test", "testdev", "testdev", 50))
    for images, json_of, _, _ in splits:
        parser.add_argument(f"--{images}_image_dir", default="", help="the split's images")
        parser.add_argument(f"--{json_of}_annotations_file", default="", help="its JSON")
    parser.add_argument("--output_dir", type=Path, default=Path("/tmp"), help="records go here")
    parser.add_argument("--include_masks", action=BooleanFlag, default=False, help="refused: boxes only")
    for kind in ("train_keypoint", "val_keypoint", "train_densepose", "val_densepose"):
        parser.add_argument(f"--{kind}_annotations_file", default="", help="refused: boxes only")
    for kind in ("annotations", "images"):
        parser.add_argument(f"--remove_non_person_{kind}", action=BooleanFlag, default=False, help="refused")
    arguments = parse(parser)
    given = vars(arguments)
    refuse(
        parser,
        include_masks=(arguments.include_masks, _MASKS),
        **{name: (given[name], _MASKS) for name in given if "keypoint" in name or "densepose" in name},
        **{name: (given[name], _PEOPLE) for name in given if name.startswith("remove_non_person")},
    )
    steps: list[Step] = []
    label_map = arguments.output_dir / "label_map.pbtxt"
    for images, json_of, name, num_shards in splits:
        image_dir, json_path = given[f"{images}_image_dir"], given[f"{json_of}_annotations_file"]
        if bool(image_dir) != bool(json_path):
            parser.error(f"--{images}_image_dir and --{json_of}_annotations_file go together")
        if image_dir:
            work = arguments.output_dir / f"coco_{name}"
            steps += [
                [
                    *("data_prep.import_annotations", "--format", "coco", "--annotations_path", json_path),
                    *("--image_directory", image_dir, "--image_output_directory", work / "images"),
                    *("--point_output_path", work / "points.json", "--label_map_path", label_map),
                    "--keep_category_ids",
                ],
                records_step(
                    work, work / "images", label_map, arguments.output_dir / f"coco_{name}.record", num_shards
                ),
            ]
    if not steps:
        parser.error("give --train_image_dir and --train_annotations_file, or those of another split")
    return run_steps(*steps)


if __name__ == "__main__":
    sys.exit(main())
