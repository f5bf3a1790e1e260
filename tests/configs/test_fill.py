"""python -m configs.fill: recipes and other people's configs, filled in for records."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from configs.check import main as check
from configs.fill import main
from configs.filling.recipe import read_records
from configs.schema.pipeline_file import read_pipeline_config
from configs.schema.problem import ConfigError
from data_prep.formats.label_map import LabelMap, LabelMapItem, write_label_map
from data_prep.records.manifest import Manifest, ShardEntry, manifest_path, read_manifest, write_manifest
from data_prep.records.shard_report import ShardReport
from data_prep.runtime.command_line import UsageError, UserError
from tests.configs.conftest import CONFIGS, RECIPES

WILD = CONFIGS.parents[1] / "shared" / "wild" / "configs"
LITE = "ssd_efficientnet-lite0_fpn_320.config"
CLASSES = LabelMap([LabelMapItem(1, "bed"), LabelMapItem(3, "lamp")])


def write_counts(folder: Path, split: str, num_images: int, num_shards: int = 2) -> None:
    shards = tuple(
        ShardEntry(
            f"{split}.record-{number:05d}-of-{num_shards:05d}", "x", ShardReport(num_images=num_images * (not number))
        )
        for number in range(num_shards)
    )
    manifest = Manifest(f"{split}.record", CLASSES, "l.pbtxt", {}, "", shards)
    write_manifest(manifest_path(folder / f"{split}.record"), manifest)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    write_label_map(folder / "label_map.pbtxt", CLASSES)
    write_counts(folder, "train", 1000)
    write_counts(folder, "validation", 70, num_shards=1)
    for recipe in RECIPES:
        shutil.copy(recipe, tmp_path)
    monkeypatch.chdir(tmp_path)
    return folder


def fill(recipe: str | Path = LITE, *more: str) -> int:
    return main(
        [
            *("--recipe", str(recipe), "--label_map_path", "data/label_map.pbtxt"),
            *("--train_manifest_path", "data/train.record.manifest.json"),
            *("--validation_manifest_path", "data/validation.record.manifest.json"),
            *("--output_path", "data/pipeline.config", *more),
        ]
    )


def test_what_is_printed_and_written(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fill() == 0
    assert (
        capsys.readouterr().out
        == f"""\
wrote data/pipeline.config, from {LITE}
  model.ssd.num_classes: 3, the largest id of 2 classes; 1 ids have none
  train_input_reader: data/train.record-?????-of-00002, 1000 images
  eval_input_reader: data/validation.record-?????-of-00001, 70 images
  train_config.num_steps: 240 -> 2000, 16 passes over 1000 images in batches of 8; the recipe's 240 steps are for \
another number of images
  stretched with it: evaluate_every_n_steps 120 -> 1000, checkpoint_every_n_steps 120 -> 1000, \
