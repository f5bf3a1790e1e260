"""The command: out to each format and back the same, from points and from records, and what it leaves out and says."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from data_prep import export_annotations, import_annotations, make_tfrecords
from data_prep.formats.label_map import LabelMap, LabelMapItem, read_label_map, write_label_map
from data_prep.formats.points import read_points, write_points
from data_prep.formats.tf_example import make_example
from data_prep.records.record_files import RecordWriter

ROOT = Path(__file__).parents[2]
STREET = ROOT.parent / "shared" / "samples" / "street"
FORMATS = ("coco", "pascal_voc", "yolo")
LABEL_MAP = LabelMap([LabelMapItem(1, "zebra"), LabelMapItem(2, "ant & <bee>"), LabelMapItem(3, "müller")])
RunCommand = Callable[..., Any]


def box(label: str, x0: float, y0: float, x1: float, y1: float, **more: object) -> dict[str, object]:
    return {"label": label, "x0": x0, "x1": x1, "y0": y0, "y1": y1, **more}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """points.json of four images, of which one is turned by EXIF and one has no box, and the label map."""
    sizes = {"one": (160, 120), "two.v2": (90, 150), "turned": (64, 48), "empty": (32, 32)}
    (tmp_path / "images").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, size in sizes.items():
        suffix = ".png" if name == "two.v2" else ".jpg"
        more = {"exif": exif} if name == "turned" else {}
        Image.new("RGB", size, "gray").save(tmp_path / "images" / f"{name}{suffix}", **more)
    boxes = {
        "one": [
            box("zebra", 0.1, 0.2, 0.5, 0.9, is_truncated=True, is_occluded=True, confidence=0.5),
            box("müller", 1 / 3, 0.0, 1.0, 0.123456, is_group_of=True, is_depiction=True, is_inside=True),
        ],
        "two.v2": [
            box("ant & <bee>", 0.2, 1 / 7, 0.4, 2 / 7, is_difficult=True, segment_area=0.01),
            box("zebra", 0.0, 0.0, 1.0, 1.0, is_group_of=True, is_crowd=True),
        ],
        "turned": [box("müller", 0.25, 0.125, 0.5, 0.75, is_occluded=True)],
        "empty": [],
    }
    points: list[dict[str, Any]] = [{"id": name, "annotations": rows} for name, rows in boxes.items()]
    points[0]["image_labels"] = [{"label": "zebra", "confidence": 1.0}, {"label": "müller", "confidence": 0.0}]
    write_points(tmp_path / "points.json", points)
    write_label_map(tmp_path / "label_map.pbtxt", LABEL_MAP)
    return tmp_path


def of_points(folder: Path) -> list[object]:
    return ["--datapoints_input_path", folder / "points.json", "--image_directory", folder / "images"]


def words(kind: str, folder: Path, source: list[object], *more: object) -> list[object]:
    output = ["--output_path", folder / "out.json"] if kind == "coco" else ["--output_directory", folder / "out"]
    return ["--format", kind, *source, "--label_map_path", folder / "label_map.pbtxt", *output, *more]


def read_back(kind: str, folder: Path, run: RunCommand, *more: object, images: str = "images") -> dict[str, Any]:
    """Imports what was exported, and returns the annotations by image; checks the class ids."""
    source = {"coco": "out.json", "pascal_voc": "out", "yolo": "out/labels/train"}[kind]
    shutil.copy(folder / "label_map.pbtxt", folder / "again.pbtxt")
    if kind != "pascal_voc":  # which names classes in its boxes only
        (folder / "again.pbtxt").unlink()
    outcome = run(
        import_annotations.main, "--format", kind, "--annotations_path", folder / source,
        "--image_directory", folder / images, "--point_output_path", folder / "again.json",
        "--label_map_path", folder / "again.pbtxt", *more,
    )  # fmt: skip
    assert outcome.code == 0, outcome.error
    assert "stuck out" not in outcome.output
    again = read_label_map(folder / "again.pbtxt")
    assert [(item.id, item.name) for item in again] == [
        (item.id, item.display_name or item.name) for item in read_label_map(folder / "label_map.pbtxt")
    ]
    return {point["id"]: point["annotations"] for point in read_points(folder / "again.json")}


def assert_same_boxes(found: dict[str, Any], expected: dict[str, Any], tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name, boxes in expected.items():
        assert [row["label"] for row in found[name]] == [row["label"] for row in boxes]
        for key in ("x0", "x1", "y0", "y1"):
            edges = [row[key] for row in boxes]
            assert [row[key] for row in found[name]] == pytest.approx(edges, abs=tolerance), (name, key)


@pytest.mark.parametrize("turned", ["shown", "stored"])
@pytest.mark.parametrize(("kind", "tolerance"), [("coco", 4e-6), ("pascal_voc", 4e-6), ("yolo", 2e-8)])
def test_out_and_back_the_same(folder: Path, run: RunCommand, kind: str, tolerance: float, turned: str) -> None:
    """A ten-thousandth of a pixel of the smallest image is 3e-6 of its side."""
    extra = ["--fractional_pixels", "--one_based_pixels"] if kind == "pascal_voc" else []
    are_of = ["--boxes_are_of", turned]
    outcome = run(export_annotations.main, *words(kind, folder, of_points(folder), *extra, *are_of))
    assert outcome.code == 0, outcome.error
    assert "images: 4 read, 4 written, 1 of them without a box" in outcome.output
    assert "boxes: 5 read, 5 written" in outcome.output
    found = read_back(kind, folder, run, *extra[1:], *are_of)
    expected = {point["id"]: point["annotations"] for point in read_points(folder / "points.json")}
    assert_same_boxes(found, expected, tolerance)
    kept = {"coco": ["is_crowd"], "pascal_voc": ["is_truncated", "is_occluded", "is_difficult"], "yolo": []}[kind]
    for name, boxes in expected.items():
        for before, after in zip(boxes, found[name], strict=True):
            flags = {key: value for key, value in after.items() if key.startswith("is_") and value}
            if kind == "coco" and before["is_group_of"]:
                assert flags == {"is_group_of": True, "is_crowd": True}
            else:
                assert flags == {key: True for key in kept if before.get(key)}


def test_pascal_voc_is_within_half_a_pixel_by_default(folder: Path, run: RunCommand) -> None:
    outcome = run(export_annotations.main, *words("pascal_voc", folder, of_points(folder)))
    assert "edges are rounded to whole pixels (--fractional_pixels keeps them)" in outcome.output
    assert "." not in (folder / "out" / "Annotations" / "one.xml").read_text().split("<bndbox>")[1]
    found = read_back("pascal_voc", folder, run)
    expected = {point["id"]: point["annotations"] for point in read_points(folder / "points.json")}
    sides = {"one": (160, 120), "two.v2": (90, 150), "turned": (64, 48), "empty": (32, 32)}
    for name, boxes in expected.items():
        for before, after in zip(boxes, found[name], strict=True):
            for key in ("x0", "x1", "y0", "y1"):
                assert abs(before[key] - after[key]) * sides[name]["xy".index(key[0])] <= 0.5 + 1e-9


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("coco", "is_occluded of 2 boxes, is_truncated of 1 boxes, confidence of 1 boxes, is_depiction of 1 boxes"),
        ("pascal_voc", "is_group_of of 2 boxes, confidence of 1 boxes"),
        ("yolo", "is_occluded of 2 boxes, is_group_of of 2 boxes"),
    ],
)
def test_what_a_format_cannot_hold_is_counted_and_told(folder: Path, run: RunCommand, kind: str, line: str) -> None:
    output = run(export_annotations.main, *words(kind, folder, of_points(folder))).output
    (told,) = [text for text in output.splitlines() if "and so are lost" in text]
    lost = sorted(told.partition("lost: ")[2].split(", "))
    counts = {
        "coco": {"is_depiction": 1, "is_inside": 1, "is_occluded": 2, "is_truncated": 1, "is_difficult": 1}
        | {"confidence": 1},
        "pascal_voc": {"is_depiction": 1, "is_inside": 1, "is_group_of": 2, "is_crowd": 1, "confidence": 1}
        | {"segment_area": 1},
        "yolo": {"is_depiction": 1, "is_inside": 1, "is_occluded": 2, "is_truncated": 1, "is_difficult": 1}
        | {"is_group_of": 2, "is_crowd": 1, "confidence": 1, "segment_area": 1},
    }[kind]
    expected = [f"{name} of {count} boxes" for name, count in counts.items()]
    assert lost == sorted([*expected, "2 verified labels of 1 images"])


def test_boxes_around_groups(folder: Path, run: RunCommand) -> None:
    outcome = run(export_annotations.main, *words("coco", folder, of_points(folder)))
    assert "2 boxes around groups are iscrowd (--group_of_boxes keep: boxes as any)" in outcome.output
    crowds = {"forgive": [0, 1, 0, 1, 0], "keep": [0, 0, 0, 1, 0], "drop": [0, 0, 0]}
    for choice, expected in crowds.items():
        run(export_annotations.main, *words("coco", folder, of_points(folder), "--group_of_boxes", choice))
        content = json.loads((folder / "out.json").read_text())
        assert [annotation["iscrowd"] for annotation in content["annotations"]] == expected
    outcome = run(
        export_annotations.main, *words("pascal_voc", folder, of_points(folder), "--group_of_boxes", "forgive")
    )
    assert "2 boxes around groups are difficult" in outcome.output
    outcome = run(export_annotations.main, *words("yolo", folder, of_points(folder), "--group_of_boxes", "forgive"))
    assert outcome.code == 2
    assert "yolo has no mark for such boxes; keep or drop them" in outcome.error


def records_of(folder: Path, run: RunCommand) -> list[object]:
    outcome = run(
        make_tfrecords.main, *of_points(folder), "--label_map_path", folder / "label_map.pbtxt",
        "--record_output_path", folder / "train.record", "--num_shards", 2, "--no_shuffle",
    )  # fmt: skip
    assert outcome.code == 0, outcome.error
    return ["--input_path", f"{folder}/train.record-*"]


@pytest.mark.parametrize(("kind", "tolerance"), [("coco", 4e-6), ("pascal_voc", 4e-6), ("yolo", 2e-7)])
def test_records_give_the_same_and_their_images(folder: Path, run: RunCommand, kind: str, tolerance: float) -> None:
    source = records_of(folder, run)
    images = folder / "out" / "images" / "train" if kind == "yolo" else folder / "placed"
    more: list[object] = ["--image_output_directory", images, *["--fractional_pixels"] * (kind == "pascal_voc")]
    outcome = run(export_annotations.main, *words(kind, folder, source, *more))
    assert outcome.code == 0, outcome.error
    assert f"images in {images}: 4" in outcome.output
    assert sorted(path.name for path in images.iterdir()) == ["empty.jpg", "one.jpg", "turned.jpg", "two.v2.png"]
    for path in images.iterdir():
        if path.stem != "turned":  # encoded anew on its way to the records, without its EXIF orientation
            assert path.read_bytes() == (folder / "images" / path.name).read_bytes()
    found = read_back(kind, folder, run, images=str(images.relative_to(folder)))
    assert_same_boxes(
        found, {point["id"]: point["annotations"] for point in read_points(folder / "points.json")}, tolerance
    )
    if kind == "coco":
        content = json.loads((folder / "out.json").read_text())
        areas = [annotation["area"] for annotation in content["annotations"]]
        assert pytest.approx(0.01 * 90 * 150) in areas  # the segment's
    if kind == "yolo":
        assert "note: trainers look" not in outcome.output
        assert "./images/train/one.jpg\n" in (folder / "out" / "train.txt").read_text()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_images_in_records_that_exif_turns(folder: Path, run: RunCommand, suffix: str) -> None:
    """As strangers' records may have them; the box is written about the image as viewers show it."""
    exif = Image.Exif()
    exif[0x0112] = 8
    file = io.BytesIO()
    Image.new("RGB", (64, 48), "gray").save(file, Image.registered_extensions()[suffix], exif=exif)
    with RecordWriter(folder / "some.record") as writer:
        example = make_example(
            encoded_image=file.getvalue(), image_format=suffix[1:].replace("jpg", "jpeg"), source_id="one",
            height=48, width=64, boxes_ymin_xmin_ymax_xmax=[(0.25, 0.125, 0.5, 0.75)], class_labels=[1],
            class_texts=["zebra"],
        )  # fmt: skip
        writer.write(example)
    source: list[object] = ["--input_path", folder / "some.record", "--image_output_directory", folder / "placed"]
    expected = {"one": [box("zebra", 0.125, 0.25, 0.75, 0.5)]}
    for are_of, size in (("shown", (48, 64)), ("stored", (64, 48))):
        outcome = run(export_annotations.main, *words("coco", folder, source, "--boxes_are_of", are_of))
        assert outcome.code == 0, outcome.error
        (entry,) = json.loads((folder / "out.json").read_text())["images"]
        assert (entry["width"], entry["height"]) == size
        assert entry["file_name"] == f"one{suffix}"
        assert_same_boxes(read_back("coco", folder, run, "--boxes_are_of", are_of, images="placed"), expected, 4e-6)


