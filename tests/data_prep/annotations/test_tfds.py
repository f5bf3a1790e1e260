"""What TensorFlow Datasets leaves on disk, written here by hand."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from data_prep import import_annotations
from data_prep.annotations.tfds import read_tfds
from data_prep.formats.example_proto import example_class
from data_prep.formats.label_map import read_label_map
from data_prep.formats.points import read_points
from data_prep.records.record_files import RecordWriter
from data_prep.runtime.command_line import UsageError

NAMES = ["red block", "blue block", "green block"]
ALL: dict[str, Any] = {"splits": None, "image_directory": None}


def record(values: Mapping[str, Sequence[Any]]) -> bytes:
    example = example_class()()
    for key, value in values.items():
        feature = example.features.feature[key]
        if key.endswith("bbox"):
            feature.float_list.value.extend(value)
        elif value and isinstance(value[0], bytes):
            feature.bytes_list.value.extend(value)
        else:
            feature.int64_list.value.extend(value)
    return bytes(example.SerializeToString())


def features_of(scene: Any, key: str = "objects", **columns: Sequence[int]) -> dict[str, Sequence[Any]]:
    file = io.BytesIO()
    scene.draw().save(file, "JPEG", quality=95)
    boxes = [
        (y0 / scene.height, x0 / scene.width, y1 / scene.height, x1 / scene.width) for _, x0, y0, x1, y1 in scene.boxes
    ]
    return {
        "image": [file.getvalue()],
        "image/filename": [scene.file_name.encode()],
        f"{key}/bbox": [edge for box in boxes for edge in box],
        f"{key}/label": [NAMES.index(box[0]) for box in scene.boxes],
        **{f"{key}/{name}": values for name, values in columns.items()},
    }


def write_data_set(
    folder: Path, splits: Mapping[str, Sequence[Sequence[bytes]]], key: str = "objects", **info: Any
) -> Path:
    """Writes splits of shards of records."""
    folder.mkdir(parents=True)
    for split, shards in splits.items():
        for index, records in enumerate(shards):
            path = folder / f"mine-{split}.tfrecord-{index:05d}-of-{len(shards):05d}"
            with RecordWriter(path) as writer:
                for content in records:
                    writer.write(content)
    lengths = [{"name": name, "shardLengths": [str(len(s)) for s in shards]} for name, shards in splits.items()]
    (folder / "dataset_info.json").write_text(json.dumps({"fileFormat": "tfrecord", "splits": lengths} | info))
    (folder / f"{key}-label.labels.txt").write_text("".join(f"{name}\n" for name in NAMES))
    return folder


@pytest.mark.parametrize("key", ["objects", "bobjects"])
def test_the_scenes_come_out_as_drawn_images_too(
    tmp_path: Path, scenes: Any, run: Callable[..., Any], key: str
) -> None:
    records = [record(features_of(scene, key)) for scene in scenes]
    write_data_set(tmp_path / "mine" / "1.0.0", {"train": [records[:2], records[2:]]}, key)
    flags = [
        "--format", "tfds", "--annotations_path", tmp_path / "mine", "--point_output_path", tmp_path / "points.json",
        "--label_map_path", tmp_path / "label_map.pbtxt",
    ]  # fmt: skip
    outcome = run(import_annotations.main, *flags, "--image_output_directory", tmp_path / "images")
    assert outcome.code == 0, outcome.error
    assert f"images in {tmp_path}/images: 4 written out of their records, 0 were there" in outcome.output
    assert [(item.id, item.name) for item in read_label_map(tmp_path / "label_map.pbtxt")] == list(enumerate(NAMES, 1))
    points = {point["id"]: point["annotations"] for point in read_points(tmp_path / "points.json")}
    assert points.keys() == {scene.stem for scene in scenes}
    for scene in scenes:
        sides = dict(zip(("x0", "y0", "x1", "y1"), (scene.width, scene.height) * 2, strict=True))
        found = [(box["label"], *(round(box[e] * n, 3) for e, n in sides.items())) for box in points[scene.stem]]
        assert found == [(label, *map(float, edges)) for label, *edges in scene.boxes]
        assert (tmp_path / "images" / f"{scene.stem}.jpg").read_bytes() == features_of(scene)["image"][0]
    again = run(import_annotations.main, *flags, "--image_output_directory", tmp_path / "images")
    assert again.output.startswith("nothing to do")
    (tmp_path / "images" / "000001.jpg").unlink()
    unite = run(import_annotations.main, *flags, "--images_listed_twice", "unite")
    assert unite.code == 2 and "would hold all images of the records in memory" in unite.error
    again = run(import_annotations.main, *flags, "--image_output_directory", tmp_path / "images")
    assert "1 written out of their records, 3 were there" in again.output


def test_flags_crowds_and_areas_are_kept(tmp_path: Path, scenes: Any, converted: Any) -> None:
    scene = scenes[0]
    columns = {
        "is_occluded": [1, -1],
        "is_group_of": [0, 0],
        "is_difficult": [0, 1],
        "is_crowd": [0, 1],
        "area": [960, 0],
    }
    path = write_data_set(tmp_path / "a", {"train": [[record(features_of(scene, **columns))]]})
    first, second = converted(read_tfds, path, **ALL).points[0]["annotations"]
    assert first["is_occluded"] and not first["is_group_of"] and "is_difficult" not in first and "is_crowd" not in first
    assert first["segment_area"] == 960 / (160 * 120) and "segment_area" not in second
    assert second["is_difficult"] and second["is_crowd"] and second["is_group_of"] and not second["is_occluded"]


def test_bad_records_are_rejected_with_their_place(tmp_path: Path, scenes: Any, converted: Any) -> None:
    good = features_of(scenes[0])
    bad_boxes = [0.5, 0.5, 0.4, 0.6, float("nan"), 0.1, 0.2, 0.3]
    records = [
        record(good),
        record(good | {"image": [b"not an image"], "image/filename": [b"b.jpg"]}),
        record(good | {"objects/label": [0]}),
        record(good | {"objects/label": [0, 7], "image/filename": [b"d.jpg"]}),
        record(good | {"image/filename": [b"../e.jpg"]}),
        record(good | {"objects/is_crowd": [1], "image/filename": [b"f.jpg"]}),
        record(good | {"image": [], "image/filename": [b"g.jpg"]}),
        b"\xff\xff no tf.Example",
        record(good | {"objects/bbox": bad_boxes, "image/filename": [b"i.jpg"]}),
        record({key: value for key, value in good.items() if key != "image/filename"}),
    ]
    path = write_data_set(tmp_path / "a", {"train": [records, [record(features_of(scenes[1]))] * 2]})
    damaged = path / "mine-train.tfrecord-00001-of-00002"
    damaged.write_bytes(damaged.read_bytes()[:-5])
    result = converted(read_tfds, path, **ALL)
    assert [point["id"] for point in result.points] == ["000001", "d", "street-2"]
    shard = "mine-train.tfrecord-0000%d-of-00002:%d"
    assert [(where, reason) for where, reason, _ in result.rejected] == [
        (shard % (0, 2), "not an image"),
        (shard % (0, 3), "features of different lengths"),
        (shard % (0, 4) + ": object 2", "unknown class number"),
        (shard % (0, 5), "unsafe image name"),
        (shard % (0, 6), "features of different lengths"),
        (shard % (0, 7), "no image"),
        (shard % (0, 8), "not a tf.Example"),
        (shard % (0, 9) + ": object 2", "not a number"),
        (shard % (0, 9) + ": object 1", "reversed box"),
        (shard % (0, 10), "unsafe image name"),
        (shard % (1, 2), "damaged file"),
    ]
    assert "only 1 records of 2 are read" in result.rejected[-1][2]


def test_a_shard_that_lost_records_at_its_end_is_noticed(tmp_path: Path, scenes: Any, converted: Any) -> None:
    content = record(features_of(scenes[0]))
    path = write_data_set(tmp_path / "a", {"train": [[content]]})
    (path / "dataset_info.json").write_text('{"splits": [{"name": "train", "shardLengths": ["2"]}]}')
    result = converted(read_tfds, path, **ALL)
    assert result.rejected == [
        ("mine-train.tfrecord-00000-of-00001", "damaged file", "1 records, dataset_info.json says 2")
    ]


def test_what_cannot_be_read_is_said_in_one_line(tmp_path: Path, scenes: Any, converted: Any) -> None:
    content = record(features_of(scenes[0]))

    def refusal(path: Path, splits: Sequence[str] | None = None) -> str:
        with pytest.raises(UsageError) as refused:
            converted(read_tfds, path, splits=splits, image_directory=None)
        assert "\n" not in str(refused.value)
        return str(refused.value)

    assert "one folder with dataset_info.json is wanted" in refusal(tmp_path)
    riegeli = write_data_set(tmp_path / "1", {"train": [[content]]}, fileFormat="array_record")
    assert "is of 'array_record'; only TFRecords are read" in refusal(riegeli)
    both = write_data_set(tmp_path / "2", {"train": [[content]], "test": [[record(features_of(scenes[2]))]]})
    assert "holds the splits test, train; say by --splits" in refusal(both)
    assert "split 'test' has not one box; leave it out" in refusal(both, ["train", "test"])
    lost = write_data_set(tmp_path / "3", {"train": [[content], [content]]})
    (lost / "mine-train.tfrecord-00000-of-00002").unlink()
    assert "of the 2 files of split 'train', 1 are missing, the first 00000-of-00002" in refusal(lost)
    pixels = write_data_set(tmp_path / "4", {"train": [[content]]})
    (pixels / "features.json").write_text('{"boundingBox": {"bboxFormat": "XYWH"}}')
    assert "boxes are XYWH; only REL_YXYX are read" in refusal(pixels)
    images = write_data_set(tmp_path / "5", {"train": [[record({"image": [b"x"], "label": [1]})]]})
    assert "no feature with boxes and classes" in refusal(images) and "image, label" in refusal(images)
    (tmp_path / "5" / "dataset_info.json").write_text("[")
    assert "not JSON" in refusal(images)
