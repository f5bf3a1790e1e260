"""What the command says before any work, with and without Beam."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_prep import beam_pipeline

REPOSITORY = Path(__file__).parents[2]
HAS_BEAM = importlib.util.find_spec("apache_beam") is not None
needs_beam = pytest.mark.skipif(not HAS_BEAM, reason="Apache Beam is not installed (requirements-beam.txt)")
FETCH = ["--images_path", "images.json"]


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    box = {"label": "/m/03ssj5", "x0": 0.1, "x1": 0.6, "y0": 0.2, "y1": 0.9}
    points, label_map = tmp_path / "points.json", tmp_path / "label_map.pbtxt"
    points.write_text(json.dumps([{"id": "a", "annotations": [box]}]))
    label_map.write_text("item { name: '/m/03ssj5' id: 1 }")
    output = tmp_path / "records" / "train.record"
    inputs = ["--datapoints_input_path", points, "--label_map_path", label_map, "--record_output_path", output]
    return [str(word) for word in inputs]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "one of the arguments --images_path --image_directory is required"),
        ([*FETCH, "--image_directory", "images"], "not allowed with argument"),
        ([*FETCH, "--num_shards", "100000"], "--num_shards 100000: at most 99999"),
        ([*FETCH, "--timeout_seconds", "0"], "--timeout_seconds and --max_image_megabytes must be above 0"),
        ([*FETCH, "--url_template", "http://x/{name}"], "the fields are {id}, {subset} and {url}"),
        (["--image_directory", ".", "--base_url", "http://x"], "--base_url is for images that are fetched"),
    ],
)
def test_bad_flags(words: list[str], run: Callable[..., Any], more: list[str], message: str) -> None:
    outcome = run(beam_pipeline.main, *words, *more)
    assert outcome.code == 2
    assert message in outcome.error


def test_without_beam_the_command_says_what_to_install(
    words: list[str], run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "apache_beam", None)  # as where it is not installed
    outcome = run(beam_pipeline.main, *words, *FETCH)
    assert outcome.code == 1
    assert outcome.error == "error: Apache Beam is not installed; pip install -r requirements-beam.txt\n"


@needs_beam
@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([*FETCH, "--max_dimensions", "9"], "--max_dimensions: neither a flag of this command"),
        ([*FETCH, "--runner", "FnApiRunner", "--direct_num_worker=2"], "--direct_num_worker: neither a flag"),
        ([*FETCH, "stray"], "stray: neither a flag"),
        (["--image_directory", "nowhere"], "--image_directory nowhere is no folder"),
    ],
)
def test_what_neither_we_nor_beam_know(
    words: list[str], run: Callable[..., Any], more: list[str], message: str
) -> None:
    outcome = run(beam_pipeline.main, *words, *more)
    assert outcome.code == 2
    assert message in outcome.error
    assert not (Path(words[-1]).parent).exists()


@needs_beam
def test_a_worker_needs_neither_tensorflow_nor_polars() -> None:
    code = "import sys, data_prep.beam.pipeline; print([m for m in ('tensorflow', 'polars') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


@needs_beam
@pytest.mark.slow
def test_killed_and_run_again(words: list[str], run: Callable[..., Any], tmp_path: Path) -> None:
    """At moments before, while and after shards are written: what is in place is whole, or is not there."""
    from PIL import Image

    images = tmp_path / "images"
    images.mkdir()
    names = [f"p{number:03d}" for number in range(300)]
    for number, name in enumerate(names):
        Image.new("RGB", (640, 480), (number % 256, 80, 120)).save(images / f"{name}.jpg")
    Path(words[1]).write_text(json.dumps([{"id": name, "annotations": []} for name in names]))
    command = [*words, "--image_directory", str(images), "--num_shards", "5"]
    assert run(beam_pipeline.main, *command).code == 0
    output = Path(words[-1])
    expected = {path.name: path.read_bytes() for path in output.parent.glob("*-of-*")}
    for seconds in (0.2, 0.6, 1.2, 2.0):
        left = set(output.parent.glob(".partial-*"))
        process = subprocess.Popen(
            [sys.executable, "-m", "data_prep.beam_pipeline", *command, "--rewrite"],
            cwd=REPOSITORY,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        # From when its work shows: its start takes as long as the machine pleases.
        while process.poll() is None and not set(output.parent.glob(".partial-*")) - left:
            time.sleep(0.01)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        whole = {path.name: path.read_bytes() for path in output.parent.glob("*-of-*")}
        assert whole == expected
    outcome = run(beam_pipeline.main, *command, "--rewrite")
    assert outcome.code == 0
    assert not list(output.parent.glob(".partial-*"))
    assert {path.name: path.read_bytes() for path in output.parent.glob("*-of-*")} == expected
    assert (output.parent / "train.record.manifest.json").is_file()
