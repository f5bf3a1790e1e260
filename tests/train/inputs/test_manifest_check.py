from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from configs.schema.pipeline_file import merge, read_pipeline_config
from configs.settings.inputs import InputReader
from configs.settings.pipeline import PipelineSettings
from configs.settings.reading import read_settings, read_settings_text
from data_prep.formats.label_map import LabelMap, LabelMapItem, write_label_map
from data_prep.records.manifest import Manifest, ShardEntry, manifest_path, write_manifest
from data_prep.records.shard_report import ShardReport
from data_prep.runtime.command_line import UsageError, UserError
from train.inputs.manifest_check import check_manifests
from train.inputs.reader import build_evaluation_dataset, build_training_dataset

RED, BLUE = LabelMapItem(1, "/m/red", "Red block"), LabelMapItem(2, "/m/blue", "Blue block")


class Records:
    """Shards with manifests, and a reader of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.label_map_path = folder / "label_map.pbtxt"

    def put(self, *items: LabelMapItem, name: str = "train.record", has_manifest: bool = True) -> None:
        (self.folder / f"{name}-00000-of-00001").touch()
        if has_manifest:
            shards = (ShardEntry(f"{name}-00000-of-00001", "x", ShardReport(num_images=1)),)
            manifest = Manifest(name, LabelMap(items), "records.pbtxt", {}, "", shards)
            write_manifest(manifest_path(self.folder / name), manifest)

    def check(self, *items: LabelMapItem, path: str = "train.record-*") -> None:
        write_label_map(self.label_map_path, LabelMap(items))
        check_manifests(self.reader(path), "train_input_reader")

    def reader(self, path: str = "train.record-*") -> InputReader:
        text = f"""label_map_path: "{self.label_map_path}"
            tf_record_input_reader {{ input_path: "{self.folder}/{path}" }}"""
        return read_settings_text(InputReader, text)


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path)


def test_the_same_classes_pass_whatever_they_are_called(records: Records) -> None:
    records.put(RED, BLUE)
    records.check(BLUE, RED)
    records.check(LabelMapItem(1, "/m/red", "Rot"), LabelMapItem(2, "/m/blue"))
    records.check(LabelMapItem(1, "red", "/m/red"), LabelMapItem(2, "blue", "/m/blue"))  # found by display name


@pytest.mark.parametrize(
    ("items", "difference"),
    [
        (
            (LabelMapItem(2, "/m/red"), LabelMapItem(1, "/m/blue")),
            "class '/m/red' (Red block) has id 1 there and 2 here",
        ),
        ((RED,), "class '/m/blue' (Blue block), id 2 there, is missing here"),
        ((RED, BLUE, LabelMapItem(3, "/m/green")), "class '/m/green', id 3 here, is missing there"),
        ((RED, LabelMapItem(2, "Blue block")), "class '/m/blue' (Blue block), id 2 there, is missing here"),
    ],
)
def test_other_classes_are_refused_with_what_differs_and_what_to_do(
    records: Records, items: tuple[LabelMapItem, ...], difference: str
) -> None:
    records.put(RED, BLUE)
    with pytest.raises(UsageError) as refused:
        records.check(*items)
    message = str(refused.value)
    assert "\n" not in message
    for words in (
        "train_input_reader", difference, "train.record.manifest.json", str(records.label_map_path), "records.pbtxt",
        "data_prep.make_tfrecords",
    ):  # fmt: skip
        assert words in message


def test_all_differences_are_counted(records: Records) -> None:
    records.put(RED, BLUE)
    with pytest.raises(UsageError, match=r"\(and 1 more differences\)"):
        records.check(LabelMapItem(2, "/m/red"), LabelMapItem(1, "/m/blue"))


def test_record_sets_may_have_classes_of_their_own(records: Records) -> None:
    records.put(RED, name="a.record")
    records.put(BLUE, name="b.record")
    records.check(RED, BLUE, path="?.record-*")
    with pytest.raises(UsageError, match="'/m/blue'"):
        records.check(RED, BLUE, path="a.record-*")
    records.put(BLUE, name="c.record", has_manifest=False)  # which may hold anything
    records.check(RED, BLUE, LabelMapItem(3, "/m/green"), path="[abc].record-*")


def test_records_without_a_manifest_of_theirs_pass(records: Records) -> None:
    records.put(RED, has_manifest=False)
    records.check(BLUE)
    records.put(RED)
    (records.folder / "train.record-00000-of-00001").rename(records.folder / "train.record-00000-of-00002")
    (records.folder / "train.record-00001-of-00002").touch()
    records.check(BLUE)  # the manifest is an older set's


def test_a_broken_manifest_is_named(records: Records) -> None:
    records.put(RED)
    path = manifest_path(records.folder / "train.record")
    for text in ("{", "[]", json.dumps({"version": 9}), '{"version": 1}'):
        path.write_text(text)
        with pytest.raises(UserError, match=r"train\.record\.manifest\.json is no manifest of ours"):
            records.check(RED)


def test_both_datasets_check(records: Records, block_config: Any) -> None:
    records.put(BLUE)
    write_label_map(records.label_map_path, LabelMap([RED, BLUE]))
    of_records = f"""label_map_path: "{records.label_map_path}"
        tf_record_input_reader {{ input_path: "{records.folder}/train.record-*" }}"""
    config = read_pipeline_config(block_config("ssd"))
    config.train_input_reader.ClearField("tf_record_input_reader")
    del config.eval_input_reader[:]
    config = merge(config, f"train_input_reader {{ {of_records} }} eval_input_reader {{ {of_records} }}")
    with pytest.raises(UsageError, match="train_input_reader: the label map that the records were made with"):
        build_training_dataset(read_settings(PipelineSettings, config))
    with pytest.raises(UsageError, match=r"eval_input_reader\[0\]: the label map that the records were made with"):
        build_evaluation_dataset(read_settings(PipelineSettings, config))
