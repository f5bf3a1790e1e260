"""From names of classes to records and a config, against a server that plays the release."""

from __future__ import annotations

import gzip
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from data_prep.formats.label_map import read_label_map
from data_prep.preparing.release_files import split_files
from data_prep.records.manifest import read_manifest
from data_prep.runtime.work_folders import exclusive_folder
from tests.data_prep.preparing.open_images_run import ENVIRONMENT, IMAGES, NAMES, ROOT, Prepared, prepare
from tests.data_prep.preparing.open_images_site import OpenImagesSite, contents


def test_the_whole_way(prepared: Prepared):
    data, output = prepared.folder / "data", prepared.output
    label_map = read_label_map(data / "label_map.pbtxt")
    assert [item.display_name for item in label_map] == NAMES[:3]
    for split in IMAGES:
        manifest = read_manifest(data / f"{split}.record.manifest.json")
        assert manifest is not None
        total = manifest.total()
        assert total.num_images > 0
        assert len(list(data.glob(f"{split}.record-*-of-00010"))) == 10
        assert f"{split}: {total.num_images} records in 10 shards" in output
    config = (data / "pipeline.config").read_text()
    assert "num_classes: 3" in config
    assert "PATH_TO_BE_CONFIGURED" not in config
    next_command = "python -m train.train --pipeline_config_path data/pipeline.config --model_dir data/model"
    assert output.rstrip().endswith(next_command)
    assert re.search(r"^   1  Thing 00 +\d+ +\d+ +\d+ +\d+$", output, re.MULTILINE)
    assert not list(data.rglob(".partial-*"))


def test_each_step_is_shown_as_the_command_that_does_it_alone(prepared: Prepared, tmp_path: Path):
    shown = re.findall(r"^python -m (?:.*\\\n)*.*$", prepared.output, re.MULTILINE)
    assert len(shown) == 13
    shutil.copytree(prepared.folder / "data" / "metadata", tmp_path / "data" / "metadata")
    for text in shown:
        words = shlex.split(text.replace("\\\n", " "))
        subprocess.run([sys.executable, *words[1:]], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, check=True)
    assert contents(tmp_path / "data") == contents(prepared.folder / "data")


def test_run_again_it_does_nothing(prepared: Prepared, tmp_path: Path):
    data = prepared.copied_to(tmp_path)
    times = {path: path.stat().st_mtime_ns for path in data.iterdir() if "clean" not in path.name}
    output = prepare(prepared.site, tmp_path)
    assert not prepared.site.requests
    assert {path: path.stat().st_mtime_ns for path in times if path.is_file()} == {
        path: time_ns for path, time_ns in times.items() if path.is_file()
    }
    assert output.count("nothing to do") == 2 + 1 + 2 + 2 + 1  # points, label map, records, verification, config


def test_one_more_class_fetches_only_what_is_new(prepared: Prepared, tmp_path: Path):
    site = prepared.site
    data = prepared.copied_to(tmp_path)
    times = {path: path.stat().st_mtime_ns for path in data.glob("images/*/*.jpg")}
    there = {path.name for path in times}
    prepare(site, tmp_path, "--classes", *NAMES[:4])
    assert {path: path.stat().st_mtime_ns for path in times} == times
    new = [Path(path).name for path in site.images_asked_for()]
    assert new
    assert len(new) == len(set(new))
    assert not set(new) & there
    assert there | set(new) == {path.name for path in data.glob("images/*/*.jpg")}
    assert not [path for _, path in site.requests if "/openimages/" in path]
    prepare(site, tmp_path / "fresh", "--classes", *NAMES[:4])
    assert contents(data) == contents(tmp_path / "fresh" / "data")