@pytest.mark.parametrize("placing", ["link", "copy"])
def test_images_of_points_are_linked_or_copied(folder: Path, run: RunCommand, placing: str) -> None:
    placed = folder / "placed"
    more = ["--image_output_directory", placed, "--image_placing", placing]
    for _ in range(2):
        outcome = run(export_annotations.main, *words("coco", folder, of_points(folder), *more))
        assert outcome.code == 0, outcome.error
        assert f"images in {placed}: 4" in outcome.output
        names = [entry["file_name"] for entry in json.loads((folder / "out.json").read_text())["images"]]
        assert sorted(path.name for path in placed.iterdir()) == sorted(names)
        for name in names:
            assert (placed / name).is_symlink() == (placing == "link")
            assert (placed / name).read_bytes() == (folder / "images" / name).read_bytes()


def test_pycocotools_reads_it_and_finds_detections_that_equal_it_perfect(folder: Path, run: RunCommand) -> None:
    run(export_annotations.main, *words("coco", folder, of_points(folder), "--group_of_boxes", "keep"))
    truth = COCO(str(folder / "out.json"))
    assert truth.getCatIds() == [1, 2, 3]
    assert [entry["name"] for entry in truth.loadCats([2, 3])] == ["ant & <bee>", "müller"]
    assert len(truth.getAnnIds(imgIds=[1])) == 2
    detections = [
        {key: annotation[key] for key in ("image_id", "category_id", "bbox")} | {"score": 0.9}
        for annotation in truth.dataset["annotations"]
    ]
    evaluation = COCOeval(truth, truth.loadRes(detections), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)


