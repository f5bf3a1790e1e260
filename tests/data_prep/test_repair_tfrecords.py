"""Records written anew without what training cannot use: what is left, what is named, and what stays as it is."""

from __future__ import annotations

import io
import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data_prep import repair_tfrecords, verify_tfrecords
from data_prep.formats import tf_example
from data_prep.formats.example_proto import example_class
from data_prep.formats.shard_names import find_shards
from data_prep.records.record_files import RecordWriter, read_record_file

REPOSITORY = Path(__file__).parents[2]
LABEL_MAP = "item { id: 1 name: '/m/1' display_name: 'Bed' } item { id: 2 name: '/m/2' display_name: 'Lamp' }"


def encoded(image_format: str = "JPEG", size: tuple[int, int] = (40, 30)) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", size, (90, 160, 30)).save(content, image_format)
    return content.getvalue()


def good(source_id: str = "a", **changes: Any) -> bytes:
    arguments: dict[str, Any] = {
        "encoded_image": encoded(),
        "image_format": "jpeg",
        "source_id": source_id,
        "filename": f"{source_id}.jpg",
        "height": 30,
        "width": 40,
        "boxes_ymin_xmin_ymax_xmax": [[0, 0, 0.5, 0.5], [0.25, 0.25, 1, 1]],
        "class_labels": [1, 2],
        "class_texts": ["/m/1", "Lamp"],
    }
    return tf_example.make_example(**(arguments | changes))


def edited(edit: Callable[[Any], object], record: bytes | None = None) -> bytes:
    message = example_class().FromString(record or good())
    edit(message.features.feature)
    return bytes(message.SerializeToString(deterministic=True))


def values(record: bytes, key: str) -> list[Any]:
    feature = example_class().FromString(record).features.feature.get(key)
    return list(getattr(feature, feature.WhichOneof("kind")).value) if feature is not None else []


class Repair:
    """Runs the command on files in a folder of its own."""

    def __init__(self, folder: Path, run: Callable[..., Any]) -> None:
        self.folder, self.output = folder, folder / "out" / "train.record"
        self.label_map_path = folder / "label_map.pbtxt"
        self.label_map_path.write_text(LABEL_MAP)
        self.run = run

    def write(self, *files: list[bytes]) -> None:
        for index, records in enumerate(files):
            with RecordWriter(self.folder / f"their.record-{index:05d}-of-{len(files):05d}") as writer:
                for record in records:
                    writer.write(record)

    def words(self, *more: object) -> list[str]:
        words = ["--input_path", self.folder / "their.record-*", "--label_map_path", self.label_map_path]
        return [str(word) for word in (*words, "--record_output_path", self.output, "--num_processes", 1, *more)]

    def __call__(self, *more: object) -> Any:
        return self.run(repair_tfrecords.main, *self.words(*more))

    def records(self) -> list[bytes]:
        paths = find_shards(f"{self.output}*")
        return [record for path in paths for record in read_record_file(path)]

    def ledger(self) -> list[tuple[str, str]]:
        lines = self.output.with_name("train.record.rejected.jsonl").read_text().splitlines()
        return [(entry["item"], entry["reason"]) for entry in map(json.loads, lines)]

    def is_sound(self) -> bool:
        words = ("--input_path", f"{self.output}*", "--label_map_path", self.label_map_path, "--strict_records")
        outcome = self.run(verify_tfrecords.main, *words)
        return outcome.code == 0 and "warning" not in outcome.output


@pytest.fixture
def repair(tmp_path: Path, run: Callable[..., Any]) -> Repair:
    return Repair(tmp_path, run)


def test_boxes_that_training_leaves_out_are_taken_out_with_all_that_is_theirs(repair: Repair) -> None:
    def more(features: Any) -> None:
        features["image/object/keypoint/x"].float_list.value.extend([1, 2, 3, 4, 5, 6])  # two a box
        features["image/object/mask"].bytes_list.value.extend([b"one", b"two", b"three"])
        features["image/object/keypoint/num"].int64_list.value.append(2)

    boxes = [[0, 0, 0.5, 0.5], [0.5, 0.1, 0.5, 0.9], [0.25, 0.25, 1, 1]]
    flags = {"difficult": [False, True, True], "weights": [1, 2, 3]}
    bad = good(boxes_ymin_xmin_ymax_xmax=boxes, class_labels=[1, 1, 2], class_texts=["Bed", "Bed", "Lamp"], **flags)
    repair.write([good("sound"), edited(more, bad)])
    before = [path.read_bytes() for path in sorted(repair.folder.glob("their*"))]
    outcome = repair()
    assert outcome.code == 0, outcome.error
    assert "2 records: 2 written, 0 left out; of 5 boxes in those written, 1 left out" in outcome.output
    sound, mended = repair.records()
    assert sound == good("sound")  # byte for byte
    assert values(mended, tf_example.BOX_YMIN) == [0, 0.25]
    assert values(mended, tf_example.CLASS_TEXT) == [b"Bed", b"Lamp"]
    assert values(mended, tf_example.OBJECT_DIFFICULT) == [0, 1]
    assert values(mended, tf_example.OBJECT_WEIGHT) == [1, 3]
    assert values(mended, "image/object/keypoint/x") == [1, 2, 5, 6]
    assert values(mended, "image/object/mask") == [b"one", b"three"]
    assert values(mended, "image/object/keypoint/num") == []
    assert "image/object/keypoint/num taken out" in outcome.output
    assert repair.ledger() == [
        (f"{repair.folder}/their.record-00000-of-00001, record 1, image a, box 1", "box without area")
    ]
    assert [path.read_bytes() for path in sorted(repair.folder.glob("their*"))] == before
    assert repair.is_sound()


