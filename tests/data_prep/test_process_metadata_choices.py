"""What a person may ask of process_metadata: kinds of classes, boxes, images, verified labels, and no work twice."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from data_prep.formats.points import read_points
from data_prep.process_metadata import main

SHARED = Path(__file__).parents[3] / "shared"
STREET, OPEN_IMAGES = SHARED / "samples" / "street", SHARED / "openimages"


def points_of(files):
    """Returns the labels of each image's boxes."""
    points = read_points(files.folder / "points.json")
    return {point["id"]: [box["label"] for box in point["annotations"]] for point in points}


@pytest.mark.parametrize(
    "header",
    [
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside",
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside,"
        "XClick1X,XClick2X,XClick3X,XClick4X,XClick1Y,XClick2Y,XClick3Y,XClick4Y",
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax",
        "ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf",
    ],
    ids=["2018_04 and V5", "V6 and V7", "2017_07", "challenge"],
)
@pytest.mark.parametrize("rotation", [True, False])
def test_every_release_of_open_images_is_read(open_images_files, run, header, rotation):
    files = open_images_files
    cells = {
        "ImageID": "img1", "LabelName": "/m/03ssj5", "Source": "xclick", "Confidence": "1", "IsGroupOf": "1",
        "XMin": "0.1", "XMax": "0.6", "YMin": "0.2", "YMax": "0.9",
    }  # fmt: skip
    names = header.split(",")
    row = ",".join(cells.get(name, "-1" if name.startswith("X") else "0") for name in names)
    files.boxes.write_text(f"{header}\n{row}\n")
    index = "ImageID,Subset,OriginalURL,OriginalLandingURL,License,AuthorProfileURL,Author,Title,OriginalSize," + (
        "OriginalMD5,Thumbnail300KURL" + ",Rotation" * rotation
    )
    url = "https://farm7.staticflickr.com/5769/img1_o.jpg"
    line = f'img1,train,{url},https://l,https://by,https://a,"Ann, B","A ""title"", ours",95,bm9uZQ==,https://t' + (
        ",180.0" * rotation
    )
    files.index.write_text(f"{index}\n{line}\n", "utf-8")
    outcome = run(main, *files.words())
    assert outcome.code == 0, outcome.error
    (point,) = read_points(files.folder / "points.json")
    (box,) = point["annotations"]
    assert (box["x0"], box["x1"], box["y0"], box["y1"], box["confidence"]) == (0.1, 0.6, 0.2, 0.9, 1.0)
    assert box["is_group_of"] == ("IsGroupOf" in names)
    expected = {
        "id": "img1", "url": url, "subset": "train", "original_md5": "bm9uZQ==", "original_size": 95,
        "thumbnail_300k_url": "https://t", "landing_url": "https://l", "license": "https://by", "author": "Ann, B",
    }  # fmt: skip
    (image,) = json.loads((files.folder / "images.json").read_text())
    assert image == expected | ({"rotation": 180} if rotation else {})


def test_kinds_of_a_class_come_with_it(open_images_files, run):
    files = open_images_files
    tree = {"LabelName": "/m/04bcr3", "Subcategory": [{"LabelName": "/m/03ssj5"}, {"LabelName": "/m/0dtln"}]}
    hierarchy = files.folder / "hierarchy.json"
    hierarchy.write_text(json.dumps(tree))
    more = ("--classes", "TABLE", "--with_descendants", "--hierarchy_path", hierarchy)
    assert run(main, *files.words(*more)).code == 0
    assert points_of(files) == {"img3": ["/m/03ssj5"], "img1": ["/m/03ssj5", "/m/0dtln"]}
    for wrong in (more[:3], (*more[:2], *more[3:])):
        outcome = run(main, *files.words(*wrong))
        assert outcome.code == 2
        assert "--with_descendants and --hierarchy_path belong together" in outcome.error


def test_boxes_are_chosen_by_flag_and_size(open_images_files, run):
    files = open_images_files
    outcome = run(main, *files.words("--is_group_of", "exclude", "--min-box-side", 0.5))
    assert outcome.code == 0
    assert points_of(files) == {"img3": ["/m/07c52"], "img1": ["/m/03ssj5", "/m/0dtln"]}
    assert "4 read, 3 kept, 0 of other classes, 0 rejected, 0 whose image is not in the index, 1 is_group_of" in (
        outcome.output
    )
    outcome = run(main, *files.words("--is_depiction", "only", "--min_box_area", 0.9))
    assert outcome.code == 1
    assert "none of its 4 boxes is left: 3 dropped: not is_depiction; 1 dropped: area below 0.9" in outcome.error
    outcome = run(main, *files.words("--min_box_side", 1))
    assert outcome.code == 2
    assert "--min_box_side 1 leaves no box" in outcome.error


