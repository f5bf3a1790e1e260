"""From names of classes to records and a config, against a server that plays the release."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import io
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from data_prep.formats.label_map import read_label_map
from data_prep.preparing.release_files import split_files
from data_prep.records.manifest import read_manifest
from tests.data_prep.preparing.open_images_site import CLASSES, OpenImagesSite, contents

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
NAMES = list(CLASSES.values())
IMAGES = {"train": 24, "validation": 12}


@dataclass(frozen=True)
class Prepared:
    """A release, and what an undisturbed run for the first three classes made of it."""

    site: OpenImagesSite
    folder: Path
    output: str

    def copied_to(self, folder: Path) -> Path:
        """Copies the folder that the command ran in, times and all; returns its data."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return folder / "data"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    with OpenImagesSite().running() as site:
        assert isinstance(site, OpenImagesSite)
        site.publish(IMAGES, classes=6)
        folder = tmp_path_factory.mktemp("undisturbed")
        yield Prepared(site, folder, prepare(site, folder))


@pytest.fixture
def prepared(undisturbed: Prepared) -> Iterator[Prepared]:
    files = dict(undisturbed.site.files)
    undisturbed.site.requests.clear()
    yield undisturbed
    undisturbed.site.files = files
    undisturbed.site.faults.clear()
    undisturbed.site.bytes_at_a_time = 0


@pytest.fixture
def site(prepared: Prepared) -> OpenImagesSite:
    return prepared.site


def command(site: OpenImagesSite, *words: object) -> list[str]:
    chosen = (
        [] if any(str(word).endswith(("--classes", "_classes_path")) for word in words) else ["--classes", *NAMES[:3]]
    )
    output = [] if "--output_directory" in words else ["--output_directory", "data"]
    return [sys.executable, "-m", "data_prep.prepare_open_images", *chosen, *output, *site.words(), *map(str, words)]


