from __future__ import annotations

import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data_prep import make_tfrecords, validate_images, verify_tfrecords
from data_prep.formats.shard_names import find_shards
from tests.data_prep.image_bytes import encoded, new_image

REPOSITORY = Path(__file__).parents[2]
LABEL_MAP = """
item { name: '/m/03ssj5' id: 1 display_name: 'Bed' }
item { name: '/m/07c52' id: 7 display_name: 'Television' }
item { name: '/m/0dtln' id: 3 display_name: 'Lamp' }
"""


def annotation(label: str = "/m/03ssj5", **changes: Any) -> dict[str, Any]:
    return {"label": label, "x0": 0.1, "x1": 0.6, "y0": 0.2, "y1": 0.9} | changes


class Make:
    """Runs the command on files of a folder of its own."""

    def __init__(self, folder: Path, run: Callable[..., Any]) -> None:
        self.folder = folder
        self.images = folder / "images"
        self.images.mkdir()
        self.points_path = folder / "points.json"
        self.label_map_path = folder / "label_map.pbtxt"
        self.label_map_path.write_text(LABEL_MAP)
        self.output = folder / "records" / "train.record"
        self.ledger_path = folder / "records" / "train.record.rejected.jsonl"
        self.run = run

    def put(self, points: dict[str, list[dict[str, Any]]]) -> None:
        self.points_path.write_text(json.dumps([{"id": name, "annotations": boxes} for name, boxes in points.items()]))

    def put_many(self, count: int) -> list[str]:
        names = [f"p{number:03d}" for number in range(count)]
        for number, name in enumerate(names):
            (self.images / f"{name}.jpg").write_bytes(encoded(new_image(seed=number)))
        self.put({name: [annotation()] for name in names})
        return names

    def words(self, *more: object, output: Path | None = None) -> list[str]:
        inputs = ["--datapoints_input_path", self.points_path, "--image_directory", self.images]
        outputs = ["--label_map_path", self.label_map_path, "--record_output_path", output or self.output]
        return [str(word) for word in (*inputs, *outputs, *more)]

    def __call__(self, *more: object, output: Path | None = None) -> Any:
        return self.run(make_tfrecords.main, *self.words(*more, output=output))

    def ledger(self) -> list[tuple[str, str]]:
        lines = self.ledger_path.read_text().splitlines()
        return [(entry["item"], entry["reason"]) for entry in map(json.loads, lines)]


@pytest.fixture
def make(tmp_path: Path, run: Callable[..., Any]) -> Make:
    return Make(tmp_path, run)


def records(output: Path, count: int) -> list[dict[str, Any]]:
    """Reads records as plain Python, in their order over the shards."""
    import tensorflow as tf

    found = []
    for serialized in tf.data.TFRecordDataset(find_shards(f"{output}@{count}")).as_numpy_iterator():
        example = tf.train.Example.FromString(serialized)
        found.append(
            {
                key: list(getattr(feature, feature.WhichOneof("kind")).value) if feature.WhichOneof("kind") else []
                for key, feature in example.features.feature.items()
            }
        )
    return found


