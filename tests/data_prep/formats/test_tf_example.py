from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from data_prep.formats import tf_example
from data_prep.runtime.command_line import UsageError

BOXES = [[0.1, 0.2, 0.5, 0.6], [0.0, 0.0, 1.0, 0.25]]  # ymin xmin ymax xmax


def example(**changes: object) -> bytes:
    arguments: dict[str, object] = {
        "encoded_image": b"\xff\xd8picture",
        "image_format": "jpeg",
        "source_id": "abc",
        "filename": "abc.jpg",
        "height": 100,
        "width": 200,
        "boxes_ymin_xmin_ymax_xmax": BOXES,
        "class_labels": [3, 1],
        "class_texts": ["/m/03ssj5", "Wörld"],
    }
    return tf_example.make_example(**(arguments | changes))  # type: ignore[arg-type]


def parse(serialized: bytes) -> dict[str, object]:
    import tensorflow as tf

    features = tf.train.Example.FromString(serialized).features.feature
    record: dict[str, object] = {}
    for key, feature in tf_example.FEATURES.items():
        values = list(getattr(features[key], f"{feature.kind}_list").value)
        record[key] = values if feature.is_list else values[0]
    return record


def test_what_is_written_is_what_is_read() -> None:
    record = parse(example(group_of=[True, False], truncated=[False, True], weights=[0.5, 1.0]))
    assert record["image/encoded"] == b"\xff\xd8picture"
    assert record["image/format"] == b"jpeg"
    assert record["image/filename"] == b"abc.jpg"
    assert record["image/source_id"] == b"abc"
    assert record["image/key/sha256"] == hashlib.sha256(b"\xff\xd8picture").hexdigest().encode()
    assert (record["image/height"], record["image/width"]) == (100, 200)
    assert record["image/object/bbox/ymin"] == pytest.approx([0.1, 0.0])
    assert record["image/object/bbox/xmin"] == pytest.approx([0.2, 0.0])
    assert record["image/object/bbox/ymax"] == pytest.approx([0.5, 1.0])
    assert record["image/object/bbox/xmax"] == pytest.approx([0.6, 0.25])
    assert list(record["image/object/class/text"]) == [b"/m/03ssj5", "Wörld".encode()]  # type: ignore[call-overload]
    expected = {
        "class/label": [3, 1],
        "is_crowd": [0, 0],
        "difficult": [0, 0],
        "truncated": [0, 1],
        "occluded": [0, 0],
        "group_of": [1, 0],
        "depiction": [0, 0],
        "area": [0.4 * 100 * 0.4 * 200, 100 * 50],
        "weight": [0.5, 1.0],
    }
    for key, values in expected.items():
        assert record[f"image/object/{key}"] == pytest.approx(values), key


def test_keys_and_types_are_those_of_the_object_detection_api() -> None:
    import tensorflow as tf

    serialized = example(weights=[1, 1], image_class_labels=[1], image_class_texts=["Wörld"])
    features = tf.train.Example.FromString(serialized).features.feature
    assert set(features) == set(tf_example.FEATURES)
    for key, feature in tf_example.FEATURES.items():
        assert features[key].WhichOneof("kind") == f"{feature.kind}_list", key


def test_no_boxes() -> None:
    record = parse(example(boxes_ymin_xmin_ymax_xmax=[], class_labels=[], class_texts=[]))
    assert all(np.size(record[key]) == 0 for key in tf_example.OBJECT_KEYS)


def test_optional_keys_are_left_out_and_read_as_empty() -> None:
    import tensorflow as tf

    serialized = example()
    features = tf.train.Example.FromString(serialized).features.feature
    assert "image/object/weight" not in features
    assert "image/class/label" not in features
    assert np.size(parse(serialized)["image/object/weight"]) == 0


def test_the_same_image_gives_the_same_bytes() -> None:
    assert len({example() for _ in range(20)}) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"class_labels": [1]},
        {"class_texts": ["a", "b", "c"]},
        {"is_crowd": [True]},
        {"weights": []},
        {"image_class_labels": [1]},
    ],
)
def test_lists_of_unequal_length_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="abc"):
        example(**changes)


def make_shards(folder: Path, name: str, count: int, present: range | None = None) -> list[str]:
    paths = [folder / f"{name}-{index:05d}-of-{count:05d}" for index in (present or range(count))]
    for path in paths:
        path.write_bytes(b"")
    return [str(path) for path in paths]


def test_shard_path() -> None:
    assert tf_example.shard_path("out/train.record", 0, 10) == Path("out/train.record-00000-of-00010")
    assert tf_example.shard_path("out/train.record", 0, 1) == Path("out/train.record")
    assert tf_example.shard_path("train.record", 123, 99_999) == Path("train.record-00123-of-99999")


@pytest.mark.parametrize("pattern", ["train.record-*", "train.record-?????-of-00012", "train.record@12"])
def test_finds_a_set(tmp_path: Path, pattern: str) -> None:
    shards = make_shards(tmp_path, "train.record", 12)
    make_shards(tmp_path, "validation.record", 2)
    (tmp_path / ".partial-1-train.record-00000-of-00012").write_bytes(b"")
    assert tf_example.find_shards(str(tmp_path / pattern)) == shards


