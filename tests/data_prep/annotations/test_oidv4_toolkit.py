"""The OIDv4 ToolKit's folders, written here as its downloader does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data_prep import import_annotations
from data_prep.annotations.oidv4_toolkit import read_oidv4_toolkit
from data_prep.formats.label_map import read_label_map
from data_prep.formats.points import read_points
from data_prep.runtime.command_line import UsageError

ALL: dict[str, Any] = {"splits": None, "image_directory": None}


def write_class(folder: Path, scenes: Any, labels: set[str]) -> None:
    """Writes the images that have one of the classes, and the boxes of those classes: what the toolkit fetches."""
    (folder / "Label").mkdir(parents=True, exist_ok=True)
    for scene in scenes:
        boxes = [box for box in scene.boxes if box[0] in labels]
        if boxes:
            scene.draw().save(folder / f"{scene.stem}.jpg", quality=95)
            with (folder / "Label" / f"{scene.stem}.txt").open("a") as file:
                for label, *edges in boxes:
                    print(label, *map(float, edges), file=file)


def test_boxes_of_an_image_in_several_class_folders_are_united(
    tmp_path: Path, scenes: Any, converted: Any, agrees_with_scenes: Callable[[Any], None]
) -> None:
    for label in ("red block", "blue block", "green block"):
        write_class(tmp_path / "Dataset" / "train" / label, scenes, {label})
    with_boxes = [scene for scene in scenes if scene.boxes]
    for path in (tmp_path, tmp_path / "Dataset", tmp_path / "Dataset" / "train"):
        result = converted(read_oidv4_toolkit, path, **ALL)
        assert result.rejected == []
        assert [point["id"] for point in result.points] == sorted(scene.stem for scene in with_boxes)
        for scene in with_boxes:
            boxes = result.boxes_in_pixels(scene.stem, scene.width, scene.height)
            assert sorted(boxes) == sorted((label, *map(float, box)) for label, *box in scene.boxes)
    (tmp_path / "Dataset" / "train" / "green block" / "Label").rename(
        tmp_path / "Dataset" / "train" / "green block" / "Labels"
    )
    assert converted(read_oidv4_toolkit, tmp_path, **ALL).points == result.points
    source = read_oidv4_toolkit(tmp_path, reject=lambda *_: None, **ALL)
    assert sum(len(image.boxes) for image in source.images) == 5
    assert source.remarks == ["1 images are in the folders of several classes: their boxes are united"]
    one_class = converted(read_oidv4_toolkit, tmp_path / "Dataset" / "train" / "blue block", **ALL)
    assert one_class.summary.kept_by_label == {"blue block": 3}


def test_a_folder_of_several_classes_and_lines_written_twice(tmp_path: Path, scenes: Any, converted: Any) -> None:
    folder = tmp_path / "validation" / "red block_blue block"
    for _ in range(2):  # the toolkit appends to the files that are there
        write_class(folder, scenes, {"red block", "blue block"})
    source = read_oidv4_toolkit(tmp_path, reject=lambda *_: None, **ALL)
    assert [len(image.boxes) for image in source.images] == [2, 2]
    assert source.remarks == ["4 lines that their image has twice are taken once"]
    result = converted(read_oidv4_toolkit, tmp_path, **ALL)
    assert result.boxes_in_pixels("000001", 160, 120) == [
        ("red block", 16, 8, 64, 56), ("blue block", 80, 40, 160, 120)
    ]  # fmt: skip


def test_bad_lines_and_images_without_labels_are_rejected_with_their_place(tmp_path: Path, converted: Any) -> None:
    folder = tmp_path / "Apple"
    (folder / "Label").mkdir(parents=True)
    for name in ("a.jpg", "b.jpg", "alone.jpg"):
        Image.new("RGB", (100, 100)).save(folder / name)
    lines = [
        "Granny Smith apple 1 2 50.5 60",
        "Apple 50 60 0 0",  # as the toolkit's first version wrote: xmax ymax xmin ymin
        "1 2 3 4",
        "Apple 1 2 x 4",
        "Apple 1 2 300 4",
        "Apple 1 2 \u0663\u0660 40",
    ]
    (folder / "Label" / "a.txt").write_text("\n".join(lines), encoding="utf-8")
    (folder / "Label" / "b.txt").write_bytes(b"\xff\xfe")
    (folder / "Label" / "gone.txt").write_text("Apple 1 2 3 4\n")
    result = converted(read_oidv4_toolkit, tmp_path, **ALL)
    assert sorted((where, reason) for where, reason, _ in result.rejected) == [
        ("Apple/Label/a.txt:2", "reversed box"),
        ("Apple/Label/a.txt:3", "wrong number of cells"),
        ("Apple/Label/a.txt:4", "not a number"),
        ("Apple/Label/a.txt:5", "box outside the image"),
        ("Apple/Label/a.txt:6", "not a number"),
        ("Apple/Label/b.txt", "not text"),
        ("Apple/Label/gone.txt", "missing"),
        ("Apple/alone.jpg", "no label file"),
    ]
    assert result.boxes_in_pixels("a", 100, 100) == [("Granny Smith apple", 1, 2, 50.5, 60)]


def test_splits_are_never_mixed_unasked(tmp_path: Path, scenes: Any, run: Callable[..., Any]) -> None:
    write_class(tmp_path / "Dataset" / "train" / "red block", scenes, {"red block"})
    write_class(tmp_path / "Dataset" / "validation" / "green block", scenes, {"green block"})
    flags = [
        "--format", "oidv4_toolkit", "--annotations_path", tmp_path / "Dataset", "--point_output_path",
        tmp_path / "points.json", "--label_map_path", tmp_path / "label_map.pbtxt", "--image_output_directory",
        tmp_path / "images",
    ]  # fmt: skip
    outcome = run(import_annotations.main, *flags)
    assert outcome.code == 2
    assert "holds the splits train, validation; say by --splits" in outcome.error
    assert "has no split 'test'" in run(import_annotations.main, *flags, "--splits", "test").error
    outcome = run(import_annotations.main, *flags, "--splits", "validation")
    assert outcome.code == 0, outcome.error
    assert [point["id"] for point in read_points(tmp_path / "points.json")] == ["street-2"]
    outcome = run(import_annotations.main, *flags, "--splits", "train", "validation")
    assert [point["id"] for point in read_points(tmp_path / "points.json")] == ["000001", "street-2"]
    assert [item.name for item in read_label_map(tmp_path / "label_map.pbtxt")] == ["green block", "red block"]
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == ["000001.jpg", "street-2.jpg"]
    assert run(import_annotations.main, *flags, "--splits", "train", "validation").output.startswith("nothing to do")
    with (tmp_path / "Dataset" / "train" / "red block" / "Label" / "000001.txt").open("a") as file:
        file.write("red block 1 1 9 9\n")
    assert "boxes: 3 read, 3 kept" in run(import_annotations.main, *flags, "--splits", "train", "validation").output
    within = [*flags[:-1], tmp_path / "Dataset" / "images"]
    assert "is within --annotations_path" in run(import_annotations.main, *within).error


def test_a_folder_without_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folders called Label"):
        read_oidv4_toolkit(tmp_path, reject=lambda *_: None, **ALL)