def contents(folder: Path) -> dict[str, bytes]:
    """Returns every file's content, but for the command that a manifest names."""
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    return {
        name: re.sub(rb' "command": .*\n', b"", content) if name.endswith(".manifest.json") else content
        for name, content in found.items()
    }


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_records_hold_images_boxes_and_flags(make: Make) -> None:
    (make.images / "a.jpg").write_bytes(encoded(new_image()))
    (make.images / "b.png").write_bytes(encoded(new_image(40, 90), "PNG"))
    (make.images / "c.jpg").write_bytes(encoded(new_image().convert("CMYK")))
    flags = {"is_occluded": True, "is_truncated": False, "is_group_of": True, "is_depiction": True, "is_inside": True}
    first = [annotation(**flags), annotation("/m/07c52", x0=-1e-7, x1=1.0000005, is_truncated=True)]
    make.put({"a": first, "b": [annotation("/m/0dtln")], "c": []})
    outcome = make("--num_shards", 1, "--no_shuffle")
    assert outcome.code == 0
    summary = "3 points: 3 records, 1 of them without a box"
    for word in (summary, "1  Bed", "1  Television", "1  Lamp", "wrote 1 shards"):
        assert word in outcome.output
    a, b, c = records(make.output, 1)
    assert a["image/source_id"] == [b"a"]
    assert a["image/filename"] == [b"a.jpg"]
    assert a["image/encoded"] == [(make.images / "a.jpg").read_bytes()]
    assert (a["image/height"], a["image/width"], a["image/format"]) == ([60], [80], [b"jpeg"])
    assert a["image/object/class/label"] == [1, 7]
    assert a["image/object/class/text"] == [b"/m/03ssj5", b"/m/07c52"]
    assert a["image/object/bbox/ymin"] == pytest.approx([0.2, 0.2])
    assert a["image/object/bbox/ymax"] == pytest.approx([0.9, 0.9])
    assert (a["image/object/bbox/xmin"][1], a["image/object/bbox/xmax"][1]) == (0.0, 1.0)  # cut to the image
    for key, values in {"group_of": [1, 0], "occluded": [1, 0], "truncated": [0, 1], "depiction": [1, 0]}.items():
        assert a[f"image/object/{key}"] == values, key
    assert a["image/object/is_crowd"] == [0, 0]
    assert a["image/object/area"][0] == pytest.approx(0.5 * 80 * 0.7 * 60)
    assert (b["image/format"], b["image/filename"], b["image/height"]) == ([b"png"], [b"b.png"], [90])
    assert b["image/encoded"] == [(make.images / "b.png").read_bytes()]
    assert c["image/object/class/label"] == []
    with Image.open(io.BytesIO(c["image/encoded"][0])) as image:
        assert (image.format, image.mode) == ("JPEG", "RGB")
    verified = make.run(
        verify_tfrecords.main, "--input_path", f"{make.output}@1", "--label_map_path", make.label_map_path
    )
    assert verified.code == 0


def test_any_number_of_processes_gives_the_same_bytes(make: Make) -> None:
    names = make.put_many(23)
    (make.images / f"{names[5]}.jpg").unlink()
    folders = []
    for num_processes in (1, 2):
        output = make.folder / f"with_{num_processes}" / "train.record"
        outcome = make("--num_shards", 4, "--num_processes", num_processes, "--max_failures", 1, output=output)
        assert outcome.code == 0
        assert "22 records" in outcome.output
        folders.append(contents(output.parent))
    assert folders[0] == folders[1]
    assert len(folders[0]) == 6  # four shards, the manifest and the ledger


def test_shuffling_spreads_the_images_and_loses_none(make: Make) -> None:
    names = make.put_many(30)
    orders = []
    for words in (["--no_shuffle"], [], ["--shuffle_seed", 0], ["--shuffle_seed", 1]):
        assert make("--num_shards", 3, *words).code == 0
        orders.append([record["image/source_id"][0].decode() for record in records(make.output, 3)])
    assert orders[0] == names[0::3] + names[1::3] + names[2::3]
    assert orders[1] == orders[2]
    assert len({tuple(order) for order in orders}) == 3
    assert all(sorted(order) == names for order in orders)


