"""The layouts of YOLO data sets: an Ultralytics YAML with its splits, and class names in a YAML of any name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_prep import import_annotations
from data_prep.annotations.class_names import find_class_names
from data_prep.annotations.yolo import read_yolo
from data_prep.formats.points import read_points
from data_prep.runtime.command_line import UsageError

NAMES = ("red block", "blue block", "green block")
ALONE: dict[str, Any] = {"class_names_path": None, "image_directory": None}


def write_split(root: Path, scenes: Any, images: str, labels: str) -> None:
    (root / images).mkdir(parents=True, exist_ok=True)
    (root / labels).mkdir(parents=True, exist_ok=True)
    for scene in scenes:
        scene.draw().save(root / images / scene.file_name, quality=95)
        lines = []
        for label, x0, y0, x1, y1 in scene.boxes:
            shares = ((x0 + x1) / 2 / scene.width, (y0 + y1) / 2 / scene.height, (x1 - x0) / scene.width)
            lines.append(" ".join(map(repr, (NAMES.index(label), *shares, (y1 - y0) / scene.height))))
        if lines:
            (root / labels / f"{scene.stem}.txt").write_text("\n".join(lines))


def write_yaml(file: Path, /, **keys: object) -> Path:
    file.write_text("".join(f"{key}: {value}\n" for key, value in ({"names": list(NAMES)} | keys).items()))
    return file


@pytest.mark.parametrize(
    ("images", "labels", "name", "keys"),
    [
        ("images/train", "labels/train", "coco8.yaml", {"path": ".", "train": "images/train"}),
        ("coco8/images/train", "coco8/labels/train", "coco8.yaml", {"path": "coco8", "train": "images/train"}),
        ("images/train", "labels/train", "data.yaml", {"path": "/content/elsewhere", "train": "images/train"}),
        ("train/images", "train/labels", "data.yaml", {"train": "../train/images"}),  # Roboflow's
        ("train/images", "train/labels", "mine.yml", {"train": ["train/images"], "val": ""}),
        ("all", "all", "blocks.yaml", {"train": "all", "names": dict(enumerate(NAMES))}),
    ],
)
def test_the_scenes_come_out_as_drawn(
    tmp_path: Path,
    scenes: Any,
    converted: Any,
    agrees_with_scenes: Callable[[Any], None],
    images: str,
    labels: str,
    name: str,
    keys: dict[str, object],
) -> None:
    write_split(tmp_path, scenes, images, labels)
    result = converted(read_yolo, write_yaml(tmp_path / name, **keys), **ALONE)
    agrees_with_scenes(result)
    assert result.summary.images_examined == 4 and result.summary.images_without_boxes == 1


def test_a_list_of_images_takes_those_alone(tmp_path: Path, scenes: Any, converted: Any) -> None:
    write_split(tmp_path, scenes, "images", "labels")
    path = write_yaml(tmp_path / "data.yaml", train="train.txt", val="lists/val.txt", path=".")
    (tmp_path / "train.txt").write_text("./images/000001.jpg\n\nimages/empty_3.jpg\nimages/gone.jpg\n")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "val.txt").write_text(f"{tmp_path}/images/street-2.jpg\n")
    result = converted(read_yolo, path, splits=["train"], **ALONE)
    assert [(point["id"], len(point["annotations"])) for point in result.points] == [("000001", 2), ("empty_3", 0)]
    assert result.reasons == ["missing"]
    result = converted(read_yolo, path, splits=["val"], **ALONE)
    assert [point["id"] for point in result.points] == ["street-2"]
    for line in ("../../etc/passwd.jpg", "/etc/passwd.jpg", "images/notes.txt", "a\x00b.jpg"):
        (tmp_path / "train.txt").write_text(f"images/000001.jpg\n{line}\n")
        with pytest.raises(UsageError, match=r"train.txt:2: .* is no image in the folder of the list"):
            read_yolo(path, splits=["train"], reject=lambda *_: None, **ALONE)


def test_a_label_file_whose_image_is_gone_is_rejected(tmp_path: Path, scenes: Any, converted: Any) -> None:
    write_split(tmp_path, scenes, "images", "labels")
    (tmp_path / "images" / "street-2.jpg").unlink()
    path = write_yaml(tmp_path / "data.yaml", train="images")
    result = converted(read_yolo, path, **ALONE)
    assert [(where, reason) for where, reason, _ in result.rejected] == [
        (f"{tmp_path.name}/images: street-2.txt", "missing")
    ]


def test_splits_stamps_and_images_of_the_command(tmp_path: Path, scenes: Any, run: Callable[..., Any]) -> None:
    write_split(tmp_path / "set", scenes[:2], "images/train", "labels/train")
    write_split(tmp_path / "set", scenes[3:], "images/val", "labels/val")
    path = write_yaml(tmp_path / "blocks.yaml", path="set", train="images/train", val="images/val")
    flags = [
        "--format", "yolo", "--annotations_path", path, "--point_output_path", tmp_path / "points.json",
        "--label_map_path", tmp_path / "label_map.pbtxt", "--image_output_directory", tmp_path / "by_id",
    ]  # fmt: skip
    outcome = run(import_annotations.main, *flags)
    assert outcome.code == 2
    assert f"{path} holds the splits train, val; say by --splits" in outcome.error
    outcome = run(import_annotations.main, *flags, "--splits", "train")
    assert outcome.code == 0, outcome.error
    assert [point["id"] for point in read_points(tmp_path / "points.json")] == ["000001", "street-2"]
    assert sorted(file.name for file in (tmp_path / "by_id").iterdir()) == ["000001.jpg", "street-2.jpg"]
    assert run(import_annotations.main, *flags, "--splits", "train").output.startswith("nothing to do")
    (tmp_path / "set" / "labels" / "train" / "000001.txt").write_text("0 .5 .5 .5 .5\n")  # beside the YAML's folder
    assert "boxes: 2 read, 2 kept" in run(import_annotations.main, *flags, "--splits", "train").output
    outcome = run(import_annotations.main, *flags, "--splits", "val", "train")
    assert outcome.code == 0 and "images: 3 read, 3 kept" in outcome.output


def test_a_folder_with_images_and_labels_needs_no_other(
    tmp_path: Path, scenes: Any, converted: Any, agrees_with_scenes: Callable[[Any], None]
) -> None:
    write_split(tmp_path / "train", scenes, "images", "labels")
    write_yaml(tmp_path / "data.yaml")
    agrees_with_scenes(converted(read_yolo, tmp_path / "train", **ALONE))


def test_the_only_yaml_with_names_is_found_and_of_several_none(tmp_path: Path) -> None:
    labels = tmp_path / "labels" / "train"
    labels.mkdir(parents=True)
    (tmp_path / "docker-compose.yaml").write_text("services: {}\n")
    (tmp_path / "broken.yaml").write_text("[")
    with pytest.raises(UsageError, match=r"no data.yaml"):
        find_class_names(labels)
    (tmp_path / "my birds.yaml").write_text("names: [owl]\n")
    assert find_class_names(labels) == tmp_path / "my birds.yaml"
    (tmp_path / "other.yml").write_text("names: {0: cat}\n")
    with pytest.raises(UsageError, match=r"class names are in my birds.yaml, other.yml; .*--class_names_path"):
        find_class_names(labels)
    (tmp_path / "data.yaml").write_text("names: [dog]\n")
    assert find_class_names(labels) == tmp_path / "data.yaml"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("names: [a]\n", "names neither of train, val"),
        ("names: [a]\ntrain: nowhere\n", "train: neither a folder nor a list of images"),
        ("names: [a]\ntrain: [7]\n", "train: must be a folder or a text file, not 7"),
        ("names: [a]\ntrain: ../..\n", "is a folder above the YAML's own"),
        ("names: [a]\ntrain: /\n", "is a folder above the YAML's own"),
        ("names: [a]\ntrain: images\n", "no label files"),
        ("train: images\n", "no 'names'"),
        ('names: [a]\ntrain: "x\\0y"\n', "neither a folder nor a list"),
    ],
)
def test_a_yaml_that_leads_nowhere_is_refused(tmp_path: Path, text: str, word: str) -> None:
    folder = tmp_path / "set"
    (folder / "images").mkdir(parents=True)
    (folder / "data.yaml").write_text(text)
    with pytest.raises(UsageError, match=word) as refused:
        read_yolo(folder / "data.yaml", reject=lambda *_: None, **ALONE)
    assert "\n" not in str(refused.value)


def test_a_text_file_is_neither_labels_nor_a_yaml(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0 .5 .5 .5 .5\n")
    with pytest.raises(UsageError, match="neither a folder of label files nor a YAML"):
        read_yolo(tmp_path / "a.txt", reject=lambda *_: None, **ALONE)