def test_names_that_people_read_or_those_of_annotations(folder: Path, run: RunCommand) -> None:
    items = [LabelMapItem(item.id, item.name, f"Class {item.id}") for item in LABEL_MAP]
    write_label_map(folder / "label_map.pbtxt", LabelMap(items))
    assert run(export_annotations.main, *words("yolo", folder, of_points(folder))).code == 0
    names = yaml.safe_load((folder / "out" / "data.yaml").read_text())["names"]
    assert names == {0: "Class 1", 1: "Class 2", 2: "Class 3"}
    outcome = run(export_annotations.main, *words("yolo", folder, of_points(folder), "--class_names", "name"))
    assert outcome.code == 2
    assert "is there already, with other classes" in outcome.error
    shutil.rmtree(folder / "out")
    assert run(export_annotations.main, *words("yolo", folder, of_points(folder), "--class_names", "name")).code == 0
    names = yaml.safe_load((folder / "out" / "data.yaml").read_text())["names"]
    assert names == {0: "zebra", 1: "ant & <bee>", 2: "müller"}


def test_ids_with_gaps(folder: Path, run: RunCommand) -> None:
    items = [LabelMapItem(item.id + 4, item.name) for item in LABEL_MAP]
    write_label_map(folder / "label_map.pbtxt", LabelMap(items))
    outcome = run(export_annotations.main, *words("yolo", folder, of_points(folder)))
    assert "class ids have gaps, and YOLO's classes none: id 5 is class 0, and so on" in outcome.output
    assert run(export_annotations.main, *words("coco", folder, of_points(folder))).code == 0
    assert_same_boxes(
        read_back("coco", folder, run, "--keep_category_ids"),
        {point["id"]: point["annotations"] for point in read_points(folder / "points.json")},
        4e-6,
    )


