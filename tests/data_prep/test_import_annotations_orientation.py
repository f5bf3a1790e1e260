"""Images that EXIF turns, in all eight orientations, from annotations of every format to the pixels of the records."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps

from data_prep import import_annotations, make_tfrecords, validate_images
from data_prep.formats.example_proto import example_class
from data_prep.formats.points import read_points
from data_prep.records.record_files import RecordWriter
from tests.data_prep.decoded_records import decoded_boxes
from tests.data_prep.image_bytes import turned

RunCommand = Callable[..., Any]
Edges = tuple[int, int, int, int]  # xmin, ymin, xmax, ymax

WIDTH, HEIGHT = 320, 200  # as shown
BLOCKS: dict[str, Edges] = {"red": (20, 12, 120, 90), "blue": (150, 80, 300, 190), "green": (200, 10, 310, 60)}
CHANNEL = {"red": 0, "green": 1, "blue": 2}
PURE = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
STORED_FROM_SHOWN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
SUFFIXES = (".jpg", ".png", ".webp")


@dataclass(frozen=True)
class Seen:
    """An image as a tool that draws boxes sees it."""

    name: str
    width: int
    height: int
    boxes: dict[str, Edges]


def draw_images(folder: Path) -> dict[str, list[Seen]]:
    """Writes one scene in each orientation and format; returns what a tool sees that obeys EXIF, or does not."""
    folder.mkdir()
    scene = Image.new("RGB", (WIDTH, HEIGHT), (128, 128, 128))
    for label, (xmin, ymin, xmax, ymax) in BLOCKS.items():
        ImageDraw.Draw(scene).rectangle((xmin, ymin, xmax - 1, ymax - 1), fill=PURE[label])
    seen: dict[str, list[Seen]] = {"shown": [], "stored": []}
    for suffix in SUFFIXES:
        for orientation in range(1, 9):
            name = f"photo{orientation}-{suffix[1:]}{suffix}"
            stored = scene.transpose(STORED_FROM_SHOWN[orientation]) if orientation > 1 else scene
            stored.save(folder / name, exif=turned(orientation), quality=95)
            with Image.open(folder / name) as file:
                assert ImageOps.exif_transpose(file).size == scene.size
                difference = np.abs(np.asarray(ImageOps.exif_transpose(file).convert("RGB"), int) - np.asarray(scene))
            assert difference.mean() < 3
            seen["shown"].append(Seen(name, WIDTH, HEIGHT, BLOCKS))
            pixels = np.asarray(stored)
            boxes = {label: block_in(pixels, label) for label in BLOCKS}
            seen["stored"].append(Seen(name, stored.width, stored.height, boxes))
    return seen


def block_in(pixels: NDArray[np.uint8], label: str) -> Edges:
    """Returns the bounds of the pixels that have one colour."""
    is_of_block = pixels[..., CHANNEL[label]].astype(int) - pixels.min(axis=-1) > 128
    rows, columns = np.flatnonzero(is_of_block.any(axis=1)), np.flatnonzero(is_of_block.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def iou(one: Sequence[float], other: Sequence[float]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return both / (sum(areas) - both)


def write_coco(folder: Path, images: Sequence[Seen]) -> Path:
    labels = list(BLOCKS)
    content: dict[str, list[Any]] = {"images": [], "annotations": []}
    content["categories"] = [{"id": number, "name": name} for number, name in enumerate(labels, start=1)]
    for number, image in enumerate(images):
        size = {"width": image.width, "height": image.height}
        content["images"].append({"id": number, "file_name": image.name, **size})
        for label, (xmin, ymin, xmax, ymax) in image.boxes.items():
            box = {"image_id": number, "category_id": labels.index(label) + 1}
            content["annotations"].append(box | {"bbox": [xmin, ymin, xmax - xmin, ymax - ymin]})
    path = folder / "instances.json"
    path.write_text(json.dumps(content))
    return path


def write_voc(folder: Path, images: Sequence[Seen]) -> Path:
    target = folder / "xml"
    target.mkdir()
    for image in images:
        objects = "".join(
            f"<object><name>{label}</name><bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax>"
            f"<ymax>{ymax}</ymax></bndbox></object>"
            for label, (xmin, ymin, xmax, ymax) in image.boxes.items()
        )
        size = f"<size><width>{image.width}</width><height>{image.height}</height></size>"
        text = f"<annotation><filename>{image.name}</filename>{size}{objects}</annotation>"
        (target / f"{image.name}.xml").write_text(text)
    return target


def write_yolo(folder: Path, images: Sequence[Seen]) -> Path:
    (folder / "labels").mkdir()
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in BLOCKS))
    for image in images:
        lines = [
            f"{number} {(xmin + xmax) / 2 / image.width} {(ymin + ymax) / 2 / image.height} "
            f"{(xmax - xmin) / image.width} {(ymax - ymin) / image.height}\n"
            for number, (xmin, ymin, xmax, ymax) in enumerate(image.boxes.values())
        ]
        (folder / "labels" / image.name).with_suffix(".txt").write_text("".join(lines))
    return folder / "labels"


def write_flat_csv(folder: Path, images: Sequence[Seen], *, with_sizes: bool, is_relative: bool) -> Path:
    path = folder / "labels.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", "class", "xmin", "ymin", "xmax", "ymax", *["width", "height"] * with_sizes])
        for image in images:
            size = (image.width, image.height)
            for label, edges in image.boxes.items():
                values = [edge / side if is_relative else edge for edge, side in zip(edges, size * 2, strict=True)]
                writer.writerow([image.name, label, *values, *(size if with_sizes else ())])
    return path


def write_oidv4_toolkit(folder: Path, images: Sequence[Seen]) -> Path:
    labels = folder / "Dataset" / "red_blue_green" / "Label"
    labels.mkdir(parents=True)
    for image in images:
        lines = [" ".join([label, *(f"{edge:.1f}" for edge in edges)]) for label, edges in image.boxes.items()]
        (labels / image.name).with_suffix(".txt").write_text("\n".join(lines) + "\n")
    return folder / "Dataset"


def write_fiftyone(folder: Path, images: Sequence[Seen]) -> Path:
    labels = {}
    for image in images:
        labels[Path(image.name).stem] = [
            {"label": label, "bounding_box": [
                xmin / image.width, ymin / image.height, (xmax - xmin) / image.width, (ymax - ymin) / image.height]}
            for label, (xmin, ymin, xmax, ymax) in image.boxes.items()
        ]  # fmt: skip
    path = folder / "labels.json"
    path.write_text(json.dumps({"classes": None, "labels": labels}))
    return path


def write_tfds(folder: Path, images: Sequence[Seen]) -> Path:
    target = folder / "tfds"
    target.mkdir()
    (target / "dataset_info.json").write_text("{}")
    (target / "objects-label.labels.txt").write_text("".join(f"{name}\n" for name in BLOCKS))
    with RecordWriter(target / "photos-train.tfrecord-00000-of-00001") as writer:
        for image in images:
            example = example_class()()
            features = example.features.feature
            features["image"].bytes_list.value.append((folder / "photos" / image.name).read_bytes())
            features["image/filename"].bytes_list.value.append(image.name.encode())
            features["objects/label"].int64_list.value.extend(range(len(image.boxes)))
            for xmin, ymin, xmax, ymax in image.boxes.values():
                box = (ymin / image.height, xmin / image.width, ymax / image.height, xmax / image.width)
                features["objects/bbox"].float_list.value.extend(box)
            writer.write(example.SerializeToString())
    return target


WRITERS: dict[str, tuple[str, Callable[[Path, Sequence[Seen]], Path]]] = {
    "coco": ("coco", write_coco),
    "pascal_voc": ("pascal_voc", write_voc),
    "yolo": ("yolo", write_yolo),
    "csv in pixels": ("csv", lambda *words: write_flat_csv(*words, with_sizes=True, is_relative=False)),
    "csv in pixels without sizes": ("csv", lambda *words: write_flat_csv(*words, with_sizes=False, is_relative=False)),
    "csv in shares": ("csv", lambda *words: write_flat_csv(*words, with_sizes=True, is_relative=True)),
    "csv in shares without sizes": ("csv", lambda *words: write_flat_csv(*words, with_sizes=False, is_relative=True)),
    "oidv4_toolkit": ("oidv4_toolkit", write_oidv4_toolkit),
    "fiftyone": ("fiftyone", write_fiftyone),
    "tfds": ("tfds", write_tfds),
}


def words(kind: str, path: Path, folder: Path, *more: object) -> list[object]:
    images = [] if kind == "tfds" else ["--image_directory", folder / "photos"]  # its records hold them
    return [
        "--format", kind, "--annotations_path", path, *images, "--point_output_path", folder / "points.json",
        "--label_map_path", folder / "label_map.pbtxt", *more,
    ]  # fmt: skip


@pytest.mark.parametrize("boxes_are_of", ["shown", "stored"])
@pytest.mark.parametrize("writer", WRITERS)
def test_boxes_lie_on_their_objects_in_the_records_pixels_in_all_eight_orientations(
    writer: str, boxes_are_of: str, tmp_path: Path, run: RunCommand
) -> None:
    seen = draw_images(tmp_path / "photos")[boxes_are_of]
    kind, write = WRITERS[writer]
    more = ["--boxes_are_of", "stored"] if boxes_are_of == "stored" else []
    flags = words(kind, write(tmp_path, seen), tmp_path, "--image_output_directory", tmp_path / "by_id", *more)
    outcome = run(import_annotations.main, *flags)
    assert outcome.code == 0, outcome.output + outcome.error
    expected = f"21 images are turned by their EXIF orientation; boxes taken as of the images as {boxes_are_of}"
    assert expected in outcome.output
    clean, record = tmp_path / "clean_points.json", tmp_path / "train.record"
    for command, *command_words in (
        (validate_images, "--image_directory", tmp_path / "by_id", "--image_saving_directory", tmp_path / "clean",
         "--datapoints_input_path", tmp_path / "points.json", "--datapoints_output_path", clean,
         "--max_dimension", 256, "--num_processes", 1),
        (make_tfrecords, "--datapoints_input_path", clean, "--image_directory", tmp_path / "clean",
         "--label_map_path", tmp_path / "label_map.pbtxt", "--record_output_path", record, "--num_shards", 1,
         "--num_processes", 1),
    ):  # fmt: skip
        outcome = run(command.main, *command_words)
        assert outcome.code == 0, outcome.error + outcome.output
    assert least_iou(str(record), tmp_path / "label_map.pbtxt", num_boxes=3 * len(seen)) > 0.95


def test_boxes_lie_on_their_objects_where_records_are_made_of_the_photographs_themselves(
    tmp_path: Path, run: RunCommand
) -> None:
    seen = draw_images(tmp_path / "photos")["shown"]
    assert run(import_annotations.main, *words("yolo", write_yolo(tmp_path, seen), tmp_path)).code == 0
    record = tmp_path / "train.record"
    outcome = run(
        make_tfrecords.main, "--datapoints_input_path", tmp_path / "points.json", "--image_directory",
        tmp_path / "photos", "--label_map_path", tmp_path / "label_map.pbtxt", "--record_output_path", record,
        "--num_shards", 1, "--num_processes", 1,
    )  # fmt: skip
    assert outcome.code == 0, outcome.error + outcome.output
    assert least_iou(str(record), tmp_path / "label_map.pbtxt", num_boxes=3 * len(seen)) > 0.95


def least_iou(record: str, label_map_path: Path, num_boxes: int) -> float:
    """Returns the least IoU of a record's boxes with the blocks found in its pixels, as TensorFlow decodes them."""
    found = [iou(edges, block_in(pixels, name)) for pixels, name, edges in decoded_boxes(record, label_map_path)]
    assert len(found) == num_boxes
    return min(found)


