"""Several files or folders read as one set: class ids, images that several name, and where a reject stands."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data_prep import import_annotations
from data_prep.formats.label_map import read_label_map
from data_prep.formats.points import read_points

RunCommand = Callable[..., Any]
Box = tuple[str, int, Sequence[float]]  # image, category id, x, y, width, height


def write_coco(path: Path, categories: dict[int, str], boxes: Sequence[Box], size: int = 100) -> Path:
    names = list(dict.fromkeys(name for name, _, _ in boxes))
    content = {
        "images": [{"id": n, "file_name": name, "width": size, "height": size} for n, name in enumerate(names)],
        "annotations": [{"image_id": names.index(n), "category_id": c, "bbox": list(box)} for n, c, box in boxes],
        "categories": [{"id": class_id, "name": name} for class_id, name in categories.items()],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def words(kind: str, paths: Sequence[Path], folder: Path, *more: object) -> list[object]:
    return [
        "--format", kind, "--annotations_path", *paths, "--point_output_path", folder / "points.json",
        "--label_map_path", folder / "label_map.pbtxt", *more,
    ]  # fmt: skip


def boxes_of(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    return {
        point["id"]: [
            (a["label"], *(round(a[key], 6) for key in ("x0", "y0", "x1", "y1"))) for a in point["annotations"]
        ]
        for point in read_points(folder / "points.json")
    }


def ids_of(folder: Path) -> dict[str, int]:
    return {item.name: item.id for item in read_label_map(folder / "label_map.pbtxt")}


def test_a_class_keeps_the_id_that_the_first_file_gives_it(tmp_path: Path, run: RunCommand) -> None:
    first = write_coco(tmp_path / "a.json", {1: "cat", 2: "dog"}, [("a.jpg", 2, (0, 0, 50, 50))])
    second = write_coco(
        tmp_path / "b.json", {1: "dog", 2: "cow"}, [("b.jpg", 1, (0, 0, 10, 20)), ("c.jpg", 2, (5, 5, 5, 5))]
    )
    outcome = run(import_annotations.main, *words("coco", [first, second], tmp_path))
    assert outcome.code == 0, outcome.error
    assert "label map: 3 classes have the ids of the first file, and those that it lacks follow" in outcome.output
    assert ids_of(tmp_path) == {"cat": 1, "dog": 2, "cow": 3}
    assert boxes_of(tmp_path) == {
        "a": [("dog", 0, 0, 0.5, 0.5)], "b": [("dog", 0, 0, 0.1, 0.2)], "c": [("cow", 0.05, 0.05, 0.1, 0.1)]
    }  # fmt: skip
    for kept in ("b", "c"):  # ids with gaps are kept where all files agree, and only there
        (tmp_path / kept).mkdir()
    third = write_coco(tmp_path / "d.json", {2: "dog", 90: "owl"}, [("d.jpg", 90, (0, 0, 10, 20))])
    flags = words("coco", [first, third], tmp_path / "b", "--keep_category_ids")
    assert run(import_annotations.main, *flags).code == 0
    assert ids_of(tmp_path / "b") == {"cat": 1, "dog": 2, "owl": 90}
    outcome = run(import_annotations.main, *words("coco", [first, second], tmp_path / "c", "--keep_category_ids"))
    assert outcome.code == 2
    assert f"{second}: category 'dog' has id 1, which is id 2 in an earlier file" in outcome.error
    assert not (tmp_path / "c" / "points.json").exists()


def test_an_image_of_two_files_is_rejected_and_can_be_united(tmp_path: Path, run: RunCommand) -> None:
    cats = write_coco(tmp_path / "1" / "instances.json", {1: "cat"}, [("a.jpg", 1, (0, 0, 50, 50))])
    dogs = write_coco(
        tmp_path / "2" / "instances.json", {1: "dog", 2: "cat"},
        [("a.jpg", 1, (50, 50, 50, 50)), ("a.jpg", 2, (0, 0, 50, 50)), ("b.jpg", 1, (9, 9, 9, 9))],
    )  # fmt: skip
    flags = words("coco", [cats, dogs], tmp_path)
    outcome = run(import_annotations.main, *flags)
    assert outcome.code == 3
    assert "1 entries left out: their images have an entry already; --images_listed_twice unite" in outcome.output
    (entry,) = map(json.loads, (tmp_path / "points.rejected.jsonl").read_text().splitlines())
    assert entry["item"] == f"{tmp_path}/2/instances.json:images[0] (id 0)"
    assert f"as at {tmp_path}/1/instances.json:images[0]" in entry["detail"]
    assert boxes_of(tmp_path)["a"] == [("cat", 0, 0, 0.5, 0.5)]

    outcome = run(import_annotations.main, *flags, "--images_listed_twice", "unite", "--max_failures", "0%")
    assert outcome.code == 0, outcome.error
    assert "images: 3 read, 2 kept" in outcome.output and "boxes: 4 read, 3 kept" in outcome.output
    assert (
        "1 entries were united with an earlier one of their image, 1 boxes that both have taken once" in outcome.output
    )
    assert boxes_of(tmp_path) == {
        "a": [("cat", 0, 0, 0.5, 0.5), ("dog", 0.5, 0.5, 1, 1)],
        "b": [("dog", 0.09, 0.09, 0.18, 0.18)],
    }


def test_two_images_of_one_name_are_not_united(tmp_path: Path, run: RunCommand) -> None:
    paths = [
        write_coco(
            tmp_path / f"{n}.json", {1: "cat"}, [("frame.jpg", 1, (n, 0, 50, 50)), (f"{n}.jpg", 1, (0, 0, 9, 9))]
        )
        for n in range(2)
    ]
    for n in range(2):
        (tmp_path / f"images{n}").mkdir()
        for name in ("frame.jpg", f"{n}.jpg"):
            Image.new("RGB", (100, 100), (90 * n, 0, 0)).save(tmp_path / f"images{n}" / name)
    folders = ("--image_directory", tmp_path / "images0", tmp_path / "images1")
    unite = ("--images_listed_twice", "unite", "--image_output_directory", tmp_path / "placed")
    outcome = run(import_annotations.main, *words("coco", paths, tmp_path, *folders, *unite))
    assert outcome.code == 3
    assert "1 two images of one id" in outcome.output
    assert {name: len(boxes) for name, boxes in boxes_of(tmp_path).items()} == {"frame": 1, "0": 1, "1": 1}
    assert (tmp_path / "placed" / "1.jpg").resolve() == tmp_path / "images1" / "1.jpg"
    (tmp_path / "images1" / "frame.jpg").write_bytes((tmp_path / "images0" / "frame.jpg").read_bytes())
    assert run(import_annotations.main, *words("coco", paths, tmp_path, *folders, *unite)).code == 0
    sizes = [write_coco(tmp_path / f"of{n}.json", {1: "cat"}, [("frame.jpg", 1, (0, 0, 9, 9))], n) for n in (100, 90)]
    outcome = run(import_annotations.main, *words("coco", sizes, tmp_path, *unite[:2]))
    assert outcome.code == 3 and "1 two images of one id" in outcome.output


def test_folders_are_told_apart_in_the_ledger_and_any_change_is_noticed(tmp_path: Path, run: RunCommand) -> None:
    for split in ("train", "val"):
        (tmp_path / split / "labels").mkdir(parents=True)
        (tmp_path / split / "data.yaml").write_text("names: [cat]\n")
        (tmp_path / split / "labels" / f"{split}.txt").write_text("0 .5 .5 .2 .2\n0 .5 .5 -.2 .2\n")
    paths = [tmp_path / split / "labels" for split in ("train", "val")]
    flags = words("yolo", paths, tmp_path, "--max_failures", 2)
    assert run(import_annotations.main, *flags).code == 0
    ledger = map(json.loads, (tmp_path / "points.rejected.jsonl").read_text().splitlines())
    assert [entry["item"] for entry in ledger] == [f"{path}/{path.parent.name}.txt:2" for path in paths]
    assert run(import_annotations.main, *flags).output.startswith("nothing to do")
    (paths[1] / "new.txt").write_text("0 .5 .5 .2 .2\n")
    assert "images: 3 read, 3 kept" in run(import_annotations.main, *flags).output
    (tmp_path / "val" / "data.yaml").write_text("names: [dog]\n")
    outcome = run(import_annotations.main, *flags)
    assert "images: 3 read, 3 kept" in outcome.output
    assert ids_of(tmp_path) == {"cat": 1, "dog": 2}


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (["--annotations_path", "a.json", "a.json"], "names a file or folder twice"),
        (["--annotations_path", "a.json", "none.json"], "none.json does not exist"),
        (["--annotations_path", "a.json", "b.json", "--image_directory", ".", ".", "."], "3 folders for --image_dir"),
        (["--annotations_path", "b.json", "a.json", "--ledger_path", "a.json"], "are the same file"),
        (["--annotations_path", "a.json", "c.json"], "c.json:1:1: not JSON"),
    ],
)
def test_mistakes_are_one_line(
    more: list[str], word: str, tmp_path: Path, run: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    paths = [write_coco(Path(name), {1: "cat"}, [(f"{name}.jpg", 1, (0, 0, 9, 9))]) for name in ("a.json", "b.json")]
    Path("c.json").write_text("no")
    outcome = run(import_annotations.main, *words("coco", paths, tmp_path, *more))
    assert (outcome.code, outcome.error.count("\n")) == (2, 1), outcome.error
    assert word in outcome.error
    assert not (tmp_path / "points.json").exists()