def test_missing_images_and_unknown_labels(folder: Path, run: RunCommand) -> None:
    (folder / "images" / "one.jpg").unlink()
    (folder / "images" / "turned.jpg").write_bytes(b"<html>")
    items = [item for item in LABEL_MAP if item.id != 1]
    write_label_map(folder / "label_map.pbtxt", LabelMap(items))
    outcome = run(export_annotations.main, *words("coco", folder, of_points(folder)))
    assert outcome.code == 3
    assert "images: 4 read, 2 written, 1 of them without a box" in outcome.output
    assert "boxes: 5 read, 1 written, 1 of labels outside the label map" in outcome.output
    ledger = [json.loads(line) for line in (folder / "out.rejected.jsonl").read_text().splitlines()]
    assert [(entry["item"], entry["reason"]) for entry in ledger] == [("one", "missing"), ("turned", "not an image")]
    write_label_map(folder / "label_map.pbtxt", LabelMap([LabelMapItem(1, "another's")]))
    earlier = (folder / "out.json").read_bytes()
    outcome = run(export_annotations.main, *words("coco", folder, of_points(folder)))
    assert outcome.code == 1
    assert "not one box is left" in outcome.error
    assert "2 of labels outside the label map" in outcome.error
    assert (folder / "out.json").read_bytes() == earlier