def test_what_cannot_be_used_is_listed_and_the_rest_is_written(make: Make) -> None:
    good = encoded(new_image())
    for name, content in {"a": good, "cut": good[: len(good) // 2], "empty": b"", "text": b"no image"}.items():
        (make.images / f"{name}.jpg").write_bytes(content)
    thin = annotation("/m/07c52", x0=0.5, x1=0.5 + 1e-9)  # no width once it is a float32
    make.put({"a": [thin, annotation()], "cut": [], "empty": [], "text": [], "gone": []})
    outcome = make("--num_shards", 1)
    assert outcome.code == 3
    assert "5 points: 1 records" in outcome.output
    assert sorted(make.ledger()) == [
        ("a /m/07c52", "box without area"),
        ("cut", "does not decode"),
        ("empty", "empty file"),
        ("gone", "missing"),
        ("text", "not an image"),
    ]
    (record,) = records(make.output, 1)
    assert record["image/object/class/label"] == [1]
    assert make("--num_shards", 1, "--max_failures", 5).code == 0


def test_a_label_outside_the_map_is_refused_or_dropped(make: Make) -> None:
    make.put_many(2)
    make.put({"p000": [annotation("/m/0199g"), annotation()], "p001": [annotation("/m/0199g")]})
    outcome = make()
    assert (outcome.code, outcome.error.count("\n")) == (2, 1)
    for word in ("'/m/0199g'", "2 boxes", "label_map.pbtxt", "--drop_unknown_labels"):
        assert word in outcome.error
    assert not make.output.parent.exists()
    outcome = make("--drop_unknown_labels", "--num_shards", 1)
    assert outcome.code == 0
    assert "left out 2 boxes of 1 labels" in outcome.output
    assert sorted(record["image/object/class/label"] for record in records(make.output, 1)) == [[], [1]]


def test_shards_of_another_number_are_replaced_and_others_left_alone(make: Make) -> None:
    make.put_many(6)
    assert make("--num_shards", 4).code == 0
    others = ["train.record-00000-of-00004.txt", "train.record2-00000-of-00004", "validation.record-00000-of-00004"]
    for name in others:
        (make.output.parent / name).write_text("not ours")
    outcome = make("--num_shards", 2)
    assert outcome.code == 0
    assert "removed 4 shards of an older run" in outcome.output
    shards = ["train.record-00000-of-00002", "train.record-00001-of-00002"]
    assert sorted(contents(make.output.parent)) == sorted([*shards, "train.record.manifest.json", *others])


def test_a_single_shard_has_the_plain_name_and_sets_of_other_numbers_take_its_place(make: Make) -> None:
    for name in ("a", "b"):
        (make.images / f"{name}.jpg").write_bytes(encoded(new_image()))
    make.put({"a": [annotation()], "b": []})
    folder, output = make.output.parent, make.output

    def files() -> list[str]:
        return sorted(path.name for path in folder.iterdir() if path.name.startswith("train.record"))

    make("--num_shards", 1)
    assert files() == ["train.record", "train.record.manifest.json"]
    assert json.loads(make("--num_shards", 1) and (folder / files()[1]).read_text())["shards"][0]["name"] == output.name
    before = times(folder)
    assert "nothing to do" in make("--num_shards", 1).output
    assert times(folder) == before
    outcome = make("--num_shards", 2)
    shards = ["train.record-00000-of-00002", "train.record-00001-of-00002", "train.record.manifest.json"]
    assert files() == shards
    assert "removed train.record" in outcome.output
    # As an earlier version called it, and a file of the plain name that is not ours.
    (folder / "train.record-00000-of-00001").write_bytes(b"")
    make("--num_shards", 1)
    assert files() == ["train.record", "train.record.manifest.json"]
    (folder / "train.record.manifest.json").unlink()
    make("--num_shards", 2)
    assert files() == ["train.record", *shards]


def test_a_run_that_fails_leaves_the_older_set(make: Make) -> None:
    make.put_many(4)
    assert make("--num_shards", 2).code == 0
    before = contents(make.output.parent)
    for path in make.images.iterdir():
        path.write_bytes(b"")
    outcome = make("--num_shards", 2, "--max_failures", 100)
    assert (outcome.code, outcome.error.count("\n")) == (1, 1)
    assert "none of the 4 images" in outcome.error
    assert make.ledger_path.exists()
    make.ledger_path.unlink()
    assert contents(make.output.parent) == before


def test_more_shards_than_images(make: Make) -> None:
    make.put_many(2)
    assert make("--num_shards", 5).code == 0
    assert len(records(make.output, 5)) == 2


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (lambda make: make.points_path.write_text("[]"), 1, "no images"),
        (lambda make: make.put({"../x": []}), 2, "plain file name"),
        (lambda make: make.label_map_path.write_text("item { name: 'a' id: 0 }"), 2, "id 0"),
        (lambda make: make.label_map_path.unlink(), 2, "label_map.pbtxt"),
        (lambda make: make.images.rename(make.folder / "elsewhere"), 2, "no folder"),
        (lambda make: make.output.parent.write_text("a file"), 1, "cannot write records"),
    ],
)
def test_mistakes_end_in_one_line(make: Make, change: Callable[[Make], object], code: int, message: str) -> None:
    make.put_many(1)
    change(make)
    outcome = make()
    assert (outcome.code, outcome.error.count("\n")) == (code, 1)
    assert message in outcome.error


@pytest.mark.parametrize(
    "words",
    [
        ["--num_shards", "0"],
        ["--num_shards", "100000"],
        ["--num_processes", "0"],
        ["--images_without_boxes", "some"],
        ["--images_without_boxes", "1.5"],
        ["--group_of_boxes", "burn"],
        ["--max_boxes_per_image", "0"],
    ],
)
def test_bad_flags(make: Make, words: list[str]) -> None:
    make.put_many(1)
    assert make(*words).code == 2


