"""`prepare_open_images --runner`: the heavy steps on Beam, the same shards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("apache_beam", reason="Apache Beam is not installed (requirements-beam.txt)")

from tests.data_prep.preparing.open_images_site import CLASSES, OpenImagesSite

ROOT = Path(__file__).resolve().parents[3]


def prepare(site: OpenImagesSite, folder: Path, *words: str) -> str:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "data_prep.prepare_open_images", "--classes", *list(CLASSES.values())[:3]]
    done = subprocess.run(
        [*command, "--output_directory", "data", "--splits", "validation", *site.words(), *words],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "data").glob("*.record-*")}


def test_the_heavy_steps_run_on_beam_and_write_the_same_shards(tmp_path: Path):
    with OpenImagesSite().running() as site:
        assert isinstance(site, OpenImagesSite)
        site.publish({"validation": 30}, classes=6)
        prepare(site, tmp_path / "here")
        output = prepare(site, tmp_path / "beam", "--runner", "DirectRunner", "--direct_num_workers=1")
        assert shards(tmp_path / "beam") == shards(tmp_path / "here") != {}
        assert "step 3 of 4: images and records of validation, on Beam's DirectRunner\n" in output
        assert "-- --runner=DirectRunner --direct_num_workers=1\n" in output.replace(" \\\n   ", "")
        assert "images and records of validation, on Beam's DirectRunner (data_prep.beam_pipeline)" in output
        site.requests.clear()
        again = prepare(site, tmp_path / "beam", "--runner", "DirectRunner", "--", "--direct_num_workers=1")
        assert not site.requests
        assert "nothing to do: 10 shards" in again