def test_records_from_anywhere(folder: Path, run: RunCommand) -> None:
    content = (folder / "images" / "one.jpg").read_bytes()

    def record(name: str, boxes: list[tuple[float, float, float, float]], labels: list[int], **more: Any) -> bytes:
        names = {item.id: item.name for item in LABEL_MAP}
        given = {"class_texts": [names.get(label, "?") for label in labels], "width": 160, **more}
        return make_example(
            encoded_image=content, image_format="jpeg", source_id=name, filename=name, height=120,
            boxes_ymin_xmin_ymax_xmax=boxes, class_labels=labels, **given,
        )  # fmt: skip

    good = (0.25, 0.25, 0.5, 0.5)
    with RecordWriter(folder / "some.record") as writer:
        writer.write(record("../../sly.jpg", [good], [1]))
        writer.write(record("a folder/one two.png", [good], [1]))  # a JPEG whatever it is called
        writer.write(record("same.jpg", [good, (0.5, 0.5, 0.25, 0.75), (0.1, 0.1, 0.2, 1.5)], [2, 2, 2]))
        writer.write(record("same.jpg", [good], [2]))
        texts = ["müller", "", "unicorn", "zebra"]  # which count where there is one, as in training
        writer.write(record("classes.jpg", [good] * 4, [3, 9, 2, 9], class_texts=texts))
        writer.write(record("lost.jpg", [(0.5, 0.5, 0.25, 0.75)], [1]))
        writer.write(record("wide.jpg", [good], [1], width=161))
        writer.write(b"no example")
    with (folder / "some.record").open("ab") as file:
        file.write(b"the end is missing")
    source: list[object] = ["--input_path", folder / "some.record", "--image_output_directory", folder / "placed"]
    outcome = run(export_annotations.main, *words("coco", folder, source))
    assert outcome.code == 3
    assert "boxes: 12 read, 4 written" in outcome.output
    assert "1 images whose boxes were all rejected: left out with them" in outcome.output
    images = [entry["file_name"] for entry in json.loads((folder / "out.json").read_text())["images"]]
    assert images[1:] == ["same.jpg", "classes.jpg"]
    assert images[0].startswith("a_folder_one_two-")
    assert images[0].endswith(".jpg")
    assert sorted(path.name for path in (folder / "placed").iterdir()) == sorted(images)
    ledger = [json.loads(line) for line in (folder / "out.rejected.jsonl").read_text().splitlines()]
    assert [entry["reason"] for entry in ledger] == [
        "unsafe image name", "reversed box", "box far outside the image", "image listed twice",
        "class id outside the label map", "class text outside the label map", "reversed box",
        "all its boxes were rejected", "size differs from the image",
        "not a tf.train.Example", "corrupt record file",
    ]  # fmt: skip
    assert ledger[1]["item"] == f"{folder / 'some.record'}, record 2, box 1"
    # A label file called classes.txt would be read as a list of classes.
    outcome = run(export_annotations.main, *words("yolo", folder, source[:2], "--max_failures", 99))
    assert outcome.code == 0, outcome.error
    assert not (folder / "out" / "labels" / "train" / "classes.txt").exists()
    assert "readers take classes.txt for a list of classes" in (folder / "out" / "train.rejected.jsonl").read_text()


