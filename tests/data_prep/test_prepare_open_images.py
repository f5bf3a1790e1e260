"""From names of classes to records and a config, against a server that plays the release."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
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


@pytest.fixture
def site() -> Iterator[OpenImagesSite]:
    with OpenImagesSite().running() as running:
        assert isinstance(running, OpenImagesSite)
        running.publish(IMAGES, classes=6)
        yield running


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


def test_the_whole_way(site: OpenImagesSite, tmp_path: Path):
    output = prepare(site, tmp_path)
    data = tmp_path / "data"
    label_map = read_label_map(data / "label_map.pbtxt")
    assert [item.display_name for item in label_map] == NAMES[:3]
    for split in IMAGES:
        manifest = read_manifest(data / f"{split}.record.manifest.json")
        assert manifest is not None
        total = manifest.total()
        assert total.num_images > 0
        assert len(list(data.glob(f"{split}.record-*-of-00010"))) == 10
        assert f"{total.num_images}" in output
    config = (data / "pipeline.config").read_text()
    assert "num_classes: 3" in config
    assert "PATH_TO_BE_CONFIGURED" not in config
    assert output.rstrip().endswith(
        "python -m train.train --pipeline_config_path data/pipeline.config --model_dir data/model"
    )
    assert re.search(r"^   1  Thing 00 +\d+ +\d+ +\d+ +\d+$", output, re.MULTILINE)
    assert not list(data.rglob(".partial-*"))


def test_each_step_is_shown_as_the_command_that_does_it_alone(site: OpenImagesSite, tmp_path: Path):
    output = prepare(site, tmp_path)
    before = contents(tmp_path / "data")
    shown = re.findall(r"^python -m (?:.*\\\n)*.*$", output, re.MULTILINE)
    assert len(shown) == 12
    for path in (tmp_path / "data").rglob("*"):
        if path.is_file() and "metadata" not in path.parts:
            path.unlink()
    for text in shown:
        words = shlex.split(text.replace("\\\n", " "))
        subprocess.run([sys.executable, *words[1:]], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, check=True)
    assert contents(tmp_path / "data") == before


def test_run_again_it_does_nothing(site: OpenImagesSite, tmp_path: Path):
    prepare(site, tmp_path)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").glob("*.record*")}
    config = (tmp_path / "data" / "pipeline.config").stat().st_mtime_ns
    site.requests.clear()
    output = prepare(site, tmp_path)
    assert not site.requests
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "data").glob("*.record*")} == times
    assert (tmp_path / "data" / "pipeline.config").stat().st_mtime_ns == config
    assert output.count("nothing to do") == 2 + 1 + 2 + 2 + 1  # points, label map, records, verification, config


def test_one_more_class_fetches_only_what_is_new(site: OpenImagesSite, tmp_path: Path):
    prepare(site, tmp_path)
    there = set(site.images_asked_for())
    site.requests.clear()
    output = prepare(site, tmp_path, "--classes", *NAMES[:4])
    new = site.images_asked_for()
    assert new
    assert not set(new) & there
    assert not [path for _, path in site.requests if "/openimages/" in path]
    assert "done by an earlier run" in output or "as they were" in output
    prepare(site, tmp_path / "fresh", "--classes", *NAMES[:4])
    assert contents(tmp_path / "data") == contents(tmp_path / "fresh" / "data")


def test_ids_are_those_of_the_list_and_a_change_is_told(site: OpenImagesSite, tmp_path: Path):
    prepare(site, tmp_path)
    names = [NAMES[3], *NAMES[:3]]
    output = prepare(site, tmp_path, "--classes", *names)
    assert "note: 3 classes have another id than before, such as Thing 00: 1 then, 2 now" in output
    prepare(site, tmp_path / "fresh", "--classes", *names)
    assert contents(tmp_path / "data") == contents(tmp_path / "fresh" / "data")
    kept = tmp_path / "kept.pbtxt"
    kept.write_bytes((tmp_path / "data" / "label_map.pbtxt").read_bytes())
    prepare(site, tmp_path, "--classes", NAMES[5], *names, "--earlier_label_map_path", kept)
    items = read_label_map(tmp_path / "data" / "label_map.pbtxt")
    assert [item.display_name for item in items] == [*names, NAMES[5]]


def test_files_at_hand_are_not_fetched(site: OpenImagesSite, tmp_path: Path):
    prepare(site, tmp_path)
    for name in ("flat", "nested"):
        hand = tmp_path / name
        for path in (tmp_path / "data" / "metadata").rglob("*.csv"):
            target = hand / (path.name if name == "flat" else path.relative_to(tmp_path / "data" / "metadata"))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    subprocess.run(["gzip", str(tmp_path / "flat" / Path(split_files("v7", "train").boxes).name)], check=True)
    site.requests.clear()
    for name in ("flat", "nested"):
        prepare(site, tmp_path / f"by {name}", "--metadata_directory", tmp_path / name)
        assert contents(tmp_path / f"by {name}" / "data") == contents(tmp_path / "data")
    assert not [path for _, path in site.requests if "/openimages/" in path]


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
    ],
)
def test_a_mistake_is_told_in_one_line_before_anything_large_is_fetched(
    site: OpenImagesSite, tmp_path: Path, words: list[str], message: str
):
    output = prepare(site, tmp_path, *words, code=2)
    assert re.search(message, output.splitlines()[-1]), output
    assert not [path for verb, path in site.requests if verb == "GET" and path.endswith("bbox.csv")]


def test_a_step_that_fails_is_named_with_its_command_and_its_exit_code(site: OpenImagesSite, tmp_path: Path):
    prepare(site, tmp_path / "all")
    images = sorted((tmp_path / "all" / "data" / "images" / "train").glob("*.jpg"))
    gone = [f"/images/train/{path.name}" for path in images[:2]]
    kept = {path: site.files.pop(path) for path in gone}
    output = prepare(site, tmp_path, code=3)
    last = output.rstrip().splitlines()[-1]
    assert last.startswith("error: step 4 of 12, images of train, ended with exit code 3, which means that more was")
    assert "it was: python -m data_prep.download_images --images_path data/train.images.json" in last
    output = prepare(site, tmp_path, "--max_failures", 2)
    assert f"{len(images) - 2} records" in output
    site.files.update(kept)


def test_parts_of_the_release(site: OpenImagesSite, tmp_path: Path):
    site.publish({"test": 6}, classes=6)
    output = prepare(site, tmp_path, "--splits", "test", "--classes", *NAMES[:6])
    assert "6 records in 10 shards" in output
    assert not (tmp_path / "data" / "pipeline.config").exists()
    assert "next:" not in output
    output = prepare(site, tmp_path / "part", "--fraction", 0.5, "--with_image_labels", "--with_descendants")
    assert "== step 2 of 14: a part of train" in output
    again = prepare(site, tmp_path / "part", "--fraction", 0.5, "--with_image_labels", "--with_descendants")
    assert again.count("nothing to do: an earlier run has done it over these files") == 4
    assert "absent kept" in output
    prepare(site, tmp_path / "few", "--max_images_per_class", 2, "--is_group_of", "only", "--num_shards", 2)
    assert len(list((tmp_path / "few" / "data").glob("train.record-*"))) == 2


def test_a_config_that_a_person_has_changed_is_left(site: OpenImagesSite, tmp_path: Path):
    prepare(site, tmp_path)
    config = tmp_path / "data" / "pipeline.config"
    config.write_text(config.read_text().replace("batch_size: 8", "batch_size: 4", 1))
    edited = config.read_text()
    prepare(site, tmp_path)
    assert config.read_text() == edited
    output = prepare(site, tmp_path, "--classes", *NAMES[:4], code=1)
    assert config.read_text() == edited
    assert "was edited since it was filled in" in output


def test_killed_five_times_it_ends_with_the_same_bytes(site: OpenImagesSite, tmp_path: Path):
    site.publish({"train": 60, "validation": 20}, classes=6, pixels=128)
    prepare(site, tmp_path / "undisturbed")
    killed = tmp_path / "killed"
    killed.mkdir()
    boxes = split_files("v7", "train").boxes
    site.bytes_at_a_time, site.pause_seconds = 1000, 0.005
    kill_when(site, killed, lambda: any((killed / "data" / "metadata").rglob(f".partial-{Path(boxes).name}")))
    site.bytes_at_a_time = 0
    for shown in ("step 1 of", "step 4 of", "step 6 of", "step 9 of"):
        site.pause_seconds, site.bytes_at_a_time = (0.01, 2000) if "4" in shown or "9" in shown else (0.0, 0)
        kill_when(site, killed, shown)
    site.bytes_at_a_time = 0
    site.ranges.clear()
    prepare(site, killed)
    assert contents(killed / "data") == contents(tmp_path / "undisturbed" / "data")
    assert not list((killed / "data").rglob(".partial-*"))


def kill_when(site: OpenImagesSite, folder: Path, moment: str | Callable[[], bool]) -> None:
    """Runs the command and kills it a little after it has said something, or when something holds."""
    process = subprocess.Popen(command(site), cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    deadline = time.monotonic() + 60
    if isinstance(moment, str):
        for line in process.stdout:
            if moment in line:
                break
        time.sleep(0.35)
    else:
        threading.Thread(target=process.stdout.read, daemon=True).start()
        while not moment():
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.005)
    assert process.poll() is None, f"done before it could be killed at {moment}"
    process.send_signal(signal.SIGKILL)
    process.wait()