def test_ids_are_those_of_the_list_and_a_change_is_told(prepared: Prepared, tmp_path: Path):
    data = prepared.copied_to(tmp_path)
    kept = tmp_path / "kept.pbtxt"
    kept.write_bytes((data / "label_map.pbtxt").read_bytes())
    names = [NAMES[3], *NAMES[:3]]
    output = prepare(prepared.site, tmp_path, "--classes", *names)
    assert "note: 3 classes have another id than before, such as Thing 00: 1 then, 2 now" in output
    assert [item.display_name for item in read_label_map(data / "label_map.pbtxt")] == names
    prepare(prepared.site, tmp_path, "--classes", *names, "--earlier_label_map_path", kept)
    assert [item.display_name for item in read_label_map(data / "label_map.pbtxt")] == NAMES[:4]


def test_files_at_hand_are_not_fetched(prepared: Prepared, tmp_path: Path):
    metadata, hand = prepared.folder / "data" / "metadata", tmp_path / "hand"
    shutil.copytree(metadata, hand)  # as this command lays them out, and as a browser does
    train, validation = (hand / split_files("v7", split).boxes for split in ("train", "validation"))
    (hand / f"{train.name}.gz").write_bytes(gzip.compress(train.read_bytes()))
    train.unlink()
    validation.rename(hand / validation.name)
    output = prepare(prepared.site, tmp_path, "--metadata_directory", hand)
    assert contents(tmp_path / "data") == contents(prepared.folder / "data")
    assert not [path for verb, path in prepared.site.requests if verb == "GET" and "/openimages/" in path]
    assert "note:" not in output


