"""What each writer puts into its files, number by number."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from PIL import Image, ImageOps

from data_prep.annotation_export.coco_file import coco_writer
from data_prep.annotation_export.exported_image import ExportedBox, ExportedImage, classes_of
from data_prep.annotation_export.pascal_voc_files import Pixels, pascal_voc_writer
from data_prep.annotation_export.yolo_files import yolo_writer
from data_prep.formats.label_map import LabelMap, LabelMapItem
from data_prep.runtime.command_line import UsageError

LABEL_MAP = LabelMap([LabelMapItem(1, "/m/1", "Red & blue"), LabelMapItem(2, "/m/2", "Green"), LabelMapItem(5, "/m/5")])
CLASSES = classes_of(LABEL_MAP, "display_name")
BOX = ExportedBox(1, 0.1, 0.25, 0.6, 0.75)


def image(*boxes: ExportedBox, name: str = "one") -> ExportedImage:
    return ExportedImage(name, ".jpg", 200, 100, boxes)


def test_coco_has_the_ids_of_the_label_map_and_numbers_from_one(tmp_path: Path) -> None:
    crowd = ExportedBox(5, 0.0, 0.0, 1.0, 1.0, frozenset({"is_crowd"}), segment_area=0.25)
    with coco_writer(tmp_path / "coco.json", CLASSES) as write:
        write(image(BOX, crowd))
        write(image(name="empty"))
        write(image(ExportedBox(2, 1 / 3, 0.5, 2 / 3, 0.625), name="two"))
        assert not (tmp_path / "coco.json").exists()
    content = json.loads((tmp_path / "coco.json").read_text())
    assert [(entry["id"], entry["name"]) for entry in content["categories"]] == [
        (1, "Red & blue"), (2, "Green"), (5, "/m/5"),
    ]  # fmt: skip
    assert content["images"] == [
        {"id": number, "file_name": f"{name}.jpg", "width": 200, "height": 100}
        for number, name in enumerate(("one", "empty", "two"), start=1)
    ]
    rest = {"segmentation": []}
    assert content["annotations"] == [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [20, 25, 100, 50], "area": 5000, "iscrowd": 0} | rest,
        {"id": 2, "image_id": 1, "category_id": 5, "bbox": [0, 0, 200, 100], "area": 5000, "iscrowd": 1} | rest,
        {"id": 3, "image_id": 3, "category_id": 2, "bbox": [66.6667, 50, 66.6666, 12.5], "area": 833.3325}
        | {"iscrowd": 0} | rest,
    ]  # fmt: skip
    assert list(tmp_path.iterdir()) == [tmp_path / "coco.json"]


def test_a_coco_file_of_many_images_takes_no_memory(tmp_path: Path) -> None:
    boxes = tuple(ExportedBox(1, 0.1, 0.25, 0.6, 0.5 + number / 100) for number in range(20))
    tracemalloc.start()
    with coco_writer(tmp_path / "coco.json", CLASSES) as write:
        for number in range(3000):
            write(ExportedImage(f"{number:016x}", ".jpg", 640, 480, boxes))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "coco.json").stat().st_size > 7_000_000
    assert most < 5_000_000  # buffers of a megabyte


def test_a_coco_file_that_breaks_off_leaves_the_earlier_one(tmp_path: Path) -> None:
    path = tmp_path / "coco.json"
    path.write_text("earlier")
    with pytest.raises(RuntimeError), coco_writer(path, CLASSES) as write:
        write(image(BOX))
        raise RuntimeError
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_coco_boxes_are_never_without_area_and_never_stick_out(tmp_path: Path) -> None:
    edges = [(0.1 + 0.2, 1.0), (1 - 1e-9, 1.0), (0.0, 1e-9), (0.7, 0.7 + 1e-12), (1 / 3, 1.0)]
    boxes = [ExportedBox(1, low, low, high, high) for low, high in edges]
    with coco_writer(tmp_path / "coco.json", CLASSES) as write:
        write(ExportedImage("one", ".jpg", 1023, 767, tuple(boxes)))
    for annotation, (low, high) in zip(
        json.loads((tmp_path / "coco.json").read_text())["annotations"], edges, strict=True
    ):
        x, y, width, height = annotation["bbox"]
        assert width > 0
        assert height > 0
        assert annotation["area"] > 0
        assert x + width <= 1023
        assert y + height <= 767
        assert (x, x + width) == (pytest.approx(low * 1023, abs=2e-4), pytest.approx(high * 1023, abs=2e-4))


@pytest.mark.parametrize(
    ("pixels", "edges"),
    [
        (Pixels(), (33, 25, 100, 75)),
        (Pixels(first=1), (34, 26, 100, 75)),
        (Pixels(has_fractions=True), (33.3333, 25, 100, 75)),
        (Pixels(first=1, has_fractions=True), (34.3333, 26, 100, 75)),
    ],
)
def test_pascal_voc_edges(tmp_path: Path, pixels: Pixels, edges: tuple[float, ...]) -> None:
    flags = frozenset({"is_truncated", "is_difficult"})
    with pascal_voc_writer(tmp_path, "val", CLASSES, pixels) as write:
        write(image(ExportedBox(1, 1 / 6, 0.25, 0.5, 0.75, flags)))
        write(image(name="empty"))
    root = ElementTree.parse(tmp_path / "Annotations" / "one.xml").getroot()
    assert root.findtext("filename") == "one.jpg"
    assert [root.findtext(f"size/{side}") for side in ("width", "height", "depth")] == ["200", "100", "3"]
    (element,) = root.findall("object")
    assert element.findtext("name") == "Red & blue"
    flags_written = [element.findtext(flag) for flag in ("truncated", "occluded", "difficult")]
    assert flags_written == ["1", "0", "1"]
    found = [float(element.findtext(f"bndbox/{edge}") or "") for edge in ("xmin", "ymin", "xmax", "ymax")]
    assert found == list(edges)
    assert (tmp_path / "ImageSets" / "Main" / "val.txt").read_text() == "one\nempty\n"
    assert not ElementTree.parse(tmp_path / "Annotations" / "empty.xml").getroot().findall("object")


def test_a_box_below_a_pixel_keeps_an_area_in_pascal_voc() -> None:
    for low, high in ((0.5, 0.501), (0.5001, 0.5002), (0.9999, 1.0), (0.0, 1e-9)):
        for pixels in (Pixels(), Pixels(1), Pixels(0, True), Pixels(1, True)):
            start, end = map(float, pixels.edges(low, high, 100))
            assert 0 <= start - pixels.first < end <= 100, (low, pixels)


def test_yolo_counts_from_zero_without_gaps_and_lists_its_images(tmp_path: Path) -> None:
    for split, names in (("train", ("one", "empty")), ("val", ("two",))):
        with yolo_writer(tmp_path, split, CLASSES, tmp_path / "images" / split) as write:
            for name in names:
                write(image(*([BOX, ExportedBox(5, 0, 0, 1, 1)] if name != "empty" else []), name=name))
    assert (tmp_path / "labels" / "train" / "one.txt").read_text() == (
        "0 0.35000000 0.50000000 0.50000000 0.50000000\n2 0.50000000 0.50000000 1.00000000 1.00000000\n"
    )
    assert (tmp_path / "labels" / "train" / "empty.txt").read_bytes() == b""
    assert (tmp_path / "train.txt").read_text() == "./images/train/one.jpg\n./images/train/empty.jpg\n"
    assert yaml.safe_load((tmp_path / "data.yaml").read_text()) == {
        "train": "train.txt", "val": "val.txt", "nc": 3, "names": {0: "Red & blue", 1: "Green", 2: "/m/5"},
    }  # fmt: skip
    other = classes_of(LabelMap([LabelMapItem(1, "other")]), "name")
    with (
        pytest.raises(UsageError, match="is there already, with other classes"),
        yolo_writer(tmp_path, "train", other, tmp_path),
    ):
        pass


def test_yolo_boxes_lie_within_the_image_when_read_again(tmp_path: Path) -> None:
    edges = [(0.0, 1 / 3), (0.1 + 0.2, 1.0), (1 - 1e-9, 1.0), (0.0, 1e-9), (2 / 3, 1.0), (0.123456789, 0.987654321)]
    with yolo_writer(tmp_path, "train", CLASSES, tmp_path) as write:
        write(image(*(ExportedBox(1, low, low, high, high) for low, high in edges)))
    lines = (tmp_path / "labels" / "train" / "one.txt").read_text().splitlines()
    for line, (low, high) in zip(lines, edges, strict=True):
        _, x, y, width, height = map(float, line.split())
        for centre, length in ((x, width), (y, height)):
            assert 0 <= centre - length / 2 < centre + length / 2 <= 1
            assert centre - length / 2 == pytest.approx(low, abs=2e-8)
            assert centre + length / 2 == pytest.approx(high, abs=2e-8)


def test_classes_need_names_of_their_own() -> None:
    twins = LabelMap([LabelMapItem(1, "a", "Same"), LabelMapItem(2, "b", "Same")])
    with pytest.raises(UsageError, match="classes 1 and 2 are both called 'Same'; --class_names name"):
        classes_of(twins, "display_name")
    assert classes_of(twins, "name").names == {1: "a", 2: "b"}
    with pytest.raises(UsageError, match=r"class 1 is .* which is no name of a class"):
        classes_of(LabelMap([LabelMapItem(1, "a\nb")]), "name")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_turned_as_viewers_turn_the_image(orientation: int) -> None:
    """Against Pillow's own turning of the pixels."""
    stored = Image.new("L", (40, 20))
    stored.paste(255, (4, 2, 12, 8))
    stored.getexif()[0x0112] = orientation
    turned = ImageOps.exif_transpose(stored)
    shown = ExportedImage("one", ".jpg", 40, 20, (ExportedBox(1, 0.1, 0.1, 0.3, 0.4),)).as_shown(orientation)
    assert (shown.width, shown.height) == turned.size
    (box,) = shown.boxes
    edges = box.xmin * shown.width, box.ymin * shown.height, box.xmax * shown.width, box.ymax * shown.height
    assert edges == pytest.approx(turned.getbbox())