def test_a_second_run_does_nothing_and_says_so(make: Make) -> None:
    names = make.put_many(12)
    (make.images / f"{names[3]}.jpg").write_bytes(b"")
    first = make("--num_shards", 3, "--max_failures", 1)
    assert first.code == 0
    written, before = times(make.output.parent), contents(make.output.parent)
    for num_processes in (1, 2):
        outcome = make("--num_shards", 3, "--num_processes", num_processes)
        assert outcome.code == 3  # what cannot be used is still said
        assert "12 points: 11 records" in outcome.output
        assert "nothing to do: 3 shards" in outcome.output
        assert "wrote" not in outcome.output
        assert contents(make.output.parent) == before
        now = times(make.output.parent)
        assert {name: now[name] for name in now if "rejected" not in name} == {
            name: written[name] for name in written if "rejected" not in name
        }


def shard_of(make: Make, name: str, count: int) -> str:
    """Returns the shard that holds an image."""
    for shard in find_shards(f"{make.output}@{count}"):
        if f"{name}.jpg".encode() in Path(shard).read_bytes():
            return Path(shard).name
    raise AssertionError(name)


def test_only_shards_with_a_change_are_written_again(make: Make) -> None:
    names = make.put_many(40)
    assert make("--num_shards", 8).code == 0

    def changed(change: Callable[[], object], *words: object) -> set[str]:
        """Makes a change, runs again, and returns the shards that were written; the result is that of a fresh run."""
        before = times(make.output.parent)
        change()
        outcome = make("--num_shards", 8, *words)
        assert outcome.code == 0
        fresh = make.folder / "fresh" / "train.record"
        assert make("--num_shards", 8, "--rewrite", *words, output=fresh).code == 0
        assert contents(make.output.parent) == contents(fresh.parent)
        now = times(make.output.parent)
        written = {name for name in now if "-of-" in name and now[name] != before[name]}
        assert f"of 8 shards, {len(written)} written now, {8 - len(written)} as they were" in outcome.output
        return written

    (make.images / "new.jpg").write_bytes(encoded(new_image(seed=77)))
    points = {name: [annotation()] for name in names}
    written = changed(lambda: make.put({**points, "new": [annotation()]}))
    assert written == {shard_of(make, "new", 8)}  # an image more
    assert changed(lambda: make.put(points)) == written  # an image less
    other = {**points, names[7]: [annotation("/m/07c52")]}
    assert changed(lambda: make.put(other)) == {shard_of(make, names[7], 8)}  # another box
    larger = encoded(new_image(90, 70))
    image = make.images / f"{names[9]}.jpg"
    assert changed(lambda: image.write_bytes(larger)) == {shard_of(make, names[9], 8)}  # another image
    map_text = LABEL_MAP.replace("'/m/07c52' id: 7", "'/m/07c52' id: 8")
    assert changed(lambda: make.label_map_path.write_text(map_text)) == {shard_of(make, names[7], 8)}  # another id
    more = map_text + "item { name: '/m/new' id: 4 }"
    assert changed(lambda: make.label_map_path.write_text(more)) == set()  # a class more: the manifest alone
    assert json.loads((make.output.parent / "train.record.manifest.json").read_text())["classes"][2]["name"] == "/m/new"
    shard = make.output.parent / "train.record-00002-of-00008"
    assert changed(lambda: shard.write_bytes(shard.read_bytes()[:-1])) == {shard.name}  # a shard that was damaged