def test_another_label_map_than_the_records_is_refused(folder: Path, run: RunCommand) -> None:
    source = records_of(folder, run)
    items = [LabelMapItem(4 - item.id, item.name) for item in LABEL_MAP]
    write_label_map(folder / "label_map.pbtxt", LabelMap(items))
    outcome = run(export_annotations.main, *words("coco", folder, source))
    assert outcome.code == 1
    assert (
        "train.record.manifest.json (there) and --label_map_path (here): class 'zebra' has id 1 there" in outcome.error
    )


@pytest.mark.parametrize("kind", FORMATS)
def test_killed_and_run_again_it_writes_the_same(folder: Path, run: RunCommand, kind: str) -> None:
    (folder / "many").mkdir()
    boxes = [box("zebra", 0.1, 0.2, 0.5, 0.9), box("müller", 1 / 3, 0.0, 1.0, 0.123456)]
    points = [{"id": f"copy{number}", "annotations": boxes} for number in range(1500)]
    for point in points:
        os.link(folder / "images" / "one.jpg", folder / "many" / f"{point['id']}.jpg")
    write_points(folder / "points.json", points)
    source: list[object] = ["--datapoints_input_path", folder / "points.json", "--image_directory", folder / "many"]
    flags = [str(word) for word in words(kind, folder, source)]
    process = subprocess.Popen(
        [sys.executable, "-m", "data_prep.export_annotations", *flags],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while process.poll() is None and not list(folder.rglob(".partial-*")):
        time.sleep(0.005)
    process.kill()
    process.wait()
    lists = {"coco": "out.json", "pascal_voc": "out/ImageSets/Main/train.txt", "yolo": "out/train.txt"}
    assert not (folder / lists[kind]).exists()
    assert list(folder.rglob(".partial-*"))
    done = subprocess.run([sys.executable, "-m", "data_prep.export_annotations", *flags], cwd=ROOT, check=False)
    assert done.returncode == 0
    assert not list(folder.rglob(".partial-*"))
    written = {path: path.read_bytes() for path in sorted(folder.glob("out*/**/*")) if path.is_file()}
    written[folder / lists[kind]] = (folder / lists[kind]).read_bytes()
    shutil.rmtree(folder / "out", ignore_errors=True)
    (folder / "out.json").unlink(missing_ok=True)
    assert run(export_annotations.main, *flags).code == 0
    assert len(written) > (0 if kind == "coco" else 1500)
    assert {path: path.read_bytes() for path in written} == written


def test_files_of_an_earlier_export_are_noted(folder: Path, run: RunCommand) -> None:
    assert run(export_annotations.main, *words("yolo", folder, of_points(folder))).code == 0
    points = [point for point in read_points(folder / "points.json") if point["id"] != "one"]
    write_points(folder / "points.json", points)
    outcome = run(export_annotations.main, *words("yolo", folder, of_points(folder)))
    labels = folder / "out" / "labels" / "train"
    assert f"note: 1 more files in {labels} are not of this export, which train.txt lists" in outcome.output


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--format", "coco", "--output_directory", "o"], "--output_directory is for --format pascal_voc or yolo"),
        (["--format", "yolo", "--output_path", "o"], "--output_path is for --format coco, not yolo"),
        (["--format", "yolo"], "--format yolo needs --output_directory"),
        (["--format", "coco", "--output_path", "o", "--split", "val"], "--split is for --format pascal_voc or yolo"),
        (["--format", "yolo", "--output_directory", "o", "--split", "../x"], "is no plain name"),
        (["--format", "yolo", "--output_directory", "o", "--split", "names"], "has another meaning"),
        (["--format", "coco", "--output_path", "o", "--input_path", "r"], "give either --datapoints_input_path"),
        (["--format", "coco", "--output_path", "o", "--image_output_directory", "images/in"], "is within --image_dir"),
    ],
)  # fmt: skip
def test_flags_that_do_not_go_together(
    folder: Path, run: RunCommand, monkeypatch: pytest.MonkeyPatch, flags: list[str], message: str
) -> None:
    monkeypatch.chdir(folder)
    outcome = run(export_annotations.main, *of_points(folder), "--label_map_path", "label_map.pbtxt", *flags)
    assert outcome.code == 2
    assert message in outcome.error
    assert not (folder / "o").exists()


