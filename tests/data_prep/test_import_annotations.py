"""The command: what it writes, what it says, and the road from there to checked records."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image, ImageDraw
from pycocotools.coco import COCO

from data_prep import import_annotations, make_tfrecords, process_metadata, validate_images, verify_tfrecords
from data_prep.annotations.source_formats import FORMATS
from data_prep.formats.label_map import LabelMap, LabelMapItem, read_label_map, write_label_map
from data_prep.formats.points import read_points
from tests.data_prep.decoded_records import decoded_boxes

Box = tuple[str, int, int, int, int]  # class, xmin, ymin, xmax, ymax

IMAGES: dict[str, tuple[tuple[int, int], list[Box]]] = {
    "one.jpg": ((160, 120), [("red", 16, 8, 64, 56), ("blue", 80, 40, 160, 120)]),
    "two words.png": ((90, 150), [("blue", 9, 15, 45, 75)]),
    "sub/three.JPG": ((64, 64), []),
}
CLASSES = ["red", "blue"]
STREET = Path(__file__).parents[3] / "shared" / "samples" / "street"
RunCommand = Callable[..., Any]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three images, of which two are not called as ids can be."""
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    for name, (size, boxes) in IMAGES.items():
        image = Image.new("RGB", size, "gray")
        for label, xmin, ymin, xmax, ymax in boxes:
            ImageDraw.Draw(image).rectangle((xmin, ymin, xmax - 1, ymax - 1), fill=label)
        image.save(folder / name)
    return folder


def write_coco(folder: Path, ids: tuple[int, int] = (1, 2), **image_keys: str) -> Path:
    coco = COCO()
    coco.dataset = {"images": [], "annotations": [], "categories": []}
    coco.dataset["categories"] = [{"id": i, "name": name} for i, name in zip(ids, CLASSES, strict=True)]
    for number, (name, ((width, height), boxes)) in enumerate(IMAGES.items()):
        urls = {key: url + name.replace(" ", "%20") for key, url in image_keys.items()}
        image = {"id": number, "file_name": name, "width": width, "height": height}
        coco.dataset["images"].append(image | urls)
        for label, xmin, ymin, xmax, ymax in boxes:
            box = {"id": len(coco.dataset["annotations"]), "image_id": number, "iscrowd": 0}
            box |= {"category_id": ids[CLASSES.index(label)], "bbox": [xmin, ymin, xmax - xmin, ymax - ymin]}
            coco.dataset["annotations"].append(box)
    coco.createIndex()
    path = folder / "instances.json"
    path.write_text(json.dumps(coco.dataset))
    return path


def write_voc(folder: Path) -> Path:
    for number, (name, ((width, height), boxes)) in enumerate(IMAGES.items()):
        root = ElementTree.Element("annotation")
        ElementTree.SubElement(root, "filename").text = name
        size = ElementTree.SubElement(root, "size")
        for tag, side in (("width", width), ("height", height)):
            ElementTree.SubElement(size, tag).text = str(side)
        for label, *edges in boxes:
            element = ElementTree.SubElement(root, "object")
            ElementTree.SubElement(element, "name").text = label
            box = ElementTree.SubElement(element, "bndbox")
            for tag, edge in zip(("xmin", "ymin", "xmax", "ymax"), edges, strict=True):
                ElementTree.SubElement(box, tag).text = str(edge)
        (folder / "xml").mkdir(exist_ok=True)
        ElementTree.ElementTree(root).write(folder / "xml" / f"{number}.xml")
    return folder / "xml"


def write_yolo(folder: Path) -> Path:
    for name, ((width, height), boxes) in IMAGES.items():
        path = (folder / "labels" / name).with_suffix(".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [
            f"{CLASSES.index(label)} {(x0 + x1) / 2 / width} {(y0 + y1) / 2 / height} {(x1 - x0) / width} "
            f"{(y1 - y0) / height}\n"
            for label, x0, y0, x1, y1 in boxes
        ]
        path.write_text("".join(lines))
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    return folder / "labels"


def write_flat_csv(folder: Path) -> Path:
    path = folder / "labels.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", "xmin", "ymin", "xmax", "ymax", "class"])
        for name, (_, boxes) in IMAGES.items():
            writer.writerows([name, *edges, label] for label, *edges in boxes)
            if not boxes:
                writer.writerow([name, "", "", "", "", ""])
    return path


WRITERS = {"coco": write_coco, "pascal_voc": write_voc, "yolo": write_yolo, "csv": write_flat_csv}