def test_the_manifest_says_what_is_in_the_records(make: Make) -> None:
    make.put_many(3)
    make.points_path.write_text(
        json.dumps(
            [
                {"id": "p000", "annotations": [annotation(), annotation("/m/07c52"), annotation(is_group_of=True)]},
                {
                    "id": "p001",
                    "annotations": [annotation()],
                    "image_labels": [
                        {"label": "/m/03ssj5", "confidence": 1.0},
                        {"label": "/m/0dtln", "confidence": 0.0},
                        {"label": "/m/elsewhere", "confidence": 0.0},
                    ],
                },
                {"id": "p002", "annotations": [], "image_labels": []},
                {"id": "gone", "annotations": []},
            ]
        )
    )
    outcome = make("--num_shards", 2, "--max_failures", 1)
    assert outcome.code == 0
    assert "2 verified labels of whole images: 1 present, 1 absent" in outcome.output
    assert "left out 1 verified labels outside the label map" in outcome.output
    manifest = json.loads((make.output.parent / "train.record.manifest.json").read_text())
    numbers = {key: manifest[key] for key in ("split", "num_points", "num_records", "num_records_without_boxes")}
    assert numbers == {"split": "train", "num_points": 4, "num_records": 3, "num_records_without_boxes": 1}
    assert (manifest["num_boxes"], manifest["rejected"]) == (4, {"missing": 1})
    assert manifest["num_bytes"] == sum(path.stat().st_size for path in make.output.parent.glob("*-of-*"))
    assert [shard["name"] for shard in manifest["shards"]] == [f"train.record-0000{i}-of-00002" for i in (0, 1)]
    assert manifest["settings"]["num_shards"] == 2
    assert manifest["command"].startswith("python -m data_prep.make_tfrecords --datapoints_input_path /")
    bed, lamp, television = manifest["classes"]
    assert bed == {
        "id": 1, "name": "/m/03ssj5", "display_name": "Bed", "boxes": 3, "images": 2,
        "verified_present": 1, "verified_absent": 0,
    }  # fmt: skip
    assert (lamp["id"], lamp["boxes"], lamp["verified_absent"]) == (3, 0, 1)
    assert (television["boxes"], television["images"]) == (1, 1)
    by_id = {record["image/source_id"][0]: record for record in records(make.output, 2)}
    assert by_id[b"p001"]["image/class/text"] == [b"/m/03ssj5", b"/m/0dtln"]  # what was looked for, found or not
    assert by_id[b"p001"]["image/class/label"] == [1, 3]
    assert by_id[b"p002"]["image/class/label"] == []
    assert "image/class/label" not in by_id[b"p000"]
    words = ("--input_path", f"{make.output}-*", "--label_map_path", make.label_map_path)
    assert make.run(verify_tfrecords.main, *words).code == 0


def test_rules_about_boxes(make: Make) -> None:
    make.put_many(3)
    small = annotation("/m/07c52", x1=0.2, y1=0.3)
    group = annotation("/m/0dtln", is_group_of=True)
    make.put({"p000": [small, annotation(), group], "p001": [group], "p002": []})

    def labels(*words: object) -> tuple[dict[str, list[int]], str]:
        outcome = make("--num_shards", 1, *words)
        assert outcome.code == 0
        found = {r["image/source_id"][0].decode(): r["image/object/class/label"] for r in records(make.output, 1)}
        return found, outcome.output

    assert labels()[0] == {"p000": [7, 1, 3], "p001": [3], "p002": []}
    found, output = labels("--group_of_boxes", "drop")
    assert found == {"p000": [7, 1], "p001": [], "p002": []}
    assert "left out 2 group-of boxes" in output
    found, output = labels("--group_of_boxes", "drop", "--images_without_boxes", "drop")
    assert found == {"p000": [7, 1]}
    assert "left out 2 images without boxes" in output
    found, output = labels("--max_boxes_per_image", 2)
    assert found == {"p000": [1, 3], "p001": [3], "p002": []}  # the largest, in their order
    assert "left out 1 boxes beyond the most an image, of 1 images" in output
    labels("--group_of_boxes", "crowd")
    crowds = {r["image/source_id"][0]: r["image/object/is_crowd"] for r in records(make.output, 1)}
    assert crowds == {b"p000": [0, 0, 1], b"p001": [1], b"p002": []}
    settings = json.loads((make.output.parent / "train.record.manifest.json").read_text())["settings"]
    assert settings["group_of"] == "crowd"
    assert make("--num_shards", 1, "--drop_unknown_labels").code == 0


def test_what_coco_and_voc_say_of_objects_reaches_the_records(make: Make) -> None:
    """Their crowds, difficult objects and areas, which points hold beside the keys of every annotation."""
    (make.images / "a.jpg").write_bytes(encoded(new_image()))
    crowd = annotation("/m/07c52", is_group_of=True, is_crowd=True, segment_area=0.25)
    make.put({"a": [annotation(is_difficult=True), crowd, annotation("/m/0dtln", is_group_of=True)]})
    assert make("--num_shards", 1).code == 0
    (record,) = records(make.output, 1)
    assert record["image/object/difficult"] == [1, 0, 0]
    assert record["image/object/is_crowd"] == [0, 1, 0]
    box = pytest.approx(0.5 * 80 * 0.7 * 60)
    assert record["image/object/area"] == [box, pytest.approx(0.25 * 80 * 60), box]
    assert make("--num_shards", 1, "--group_of_boxes", "crowd").code == 0
    (record,) = records(make.output, 1)
    assert record["image/object/is_crowd"] == [0, 1, 1]


