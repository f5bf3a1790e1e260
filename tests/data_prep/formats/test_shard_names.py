from __future__ import annotations

from pathlib import Path

import pytest

from data_prep.formats import shard_names
from data_prep.runtime.command_line import UsageError


def make_shards(folder: Path, name: str, count: int, present: range | None = None) -> list[str]:
    paths = [folder / f"{name}-{index:05d}-of-{count:05d}" for index in (present or range(count))]
    for path in paths:
        path.write_bytes(b"")
    return [str(path) for path in paths]


def test_shard_path() -> None:
    assert shard_names.shard_path("out/train.record", 0, 10) == Path("out/train.record-00000-of-00010")
    assert shard_names.shard_path("out/train.record", 0, 1) == Path("out/train.record")
    assert shard_names.shard_path("train.record", 123, 99_999) == Path("train.record-00123-of-99999")


@pytest.mark.parametrize("pattern", ["train.record-*", "train.record-?????-of-00012", "train.record@12"])
def test_finds_a_set(tmp_path: Path, pattern: str) -> None:
    shards = make_shards(tmp_path, "train.record", 12)
    make_shards(tmp_path, "validation.record", 2)
    (tmp_path / ".partial-1-train.record-00000-of-00012").write_bytes(b"")
    assert shard_names.find_shards(str(tmp_path / pattern)) == shards


def test_finds_lists_with_commas_in_order_and_each_file_once(tmp_path: Path) -> None:
    train = make_shards(tmp_path, "train.record", 2)
    other = make_shards(tmp_path, "other.record", 1)
    single = tmp_path / "all.tfrecord"
    single.write_bytes(b"")
    pattern = f"{tmp_path}/train.record@2, {tmp_path}/other.record-*,{single},{train[1]},"
    assert shard_names.find_shards(pattern) == [*train, *other, str(single)]
    assert shard_names.find_shards([str(single), f"{tmp_path}/other.record@1"]) == [str(single), *other]


def test_finds_shards_named_one_by_one(tmp_path: Path) -> None:
    shards = make_shards(tmp_path, "train.record", 10, range(1, 3))
    assert shard_names.find_shards(shards[0]) == shards[:1]


@pytest.mark.parametrize("pattern", ["train.record-*", "train.record-?????-of-00010", "train.record@10"])
def test_a_set_with_a_shard_missing_is_refused(tmp_path: Path, pattern: str) -> None:
    make_shards(tmp_path, "train.record", 10, range(1, 9))
    with pytest.raises(UsageError, match=r"2 of 10 shards are missing, the first .*record-00000-of-00010"):
        shard_names.find_shards(str(tmp_path / pattern))


def test_a_glob_for_part_of_a_whole_set_is_taken(tmp_path: Path) -> None:
    shards = make_shards(tmp_path, "train.record", 10)
    assert shard_names.find_shards(str(tmp_path / "train.record-0000[0-4]-of-00010")) == shards[:5]


def test_two_runs_of_one_name_are_refused(tmp_path: Path) -> None:
    make_shards(tmp_path, "train.record", 4)
    shards = make_shards(tmp_path, "train.record", 10)
    with pytest.raises(UsageError, match=r"two runs .* of 4 and 10 shards"):
        shard_names.find_shards(str(tmp_path / "train.record-*"))
    assert shard_names.find_shards(str(tmp_path / "train.record-?????-of-00010")) == shards


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
        assert shard_names.find_shards(f"{tmp_path}/{pattern}") == shards
    for pattern in ("train.record.*", ".partial-*"):
        with pytest.raises(UsageError, match="no record file matches"):
            shard_names.find_shards(f"{tmp_path}/{pattern}")


@pytest.mark.parametrize("pattern", ["train.record", "train.record*", "train.record@1", "train.record-?????-of-00001"])
def test_the_only_shard_has_the_plain_name(tmp_path: Path, pattern: str) -> None:
    (plain := tmp_path / "train.record").write_bytes(b"")
    (tmp_path / "train.record.manifest.json").write_bytes(b"{}")
    assert shard_names.find_shards(str(tmp_path / pattern)) == [str(plain)]


@pytest.mark.parametrize("pattern", ["train.record@1", "train.record-*", "train.record-?????-of-00001"])
def test_the_only_shard_may_have_a_number(tmp_path: Path, pattern: str) -> None:
    shards = make_shards(tmp_path, "train.record", 1)
    assert shard_names.find_shards(str(tmp_path / pattern)) == shards
    (tmp_path / "train.record").write_bytes(b"")  # another run's
    assert shard_names.find_shards(str(tmp_path / pattern)) == shards


def test_a_name_in_the_other_form_is_said(tmp_path: Path) -> None:
    path = tmp_path / "train.record"
    for count, there in (
        (1, f"{path}-00000-of-00001 is there: write that, or {path}-*"),
        (3, f"{path}-00000-of-00003 and 2 more shards are there: write {path}-*"),
    ):
        shards = make_shards(tmp_path, "train.record", count)
        with pytest.raises(UsageError) as caught:
            shard_names.find_shards(str(path))
        assert str(caught.value) == f"no such record file: {path}; {there}"
        for shard in shards:
            Path(shard).unlink()
    path.write_bytes(b"")
    for pattern in ("train.record-*", "train.record-?????-of-00010"):
        with pytest.raises(UsageError) as caught:
            shard_names.find_shards(str(tmp_path / pattern))
        assert str(caught.value) == f"no record file matches {tmp_path / pattern}; {path} is there: write that"


def test_a_single_file_beside_shards_of_its_name_is_refused(tmp_path: Path) -> None:
    shards = make_shards(tmp_path, "train.record", 4)
    (tmp_path / "train.record").write_bytes(b"")
    with pytest.raises(UsageError, match=r"two runs of .* one of a single file and one of 4 shards"):
        shard_names.find_shards(str(tmp_path / "train.record*"))
    assert shard_names.find_shards(str(tmp_path / "train.record-*")) == shards


@pytest.mark.parametrize("pattern", ["none.record", "none-*", "none@3", "none@0", "none@999999999", "", " , "])
def test_what_is_not_there(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(UsageError):
        shard_names.find_shards(str(tmp_path / pattern) if pattern.strip(" ,") else pattern)