def test_images_are_drawn_by_a_seed(open_images_files, run):
    files = open_images_files
    with files.boxes.open("a") as boxes, files.index.open("a") as index:
        for number in range(40):
            boxes.write(f"more{number},x,/m/03ssj5,1,0.1,0.6,0.2,0.9,0,0,0,0,0\n")
            index.write(f"more{number},train,http://x/{number},,,,,,,,,\n")
    outcome = run(main, *files.words("--max_images_per_class", 5))
    assert outcome.code == 0
    first = points_of(files)
    # The television's and the lamp's image hold a bed each, so that beds draw three more.
    assert len(first) == 5
    assert {"img1", "img3"} <= first.keys()
    assert "images a class: Bed 5, Television 1, Lamp 1" in outcome.output
    assert "37 of images not drawn" in outcome.output
    images = json.loads((files.folder / "images.json").read_text())
    assert [image["id"] for image in images] == list(first)
    assert run(main, *files.words("--max_images_per_class", 5, "--seed", 1)).code == 0
    assert points_of(files).keys() != first.keys()
    assert run(main, *files.words("--max_images_per_class", 5, "--force")).code == 0
    assert points_of(files) == first
    assert run(main, *files.words("--seed", -1)).code == 2


IMAGE_LABELS = """\
ImageID,Source,LabelName,Confidence
img1,verification,/m/03ssj5,1
img1,crowdsource-verification,/m/07c52,0
img1,verification,/m/07c52,0
img1,verification,/m/03ssj5,0
img3,verification,/m/04bcr3,1
img1,verification,/m/0other,1
img2,verification,/m/03ssj5,0
img3,machine,/m/0dtln,0.8
img3,verification,/m/0dtln,0.8
../x,verification,/m/0dtln,1
"""


def test_verified_labels_travel_into_the_points(open_images_files, run):
    files = open_images_files
    path = files.folder / "train-annotations-human-imagelabels-boxable.csv"
    path.write_text(IMAGE_LABELS)
    classes = ("--classes", "Bed", "Television", "Lamp", "Table")
    outcome = run(main, *files.words(*classes, "--image_labels_input_path", path, "--max_failures", 3))
    assert outcome.code == 0, outcome.error
    labels = {point["id"]: point["image_labels"] for point in read_points(files.folder / "points.json")}
    assert labels == {
        "img3": [{"label": "/m/04bcr3", "confidence": 1.0}],
        "img1": [{"label": "/m/03ssj5", "confidence": 1.0}, {"label": "/m/07c52", "confidence": 0.0}],
    }
    assert (
        "verified image labels: 10 read, 2 present and 1 absent kept, 1 of other classes, 1 by machine, "
        "1 of images without a box, 1 given twice"
    ) in outcome.output
    ledger = [json.loads(line) for line in (files.folder / "points.rejected.jsonl").read_text().splitlines()]
    assert [(entry["item"].rsplit(":")[-1], entry["reason"]) for entry in ledger] == [
        ("10", "not a verified label"),
        ("11", "unsafe image id"),
        ("5", "contradicts an earlier row"),
    ]
    assert ledger[-1]["detail"] == "image img1: /m/03ssj5, see line 2"
    assert run(main, *files.words()).code == 0
    assert all("image_labels" not in point for point in read_points(files.folder / "points.json"))


def test_images_without_a_box_may_stay_for_their_verified_labels(open_images_files, run):
    files = open_images_files
    path = files.folder / "labels.csv"
    path.write_text(IMAGE_LABELS.replace(",Source", ",source"))
    more = ("--classes", "Bed", "--keep_images_without_boxes", "--is_group_of", "exclude")
    outcome = run(main, *files.words(*more, "--image_labels_input_path", path, "--max_failures", 3))
    assert outcome.code == 0, outcome.error
    points = read_points(files.folder / "points.json")
    assert [(point["id"], len(point["annotations"]), len(point["image_labels"])) for point in points] == [
        ("img2", 0, 1),
        ("img1", 1, 1),
    ]
    assert "images: 3 in the index, 2 kept, 1 of them without a box" in outcome.output
    outcome = run(main, *files.words(*more))
    assert outcome.code == 2
    assert "give --image_labels_input_path" in outcome.error