def test_a_share_of_the_images_without_boxes_is_kept(make: Make) -> None:
    names = make.put_many(60)
    make.put({name: [annotation()] if number < 10 else [] for number, name in enumerate(names)})
    kept = []
    for words in (["0.4"], ["0.4", "--num_shards", 3], ["0.8"], ["drop"], ["0.4", "--shuffle_seed", 5]):
        outcome = make("--num_shards", 2, "--images_without_boxes", *words)
        assert outcome.code == 0
        count = 3 if "--num_shards" in words else 2
        kept.append({record["image/source_id"][0].decode() for record in records(make.output, count)} - set(names[:10]))
        assert f"{10 + len(kept[-1])} records, {len(kept[-1])} of them without a box" in outcome.output
    assert kept[0] == kept[1] < kept[2]  # a matter of the image, not of where it is written
    assert 10 <= len(kept[0]) <= 30
    assert kept[3] == set()
    assert kept[4] != kept[0]


def test_images_are_read_to_their_end_unless_told_otherwise(make: Make) -> None:
    good = encoded(new_image(400, 300))
    middle = len(good) // 2
    holed = good[:middle] + bytes(200) + good[middle + 200 :]  # header and end mark are there
    for name, content in {"good": good, "holed": holed, "cut": good[:middle]}.items():
        (make.images / f"{name}.jpg").write_bytes(content)
    make.put({"good": [], "holed": [], "cut": []})
    outcome = make("--num_shards", 1, "--image_check", "header", "--max_failures", 9)
    assert outcome.code == 0
    assert make.ledger() == [("cut", "does not decode")]
    assert "2 records" in outcome.output


