"""Several annotation, index and label files at once, and ground truth expanded along the hierarchy."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pytest

from data_prep.formats.points import read_points
from data_prep.process_metadata import main
from tests.data_prep.conftest import BOX_COLUMNS, IMAGE_COLUMNS, box_row, image_row, write_csv

SHARED = Path(__file__).parents[3] / "shared"
STREET, HIERARCHY = SHARED / "samples" / "street", SHARED / "openimages" / "bbox_labels_600_hierarchy.json"
LABEL_HEADER = "ImageID,Source,LabelName,Confidence\n"


def points_of(files):
    points = read_points(files.folder / "points.json")
    return {point["id"]: [box["label"] for box in point["annotations"]] for point in points}


def ids_of(path):
    return [image["id"] for image in json.loads(path.read_text())]


@pytest.fixture
def more_files(open_images_files):
    """A second boxes CSV, gzipped, and a second index; each repeats something of the first."""
    files = open_images_files
    rows = [
        box_row("extra", "/m/07c52"), box_row("img1", "/m/04bcr3", XMin=0.3), box_row("img1", "/m/03ssj5"),
        box_row("img1", "/m/03ssj5", XMin=0.11), box_row("extra", "/m/07c52"),
    ]  # fmt: skip
    boxes = write_csv(files.folder / "challenge.csv", BOX_COLUMNS, rows)
    zipped = files.folder / "challenge.csv.gz"
    zipped.write_bytes(gzip.compress(boxes.read_bytes()))
    images = [image_row("extra"), image_row("img1", OriginalURL="http://elsewhere/img1.jpg"), image_row("unused")]
    return zipped, write_csv(files.folder / "challenge-images.csv", IMAGE_COLUMNS, images)


def test_several_files_are_one_after_the_other_and_what_they_repeat_is_said(open_images_files, more_files, run):
    files = open_images_files
    boxes, index = more_files
    more = (
        *("--annotations_input_path", files.boxes, boxes),
        *("--image_index_input_path", files.index, index),
    )
    outcome = run(main, *files.words(*more))
    assert outcome.code == 0, outcome.error
    # In the order of the first index, then of the second. The bed that both files have comes once; the second file's
    # own two televisions in one place are its own business.
    assert points_of(files) == {
        "img3": ["/m/07c52", "/m/03ssj5"],
        "img1": ["/m/03ssj5", "/m/0dtln", "/m/04bcr3", "/m/03ssj5"],
        "extra": ["/m/07c52", "/m/07c52"],
    }
    assert list(points_of(files)) == ["img3", "img1", "extra"] == ids_of(files.folder / "images.json")
    images = json.loads((files.folder / "images.json").read_text())
    assert images[1]["url"] == "http://localhost/img1.jpg"
    assert "boxes: 9 read, 8 kept" in outcome.output
    assert "images: 6 in the index, 3 kept" in outcome.output
    assert "boxes that an earlier file has as well, taken once: 1" in outcome.output
    assert "images that an earlier index lists as well, whose row was taken: 1" in outcome.output
    assert "0 rejected" in outcome.output
    swapped = ("--image_index_input_path", index, files.index)
    assert run(main, *files.words(*more, *swapped)).code == 0
    assert list(points_of(files)) == ["extra", "img1", "img3"]


def test_the_stamp_is_of_all_files(open_images_files, more_files, run):
    files = open_images_files
    boxes, index = more_files
    more = ("--annotations_input_path", files.boxes, boxes, "--image_index_input_path", files.index, index)
    assert run(main, *files.words(*more)).code == 0
    assert "nothing to do" in run(main, *files.words(*more)).output
    boxes.write_bytes(gzip.compress(gzip.decompress(boxes.read_bytes()).replace(b"/m/04bcr3", b"/m/0h8mzrc")))
    outcome = run(main, *files.words(*more))
    assert "nothing to do" not in outcome.output
    assert "/m/0h8mzrc" in points_of(files)["img1"]
    assert "nothing to do" not in run(main, *files.words()).output  # of one file


def test_the_same_file_twice_is_refused(open_images_files, run):
    files = open_images_files
    outcome = run(main, *files.words("--annotations_input_path", files.boxes, files.boxes))
    assert outcome.code == 2
    assert f"--annotations_input_path names {files.boxes} twice" in outcome.error


def test_rejects_name_the_file_and_files_of_one_name_their_folder(open_images_files, run):
    files = open_images_files
    bad = "img1,x,/m/03ssj5,1,abc,0.6,0.2,0.9,0,0,0,0,0\n"
    other = files.folder / "other.csv"
    other.write_text(",".join(BOX_COLUMNS) + "\n" + bad)
    assert run(main, *files.words("--annotations_input_path", files.boxes, other, "--max_failures", 5)).code == 0
    ledger = files.folder / "points.rejected.jsonl"
    assert [json.loads(line)["item"] for line in ledger.read_text().splitlines()] == ["other.csv:2"]
    twin = files.folder / "twin" / files.boxes.name
    twin.parent.mkdir()
    twin.write_text(other.read_text())
    both = ("--annotations_input_path", files.boxes, twin)
    assert run(main, *files.words(*both, "--max_failures", 5, "--force")).code == 0
    assert [json.loads(line)["item"] for line in ledger.read_text().splitlines()] == [f"{twin}:2"]


def test_image_labels_of_several_files_contradict_by_file_and_line(open_images_files, run):
    files = open_images_files
    first, second = files.folder / "labels-1.csv", files.folder / "labels-2.csv"
    first.write_text(LABEL_HEADER + "img1,verification,/m/03ssj5,1\n")
    second.write_text(
        LABEL_HEADER + "img1,verification,/m/03ssj5,0\nimg3,verification,/m/0dtln,0\nimg1,verification,/m/03ssj5,1\n"
    )
    outcome = run(main, *files.words("--image_labels_input_path", first, second, "--max_failures", 5))
    assert outcome.code == 0, outcome.error
    assert "verified image labels: 4 read, 1 present and 1 absent kept, 1 given twice" in outcome.output
    (entry,) = map(json.loads, (files.folder / "points.rejected.jsonl").read_text().splitlines())
    assert entry["item"] == "labels-2.csv:2"
    assert entry["detail"] == "image img1: /m/03ssj5, see labels-1.csv:2"


@pytest.fixture
def hierarchy(open_images_files):
    """A Television and a Lamp are kinds of Table, here, and so is a Bed."""
    path = open_images_files.folder / "hierarchy.json"
    kinds = [{"LabelName": label} for label in ("/m/03ssj5", "/m/07c52", "/m/0dtln")]
    tree = {"LabelName": "/m/0bl9f", "Subcategory": [{"LabelName": "/m/04bcr3", "Subcategory": kinds}]}
    path.write_text(json.dumps(tree))
    return path


def test_boxes_count_for_the_classes_above(open_images_files, hierarchy, run):
    files = open_images_files
    more = ("--expand_hierarchy", "--hierarchy_path", hierarchy)
    outcome = run(main, *files.words(*more))
    assert outcome.code == 0, outcome.error
    table = "/m/04bcr3"
    assert points_of(files) == {
        "img3": ["/m/07c52", table, "/m/03ssj5", table], "img1": ["/m/03ssj5", table, "/m/0dtln", table],
    }  # fmt: skip
    boxes = read_points(files.folder / "points.json")[0]["annotations"]
    assert {**boxes[0], "label": table} == boxes[1]
    assert "hierarchy: 4 boxes are copies for a class above their own, 0 copies left out" in outcome.output
    assert "boxes: 4 read, 8 kept" in outcome.output
    # Table alone: all four are tables, and none is anything else.
    outcome = run(main, *files.words(*more, "--classes", "Table"))
    assert points_of(files) == {"img3": [table] * 2, "img1": [table] * 2}
    assert "4 read, 4 kept, 0 of other classes" in outcome.output
    # A lamp alone: nothing is above it that was asked for.
    outcome = run(main, *files.words(*more, "--classes", "Lamp"))
    assert points_of(files) == {"img1": ["/m/0dtln"]}
    assert "4 read, 1 kept, 3 of other classes" in outcome.output
    outcome = run(main, *files.words("--expand_hierarchy"))
    assert outcome.code == 2
    assert "--expand_hierarchy needs --hierarchy_path" in outcome.error


def test_verified_labels_follow_the_hierarchy_both_ways(open_images_files, hierarchy, run):
    files = open_images_files
    labels = files.folder / "labels.csv"
    rows = ["img1,v,/m/0dtln,1", "img3,v,/m/04bcr3,0", "img2,v,/m/04bcr3,1", "img2,v,/m/0dtln,0"]
    labels.write_text(LABEL_HEADER + "".join(f"{row}\n" for row in rows))
    more = (
        *("--expand_hierarchy", "--hierarchy_path", hierarchy, "--image_labels_input_path", labels),
        "--keep_images_without_boxes",
    )

    def verified():
        return {
            point["id"]: {entry["label"]: entry["confidence"] for entry in point["image_labels"]}
            for point in read_points(files.folder / "points.json")
        }

    assert run(main, *files.words(*more)).code == 0
    assert verified() == {
        "img3": {"/m/04bcr3": 0.0, "/m/03ssj5": 0.0, "/m/07c52": 0.0, "/m/0dtln": 0.0},
        "img2": {"/m/04bcr3": 1.0, "/m/0dtln": 0.0},
        "img1": {"/m/0dtln": 1.0, "/m/04bcr3": 1.0},
    }
    # For beds, a Table that is not there means no Bed, and one that is there nothing: img2 has nothing left to say.
    outcome = run(main, *files.words(*more, "--classes", "Bed"))
    assert verified() == {"img3": {"/m/03ssj5": 0.0}, "img1": {}}
    assert "4 read, 0 present and 1 absent kept, 3 of other classes" in outcome.output


@pytest.mark.skipif(not (STREET.is_dir() and HIERARCHY.is_file()), reason="no ../shared/samples/street: photographs")
def test_both_splits_of_real_photographs_with_every_class_above(tmp_path, run):
    """Counted from the CSVs by a walk over the tree."""
    above: dict[str, set[str]] = {}

    def walk(node, ancestors):
        above.setdefault(node["LabelName"], set()).update(ancestors)
        for kind in node.get("Subcategory", ()):
            walk(kind, [*ancestors, node["LabelName"]])

    for kind in json.loads(HIERARCHY.read_text())["Subcategory"]:
        walk(kind, [])
    splits = [STREET / f"{split}-annotations-bbox.csv" for split in ("train", "validation")]
    rows = [row for path in splits for row in csv.DictReader(path.open())]
    keys = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax")

    def key_of(row, label):
        return row["ImageID"], label, *(float(row[key]) for key in keys[2:])

    annotated = {key_of(row, row["LabelName"]) for row in rows}
    copies = [(row, label) for row in rows for label in above[row["LabelName"]]]
    left_out = [copy for copy in copies if key_of(*copy) in annotated]
    outcome = run(
        main,
        *("--annotations_input_path", *splits),
        *("--image_index_input_path", STREET / "train-images.csv", STREET / "validation-images.csv"),
        *("--class_description_path", HIERARCHY.with_name("class-descriptions-boxable.csv")),
        *("--expand_hierarchy", "--hierarchy_path", HIERARCHY),
        *("--point_output_path", tmp_path / "points.json", "--image_index_output_path", tmp_path / "images.json"),
    )
    assert outcome.code == 0, outcome.error
    assert (
        f"hierarchy: {len(copies) - len(left_out)} boxes are copies for a class above their own, {len(left_out)} copies"
        in outcome.output
    )
    assert f"boxes: {len(rows)} read, {len(rows) + len(copies) - len(left_out)} kept" in outcome.output
    assert len(read_points(tmp_path / "points.json")) == len({row["ImageID"] for row in rows})