def words(kind: str, path: Path, folder: Path, *more: object) -> list[object]:
    return [
        "--format", kind, "--annotations_path", path, "--point_output_path", folder / "points.json",
        "--label_map_path", folder / "label_map.pbtxt", *more,
    ]  # fmt: skip


@pytest.mark.parametrize("kind", WRITERS)
def test_from_annotations_to_verified_records(kind: str, tmp_path: Path, images: Path, run: RunCommand) -> None:
    placed = tmp_path / "by_id"
    flags = words(
        kind, WRITERS[kind](tmp_path), tmp_path, "--image_directory", images, "--image_output_directory", placed
    )
    outcome = run(import_annotations.main, *flags)
    assert (outcome.code, outcome.error) == (0, "")
    assert "images: 3 read, 3 kept, 1 of them without a box\nboxes: 3 read, 3 kept\n" in outcome.output
    assert "boxes a class: blue 2, red 1" in outcome.output
    assert "2 names could not be ids as they are, such as" in outcome.output
    expected = {"one.jpg", "two words.png", "sub/three.JPG"}
    points = read_points(tmp_path / "points.json")
    assert {point.get("file_name", f"{point['id']}.jpg") for point in points} == expected
    names = [item.name for item in read_label_map(tmp_path / "label_map.pbtxt")]
    assert names == (CLASSES if kind in ("coco", "yolo") else sorted(CLASSES))

    clean, record = tmp_path / "clean_points.json", tmp_path / "train.record"
    for command, *command_words in (
        (validate_images, "--image_directory", placed, "--image_saving_directory", tmp_path / "clean",
         "--datapoints_input_path", tmp_path / "points.json", "--datapoints_output_path", clean, "--num_processes", 1),
        (make_tfrecords, "--datapoints_input_path", clean, "--image_directory", tmp_path / "clean",
         "--label_map_path", tmp_path / "label_map.pbtxt", "--record_output_path", record, "--num_shards", 1,
         "--num_processes", 1),
        (verify_tfrecords, "--input_path", f"{record}-?????-of-00001", "--label_map_path",
         tmp_path / "label_map.pbtxt"),
    ):  # fmt: skip
        outcome = run(command.main, *command_words)
        assert outcome.code == 0, outcome.error + outcome.output
    _assert_boxes_lie_on_blocks(str(record), tmp_path / "label_map.pbtxt")


def _assert_boxes_lie_on_blocks(record: str, label_map_path: Path) -> None:
    seen = []
    for pixels, name, edges in decoded_boxes(record, label_map_path):
        xmin, ymin, xmax, ymax = map(round, edges)
        seen.append((name, xmin, ymin, xmax, ymax))
        red, _, blue = pixels[ymin + 2 : ymax - 2, xmin + 2 : xmax - 2].reshape(-1, 3).mean(axis=0)
        assert (red > 200, blue > 200) == ((True, False) if name == "red" else (False, True))
    assert sorted(seen) == sorted(box for _, boxes in IMAGES.values() for box in boxes)


def test_all_formats_give_the_same_points(tmp_path: Path, images: Path, run: RunCommand) -> None:
    found = []
    for kind, write in WRITERS.items():
        folder = tmp_path / kind
        folder.mkdir()
        assert run(import_annotations.main, *words(kind, write(folder), folder, "--image_directory", images)).code == 0
        points = {point["id"]: point for point in read_points(folder / "points.json")}
        for point in points.values():
            for annotation in point["annotations"]:
                annotation |= {key: round(annotation[key], 9) for key in ("x0", "x1", "y0", "y1")}
        found.append(points)
    assert found[0] == found[1] == found[2] == found[3]
    assert len(found[0]) == 3


def test_images_json_is_what_the_download_reads(tmp_path: Path, run: RunCommand) -> None:
    path = write_coco(tmp_path, coco_url="http://localhost/val2017/")
    images = tmp_path / "images.json"
    outcome = run(import_annotations.main, *words("coco", path, tmp_path, "--image_index_output_path", images))
    assert outcome.code == 0
    assert f"3 of 3 images have a URL, in {images}" in outcome.output
    ids = [point["id"] for point in read_points(tmp_path / "points.json")]
    addresses = json.loads(images.read_text())
    assert [image["id"] for image in addresses] == ids
    assert addresses[0]["url"] == "http://localhost/val2017/one.jpg"
    outcome = run(import_annotations.main, *words("coco", write_coco(tmp_path), tmp_path))
    assert "have a URL" not in outcome.output and outcome.code == 0