def test_two_at_a_time_do_not_mix(make: Make) -> None:
    import fcntl

    make.put_many(4)
    folder = make.output.parent / ".partial-train.record-shards"
    folder.mkdir(parents=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        outcome = make("--num_shards", 2)
    assert (outcome.code, outcome.error.count("\n")) == (1, 1)
    assert "another process is writing" in outcome.error
    assert make("--num_shards", 2).code == 0
    assert not folder.exists()


class Killed:
    """Runs the command in a process of its own, which is killed at some moment."""

    def __init__(self, make: Make, *words: object) -> None:
        command = [sys.executable, "-m", "data_prep.make_tfrecords", *make.words(*words)]
        self.process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def when(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and not condition() and self.process.poll() is None:
            time.sleep(0.0005)
        self.process.kill()
        self.process.wait()


def test_killed_in_the_middle_and_run_again(make: Make) -> None:
    make.put_many(400)
    assert make("--num_shards", 4).code == 0
    undisturbed = contents(make.output.parent)
    make.output = make.folder / "killed" / "train.record"
    killed = Killed(make, "--num_shards", 4, "--num_processes", 1)
    killed.when(lambda: list(make.output.parent.glob(".partial-*/train.record-00001-of-00004.json")))
    assert killed.process.returncode == -signal.SIGKILL
    (leftover,) = make.output.parent.iterdir()  # no shard under its name yet
    assert leftover.name.startswith(".partial-train.record-")
    shards = [path for path in leftover.glob("*-of-00004") if path.with_name(f"{path.name}.json").exists()]
    finished = {path.name: path.stat().st_mtime_ns for path in shards}
    assert {"train.record-00000-of-00004", "train.record-00001-of-00004"} <= finished.keys()
    outcome = make("--num_shards", 4)
    assert outcome.code == 0
    assert "which an interrupted run left" in outcome.output
    assert f"{len(finished)} finished by the interrupted run" in outcome.output
    assert contents(make.output.parent) == undisturbed
    now = times(make.output.parent)
    assert all(now[name] == changed for name, changed in finished.items())  # not written twice


def test_killed_while_shards_are_put_in_place(make: Make) -> None:
    """Stops between any two renames, by making the state that a kill there leaves."""
    names = make.put_many(30)
    assert make("--num_shards", 3).code == 0
    old = contents(make.output.parent)
    make.put({name: [annotation("/m/07c52")] for name in names})
    fresh = make.folder / "fresh" / "train.record"
    assert make("--num_shards", 3, output=fresh).code == 0
    new = contents(fresh.parent)
    shards = sorted(name for name in new if "-of-" in name)
    manifest = (fresh.parent / "train.record.manifest.json").read_bytes()
    for num_in_place in range(4):
        for path in make.output.parent.iterdir():
            path.unlink()
        folder = make.output.parent / ".partial-train.record-shards"
        folder.mkdir()
        (folder / "manifest.json").write_bytes(manifest)
        for index, name in enumerate(shards):
            (make.output.parent / name).write_bytes((new if index < num_in_place else old)[name])
            if index >= num_in_place:
                (folder / name).write_bytes(new[name])
        outcome = make("--num_shards", 3)
        assert outcome.code == 0
        assert "putting in place the shards" in outcome.output
        assert "nothing to do: 3 shards" in outcome.output
        assert contents(make.output.parent) == new


@pytest.mark.slow
@pytest.mark.parametrize("num_processes", [1, 2])
def test_killed_at_random_moments(make: Make, num_processes: int) -> None:
    names = make.put_many(300)
    (make.images / f"{names[5]}.jpg").unlink()
    words = ("--num_shards", 6, "--num_processes", num_processes, "--max_failures", 1)
    start = time.monotonic()
    undisturbed_folder = make.folder / "undisturbed"
    whole = Killed(make, *words)
    whole.process.wait()
    seconds = time.monotonic() - start
    make.output.parent.rename(undisturbed_folder)
    undisturbed = contents(undisturbed_folder)
    moments = random.Random(num_processes)
    for _ in range(10):
        until = time.monotonic() + moments.uniform(0.3, 1.0) * seconds
        Killed(make, *words).when(lambda until=until: time.monotonic() > until)
        if moments.random() < 0.5:
            continue  # killed twice and more
        assert make(*words).code == 0
        assert contents(make.output.parent) == undisturbed
        for path in make.output.parent.iterdir():
            path.unlink()
    assert make(*words).code == 0
    assert contents(make.output.parent) == undisturbed


def test_what_validate_images_has_left_is_not_decoded_again(make: Make) -> None:
    """An image damaged behind the log's back, with its size and time kept, shows that nobody has looked."""
    names = make.put_many(4)
    words = ["--image_directory", make.images, "--image_saving_directory", make.folder / "clean"]
    paths = ["--datapoints_input_path", make.points_path, "--datapoints_output_path", make.folder / "clean.json"]
    assert make.run(validate_images.main, *map(str, [*words, *paths])).code == 0
    make.images = make.folder / "clean"
    for name in names[:2]:
        path = make.images / f"{name}.jpg"
        status, content = path.stat(), path.read_bytes()
        middle = len(content) // 2
        path.write_bytes(content[:middle] + b"\xff\xd9" + bytes(len(content) - middle - 4) + b"\xff\xd9")
        if name == names[0]:
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    outcome = make("--num_shards", 1)
    assert [item for item, _ in make.ledger()] == names[1:2]
    assert "4 points: 3 records" in outcome.output
    make.images.with_name("clean.validated.sqlite").write_bytes(b"damaged" * 1000)  # then all are looked at
    make("--num_shards", 1, "--rewrite")
    assert sorted(item for item, _ in make.ledger()) == names[:2]


def test_only_the_images_of_a_list_are_written_and_another_list_rewrites(make: Make) -> None:
    names = make.put_many(6)
    listed = make.folder / "image_ids.txt"
    listed.write_text(f"{names[4]}\n{names[1]}\nelsewhere\n")
    done = make("--num_shards", 2, "--image_ids_path", listed)
    assert (done.code, done.error) == (0, "")
    assert "1 of the ids in" in done.output
    assert {record["image/source_id"][0].decode() for record in records(make.output, 2)} == {names[1], names[4]}
    listed.write_text(f"{names[2]}\n")
    assert make("--num_shards", 2, "--image_ids_path", listed).code == 0
    assert {record["image/source_id"][0].decode() for record in records(make.output, 2)} == {names[2]}