def test_finds_lists_with_commas_in_order_and_each_file_once(tmp_path: Path) -> None:
    train = make_shards(tmp_path, "train.record", 2)
    other = make_shards(tmp_path, "other.record", 1)
    single = tmp_path / "all.tfrecord"
    single.write_bytes(b"")
    pattern = f"{tmp_path}/train.record@2, {tmp_path}/other.record-*,{single},{train[1]},"
    assert tf_example.find_shards(pattern) == [*train, *other, str(single)]
    assert tf_example.find_shards([str(single), f"{tmp_path}/other.record@1"]) == [str(single), *other]


def test_finds_shards_named_one_by_one(tmp_path: Path) -> None:
    shards = make_shards(tmp_path, "train.record", 10, range(1, 3))
    assert tf_example.find_shards(shards[0]) == shards[:1]


@pytest.mark.parametrize("pattern", ["train.record-*", "train.record-?????-of-00010", "train.record@10"])
def test_a_set_with_a_shard_missing_is_refused(tmp_path: Path, pattern: str) -> None:
    make_shards(tmp_path, "train.record", 10, range(1, 9))
    with pytest.raises(UsageError, match=r"2 of 10 shards are missing, the first .*record-00000-of-00010"):
        tf_example.find_shards(str(tmp_path / pattern))


def test_a_glob_for_part_of_a_whole_set_is_taken(tmp_path: Path) -> None:
    shards = make_shards(tmp_path, "train.record", 10)
    assert tf_example.find_shards(str(tmp_path / "train.record-0000[0-4]-of-00010")) == shards[:5]


def test_two_runs_of_one_name_are_refused(tmp_path: Path) -> None:
    make_shards(tmp_path, "train.record", 4)
    shards = make_shards(tmp_path, "train.record", 10)
    with pytest.raises(UsageError, match=r"two runs .* of 4 and 10 shards"):
        tf_example.find_shards(str(tmp_path / "train.record-*"))
    assert tf_example.find_shards(str(tmp_path / "train.record-?????-of-00010")) == shards


def test_no_glob_takes_what_lies_beside_records(tmp_path: Path) -> None:
    shards = make_shards(tmp_path, "train.record", 2)
    others = [
        "train.record.manifest.json",
        "train.record.rejected.jsonl",
        "train.record.stamp.json",
        ".partial-1-train.record",
    ]
    for name in others:
        (tmp_path / name).write_bytes(b"{}")
    for pattern in ("train.record*", "*train*", "*"):
        assert tf_example.find_shards(f"{tmp_path}/{pattern}") == shards
    for pattern in ("train.record.*", ".partial-*"):
        with pytest.raises(UsageError, match="no record file matches"):
            tf_example.find_shards(f"{tmp_path}/{pattern}")


@pytest.mark.parametrize("pattern", ["train.record", "train.record*", "train.record@1", "train.record-?????-of-00001"])
def test_the_only_shard_has_the_plain_name(tmp_path: Path, pattern: str) -> None:
    (plain := tmp_path / "train.record").write_bytes(b"")
    (tmp_path / "train.record.manifest.json").write_bytes(b"{}")
    assert tf_example.find_shards(str(tmp_path / pattern)) == [str(plain)]


@pytest.mark.parametrize("pattern", ["train.record@1", "train.record-*", "train.record-?????-of-00001"])
def test_the_only_shard_may_have_a_number(tmp_path: Path, pattern: str) -> None:
    shards = make_shards(tmp_path, "train.record", 1)
    assert tf_example.find_shards(str(tmp_path / pattern)) == shards
    (tmp_path / "train.record").write_bytes(b"")  # another run's
    assert tf_example.find_shards(str(tmp_path / pattern)) == shards


def test_a_name_in_the_other_form_is_said(tmp_path: Path) -> None:
    path = tmp_path / "train.record"
    for count, there in (
        (1, f"{path}-00000-of-00001 is there: write that, or {path}-*"),
        (3, f"{path}-00000-of-00003 and 2 more shards are there: write {path}-*"),
    ):
        shards = make_shards(tmp_path, "train.record", count)
        with pytest.raises(UsageError) as caught:
            tf_example.find_shards(str(path))
        assert str(caught.value) == f"no such record file: {path}; {there}"
        for shard in shards:
            Path(shard).unlink()
    path.write_bytes(b"")
    for pattern in ("train.record-*", "train.record-?????-of-00010"):
        with pytest.raises(UsageError) as caught:
            tf_example.find_shards(str(tmp_path / pattern))
        assert str(caught.value) == f"no record file matches {tmp_path / pattern}; {path} is there: write that"


def test_a_single_file_beside_shards_of_its_name_is_refused(tmp_path: Path) -> None:
    shards = make_shards(tmp_path, "train.record", 4)
    (tmp_path / "train.record").write_bytes(b"")
    with pytest.raises(UsageError, match=r"two runs of .* one of a single file and one of 4 shards"):
        tf_example.find_shards(str(tmp_path / "train.record*"))
    assert tf_example.find_shards(str(tmp_path / "train.record-*")) == shards


@pytest.mark.parametrize("pattern", ["none.record", "none-*", "none@3", "none@0", "none@999999999", "", " , "])
def test_what_is_not_there(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(UsageError):
        tf_example.find_shards(str(tmp_path / pattern) if pattern.strip(" ,") else pattern)
