"""Numbers of records: from the manifest where it is right, and else from the files."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_prep.formats.label_map import LabelMap, LabelMapItem
from data_prep.records.manifest import Manifest, ShardEntry, manifest_path, write_manifest
from data_prep.records.shard_report import ShardReport
from data_prep.runtime.command_line import UserError
from tests.train.inputs.training_records import Records
from train.inputs.record_counts import count_records_of_files


def write_counts(folder: Path, **reports: ShardReport) -> None:
    shards = tuple(ShardEntry(f"data.record-0000{name[1:]}-of-00002", "x", report) for name, report in reports.items())
    manifest = Manifest("data.record", LabelMap([LabelMapItem(1, "bed")]), "l.pbtxt", {}, "", shards)
    write_manifest(manifest_path(folder / "data.record"), manifest)


def test_a_manifest_counts_the_records_of_files_that_are_as_it_says(tmp_path: Path) -> None:
    Records(tmp_path).write(3, 4)
    paths = sorted(map(str, tmp_path.glob("data.record-*")))
    assert count_records_of_files(paths) == [3, 4]
    sizes = [Path(path).stat().st_size for path in paths]
    # 30 shows that it is the manifest that was asked; the second file is another than it tells of.
    write_counts(tmp_path, s0=ShardReport(num_images=30, num_bytes=sizes[0]), s1=ShardReport(num_images=40))
    assert count_records_of_files(paths) == [30, 4]
    assert count_records_of_files(paths[1:]) == [4]


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "records").write_bytes(b"no record at all")
    with pytest.raises(UserError, match=r"records, record 0: corrupted record at byte 0: .*; write it again"):
        count_records_of_files([str(tmp_path / "records")])
    with pytest.raises(UserError, match=r"nowhere: .*; write it again"):
        count_records_of_files([str(tmp_path / "nowhere")])