def test_a_second_run_does_no_work_and_says_so(open_images_files, run):
    files = open_images_files
    with files.boxes.open("a") as file:
        file.write("img1,x,/m/03ssj5,1,0.6,0.1,0.2,0.9,0,0,0,0,0\n")
    first = run(main, *files.words())
    points = files.folder / "points.json"
    time, content = points.stat().st_mtime_ns, points.read_bytes()
    second = run(main, *files.words("--max_failures", 1))
    assert second.code == 0
    assert second.output.startswith(f"nothing to do: {points} is of these files and flags already")
    assert second.output.endswith(first.output)
    assert points.stat().st_mtime_ns == time
    assert run(main, *files.words("--max_failures", 0)).code == 3
    third = run(main, *files.words())
    assert (third.code, third.error) == (first.code, first.error)
    assert third.error == "1 of 5 boxes were lost: more than --max_failures (1% or 1000, whichever is smaller)\n"
    assert (files.folder / "points.rejected.jsonl").exists()
    # Any change is seen: of a flag, of an input, of an output.
    assert "nothing to do" not in run(main, *files.words("--classes", "Bed")).output
    assert "nothing to do" not in run(main, *files.words()).output
    os.utime(files.boxes, (1, 1))
    assert "nothing to do" in run(main, *files.words()).output
    files.descriptions.write_text(files.descriptions.read_text() + "/m/0new,New\n")
    assert "nothing to do" not in run(main, *files.words()).output
    points.write_text("[]")
    assert "nothing to do" not in run(main, *files.words()).output
    assert points.read_bytes() == content
    assert "nothing to do" not in run(main, *files.words("--force")).output


def test_a_run_that_fails_is_done_again(open_images_files, run):
    files = open_images_files
    assert run(main, *files.words()).code == 0
    good = files.index.read_bytes()
    files.index.write_bytes(b"ImageID,OriginalURL\nother,http://x\n")
    for _ in range(2):
        assert run(main, *files.words()).code == 1
    files.index.write_bytes(good)
    assert run(main, *files.words()).code == 0


def test_hostile_ids_end_in_the_ledger_and_nowhere_else(open_images_files, run):
    files = open_images_files
    ids = ["../../etc/passwd", "/etc/passwd", "a/b", "..", ".hidden", "a\\b", "a" * 129, "~", "nul\0", "-", "é", "a b"]
    with files.boxes.open("a", encoding="utf-8") as boxes, files.index.open("a", encoding="utf-8") as index:
        for image_id in ids:
            boxes.write(f"{image_id},x,/m/03ssj5,1,0.1,0.6,0.2,0.9,0,0,0,0,0\n")
            index.write(f"{image_id},train,http://x/y,,,,,,,,,\n")
    outcome = run(main, *files.words("--max_failures", 11))
    assert outcome.code == 0
    assert points_of(files).keys() == {"img3", "img1", "-"}
    assert "11 rejected (11 unsafe image id" in outcome.output


@pytest.mark.skipif(not STREET.exists() or not OPEN_IMAGES.exists(), reason="no ../shared/samples/street: photographs")
def test_real_files_with_the_kinds_of_a_class(tmp_path, run):
    outcome = run(
        main,
        *("--annotations_input_path", STREET / "train-annotations-bbox.csv"),
        *("--image_index_input_path", STREET / "train-images.csv"),
        *("--class_description_path", OPEN_IMAGES / "class-descriptions-boxable.csv"),
        *("--classes", "land VEHICLE", "--with_descendants"),
        *("--hierarchy_path", OPEN_IMAGES / "bbox_labels_600_hierarchy.json"),
        *("--point_output_path", tmp_path / "points.json", "--image_index_output_path", tmp_path / "images.json"),
    )
    assert outcome.code == 0, outcome.error
    labels = {box["label"] for point in read_points(tmp_path / "points.json") for box in point["annotations"]}
    assert {"/m/0k4j", "/m/0199g"} <= labels  # cars and bicycles
    assert "/m/01g317" not in labels  # no person