def test_category_ids_and_an_earlier_label_map(tmp_path: Path, run: RunCommand) -> None:
    gaps = tmp_path / "gaps"
    gaps.mkdir()
    path = write_coco(gaps, ids=(90, 7))
    outcome = run(import_annotations.main, *words("coco", path, tmp_path))
    assert "category ids 7..90 have gaps or begin elsewhere: 2 of 2 changed to make them 1..2" in outcome.output
    assert [(item.id, item.name) for item in read_label_map(tmp_path / "label_map.pbtxt")] == [(1, "blue"), (2, "red")]
    # The label map that is there stays, whatever the ids of the next file are; a class that it lacks comes last.
    outcome = run(import_annotations.main, *words("coco", write_coco(tmp_path), tmp_path))
    assert "label map: the 2 classes and ids of the earlier label map" in outcome.output
    assert read_label_map(tmp_path / "label_map.pbtxt").id_of("blue") == 1

    earlier = tmp_path / "earlier.pbtxt"
    write_label_map(earlier, LabelMap([LabelMapItem(4, "cat"), LabelMapItem(2, "blue")]))
    folder = tmp_path / "next"
    folder.mkdir()
    outcome = run(import_annotations.main, *words("coco", path, folder, "--earlier_label_map_path", earlier))
    assert "the 2 classes of the earlier label map keep their ids, and 1 more: 5 'red'" in outcome.output
    items = [(item.id, item.name) for item in read_label_map(folder / "label_map.pbtxt")]
    assert items == [(2, "blue"), (4, "cat"), (5, "red")]

    kept = tmp_path / "kept"
    kept.mkdir()
    path = write_coco(kept, ids=(90, 7))
    assert run(import_annotations.main, *words("coco", path, kept, "--keep_category_ids")).code == 0
    assert [item.id for item in read_label_map(kept / "label_map.pbtxt")] == [7, 90]


def test_rejects_are_in_the_ledger_and_too_many_end_with_3(tmp_path: Path, run: RunCommand) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(
        "filename,width,height,class,xmin,ymin,xmax,ymax\n"
        "a.jpg,100,100,cat,10,10,50,50\nb.jpg,100,100,cat,50,10,10,50\n../c.jpg,100,100,cat,10,10,50,50\n"
    )
    outcome = run(import_annotations.main, *words("csv", path, tmp_path))
    assert outcome.code == 3
    assert "2 rejected (1 reversed box, 1 unsafe image name; see" in outcome.output
    ledger = [json.loads(line) for line in (tmp_path / "points.rejected.jsonl").read_text().splitlines()]
    assert [(entry["item"], entry["reason"]) for entry in ledger] == [
        ("labels.csv:3", "reversed box"),
        ("labels.csv:3", "all its boxes were rejected"),
        ("labels.csv:4", "unsafe image name"),
    ]
    assert [point["id"] for point in read_points(tmp_path / "points.json")] == ["a"]
    assert run(import_annotations.main, *words("csv", path, tmp_path, "--max_failures", 2)).code == 0
    # Of two boxes one was reversed, and its image has none and is lost with it, as is the one whose name is unsafe.
    assert run(import_annotations.main, *words("csv", path, tmp_path, "--max_failures", "67%")).code == 0
    outcome = run(import_annotations.main, *words("csv", path, tmp_path, "--max_failures", "66%"))
    assert (outcome.code, outcome.error) == (3, "2 of 3 images were lost: more than --max_failures (66%)\n")


def test_when_nothing_is_left_earlier_files_stay(tmp_path: Path, run: RunCommand) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("filename,width,height,class,xmin,ymin,xmax,ymax\nb.jpg,100,100,cat,50,10,10,50\n")
    (tmp_path / "points.json").write_text("[]\n")
    outcome = run(import_annotations.main, *words("csv", path, tmp_path))
    assert outcome.code == 1
    assert "not one box is left, so nothing is written: 1 images read; 1 rejected (1 reversed box" in outcome.error
    assert (tmp_path / "points.json").read_text() == "[]\n"
    assert not (tmp_path / "label_map.pbtxt").exists()


