"""The cache of encoded records: the same batches, from what was read once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from data_prep.runtime.command_line import UsageError, UserError
from tests.train.inputs.training_records import Records, assert_equal, batches
from train.inputs import record_cache
from train.inputs.reader import build_training_dataset
from train.inputs.record_cache import copy_to_disk

IN_MEMORY = "extensions { cache { } }"


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path)


def on_disk(folder: Path) -> str:
    return f"extensions {{ cache {{ place: DISK directory: '{folder}' }} }}"


@pytest.mark.parametrize("more", ["extensions { class_aware_sampling { } }", "train_input_reader { num_readers: 2 }"])
def test_batches_are_those_without_a_cache(records: Records, tmp_path: Path, more: str) -> None:
    records.write(4, 0, 5, 1, labels=(1, 1, 2))
    plain = batches(records.settings(more), 9)
    for cache in (IN_MEMORY, on_disk(tmp_path / "cache")):
        assert_equal(batches(records.settings(more, cache), 7, resume_step=2), plain[2:])


def test_weighted_sets_are_cached_each(records: Records, tmp_path: Path) -> None:
    records.write(4, 3)
    records.write(5, name="other")
    more = "train_input_reader { sample_from_datasets_weights: [1, 2] }"
    plain = batches(records.settings(more, names=("data", "other")), 8)
    for cache in (IN_MEMORY, on_disk(tmp_path / "cache")):
        assert_equal(batches(records.settings(more, cache, names=("data", "other")), 8), plain)


def test_records_are_not_read_again(records: Records, tmp_path: Path) -> None:
    for cache in (IN_MEMORY, on_disk(tmp_path / "cache")):
        records.write(4, 5)
        dataset = build_training_dataset(records.settings(cache), seed=5)
        for path in records.folder.glob("data.record-*"):
            path.unlink()
        assert len([*dataset.take(9)]) == 9


def test_a_copy_is_made_once_and_again_when_its_file_has_changed(records: Records, tmp_path: Path) -> None:
    records.write(2, 3)
    paths = sorted(map(str, records.folder.glob("data.record-*")))
    first = copy_to_disk(paths, tmp_path / "cache", "train_input_reader")
    times = [Path(copy).stat().st_mtime_ns for copy in first]
    assert [Path(copy).read_bytes() for copy in first] == [Path(path).read_bytes() for path in paths]
    assert copy_to_disk(paths, tmp_path / "cache", "train_input_reader") == first
    assert [Path(copy).stat().st_mtime_ns for copy in first] == times
    Path(paths[1]).write_bytes(Path(paths[0]).read_bytes())
    second = copy_to_disk(paths, tmp_path / "cache", "train_input_reader")
    assert second[0] == first[0]
    assert Path(second[1]).read_bytes() == Path(paths[0]).read_bytes()
    assert not Path(first[1]).exists()
    os.utime(paths[0])  # the same size
    assert copy_to_disk(paths, tmp_path / "cache", "train_input_reader")[0] != first[0]
    assert len([*(tmp_path / "cache").glob("*.tfrecord")]) == 2


def test_what_a_killed_process_left_is_no_copy_and_is_deleted(records: Records, tmp_path: Path) -> None:
    records.write(2)
    (path,) = map(str, records.folder.glob("data.record-*"))
    (copy,) = copy_to_disk([path], tmp_path / "cache", "train_input_reader")
    Path(copy).unlink()
    left = tmp_path / "cache" / f".partial-0123-{Path(copy).name}"
    left.write_bytes(b"half")
    other = tmp_path / "cache" / "notes.txt"
    other.write_text("not ours")
    assert copy_to_disk([path], tmp_path / "cache", "train_input_reader") == [copy]
    assert Path(copy).read_bytes() == Path(path).read_bytes()
    assert not left.exists()
    assert other.exists()


def test_copies_have_names_of_their_own_for_files_of_one_name(records: Records, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Records(tmp_path / folder).write(2 if folder == "a" else 3)
    paths = [str(tmp_path / folder / "data.record-00000-of-00001") for folder in ("a", "b")]
    copies = copy_to_disk(paths, tmp_path / "cache", "train_input_reader")
    assert [Path(copy).read_bytes() for copy in copies] == [Path(path).read_bytes() for path in paths]
    # Another input's copies in the same folder are let be.
    assert copy_to_disk(paths[:1], tmp_path / "cache", "train_input_reader") == copies[:1]
    assert Path(copies[1]).exists()


def test_records_that_need_more_room_than_there_is_are_refused(
    records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records.write(4)
    monkeypatch.setattr(record_cache, "_free_memory_bytes", lambda: 1000)
    with pytest.raises(UsageError, match=r"extensions\.cache: the records of train_input_reader are .* place: DISK"):
        batches(records.settings(IN_MEMORY), 1)
    usage = type(record_cache.shutil.disk_usage(tmp_path))(1000, 990, 10)
    monkeypatch.setattr(record_cache.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UsageError, match=r"extensions\.cache\.directory: .* has 1e-05 MB free, and the records"):
        batches(records.settings(on_disk(tmp_path / "cache")), 1)
    assert not [*(tmp_path / "cache").glob("*.tfrecord")]


def test_a_folder_that_cannot_be_one_is_said(records: Records, tmp_path: Path) -> None:
    records.write(2)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"extensions\.cache\.directory: .*file") as refused:
        batches(records.settings(on_disk(tmp_path / "file" / "cache")), 1)
    assert "\n" not in str(refused.value)


def test_free_memory_is_what_the_system_says() -> None:
    free = record_cache._free_memory_bytes()
    assert free is None or 2**20 < free < 2**50