def test_a_file_at_hand_of_another_size_is_taken_with_a_note(release: OpenImagesSite, tmp_path: Path):
    name = split_files("v7", "validation").boxes
    whole = release.files[f"/openimages/{name}"]
    (tmp_path / "hand").mkdir()
    (tmp_path / "hand" / Path(name).name).write_bytes(whole[: whole.index(b"\n", len(whole) // 2) + 1])
    words = ["--metadata_directory", "hand", "--splits", "validation", "--estimate"]
    output = prepare(release, tmp_path, *words)
    size = f"{len(whole) / 1e3:.1f} kB"
    assert re.search(rf"note: hand/{Path(name).name} has [0-9.]+ kB, and {size} in the release; it is taken as", output)
    del release.files[f"/openimages/{name}"]
    output = prepare(release, tmp_path, *words)
    assert f"note: hand/{Path(name).name} is taken as it is, for its size cannot be compared: " in output
    assert "HTTP 404" in output


def test_sizes_are_told_before_anything_large_is_fetched(release: OpenImagesSite, tmp_path: Path):
    boxes = f"/openimages/{split_files('v7', 'train').boxes}"
    release.faults["GET", boxes] = [lambda handler, content: handler.fail(404)]
    output = prepare(release, tmp_path, code=1)
    size = len(release.files[boxes]) / 1e3
    assert f"{size:.1f} kB  {release.url(boxes)}" in output
    assert re.search(r"to fetch into data/metadata: 4 files, \d+\.\d kB", output)
    assert f"error: {release.url(boxes)}: HTTP 404 " in output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--classes", "Thing 0"], r"class 'Thing 0' is not in the class descriptions; did you mean 'Thing 0"),
        (["--classes", "Thing 00", "thing 00"], "is given twice"),
        (["--trainable_classes_path", "nothing.txt"], r"nothing\.txt"),
        (["--metadata_base_url", "ftp://x"], "--metadata_base_url 'ftp://x': must begin with http"),
        (["--recipe", "nothing.config"], "--recipe nothing.config: No such file"),
        (["--fraction", "0"], "0 is not a number above 0"),
        (["--max_failures", "many"], "neither a whole number nor a share"),
        (["--direct_num_workers=2"], "unrecognized arguments: --direct_num_workers=2"),
        (["--version", "v3"], "invalid choice: 'v3'"),
        (["--num_epochs", "3", "--num_steps", "3"], "say the same thing twice"),
        (["--output_directory", "a,b"], "taken for a pattern, or for several; rename it"),
    ],
)
def test_a_mistake_is_told_in_one_line_before_anything_large_is_fetched(
    release: OpenImagesSite, tmp_path: Path, words: list[str], message: str
):
    output = prepare(release, tmp_path, *words, code=2)
    assert re.search(message, output.splitlines()[-1]), output
    assert not [path for verb, path in release.requests if verb == "GET" and path.endswith("bbox.csv")]


def test_two_runs_do_not_share_a_folder(release: OpenImagesSite, tmp_path: Path):
    (tmp_path / "data").mkdir()
    with exclusive_folder(tmp_path / "data"):
        output = prepare(release, tmp_path, code=1)
    assert output == "error: another run is at work in data; wait for it, or name another folder\n"


@pytest.mark.skipif(importlib.util.find_spec("apache_beam") is not None, reason="Apache Beam is installed")
def test_a_runner_without_beam_is_told_before_anything_is_fetched(release: OpenImagesSite, tmp_path: Path):
    output = prepare(release, tmp_path, "--runner", "DirectRunner", code=1)
    assert output == "error: Apache Beam is not installed; pip install -r requirements-beam.txt\n"
    assert not release.requests


def test_a_step_that_fails_is_named_with_its_command_and_its_exit_code(prepared: Prepared, tmp_path: Path):
    images = sorted((prepared.folder / "data" / "images" / "train").glob("*.jpg"))
    for path in images[:2]:
        del prepared.site.files[f"/images/train/{path.name}"]
    output = prepare(prepared.site, tmp_path, code=3)
    last = output.rstrip().splitlines()[-1]
    assert last.startswith("error: step 5 of 13, images of train, ended with exit code 3, which means that more was")
    assert "it was: python -m data_prep.download_images --images_path data/train.images.json" in last
    output = prepare(prepared.site, tmp_path, "--max_failures", 2)
    assert f"{len(images) - 2} records" in output


def test_a_share_of_the_images(release: OpenImagesSite, tmp_path: Path):
    words = ["--splits", "validation", "--fraction", 0.5, "--with_image_labels", "--expand_hierarchy"]
    output = prepare(release, tmp_path, *words)
    assert "== step 2 of 7: a part of validation" in output
    assert "absent kept" in output
    assert "--expand_hierarchy --hierarchy_path data/metadata/2018_04/bbox_labels_600_hierarchy.json" in output.replace(
        " \\\n   ", ""
    )
    assert "next:" not in output
    assert not (tmp_path / "data" / "pipeline.config").exists()
    again = prepare(release, tmp_path, *words)
    assert again.count("nothing to do: an earlier run has done it over these files") == 2


def test_another_split_and_rules_for_boxes(release: OpenImagesSite, tmp_path: Path):
    release.publish({"test": 40}, classes=6)
    words = ["--splits", "test", "--max_images_per_class", 2, "--is_group_of", "only", "--num_shards", 2]
    words += ["--classes", NAMES[0], "--with_descendants"]
    output = prepare(release, tmp_path, *words)
    manifest = read_manifest(tmp_path / "data" / "test.record.manifest.json")
    assert manifest is not None
    assert len(manifest.shards) == 2
    assert [item.display_name for item in manifest.label_map] == NAMES[:3]
    assert max(manifest.total().images_by_label.values()) <= 3
    assert "not is_group_of" in output


def test_a_recipe_that_cannot_be_used_is_told_first(release: OpenImagesSite, tmp_path: Path):
    recipe = tmp_path / "mine.config"
    text = (ROOT / "configs" / "ssd_efficientnet-lite0_fpn_320.config").read_text()
    recipe.write_text(text.replace("use_depthwise: false", "use_depthwize: false", 1))
    output = prepare(release, tmp_path, "--recipe", recipe, code=2)
    assert "use_depthwize" in output
    assert "error: step 1 of 13, the recipe checked, ended with exit code 2" in output
    assert not [path for verb, path in release.requests if path.endswith("bbox.csv")]


def test_a_config_that_a_person_has_changed_is_left(prepared: Prepared, tmp_path: Path):
    config = prepared.copied_to(tmp_path) / "pipeline.config"
    config.write_text(config.read_text().replace("batch_size: 8", "batch_size: 4", 1))
    edited = config.read_text()
    output = prepare(prepared.site, tmp_path, "--classes", *NAMES[:4], code=1)
    assert config.read_text() == edited
    assert "was edited since it was filled in" in output