def prepare(site: OpenImagesSite, folder: Path, *words: object, code: int = 0) -> str:
    """Runs the command in a folder; returns what it printed."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        command(site, *words), cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


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
    boxes = hand / split_files("v7", "train").boxes
    (hand / f"{boxes.name}.gz").write_bytes(gzip.compress(boxes.read_bytes()))
    boxes.unlink()
    prepare(prepared.site, tmp_path, "--metadata_directory", hand)
    assert contents(tmp_path / "data") == contents(prepared.folder / "data")
    assert not [path for _, path in prepared.site.requests if "/openimages/" in path]


def test_sizes_are_told_before_anything_large_is_fetched(site: OpenImagesSite, tmp_path: Path):
    boxes = f"/openimages/{split_files('v7', 'train').boxes}"
    site.faults["GET", boxes] = [lambda handler, content: handler.fail(404)]
    output = prepare(site, tmp_path, code=1)
    size = len(site.files[boxes]) / 1e3
    assert f"{size:.1f} kB  {site.url(boxes)}" in output
    assert re.search(r"to fetch into data/metadata: 4 files, \d+\.\d kB", output)
    assert f"error: {site.url(boxes)}: HTTP 404 " in output


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
    ],
)
def test_a_mistake_is_told_in_one_line_before_anything_large_is_fetched(
    site: OpenImagesSite, tmp_path: Path, words: list[str], message: str
):
    output = prepare(site, tmp_path, *words, code=2)
    assert re.search(message, output.splitlines()[-1]), output
    assert not [path for verb, path in site.requests if verb == "GET" and path.endswith("bbox.csv")]


@pytest.mark.skipif(importlib.util.find_spec("apache_beam") is not None, reason="Apache Beam is installed")
def test_a_runner_without_beam_is_told_before_anything_is_fetched(site: OpenImagesSite, tmp_path: Path):
    output = prepare(site, tmp_path, "--runner", "DirectRunner", code=1)
    assert output == "error: Apache Beam is not installed; pip install -r requirements-beam.txt\n"
    assert not site.requests


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


def test_a_share_of_the_images(site: OpenImagesSite, tmp_path: Path):
    words = ["--splits", "validation", "--fraction", 0.5, "--with_image_labels", "--with_descendants"]
    output = prepare(site, tmp_path, *words)
    assert "== step 2 of 7: a part of validation" in output
    assert "absent kept" in output
    assert "next:" not in output
    assert not (tmp_path / "data" / "pipeline.config").exists()
    again = prepare(site, tmp_path, *words)
    assert again.count("nothing to do: an earlier run has done it over these files") == 2


def test_another_split_and_rules_for_boxes(site: OpenImagesSite, tmp_path: Path):
    site.publish({"test": 40}, classes=6)
    words = ["--splits", "test", "--max_images_per_class", 2, "--is_group_of", "only", "--num_shards", 2]
    output = prepare(site, tmp_path, *words)
    manifest = read_manifest(tmp_path / "data" / "test.record.manifest.json")
    assert manifest is not None
    assert len(manifest.shards) == 2
    assert max(manifest.total().images_by_label.values()) <= 3
    assert "not is_group_of" in output


def test_a_recipe_that_cannot_be_used_is_told_first(site: OpenImagesSite, tmp_path: Path):
    recipe = tmp_path / "mine.config"
    text = (ROOT / "configs" / "ssd_efficientnet-lite0_fpn_320.config").read_text()
    recipe.write_text(text.replace("use_depthwise: false", "use_depthwize: false", 1))
    output = prepare(site, tmp_path, "--recipe", recipe, code=2)
    assert "use_depthwize" in output
    assert "error: step 1 of 13, the recipe checked, ended with exit code 2" in output
    assert not [path for verb, path in site.requests if path.endswith("bbox.csv")]


def test_a_config_that_a_person_has_changed_is_left(prepared: Prepared, tmp_path: Path):
    config = prepared.copied_to(tmp_path) / "pipeline.config"
    config.write_text(config.read_text().replace("batch_size: 8", "batch_size: 4", 1))
    edited = config.read_text()
    output = prepare(prepared.site, tmp_path, "--classes", *NAMES[:4], code=1)
    assert config.read_text() == edited
    assert "was edited since it was filled in" in output


def test_killed_five_times_it_ends_with_the_same_bytes(prepared: Prepared, tmp_path: Path):
    site, data = prepared.site, tmp_path / "data"
    boxes = Path(split_files("v7", "train").boxes)
    site.bytes_at_a_time, site.pause_seconds = 200, 0.01
    kill_when(site, tmp_path, lambda: any((data / "metadata").rglob(f".partial-{boxes.name}")))
    site.bytes_at_a_time = 0
    kill_when(site, tmp_path, "step 2 of")
    site.bytes_at_a_time = 200
    kill_when(site, tmp_path, lambda: len(list(data.glob("images/train/*.jpg"))) > 3)
    site.bytes_at_a_time = 0
    kill_when(site, tmp_path, "step 7 of")
    kill_when(site, tmp_path, "step 10 of")
    prepare(site, tmp_path)
    assert contents(data) == contents(prepared.folder / "data")
    assert not list(data.rglob(".partial-*"))


@pytest.mark.slow
def test_thirty_classes_killed_five_times_end_with_the_same_bytes(tmp_path: Path):
    words = ["--classes", *NAMES]
    with OpenImagesSite().running() as site:
        assert isinstance(site, OpenImagesSite)
        site.publish({"train": 600, "validation": 150}, pixels=200)
        site.bytes_at_a_time, site.pause_seconds = 4000, 0.002
        output = prepare(site, tmp_path / "undisturbed", *words)
        folder = tmp_path / "killed"
        images = folder / "data" / "images"

        def has(split: str, number: int) -> Callable[[], bool]:
            return lambda: len(list(images.glob(f"{split}/*.jpg"))) >= number

        moments = [has("train", 150), has("train", 450), "step 6 of", has("validation", 70), "step 12 of"]
        shown = [kill_when(site, folder, moment, *words) for moment in moments]
        site.requests.clear()
        prepare(site, folder, *words)
        print(f"killed in: {shown}; then {len(site.images_asked_for())} images were fetched")
    assert re.search(r"^  30  Thing 29 +\d+", output, re.MULTILINE)
    assert contents(tmp_path / "killed" / "data") == contents(tmp_path / "undisturbed" / "data")
    assert not list((tmp_path / "killed" / "data").rglob(".partial-*"))


def kill_when(site: OpenImagesSite, folder: Path, moment: str | Callable[[], bool], *words: object) -> str:
    """Runs the command and kills it a little after it has said something, or when something holds.

    Returns the last step that it had begun.
    """
    folder.mkdir(exist_ok=True)
    said: list[str] = []
    process = subprocess.Popen(command(site, *words), cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    reader = threading.Thread(target=said.extend, args=(process.stdout,), daemon=True)
    reader.start()
    started = time.monotonic()
    while True:
        if any(moment in line for line in said) if isinstance(moment, str) else moment():
            break
        assert time.monotonic() - started < 120
        assert process.poll() is None, f"done before it could be killed at {moment}"
        time.sleep(0.005)
    if isinstance(moment, str):
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    reader.join()
    return next((line.strip() for line in reversed(said) if line.startswith("== step")), "before the first step")


def test_an_estimate_is_made_from_the_beginning_of_each_csv(site: OpenImagesSite, tmp_path: Path):
    site.publish({"train": 800, "validation": 30}, classes=6)
    output = prepare(site, tmp_path, "--estimate", "--estimate_megabytes", 0.02)
    files = {split: split_files("v7", split) for split in IMAGES}
    boxes = f"/openimages/{files['train'].boxes}"
    assert (boxes, "bytes=0-19999") in site.ranges
    assert not [path for verb, path in site.requests if verb == "GET" and "rotation" in path]
    assert 0 < len(site.images_asked_for()) <= 48
    assert not list((tmp_path / "data").glob("*.json"))
    found = re.search(r"^  train +([\d,]+) ± (\d+) +([\d,]+) ± (\d+)$", output, re.MULTILINE)
    assert found is not None, output
    images, image_edge, num_boxes, box_edge = (int(text.replace(",", "")) for text in found.groups())
    rows = list(csv.DictReader(io.StringIO(site.files[boxes].decode())))
    wanted = [row["ImageID"] for row in rows if row["LabelName"] in list(CLASSES)[:3] and row["IsGroupOf"] == "0"]
    assert abs(images - len(set(wanted))) <= 2 * image_edge < 200
    assert abs(num_boxes - len(wanted)) <= 2 * box_edge < 400
    assert "in the order of their ids" in output
    assert re.search(r"^  validation +\d+ +\d+$", output, re.MULTILINE)  # all of it is in the first 20 kB
    assert re.search(r"CSVs: 4 files, [\d.]+ kB to fetch; \d+ seconds? at [\d.]+ MB/s, as the sample came", output)
    assert re.search(r"in all about .* on disk", output)


def test_an_estimate_of_files_at_hand_is_exact(prepared: Prepared, tmp_path: Path):
    shutil.copytree(prepared.folder / "data" / "metadata", tmp_path / "data" / "metadata")
    words = ["--fraction", 1, "--max_images_per_class", 4]
    output = prepare(prepared.site, tmp_path, "--estimate", *words)
    assert output.count("exact: all of data/metadata/") == 2
    assert "±" not in output
    done = prepare(prepared.site, tmp_path, *words[2:])
    for split in IMAGES:
        manifest = read_manifest(tmp_path / "data" / f"{split}.record.manifest.json")
        assert manifest is not None
        total = manifest.total()
        assert re.search(rf"^  {split} +{total.num_images} +{total.boxes_by_label.total()}$", output, re.MULTILINE), (
            done
        )


def test_an_estimate_without_images_says_so(site: OpenImagesSite, tmp_path: Path):
    for path in [path for path in site.files if path.startswith("/images/")]:
        del site.files[path]
    output = prepare(site, tmp_path, "--estimate")
    assert f"images: none of 48 could be fetched from {site.url('images')} for a trial" in output