@pytest.mark.skipif(not STREET.is_dir(), reason="no ../shared/samples/street: photographs")
@pytest.mark.parametrize(("kind", "tolerance"), [("coco", 1e-6), ("pascal_voc", 1e-6), ("yolo", 2e-8)])
def test_real_photographs_out_and_back(tmp_path: Path, run: RunCommand, kind: str, tolerance: float) -> None:
    names = dict(csv.reader((STREET / "class-descriptions-boxable.csv").open()))
    names.pop("LabelName", None)
    items = [LabelMapItem(number, name) for number, name in enumerate(names.values(), start=1)]
    write_label_map(tmp_path / "label_map.pbtxt", LabelMap(items))
    points: dict[str, list[dict[str, object]]] = {}
    for row in csv.DictReader((STREET / "validation-annotations-bbox.csv").open()):
        edges = [float(row[key]) for key in ("XMin", "YMin", "XMax", "YMax")]
        if edges[0] < edges[2] and edges[1] < edges[3]:
            points.setdefault(row["ImageID"], []).append(box(names[row["LabelName"]], *edges))
    expected = {image_id: points[image_id] for image_id in sorted(points)}
    write_points(
        tmp_path / "points.json", [{"id": image_id, "annotations": boxes} for image_id, boxes in expected.items()]
    )
    source: list[object] = [
        "--datapoints_input_path", tmp_path / "points.json", "--image_directory", STREET / "images" / "validation"
    ]  # fmt: skip
    (tmp_path / "images").symlink_to(STREET / "images" / "validation")
    extra = ["--fractional_pixels"] * (kind == "pascal_voc")
    outcome = run(export_annotations.main, *words(kind, tmp_path, source, *extra))
    assert outcome.code == 0, outcome.error
    assert_same_boxes(read_back(kind, tmp_path, run), expected, tolerance)
