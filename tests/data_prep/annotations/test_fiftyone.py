"""FiftyOne's labels.json, as its exporter writes it, and what its zoo downloads of Open Images."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_prep import import_annotations
from data_prep.annotations.conversion_options import Options
from data_prep.annotations.fiftyone import read_fiftyone_labels
from data_prep.annotations.fiftyone_open_images import read_fiftyone_open_images
from data_prep.formats.points import read_points
from data_prep.runtime.command_line import UsageError

NAMES = ["red block", "blue block", "green block"]
MIDS = {"/m/r": "red block", "/m/b": "blue block", "/m/g": "green block", "/m/s": "Sky"}
RunCommand = Callable[..., Any]


def detection(box: Any, scene: Any, label: Any, **more: Any) -> dict[str, Any]:
    _, x0, y0, x1, y1 = box
    edges = [x0 / scene.width, y0 / scene.height, (x1 - x0) / scene.width, (y1 - y0) / scene.height]
    return {"label": label, "bounding_box": edges} | more


def write_labels(folder: Path, scenes: Any, *, by_number: bool) -> Path:
    (folder / "data").mkdir(parents=True)
    labels: dict[str, Any] = {}
    for scene in scenes:
        scene.draw().save(folder / "data" / scene.file_name, quality=95)
        labels[scene.stem] = [
            detection(box, scene, NAMES.index(box[0]) if by_number else box[0], attributes={"iscrowd": 0})
            for box in scene.boxes
        ]
    path = folder / "labels.json"
    path.write_text(json.dumps({"classes": NAMES if by_number else None, "labels": labels}))
    return path


@pytest.mark.parametrize("by_number", [False, True])
def test_the_scenes_come_out_as_drawn(
    tmp_path: Path, scenes: Any, converted: Any, agrees_with_scenes: Callable[[Any], None], by_number: bool
) -> None:
    path = write_labels(tmp_path / "export", scenes, by_number=by_number)
    result = converted(read_fiftyone_labels, path, image_directory=None)
    agrees_with_scenes(result)
    assert result.summary.images_examined == 4
    source = read_fiftyone_labels(path, image_directory=None, reject=lambda *_: None)
    assert source.class_ids == ({name: number for number, name in enumerate(NAMES, 1)} if by_number else None)
    (tmp_path / "export" / "data").rename(tmp_path / "elsewhere")
    agrees_with_scenes(converted(read_fiftyone_labels, path, image_directory=None))
    elsewhere = Options(image_directory=tmp_path / "elsewhere")
    result = converted(read_fiftyone_labels, path, elsewhere, image_directory=tmp_path / "elsewhere")
    agrees_with_scenes(result)
    assert result.summary.images_examined == 4


def test_attributes_confidences_absolute_paths_and_unlabelled_images(tmp_path: Path, converted: Any) -> None:
    box = {"label": "cat", "bounding_box": [0.1, 0.2, 0.3, 0.4]}
    attributes = {
        "IsGroupOf": True,
        "is_occluded": "1",
        "Truncated": "false",
        "difficult": 1,
        "IsInside": -1,
        "pose": {},
    }
    labels = {
        "/home/me/a": [box | {"attributes": attributes, "confidence": 0.5}, box | {"attributes": {"iscrowd": 1}}],
        "nobody": None,
        "empty": [],
    }
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({"classes": None, "labels": labels}))
    result = converted(read_fiftyone_labels, path, image_directory=None)
    assert [point["id"] for point in result.points] == ["a", "empty"] and result.rejected == []
    first, second = result.points[0]["annotations"]
    assert first["is_group_of"] and first["is_occluded"] and first["is_difficult"] and first["confidence"] == 0.5
    assert not first["is_truncated"] and not first["is_inside"] and "is_crowd" not in first
    assert second["is_crowd"] and second["is_group_of"] and second["confidence"] == 1
    source = read_fiftyone_labels(path, image_directory=None, reject=lambda *_: None)
    assert sum(1 for _ in source.images) == 2
    assert source.remarks[0].startswith("1 images left out that nobody has labelled")


def test_bad_objects_are_rejected_with_their_place(tmp_path: Path, converted: Any) -> None:
    box = {"label": 0, "bounding_box": [0.1, 0.2, 0.3, 0.4]}
    bad = [
        box, 5, box | {"bounding_box": [1, 2, 3]}, box | {"bounding_box": [0, 0, "x", 1]}, box | {"label": 9},
        box | {"label": "cat"}, box | {"label": True}, box | {"confidence": 3},
        box | {"attributes": {"IsGroupOf": "maybe"}}, box | {"bounding_box": [0.5, 0.5, 0.9, 0.1]},
    ]  # fmt: skip
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({"classes": ["cat"], "labels": {"a": bad, "b": {"label": 0}, "../c": [box]}}))
    result = converted(read_fiftyone_labels, path, image_directory=None)
    assert sorted((where, reason) for where, reason, _ in result.rejected) == [
        ("labels.json:labels['../c']", "unsafe image name"),
        ("labels.json:labels['a'][1]", "not a box"),
        ("labels.json:labels['a'][2]", "not a box"),
        ("labels.json:labels['a'][3]", "not a number"),
        ("labels.json:labels['a'][4]", "unknown class number"),
        ("labels.json:labels['a'][5]", "unknown class"),
        ("labels.json:labels['a'][6]", "unknown class"),
        ("labels.json:labels['a'][7]", "bad confidence"),
        ("labels.json:labels['a'][8]", "bad flag"),
        ("labels.json:labels['a'][9]", "box outside the image"),
        ("labels.json:labels['b']", "not an annotation"),
    ]
    assert [len(point["annotations"]) for point in result.points] == [1]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('{"labels": []}', "no object 'labels'; FiftyOne's has"),
        ('{"images": [], "annotations": [], "categories": []}', "this is COCO: read it with --format coco"),
        ("[]", "no object 'labels'"),
        ('{"labels": {}, "classes": []}', "'classes' must be an array of class names or null"),
        ('{"labels": {}, "classes": ["a", "b", "a"]}', "2 of its classes are called 'a'"),
        ('{"labels": {}, "classes": ["a", 7]}', r"classes\[1\] is 7"),
        ('{"labels": {', "not JSON"),
        ('{"labels": {"a": [], "b": [], "a": null}}', "'a' comes twice in one object"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, text: str, word: str) -> None:
    path = tmp_path / "labels.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=word):
        read_fiftyone_labels(path, image_directory=None, reject=lambda *_: None)


def write_zoo(folder: Path, scenes: Any, split: str = "train", rows: tuple[str, ...] = ()) -> Path:
    """Writes what `foz.load_zoo_dataset("open-images-v7")` leaves, with boxes of images that were not asked for."""
    for name in ("data", "labels", "metadata"):
        (folder / split / name).mkdir(parents=True)
    mids = {name: mid for mid, name in MIDS.items()}
    lines = [
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside",
        "ffffffffffffffff,xclick,/m/s,1,0.1,0.2,0.3,0.4,0,0,0,0,0",
    ]
    for scene in scenes:
        scene.draw().save(folder / split / "data" / f"{scene.stem}.jpg", quality=95)
        for label, x0, y0, x1, y1 in scene.boxes:
            edges = (x0 / scene.width, x1 / scene.width, y0 / scene.height, y1 / scene.height)
            lines.append(",".join([scene.stem, "xclick", mids[label], "1", *map(repr, edges), "1,-1,0,0,0"]))
    (folder / split / "labels" / "detections.csv").write_text("\n".join([*lines, *rows]) + "\n")
    (folder / split / "metadata" / "classes.csv").write_text("".join(f"{mid},{name}\n" for mid, name in MIDS.items()))
    return folder


def test_the_zoos_boxes_are_those_of_the_images_that_are_there(tmp_path: Path, scenes: Any, converted: Any) -> None:
    path = write_zoo(tmp_path / "open-images-v7", scenes)
    for given in (path, path / "train"):
        result = converted(read_fiftyone_open_images, given, splits=None, image_directory=None)
        assert result.rejected == []
        assert [point["id"] for point in result.points] == [scene.stem for scene in scenes if scene.boxes]
        for scene in scenes:
            if scene.boxes:
                boxes = result.boxes_in_pixels(scene.stem, scene.width, scene.height)
                assert boxes == [(label, *map(float, box)) for label, *box in scene.boxes]
        first = result.points[0]["annotations"][0]
        assert first["is_occluded"] and not first["is_truncated"] and not first["is_group_of"]
    source = read_fiftyone_open_images(path, splits=None, image_directory=None, reject=lambda *_: None)
    assert sum(1 for _ in source.images) == 3
    assert source.remarks == [
        "train: 5 of 6 boxes are of the 4 images in data",
        "train: 1 images left out on which nobody has drawn boxes",
    ]


def test_bad_rows_of_the_zoo_and_classes_of_one_name(tmp_path: Path, scenes: Any, converted: Any) -> None:
    row = "000001,xclick,%s,1,%s,0.2,0.3,0.4,%s,0,0,0,0"
    rows = (
        row % ("/m/unknown", 0.1, 0), row % ("/m/r", "x", 0), row % ("/m/r", 0.1, 7), row % ("/m/r", 0.9, 0),
        "000001,too,few", "gone,xclick,/m/r,1,bad,0.2,0.3,0.4,0,0,0,0,0",
    )  # fmt: skip
    path = write_zoo(tmp_path, scenes, rows=rows)
    (path / "train" / "metadata" / "classes.csv").open("a").write("/m/r2,red block\n")
    result = converted(read_fiftyone_open_images, path, splits=None, image_directory=None)
    where = "train/labels/detections.csv:%d"
    assert sorted((place, reason) for place, reason, _ in result.rejected) == [
        (where % 10, "bad flag"),
        (where % 11, "reversed box"),
        (where % 12, "wrong number of cells"),
        (where % 8, "unknown class"),
        (where % 9, "not a number"),
    ]
    assert result.summary.kept_by_label["red block (/m/r)"] == 1


def test_the_command_takes_a_split_of_the_zoo_and_places_its_images(
    tmp_path: Path, scenes: Any, run: RunCommand
) -> None:
    path = write_zoo(tmp_path / "open-images-v7", scenes[:2])
    write_zoo(path, scenes[3:], "validation")
    flags = [
        "--format", "fiftyone", "--annotations_path", path, "--point_output_path", tmp_path / "points.json",
        "--label_map_path", tmp_path / "label_map.pbtxt", "--image_output_directory", tmp_path / "images",
    ]  # fmt: skip
    assert "holds the splits train, validation; say by --splits" in run(import_annotations.main, *flags).error
    outcome = run(import_annotations.main, *flags, "--splits", "validation")
    assert outcome.code == 0, outcome.error
    assert [point["id"] for point in read_points(tmp_path / "points.json")] == ["img.v2.rf.4"]
    assert [file.name for file in (tmp_path / "images").iterdir()] == ["img.v2.rf.4.jpg"]
    assert run(import_annotations.main, *flags, "--splits", "validation").output.startswith("nothing to do")
    nothing = [*flags[:3], tmp_path / "images", *flags[4:-2]]
    assert "neither labels.json nor SPLIT/labels/detections.csv in it" in run(import_annotations.main, *nothing).error
    (tmp_path / "images" / "samples.json").write_text("{}")
    assert "export the field with the boxes as" in run(import_annotations.main, *nothing).error


def test_the_command_reads_an_export_by_its_folder_or_file(tmp_path: Path, scenes: Any, run: RunCommand) -> None:
    path = write_labels(tmp_path / "export", scenes, by_number=True)
    for given in (path, path.parent):
        flags = [
            "--format", "fiftyone", "--annotations_path", given, "--point_output_path", tmp_path / "points.json",
            "--label_map_path", tmp_path / "label_map.pbtxt", "--image_output_directory", tmp_path / "images",
        ]  # fmt: skip
        outcome = run(import_annotations.main, *flags)
        assert outcome.code == 0 and "images: 4 read, 4 kept, 1 of them without a box" in outcome.output
        assert run(import_annotations.main, *flags).output.startswith("nothing to do")
        scenes[0].draw().save(path.parent / "data" / scenes[0].file_name, quality=90)
        assert "images: 4 read" in run(import_annotations.main, *flags).output