def test_keys_are_filled_in_and_corrected(repair: Repair) -> None:
    def strip(features: Any) -> None:
        for key in list(features):
            if key.startswith("image/") and not key.startswith("image/object") and key != tf_example.IMAGE_ENCODED:
                features.pop(key)
        features.pop(tf_example.CLASS_LABEL)
        features[tf_example.OBJECT_OCCLUDED].int64_list.value.append(1)

    def confuse(features: Any) -> None:
        features[tf_example.IMAGE_SOURCE_ID].bytes_list.value.append(b"second")
        features[tf_example.CLASS_LABEL].int64_list.value[:] = [0, 9]
        features[tf_example.OBJECT_AREA].float_list.value[0] = math.nan

    png = {"encoded_image": encoded("PNG"), "height": 999}
    verified = {"image_class_labels": [0, 5], "image_class_texts": ["Lamp", "Sofa"]}
    repair.write([edited(strip), edited(confuse, good("b", **png, **verified)), good("c", class_texts=["", "Lamp"])])
    outcome = repair()
    assert outcome.code == 0, outcome.error
    stripped, confused, named = repair.records()
    assert values(stripped, tf_example.IMAGE_SOURCE_ID) == [b"their.record-00000-of-00001 0"]
    for key in (tf_example.IMAGE_HEIGHT, tf_example.IMAGE_WIDTH, tf_example.IMAGE_FORMAT, tf_example.IMAGE_SHA256):
        assert values(stripped, key) == values(good(), key), key
    assert values(stripped, tf_example.CLASS_LABEL) == values(confused, tf_example.CLASS_LABEL) == [1, 2]
    assert values(stripped, tf_example.OBJECT_OCCLUDED) == []
    assert values(confused, tf_example.IMAGE_SOURCE_ID) == [b"b"]
    assert values(confused, tf_example.IMAGE_FORMAT) == [b"png"]
    assert values(confused, tf_example.IMAGE_HEIGHT) == [30]
    assert values(confused, tf_example.OBJECT_AREA)[0] == pytest.approx(0.5 * 0.5 * 30 * 40)
    assert values(confused, tf_example.IMAGE_CLASS_LABEL) == [2]
    assert values(confused, tf_example.IMAGE_CLASS_TEXT) == [b"/m/2"]
    assert values(named, tf_example.CLASS_TEXT) == [b"/m/1", b"Lamp"]
    assert "1  image/object/class/label filled in" in outcome.output
    assert "1  image/object/class/label corrected by the text" in outcome.output
    manifest = json.loads(repair.output.with_name("train.record.manifest.json").read_text())
    assert (manifest["num_records"], manifest["num_boxes"]) == (3, 6)
    assert repair.is_sound()


def test_records_that_stop_training_are_left_out_and_named(repair: Repair) -> None:
    short = edited(lambda features: features[tf_example.BOX_XMAX].float_list.value.pop())
    bad = {
        "image does not decode": good(encoded_image=encoded()[:200]),
        "missing key": edited(lambda features: features.pop(tf_example.IMAGE_ENCODED)),
        "unequal lengths": short,
        "wrong type": edited(lambda features: features[tf_example.CLASS_LABEL].float_list.value.extend([1.0, 2.0])),
        "not a tf.train.Example": b"\xff\xff\xff no example",
    }
    ids = good("ids", class_labels=[1, 3], class_texts=["", ""])
    repair.write([*bad.values(), good("z"), ids, good("text", class_texts=["Sofa", "Sofa"])])
    outcome = repair("--max_failures", "5")
    assert outcome.code == 3
    file = f"{repair.folder}/their.record-00000-of-00001"
    found = repair.ledger()
    assert [(item.split(", image")[0], reason) for item, reason in found[:5]] == [
        (f"{file}, record {number}", reason) for number, reason in enumerate(bad)
    ]
    assert found[5:] == [
        (f"{file}, record 6, image ids, box 1", "class id outside the label map"),
        (f"{file}, record 7, image text, box 0", "class text outside the label map"),
        (f"{file}, record 7, image text, box 1", "class text outside the label map"),
    ]
    assert [values(record, tf_example.IMAGE_SOURCE_ID) for record in repair.records()] == [[b"z"], [b"ids"], [b"text"]]
    assert repair.is_sound()


