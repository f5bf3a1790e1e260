from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_prep import make_tfrecords, verify_tfrecords
from data_prep.tf_example import find_shards

REPOSITORY = Path(__file__).parents[2]
LABEL_MAP = """
item { name: '/m/03ssj5' id: 1 display_name: 'Bed' }
item { name: '/m/07c52' id: 7 display_name: 'Television' }
item { name: '/m/0dtln' id: 3 display_name: 'Lamp' }
"""


def encoded(image: Image.Image, image_format: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format)
    return buffer.getvalue()


def picture(width: int = 80, height: int = 60, seed: int = 0) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR)


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
            (self.images / f"{name}.jpg").write_bytes(encoded(picture(seed=number)))
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
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_records_hold_pictures_boxes_and_flags(make: Make) -> None:
    (make.images / "a.jpg").write_bytes(encoded(picture()))
    (make.images / "b.png").write_bytes(encoded(picture(40, 90), "PNG"))
    (make.images / "c.jpg").write_bytes(encoded(picture().convert("CMYK")))
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
        verify_tfrecords.main, "--input_path", f"{make.output}-*", "--label_map_path", make.label_map_path
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
    assert len(folders[0]) == 5  # four shards and the ledger


def test_shuffling_spreads_the_pictures_and_loses_none(make: Make) -> None:
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
    good = encoded(picture())
    for name, content in {"a": good, "cut": good[: len(good) // 2], "empty": b"", "text": b"no picture"}.items():
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
        ("text", "not a picture"),
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
    assert sorted(contents(make.output.parent)) == sorted([*shards, *others])


def test_a_run_that_fails_leaves_the_older_set(make: Make) -> None:
    make.put_many(4)
    assert make("--num_shards", 2).code == 0
    before = contents(make.output.parent)
    for path in make.images.iterdir():
        path.write_bytes(b"")
    outcome = make("--num_shards", 2, "--max_failures", 100)
    assert (outcome.code, outcome.error.count("\n")) == (1, 1)
    assert "none of the 4 pictures" in outcome.error
    assert make.ledger_path.exists()
    make.ledger_path.unlink()
    assert contents(make.output.parent) == before


def test_more_shards_than_pictures(make: Make) -> None:
    make.put_many(2)
    assert make("--num_shards", 5).code == 0
    assert len(records(make.output, 5)) == 2


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (lambda make: make.points_path.write_text("[]"), 1, "no pictures"),
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


@pytest.mark.parametrize("words", [["--num_shards", "0"], ["--num_shards", "100000"], ["--num_processes", "0"]])
def test_bad_flags(make: Make, words: list[str]) -> None:
    make.put_many(1)
    assert make(*words).code == 2


def test_killed_in_the_middle_and_run_again(make: Make) -> None:
    make.put_many(400)
    assert make("--num_shards", 4).code == 0
    undisturbed = contents(make.output.parent)
    make.output = make.folder / "killed" / "train.record"
    command = [sys.executable, "-m", "data_prep.make_tfrecords", *make.words("--num_shards", 4, "--num_processes", 1)]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and not list(make.output.parent.glob(".partial-*/*-00001-of-00004")):
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    (leftover,) = make.output.parent.iterdir()  # no shard under its name yet
    assert leftover.name.startswith(".partial-train.record-")
    outcome = make("--num_shards", 4)
    assert outcome.code == 0
    assert "which an interrupted run left" in outcome.output
    assert contents(make.output.parent) == undisturbed
