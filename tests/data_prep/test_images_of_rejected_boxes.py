"""Images whose boxes were all rejected: no images without objects, unless that is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data_prep import import_annotations, process_metadata
from data_prep.formats.points import read_points
from tests.data_prep.conftest import BOX_COLUMNS, IMAGE_COLUMNS, OpenImagesFiles, box_row, image_row, write_csv

RunCommand = Callable[..., Any]
REASON = "all its boxes were rejected"

# Good has a good box and a bad one. Reader and Checked have bad ones only, which the format's reader rejects or the
# check of all formats; Bare has no box at all.
NAMES = ("good", "reader", "checked", "bare")


def write_coco(folder: Path) -> Path:
    boxes = [(0, [10, 10, 20, 20]), (0, [10, 10, -5, 20]), (1, [10, 10]), (2, [10, 10, 0, 20]), (2, [500, 0, 9, 9])]
    content = {
        "images": [{"id": n, "file_name": f"{name}.jpg", "width": 100, "height": 80} for n, name in enumerate(NAMES)],
        "annotations": [{"image_id": number, "category_id": 1, "bbox": box} for number, box in boxes],
        "categories": [{"id": 1, "name": "cat"}],
    }
    path = folder / "instances.json"
    path.write_text(json.dumps(content))
    return path


def write_voc(folder: Path) -> Path:
    boxes = {"good": ["10 10 30 30", "30 10 10 30"], "reader": ["10 10 x 30"], "checked": ["9 9 9 20", "500 0 509 9"]}
    (folder / "xml").mkdir()
    for name in NAMES:
        objects = ""
        for edges in boxes.get(name, []):
            tags = zip(("xmin", "ymin", "xmax", "ymax"), edges.split(), strict=True)
            box = "".join(f"<{tag}>{edge}</{tag}>" for tag, edge in tags)
            objects += f"<object><name>cat</name><bndbox>{box}</bndbox></object>"
        size = "<size><width>100</width><height>80</height></size>"
        text = f"<annotation><filename>{name}.jpg</filename>{size}{objects}</annotation>"
        (folder / "xml" / f"{name}.xml").write_text(text)
    return folder / "xml"


def write_yolo(folder: Path) -> Path:
    (folder / "labels").mkdir()
    (folder / "classes.txt").write_text("cat\n")
    lines = {
        "good": "0 .5 .5 .2 .2\n0 .5 .5 -.2 .2\n",
        "reader": "7 .5 .5 .2 .2\n",
        "checked": "0 .5 .5 0 .2\n0 5 .5 .2 .2\n",
        "bare": "",
    }
    for name, text in lines.items():
        (folder / "labels" / f"{name}.txt").write_text(text)
    return folder / "labels"


def write_flat_csv(folder: Path) -> Path:
    path = folder / "labels.csv"
    path.write_text(
        "filename,width,height,class,xmin,ymin,xmax,ymax\n"
        "good.jpg,100,80,cat,10,10,30,30\ngood.jpg,100,80,cat,30,10,10,30\nreader.jpg,100,80,cat,10,10,x,30\n"
        "checked.jpg,100,80,cat,9,9,9,20\nchecked.jpg,100,80,cat,500,0,509,9\nbare.jpg,100,80,,,,,\n"
    )
    return path


WRITERS = {"coco": write_coco, "pascal_voc": write_voc, "yolo": write_yolo, "csv": write_flat_csv}


@pytest.mark.parametrize("kind", WRITERS)
def test_imported_images_whose_boxes_were_all_rejected_are_dropped_and_counted_apart(
    kind: str, tmp_path: Path, run: RunCommand
) -> None:
    (tmp_path / "photos").mkdir()
    for name in NAMES:
        Image.new("RGB", (100, 80)).save(tmp_path / "photos" / f"{name}.jpg")
    placed, ledger = tmp_path / "by_id", tmp_path / "points.rejected.jsonl"
    flags = [
        "--format", kind, "--annotations_path", WRITERS[kind](tmp_path), "--point_output_path",
        tmp_path / "points.json", "--label_map_path", tmp_path / "label_map.pbtxt", "--max_failures", 4,
        "--image_directory", tmp_path / "photos", "--image_output_directory", placed,
    ]  # fmt: skip
    outcome = run(import_annotations.main, *flags)
    assert outcome.code == 0, outcome.output + outcome.error  # the images are no further failures
    assert "images: 4 read, 2 kept, 1 of them without a box" in outcome.output
    assert "2 images whose boxes were all rejected: dropped (--keep_images_of_rejected_boxes" in outcome.output
    assert "4 rejected (" in outcome.output
    points = {point["id"]: len(point["annotations"]) for point in read_points(tmp_path / "points.json")}
    assert points == {"good": 1, "bare": 0}
    assert sorted(path.name for path in placed.iterdir()) == ["bare.jpg", "good.jpg"]
    entries = [json.loads(line) for line in ledger.read_text().splitlines()]
    details = [entry["detail"] for entry in entries if entry["reason"] == REASON]
    assert sorted(details) == ["image checked: 2 boxes", "image reader: 1 box"]
    assert len(entries) == 6

    outcome = run(import_annotations.main, *flags, "--keep_images_of_rejected_boxes")
    assert outcome.code == 0
    assert "images: 4 read, 4 kept, 3 of them without a box" in outcome.output
    assert "2 images whose boxes were all rejected: kept as images without objects" in outcome.output
    points = {point["id"]: len(point["annotations"]) for point in read_points(tmp_path / "points.json")}
    assert points == {"good": 1, "reader": 0, "checked": 0, "bare": 0}
    assert len(ledger.read_text().splitlines()) == 4


def test_open_images_whose_boxes_were_all_rejected_are_dropped_and_counted_apart(
    open_images_files: OpenImagesFiles, run: RunCommand
) -> None:
    files = open_images_files
    boxes = [box_row("img1"), box_row("img1", XMin=2), box_row("img3", XMin=0.9), box_row("img4", IsGroupOf=1)]
    write_csv(files.boxes, BOX_COLUMNS, boxes)
    ids = [f"img{number}" for number in range(1, 5)]
    write_csv(files.index, IMAGE_COLUMNS, map(image_row, ids))
    labels = files.folder / "labels.csv"
    labels.write_text("ImageID,Source,LabelName,Confidence\n" + "".join(f"{i},verification,/m/03ssj5,1\n" for i in ids))
    ledger = files.folder / "points.rejected.jsonl"
    flags = files.words(
        "--image_labels_input_path", labels, "--keep_images_without_boxes", "--is_group_of", "exclude",
        "--max_failures", 2,
    )  # fmt: skip

    def points() -> dict[str, int]:
        return {point["id"]: len(point["annotations"]) for point in read_points(files.folder / "points.json")}

    outcome = run(process_metadata.main, *flags)
    assert outcome.code == 0, outcome.output + outcome.error
    assert "images: 4 in the index, 3 kept, 2 of them without a box" in outcome.output
    assert "1 images whose boxes were all rejected: dropped (--keep_images_of_rejected_boxes" in outcome.output
    assert points() == {"img1": 1, "img2": 0, "img4": 0}  # img2 never had a box, and that of img4 was not wanted
    entries = [json.loads(line) for line in ledger.read_text().splitlines()]
    assert [entry["item"] for entry in entries if entry["reason"] == REASON] == ["img3"]
    assert "2 rejected (" in outcome.output and len(entries) == 3
    images = json.loads((files.folder / "images.json").read_text())
    assert [image["id"] for image in images] == ["img1", "img2", "img4"]

    outcome = run(process_metadata.main, *flags, "--keep_images_of_rejected_boxes")
    assert outcome.code == 0
    assert "1 images whose boxes were all rejected: kept as images without objects" in outcome.output
    assert points() == {"img1": 1, "img2": 0, "img3": 0, "img4": 0}


def test_where_all_boxes_of_all_images_were_rejected_earlier_files_stay(
    open_images_files: OpenImagesFiles, run: RunCommand
) -> None:
    files = open_images_files
    write_csv(files.boxes, BOX_COLUMNS, [box_row("img1", XMin=2)])
    labels = files.folder / "labels.csv"
    labels.write_text("ImageID,Source,LabelName,Confidence\nimg1,verification,/m/03ssj5,1\n")
    flags = files.words("--image_labels_input_path", labels, "--keep_images_without_boxes")
    outcome = run(process_metadata.main, *flags)
    assert (outcome.code, outcome.error.count("\n")) == (1, 1)
    assert "the boxes of all images were rejected; 1 rejected (1 outside 0..1" in outcome.error
    assert not (files.folder / "points.json").exists()


def test_keeping_them_needs_images_without_boxes(open_images_files: OpenImagesFiles, run: RunCommand) -> None:
    outcome = run(process_metadata.main, *open_images_files.words("--keep_images_of_rejected_boxes"))
    assert outcome.code == 2 and "give --keep_images_without_boxes" in outcome.error