def test_what_can_be_read_of_a_damaged_file_is_kept(repair: Repair) -> None:
    repair.write([good(str(number)) for number in range(5)])
    path = repair.folder / "their.record-00000-of-00001"
    whole = bytearray(path.read_bytes())
    start = (16 + len(good("0"))) * 2
    whole[start + 100] ^= 0xFF
    path.write_bytes(whole[:-20])
    outcome = repair()
    assert outcome.code == 0, outcome.error
    assert [values(record, tf_example.IMAGE_SOURCE_ID)[0] for record in repair.records()] == [b"0", b"1", b"3"]
    assert repair.ledger() == [(f"{path}, record {number}", "corrupt record file") for number in (2, 4)]
    assert "nothing behind it can be read" in repair.output.with_name("train.record.rejected.jsonl").read_text()


@pytest.mark.parametrize(("num_files", "num_shards"), [(1, 3), (3, 1), (3, 2), (2, 5), (3, None)])
def test_records_are_shared_out_to_any_number_of_shards(repair: Repair, num_files: int, num_shards: int | None) -> None:
    names = [[f"{index}.{number}" for number in range(7)] for index in range(num_files)]
    repair.write(*([good(name) for name in of_file] for of_file in names))
    words = () if num_shards is None else ("--num_shards", num_shards)
    assert repair(*words).code == 0
    found = [values(record, tf_example.IMAGE_SOURCE_ID)[0].decode() for record in repair.records()]
    assert sorted(found) == sorted(name for of_file in names for name in of_file)
    assert len(find_shards(f"{repair.output}*")) == (num_shards or num_files)
    before = {path: path.stat().st_mtime_ns for path in repair.output.parent.iterdir()}
    assert "nothing to do" in repair(*words, "--num_processes", 2).output
    assert {path: path.stat().st_mtime_ns for path in repair.output.parent.iterdir()} == before


def test_only_the_shard_whose_file_changed_is_written_again(repair: Repair) -> None:
    repair.write([good("a")], [good("b")])
    repair()
    paths = find_shards(f"{repair.output}*")
    before = [Path(path).stat().st_ino for path in paths]
    with RecordWriter(repair.folder / "their.record-00001-of-00002") as writer:
        writer.write(good("c"))
        writer.write(good("d"))
    assert repair().code == 0
    after = [Path(path).stat().st_ino for path in paths]
    assert after[0] == before[0] and after[1] != before[1]
    assert len(repair.records()) == 3


def test_it_never_writes_where_it_reads(repair: Repair) -> None:
    repair.write([good("a")], [good("b")])
    for output in ("their.record", "./their.record"):
        repair.output = repair.folder / output
        for words in ((), ("--num_shards", 5)):
            outcome = repair(*words)
            assert (outcome.code, outcome.error.count("\n")) == (2, 1)
            assert "which is read, is of that name" in outcome.error
    repair.output = repair.folder / "their.record-00000-of-00002"
    assert repair("--num_shards", 1).code == 2
    assert [len(list(read_record_file(str(path)))) for path in sorted(repair.folder.glob("their*"))] == [1, 1]


def test_where_nothing_is_left_nothing_is_written(repair: Repair) -> None:
    repair.write([good(encoded_image=b"no image")])
    outcome = repair()
    assert (outcome.code, outcome.error.count("\n")) == (1, 1)
    assert "not one of the records can be repaired" in outcome.error
    assert [path.name for path in repair.output.parent.iterdir()] == ["train.record.rejected.jsonl"]


def test_killed_in_the_middle_and_run_again(repair: Repair) -> None:
    content = encoded(size=(1200, 900))
    large = {"encoded_image": content, "height": 900, "width": 1200}
    repair.write(*([good(f"{index}.{number}", **large) for number in range(150)] for index in range(4)))
    assert repair().code == 0
    undisturbed = {path.name: path.read_bytes() for path in repair.output.parent.glob("*-of-*")}
    repair.output = repair.folder / "killed" / "train.record"
    command = [sys.executable, "-m", "data_prep.repair_tfrecords", *repair.words()]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        if list(repair.output.parent.glob(".partial-*/train.record-00001-of-00004.json")):
            break
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not list(repair.output.parent.glob("train*"))
    outcome = repair()
    assert outcome.code == 0
    assert "which an interrupted run left" in outcome.output
    assert "of them finished by the interrupted run" in outcome.output
    assert {path.name: path.read_bytes() for path in repair.output.parent.glob("*-of-*")} == undisturbed