total_steps 240 -> 2000, warmup_steps 108 -> 900
next: python -m train.train --pipeline_config_path data/pipeline.config --model_dir data/model
"""
    )
    config = read_pipeline_config(data / "pipeline.config")
    assert config.model.ssd.num_classes == 3
    assert config.train_config.num_steps == 2000
    assert config.train_input_reader.label_map_path == "data/label_map.pbtxt"
    assert list(config.train_input_reader.tf_record_input_reader.input_path) == ["data/train.record-?????-of-00002"]
    (reader,) = config.eval_input_reader
    assert list(reader.tf_record_input_reader.input_path) == ["data/validation.record-?????-of-00001"]
    rate = config.train_config.optimizer.adam_optimizer.learning_rate.cosine_decay_learning_rate
    assert (rate.total_steps, rate.warmup_steps) == (2000, 900)
    assert check(["data/pipeline.config"]) == 0
    assert "to fill" not in capsys.readouterr().out


def test_a_set_of_one_file_is_named_by_it(tmp_path: Path) -> None:
    write_counts(tmp_path, "train", 70)
    path = tmp_path / "train.record.manifest.json"
    manifest = read_manifest(path)
    assert manifest is not None
    write_manifest(path, replace(manifest, shards=(replace(manifest.shards[0], name="train.record"),)))
    assert read_records(path, CLASSES).pattern == str(tmp_path / "train.record")


@pytest.mark.parametrize("recipe", RECIPES, ids=[recipe.stem for recipe in RECIPES])
def test_every_recipe_becomes_a_config_that_can_be_used(
    data: Path, recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fill(recipe.name, "--fine_tune_checkpoint", "none") == 0
    capsys.readouterr()
    assert check(["data/pipeline.config"]) == 0
    assert "to fill" not in capsys.readouterr().out
    text = (data / "pipeline.config").read_text()
    assert "PATH_TO_BE_CONFIGURED" not in text and "sed -e" not in text
    before, after = (path.read_text().splitlines() for path in (recipe, data / "pipeline.config"))
    kept = {line for line in before if not line.startswith("#")} & set(after)
    assert len(kept) > 0.8 * len({line for line in before if not line.startswith("#")})


def test_the_header_says_what_is_the_recipes_own(data: Path) -> None:
    fill()
    header = (data / "pipeline.config").read_text().partition("\nmodel {")[0].splitlines()
    assert all(line.startswith("#") for line in header if line)
    start = header.index(
        "# The recipe says of itself, of its own number of steps and the sets that it was tried on, not of this file:"
    )
    reached = [number for number, line in enumerate(header) if "Reaches: AP 0." in line]
    assert reached and all(number > start and header[number].startswith("#   | ") for number in reached)
    assert (
        "#     python -m train.train --pipeline_config_path data/pipeline.config --model_dir data/model"
        in header[:start]
    )
    assert not any("/data/rooms" in line for line in header)


def test_a_checkpoint_that_is_still_to_be_named_is_said(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = "ssd_resnet50_v1_fpn_640.config"
    assert fill(recipe) == 0
    output = capsys.readouterr().out
    assert "to fill  train_config.fine_tune_checkpoint: replace PATH_TO_BE_CONFIGURED" in output
    assert "--fine_tune_checkpoint PATH says" in output
    assert fill(recipe, "--fine_tune_checkpoint", "zoo/ckpt-0", "--batch_size", "4") == 0
    assert "batch_size: 8 -> 4; the learning rates are those for 8" in capsys.readouterr().out
    train = read_pipeline_config(data / "pipeline.config").train_config
    assert (train.fine_tune_checkpoint, train.batch_size) == ("zoo/ckpt-0", 4)
    assert train.fine_tune_checkpoint_type == "detection"


def test_a_recipe_that_begins_with_a_whole_detector_keeps_its_few_steps(data: Path) -> None:
    recipe = "ssd_mobilenet_v2_428_finetune.config"
    write_counts(data, "train", 128)
    for checkpoint in ([], ["--fine_tune_checkpoint", "mine/ckpt-0"]):
        assert fill(recipe, *checkpoint) == 0
        config = read_pipeline_config(data / "pipeline.config")
        assert (config.train_config.num_steps, config.extensions.evaluate_every_n_steps) == (100, 100)
    assert fill(recipe, "--fine_tune_checkpoint", "none") == 0
    assert read_pipeline_config(data / "pipeline.config").train_config.num_steps == 256


def test_run_again_unchanged_it_leaves_the_file_and_changed_it_writes(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill()
    written = (data / "pipeline.config").stat().st_mtime_ns
    assert fill() == 0
    assert "nothing to do: data/pipeline.config is there already" in capsys.readouterr().out
    assert (data / "pipeline.config").stat().st_mtime_ns == written
    write_counts(data, "train", 5000)
    assert fill() == 0
    assert read_pipeline_config(data / "pipeline.config").train_config.num_steps == 10_000


def test_an_edited_file_is_not_overwritten(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill()
    path = data / "pipeline.config"
    edited = path.read_text().replace("batch_size: 8", "batch_size: 6", 1)
    path.write_text(edited)
    assert fill() == 0  # it would be filled in with the same: there is nothing to lose, and nothing to do
    assert "kept data/pipeline.config, which was edited since" in capsys.readouterr().out
    write_counts(data, "train", 5000)
    with pytest.raises(
        UserError, match=r"was edited since it was filled in, and is left as it is; --force .*--recipe data"
    ):
        fill()
    assert path.read_text() == edited
    assert fill(path) == 0  # filled in anew where it stands, with the edit
    config = read_pipeline_config(path)
    assert (config.train_config.batch_size, config.train_config.num_steps) == (6, 13_334)
    assert path.read_text().count("The recipe says of itself") == 1
    path.write_text("model { }")
    with pytest.raises(UserError, match=r"was not written by configs\.fill"):
        fill()
    with pytest.raises(UserError, match=r"was not written by configs\.fill"):  # a recipe is not lost by a slip
        fill(LITE, "--output_path", LITE)
    with pytest.raises(UsageError, match="are the same file"):
        fill(LITE, "--force", "--output_path", "data/train.record.manifest.json")
    assert fill(LITE, "--force") == 0
    assert read_pipeline_config(path).train_config.batch_size == 8


def test_what_a_recipe_cannot_do_is_said_and_nothing_is_written(data: Path) -> None:
    Path("bad.config").write_text(
        Path(LITE).read_text().replace("ssd_efficientnet-lite0_fpn_keras", "ssd_mobilenet_v9")
    )
    with pytest.raises(ConfigError, match=r"(?s)feature_extractor.type: .*bad.config: cannot be used as a recipe"):
        fill("bad.config")
    assert not (data / "pipeline.config").exists()


def test_records_of_another_label_map_or_none_are_refused(data: Path, tmp_path: Path) -> None:
    write_label_map(data / "label_map.pbtxt", LabelMap([LabelMapItem(1, "bed"), LabelMapItem(2, "lamp")]))
    with pytest.raises(UsageError, match=r"another label map, l.pbtxt: class 'lamp' has id 3 there and 2 here"):
        fill()
    write_label_map(data / "label_map.pbtxt", CLASSES)
    write_counts(data, "validation", 0)
    with pytest.raises(UsageError, match="hold no image"):
        fill()
    (data / "validation.record.manifest.json").unlink()
    with pytest.raises(UsageError, match="make_tfrecords writes it"):
        fill()


def test_a_folder_whose_name_is_a_pattern_is_refused(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(data, data.parent / "rooms [1]" / "data")
    shutil.copy(LITE, data.parent / "rooms [1]")
    monkeypatch.chdir(data.parent / "rooms [1]")
    assert fill() == 0  # relative paths do not have it
    assert not check(["data/pipeline.config"])
    with pytest.raises(UsageError, match="would be taken for a pattern"):
        fill(LITE, "--train_manifest_path", str(data.parent / "rooms [1]" / "data" / "train.record.manifest.json"))


def test_several_evaluation_sets_and_several_inputs_become_one(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        Path(LITE)
        .read_text()
        .replace("train_input_reader {", "train_input_reader {\n  sample_from_datasets_weights: [0.5, 0.5]")
        .replace('train.record-*"', 'train.record-*"\n    input_path: "more-*"')
    )
    shop = text.replace("eval_config {", "eval_config {\n  num_examples: 8000") + (
        'eval_input_reader {\n  name: "test"\n  tf_record_input_reader { input_path: "test" }\n}\n'
    )
    Path("shop.config").write_text("\ufeff" + shop.replace("\n", "\r\n"), encoding="utf-8", newline="")
    assert fill("shop.config") == 0
    assert "eval_input_reader[1]: taken out, as there is one set to evaluate on" in capsys.readouterr().out
    config = read_pipeline_config(data / "pipeline.config")
    assert len(config.eval_input_reader) == 1
    assert config.eval_config.num_examples == 70
    assert not config.train_input_reader.sample_from_datasets_weights
    assert check(["data/pipeline.config"]) == 0


def test_readers_that_are_missing_are_written(data: Path) -> None:
    text = Path(LITE).read_text()
    Path("bare.config").write_text(text[: text.index("train_input_reader {")].rstrip())
    assert fill("bare.config") == 0
    config = read_pipeline_config(data / "pipeline.config")
    assert config.train_input_reader.label_map_path == "data/label_map.pbtxt"
    assert [reader.label_map_path for reader in config.eval_input_reader] == ["data/label_map.pbtxt"]
    assert check(["data/pipeline.config"]) == 0


@pytest.mark.skipif(not WILD.is_dir(), reason="needs published configs")
def test_configs_of_strangers_are_filled_in_or_refused_with_the_reason(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = 0
    for path in sorted(WILD.glob("*.config")):
        usable = check([str(path)]) == 0
        try:
            assert fill(path, "--force") == 0
        except ConfigError:
            assert not usable, path
            continue
        filled += 1
        config = read_pipeline_config(data / "pipeline.config")
        assert config.train_input_reader.label_map_path == "data/label_map.pbtxt", path
    assert filled > 8


def test_a_killed_run_leaves_the_file_whole(data: Path) -> None:
    (data / ".partial-0123456789ab-pipeline.config").write_text("model {")
    command = [sys.executable, "-m", "configs.fill", "--recipe", LITE, "--label_map_path", "data/label_map.pbtxt"]
    command += ["--train_manifest_path", "data/train.record.manifest.json", "--output_path", "data/pipeline.config"]
    command += ["--validation_manifest_path", "data/validation.record.manifest.json"]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(CONFIGS.parent), "PATH": ""}, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("wrote data/pipeline.config")
    assert not list(data.glob(".partial-*"))
