"""YOLO's text, written here by a writer of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_prep.annotations.class_names import read_class_names
from data_prep.annotations.conversion_options import Options
from data_prep.annotations.yolo import read_yolo
from data_prep.runtime.command_line import UsageError

NAMES = ("red block", "blue block", "green block")
ALONE: dict[str, Any] = {"class_names_path": None, "image_directory": None}


def line_of(box: tuple[Any, ...], width: int, height: int) -> str:
    label, xmin, ymin, xmax, ymax = box
    centre = ((xmin + xmax) / 2 / width, (ymin + ymax) / 2 / height)
    return " ".join(map(repr, (NAMES.index(label), *centre, (xmax - xmin) / width, (ymax - ymin) / height)))


def write_scenes(folder: Path, scenes: Any) -> Path:
    labels = folder / "labels"
    labels.mkdir(parents=True)
    for scene in scenes:
        lines = [line_of(box, scene.width, scene.height) for box in scene.boxes]
        (labels / f"{scene.stem}.txt").write_text("".join(f"{line}\n" for line in lines))
    (folder / "data.yaml").write_text(
        "path: ../elsewhere\ntrain: images\nnc: 3\nnames: [red block, blue block, green block]\n"
    )
    return labels


def test_the_scenes_come_out_as_drawn(
    tmp_path: Path, scenes: Any, image_folder: Path, converted: Any, agrees_with_scenes: Callable[[Any], None]
) -> None:
    labels = write_scenes(tmp_path / "set", scenes)
    agrees_with_scenes(converted(read_yolo, labels, **ALONE))
    (labels / "empty_3.txt").unlink()  # then it is known by its image alone
    with_images = ALONE | {"image_directory": image_folder}
    result = converted(read_yolo, labels, Options(image_directory=image_folder), **with_images)
    agrees_with_scenes(result)
    assert result.summary.images_without_boxes == 1


@pytest.mark.parametrize(
    ("labels", "images"),
    [(".", "."), ("labels", "."), ("labels/train", "images/train"), ("train/labels", "train/images"), ("a", "b")],
)
def test_labels_find_their_images_in_folders_of_other_names(
    tmp_path: Path, scenes: Any, image_folder: Path, converted: Any, labels: str, images: str
) -> None:
    """Told apart, each image would come twice: with its boxes, and as one without objects."""
    folder = tmp_path / "set"
    (folder / labels).parent.mkdir(parents=True, exist_ok=True)
    write_scenes(tmp_path, scenes).rename(folder / labels)
    shutil.copytree(image_folder, folder / images, dirs_exist_ok=True)
    result = converted(
        read_yolo,
        folder,
        Options(image_directory=folder),
        class_names_path=tmp_path / "data.yaml",
        image_directory=folder,
    )
    assert (result.summary.images_kept, result.summary.images_without_boxes) == (4, 1)
    assert result.summary.kept_by_label.total() == sum(len(scene.boxes) for scene in scenes)


@pytest.mark.parametrize("labels", [".", "labels"])
def test_of_two_folders_each_label_file_finds_the_image_of_its_own(
    tmp_path: Path, scenes: Any, image_folder: Path, converted: Any, labels: str
) -> None:
    folder = tmp_path / "set"
    for split in ("train", "val"):
        (folder / "labels").mkdir(parents=True, exist_ok=True)
        write_scenes(tmp_path / split, scenes).rename(folder / "labels" / split)
        shutil.copytree(image_folder, folder / "images" / split)
    result = converted(
        read_yolo, folder / labels, Options(image_directory=folder), class_names_path=tmp_path / "val" / "data.yaml",
        image_directory=folder,
    )  # fmt: skip
    assert (result.summary.images_kept, result.summary.images_without_boxes) == (8, 2)


def test_polygons_confidences_and_bad_lines(tmp_path: Path, converted: Any) -> None:
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    lines = [
        "0 0.5 0.5 0.2 0.4",
        "1 0.1 0.2 0.3 0.2 0.3 0.6 0.15 0.5",  # a polygon
        "1 0.5 0.5 0.2 0.4 0.75",  # a detection
        "",
        "2 0.5 0.5 0.2 0.4",
        "0.5 0.5 0.5 0.2 0.4",
        "0 0.5 0.5 0.2",
        "0 0.5 nan 0.2 0.4",
        "0 0.5 0.5 0 0.4",
        "0 0.5 0.5 -0.1 0.4",
        "0 0.99 0.5 0.2 0.4",
        "0 320 240 20 40",
        "0 0.5 0.5 0.2 0.4 7",
        "cat 0.5 0.5 0.2 0.4",
        "0 0.5 0.5 1.01 0.4",
        "0_1 0.5 0.5 0.2 0.4",
        "\u0660 0.5 0.5 0.2 0.4",
        "0 \u0660.\u0665 0.5 0.2 0.4",
        "0 0.5 0_0.5 0.2 0.4",
    ]
    (tmp_path / "a.txt").write_text("\n".join(lines), encoding="utf-8")
    result = converted(read_yolo, tmp_path, **ALONE)
    cat, polygon, detection, cut = result.points[0]["annotations"]
    assert (cat["label"], cat["x0"], cat["y1"]) == ("cat", pytest.approx(0.4), pytest.approx(0.7))
    assert [polygon[key] for key in ("label", "x0", "x1", "y0", "y1")] == ["dog", 0.1, 0.3, 0.2, 0.6]
    assert detection["confidence"] == 0.75
    assert (cut["x0"], cut["x1"], result.summary.boxes_cut) == (0, 1, 1)
    assert sorted((int(where.rpartition(":")[2]), reason) for where, reason, _ in result.rejected) == [
        (5, "unknown class number"),
        (6, "unknown class number"),
        (7, "wrong number of cells"),
        (8, "not a number"),
        (9, "box without area"),
        (10, "reversed box"),
        (11, "box outside the image"),
        (12, "box outside the image"),
        (13, "bad confidence"),
        (14, "not a number"),
        (16, "not a number"),
        (17, "not a number"),
        (18, "not a number"),
        (19, "not a number"),
    ]


def test_keypoints_are_left_out_where_the_yaml_says_that_they_are(tmp_path: Path, converted: Any) -> None:
    (tmp_path / "data.yaml").write_text("kpt_shape: [2, 3]\nnames: {0: person}\n")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.4 0.1 0.1 2 0.9 0.9 2\n")
    annotation = converted(read_yolo, tmp_path / "labels", **ALONE).points[0]["annotations"][0]
    assert (annotation["x0"], annotation["x1"]) == (pytest.approx(0.4), pytest.approx(0.6))


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.yaml", "names: [a, b]", {0: "a", 1: "b"}),
        ("a.yaml", "names:\n  0: a\n  5: b\n", {0: "a", 5: "b"}),
        ("a.yml", "names: ['no', 1]", {0: "no", 1: "1"}),
        ("classes.txt", "a \nb c\n\n", {0: "a", 1: "b c"}),
        ("obj.names", "\ufeffa\r\nb\r\n", {0: "a", 1: "b"}),
    ],
)
def test_class_names(tmp_path: Path, name: str, content: str, expected: dict[int, str]) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode("utf-8"))
    assert read_class_names(path) == (expected, False)


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("a.yaml", "names: [a", "not YAML"),
        ("a.yaml", "nc: 2", "no 'names'"),
        ("a.yaml", "names: [a, no]", "in quotes"),
        ("a.yaml", "names: {x: a}", "no class number"),
        ("a.yaml", "names: !!python/object/apply:os.system ['true']", "not YAML"),
        ("a.yaml", "names: [a, a]", "both called 'a'"),
        ("classes.txt", "a\n\nb\n", "class 1 has an empty name"),
        ("classes.txt", "", "0 class names"),
        ("classes.txt", "a\x00b\n", "no name of a class"),
        ("classes.txt", b"\xff\xfe", "not UTF-8"),
    ],
)
def test_bad_class_names_are_refused(tmp_path: Path, name: str, content: str | bytes, word: str) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError, match=word) as refused:
        read_class_names(path)
    assert str(path) in str(refused.value) and "\n" not in str(refused.value)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "one" / "two" / "three"
    folder.mkdir(parents=True)

    def read() -> None:
        read_yolo(folder, class_names_path=None, image_directory=None, reject=lambda *_: None)

    with pytest.raises(UsageError, match="--class_names_path"):
        read()
    (folder / "classes.txt").write_text("a\n")
    with pytest.raises(UsageError, match="no label files"):
        read()


def test_a_label_file_that_is_no_text_is_rejected(tmp_path: Path, converted: Any) -> None:
    (tmp_path / "classes.txt").write_text("a\n")
    (tmp_path / "a.txt").write_bytes(b"\xff\xd8\xff\xe0")
    (tmp_path / "b.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    result = converted(read_yolo, tmp_path, **ALONE)
    assert result.rejected == [("a.txt", "not text", "byte 0 is not UTF-8")]
    assert [point["id"] for point in result.points] == ["b"]
