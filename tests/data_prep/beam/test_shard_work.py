from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("apache_beam", reason="Apache Beam is not installed (requirements-beam.txt)")

from data_prep.beam.image_work import ImageResult
from data_prep.beam.shard_work import DONE_NAME, MANIFEST_NAME, PutInPlace, WriteShard, WrittenShard
from data_prep.formats.label_map import LabelMap, LabelMapItem
from data_prep.records.manifest import Manifest, read_manifest, write_manifest
from data_prep.records.record_files import read_record_file
from data_prep.records.shard_report import ShardReport


def result(key: int, record: bytes | None, *, is_passing: bool = False) -> ImageResult:
    rejected = [] if record is not None else [(f"p{key}", "HTTP 404", "there")]
    report = ShardReport(num_points=1, num_images=record is not None, rejected=rejected)
    return ImageResult(key, 0, record, report, is_passing=is_passing)


def write(folder: Path, number: int, *values: str | ImageResult) -> WrittenShard:
    (written,) = WriteShard("train.record", 2, str(folder / "work")).process((number, values))
    return written


def put_in_place(folder: Path) -> PutInPlace:
    manifest = Manifest("train.record", LabelMap([LabelMapItem(1, "Bed")]), "label_map.pbtxt", {}, "command", ())
    write_manifest(folder / "work" / MANIFEST_NAME, manifest)
    ledger = folder / "train.record.rejected.jsonl"
    return PutInPlace(str(folder / "train.record"), 2, str(folder / "work"), str(ledger))


def test_records_are_in_the_order_of_their_keys_however_they_come(tmp_path: Path) -> None:
    written = write(
        tmp_path, 0, result(40, b"last"), result(2, b"first"), "print", result(8, None), result(6, b"middle")
    )
    assert list(read_record_file(written.path)) == [b"first", b"middle", b"last"]
    report = written.entry.report
    assert (report.num_points, report.num_images, report.rejected) == (4, 3, [("p8", "HTTP 404", "there")])
    assert report.num_bytes == Path(written.path).stat().st_size
    assert (written.entry.name, written.entry.fingerprint) == ("train.record-00000-of-00002", "print")
    assert write(tmp_path, 0, "print", result(0, None, is_passing=True)).entry.fingerprint == ""


def test_work_that_is_done_twice_gives_the_same(tmp_path: Path) -> None:
    """As a runner does that has lost a worker, and finds that it had not."""
    shards = [write(tmp_path, 0, "a", result(0, b"zero")), write(tmp_path, 1, "b", result(1, b"one"), result(3, None))]
    lost = write(tmp_path, 1, "b", result(1, b"one"), result(3, None))
    assert lost.entry == shards[1].entry
    assert lost.path != shards[1].path
    step = put_in_place(tmp_path)
    assert list(step.process(shards)) == [str(tmp_path / "train.record.manifest.json")]
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert list(step.process(shards)) == [str(tmp_path / "train.record.manifest.json")]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == first
    assert sorted(first) == [
        "train.record-00000-of-00002",
        "train.record-00001-of-00002",
        "train.record.manifest.json",
        "train.record.rejected.jsonl",
    ]


def test_a_set_that_was_put_in_place_by_half_is_finished(tmp_path: Path) -> None:
    shards = [write(tmp_path, 0, "a", result(0, b"zero")), write(tmp_path, 1, "b", result(1, b"one"))]
    step = put_in_place(tmp_path)
    target = tmp_path / shards[1].entry.name
    target.mkdir()  # a file cannot take its place
    with pytest.raises(OSError, match="Rename operation failed"):
        list(step.process(shards))
    assert not (tmp_path / "train.record.manifest.json").exists()
    assert not (tmp_path / "work" / DONE_NAME).exists()
    target.rmdir()
    list(step.process(shards))
    manifest = read_manifest(tmp_path / "train.record.manifest.json")
    assert manifest is not None
    assert [entry.name for entry in manifest.shards] == [shard.entry.name for shard in shards]
    assert list(read_record_file(str(target))) == [b"one"]


def test_a_set_that_lacks_a_shard_is_not_put_in_place(tmp_path: Path) -> None:
    shards = [write(tmp_path, 0, "a", result(0, b"zero"))]
    step = put_in_place(tmp_path)
    with pytest.raises(RuntimeError, match="1 of 2 shards"):
        list(step.process(shards))
    assert [path.name for path in tmp_path.iterdir()] == ["work"]