def test_a_list_takes_a_split_out_of_a_set(tmp_path: Path, run: RunCommand) -> None:
    (tmp_path / "train.txt").write_text("one\nnobody\n")
    outcome = run(
        import_annotations.main,
        *words("coco", write_coco(tmp_path), tmp_path, "--image_list_path", tmp_path / "train.txt"),
    )
    assert outcome.code == 0
    assert "images: 3 read, 2 not in the list, 1 kept" in outcome.output
    assert "1 of the 2 images in the list have no annotations: nobody" in outcome.output


def test_without_placing_it_says_that_names_are_not_ids(tmp_path: Path, images: Path, run: RunCommand) -> None:
    outcome = run(import_annotations.main, *words("coco", write_coco(tmp_path), tmp_path, "--image_directory", images))
    assert "note: 2 images are not called ID.jpg (.png, ...)" in outcome.output
    assert "--image_output_directory" in outcome.output


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (["--annotations_path", "nowhere.json"], "nowhere.json does not exist"),
        (["--annotations_path", "."], "is a folder; --format coco"),
        (["--image_directory", "nowhere"], "is no folder"),
        (["--image_output_directory", "x"], "needs --image_directory"),
        (["--image_directory", ".", "--image_output_directory", "x"], "within --image_directory"),
        (["--coordinates", "pixel"], "--coordinates is for --format csv, not coco"),
        (["--class_names_path", "x"], "--class_names_path is for --format yolo"),
        (["--one_based_pixels"], "for --format pascal_voc or csv"),
        (["--ledger_path", "instances.json", "--annotations_path", "instances.json"], "are the same file"),
        (["--max_overhang", "2"], "0 to 1"),
        (["--splits", "train"], "--splits is for --format yolo or oidv4_toolkit or fiftyone or tfds, not coco"),
        (["--file_column", "a"], "--file_column is for --format csv"),
        (["--format", "csv", "--x_center_column", "a"], "--x_center_column needs --box_width_column"),
        (["--format", "csv", "--xmax_column", "a", "--box_width_column", "b"], "two ways to say where a box is"),
        (["--format", "csv", "--y_center_column", "a", "--box_height_column", "b", "--one_based_pixels"], "no edge"),
        (["--earlier_label_map_path", "nowhere.pbtxt"], "nowhere.pbtxt"),
    ],
)
def test_mistakes_in_flags_are_one_line(
    more: list[str], word: str, tmp_path: Path, run: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_coco(tmp_path)
    outcome = run(import_annotations.main, *words("coco", path, tmp_path, *more))
    assert outcome.code == 2
    assert word in outcome.error
    assert outcome.error.count("\n") == 1


def test_help_shows_the_formats(run: RunCommand) -> None:
    outcome = run(import_annotations.main, "--help")
    assert outcome.code == 0
    for kind in FORMATS:
        assert kind in outcome.output


@pytest.mark.parametrize("kind", WRITERS)
def test_a_second_run_over_unchanged_files_does_nothing_and_says_so(
    kind: str, tmp_path: Path, images: Path, run: RunCommand
) -> None:
    source, placed = WRITERS[kind](tmp_path), tmp_path / "by_id"
    flags = words(kind, source, tmp_path, "--image_directory", images, "--image_output_directory", placed)
    first = run(import_annotations.main, *flags)
    points = tmp_path / "points.json"
    written = points.stat().st_mtime_ns
    second = run(import_annotations.main, *flags)
    assert (second.code, points.stat().st_mtime_ns) == (0, written)
    head, *lines = second.output.splitlines()
    assert head.startswith(f"nothing to do: {points} is of these files and flags already")
    assert lines == first.output.splitlines()[:-1]

    def is_done_again(*more: object) -> bool:
        outcome = run(import_annotations.main, *flags, *more)
        assert outcome.code == 0, outcome.error
        return not outcome.output.startswith("nothing to do")

    assert is_done_again("--force")
    assert is_done_again("--max_overhang", 0.5) and is_done_again()
    assert not is_done_again()
    next(placed.iterdir()).unlink()
    assert is_done_again() and len(list(placed.iterdir())) == 3
    changed = source if source.is_file() else next(path for path in sorted(source.rglob("*.*")) if path.stat().st_size)
    changed.write_bytes(changed.read_bytes() + b"\n")
    assert is_done_again()
    Image.new("RGB", (70, 70)).save(images / "sub" / "three.JPG")
    # COCO and VOC say 64x64 themselves: the same shape, another size.
    assert is_done_again()
    (tmp_path / "label_map.pbtxt").unlink()
    assert is_done_again() and not is_done_again()


def test_two_splits_that_share_a_label_map_both_stay_up_to_date(tmp_path: Path, run: RunCommand) -> None:
    path = write_coco(tmp_path)
    train = words("coco", path, tmp_path)
    validation = [tmp_path / "validation.json" if word == tmp_path / "points.json" else word for word in train]
    for _ in range(2):
        for flags in (train, validation):
            assert run(import_annotations.main, *flags).code == 0
    for flags in (train, validation):
        assert run(import_annotations.main, *flags).output.startswith("nothing to do")


def test_a_second_run_ends_with_3_again_where_too_much_was_rejected(tmp_path: Path, run: RunCommand) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(
        "filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,100,100,cat,10,10,50,50\nb.jpg,100,100,cat,50,10,10,50\n"
    )
    flags = words("csv", path, tmp_path)
    assert run(import_annotations.main, *flags).code == 3
    again = run(import_annotations.main, *flags)
    assert again.code == 3 and again.output.startswith("nothing to do")
    again = run(import_annotations.main, *flags, "--max_failures", 1)
    assert again.code == 0 and again.output.startswith("nothing to do")


def write_street_as_coco(path: Path) -> None:
    """Writes the street set's validation boxes, which are relative, as pycocotools holds them: in pixels."""
    coco = COCO()
    coco.dataset = {"images": [], "annotations": [], "categories": []}
    with (STREET / "class-descriptions-boxable.csv").open() as file:
        coco.dataset["categories"] = [{"id": n, "name": row[0]} for n, row in enumerate(csv.reader(file), start=1)]
    category_ids = {category["name"]: category["id"] for category in coco.dataset["categories"]}
    sizes: dict[str, tuple[int, int]] = {}
    with (STREET / "validation-images.csv").open() as file:
        for number, row in enumerate(csv.DictReader(file)):
            name = f"{row['ImageID']}.jpg"
            with Image.open(STREET / "images" / "validation" / name) as image:
                width, height = sizes[row["ImageID"]] = image.size
            coco.dataset["images"].append({"id": number, "file_name": name, "width": width, "height": height})
    numbers = {image_id: number for number, image_id in enumerate(sizes)}
    with (STREET / "validation-annotations-bbox.csv").open() as file:
        for number, row in enumerate(csv.DictReader(file)):
            width, height = sizes[row["ImageID"]]
            x, y = float(row["XMin"]) * width, float(row["YMin"]) * height
            box = [x, y, float(row["XMax"]) * width - x, float(row["YMax"]) * height - y]
            keys = {"id": number, "image_id": numbers[row["ImageID"]], "category_id": category_ids[row["LabelName"]]}
            coco.dataset["annotations"].append(keys | {"bbox": box, "iscrowd": int(row["IsGroupOf"])})
    coco.createIndex()
    path.write_text(json.dumps(coco.dataset))


@pytest.mark.skipif(not STREET.is_dir(), reason="no ../shared/samples/street: photographs")
def test_the_street_set_by_way_of_coco_gives_the_points_of_its_own_csvs(tmp_path: Path, run: RunCommand) -> None:
    write_street_as_coco(tmp_path / "instances.json")
    flags = words(
        "coco", tmp_path / "instances.json", tmp_path, "--image_directory", STREET / "images" / "validation",
        "--image_output_directory", tmp_path / "by_id",
    )  # fmt: skip
    outcome = run(import_annotations.main, *flags)
    assert outcome.code == 0, outcome.output + outcome.error
    direct = run(
        process_metadata.main, "--annotations_input_path", STREET / "validation-annotations-bbox.csv",
        "--image_index_input_path", STREET / "validation-images.csv", "--point_output_path", tmp_path / "direct.json",
        "--image_index_output_path", tmp_path / "images.json",
    )  # fmt: skip
    assert direct.code == 0
    imported = {point["id"]: point["annotations"] for point in read_points(tmp_path / "points.json")}
    straight = {point["id"]: point["annotations"] for point in read_points(tmp_path / "direct.json")}
    assert straight.keys() <= imported.keys() and sum(map(len, imported.values())) == sum(map(len, straight.values()))
    for image_id, boxes in straight.items():
        for ours, theirs in zip(imported[image_id], boxes, strict=True):
            assert (ours["label"], ours["is_group_of"]) == (theirs["label"], theirs["is_group_of"])
            for key in ("x0", "x1", "y0", "y1"):
                assert ours[key] == pytest.approx(theirs[key], abs=1e-9)
    assert len(list((tmp_path / "by_id").iterdir())) == len(imported)