@pytest.mark.parametrize(("tool", "flag"), [("stored", "shown"), ("shown", "stored")])
@pytest.mark.parametrize("writer", ["coco", "pascal_voc", "csv in pixels", "csv in shares"])
def test_annotated_sizes_that_contradict_the_flag_are_rejected_by_name(
    writer: str, tool: str, flag: str, tmp_path: Path, run: RunCommand
) -> None:
    kind, write = WRITERS[writer]
    path = write(tmp_path, draw_images(tmp_path / "photos")[tool])
    outcome = run(import_annotations.main, *words(kind, path, tmp_path, "--boxes_are_of", flag))
    assert outcome.code == 3
    assert f"12 rejected (12 sized as {tool}, not as {flag}; see" in outcome.output
    (line,) = [line for line in outcome.output.splitlines() if line.startswith("12 images left out")]
    assert line.endswith(f"give --boxes_are_of {tool}")
    entries = [json.loads(line) for line in (tmp_path / "points.rejected.jsonl").read_text().splitlines()]
    assert all("is 200x320, shown as 320x200 (EXIF orientation " in entry["detail"] for entry in entries)
    kept = {int(point["id"][5]) for point in read_points(tmp_path / "points.json")}
    assert kept == {1, 2, 3, 4}  # their sizes do not tell


def test_without_the_images_it_says_that_no_orientation_was_looked_at(tmp_path: Path, run: RunCommand) -> None:
    path = write_coco(tmp_path, draw_images(tmp_path / "photos")["shown"])
    flags = [word for word in words("coco", path, tmp_path) if word not in ("--image_directory", tmp_path / "photos")]
    outcome = run(import_annotations.main, *flags)
    assert outcome.code == 0
    assert "no --image_directory, so no EXIF orientation was looked at" in outcome.output
