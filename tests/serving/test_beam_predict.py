"""The Beam pipeline on this machine: the same predictions as without Beam, failures beside them."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("apache_beam", reason="Apache Beam is not installed (requirements-beam.txt)")

from serving.beam_predict import main
from serving.predict_folder import main as predict_folder

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def photos(tmp_path, image):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.jpg").write_bytes(image((10 * number, 20, 30 * number + 9, 40), (128, 96), "JPEG"))
    (folder / "text.jpg").write_text("no image")
    (folder / "empty.jpg").write_bytes(b"")
    return folder


def read(pattern):
    return [path.read_text() for path in sorted(pattern.parent.glob(pattern.name))]


def by_image(texts):
    entries = [json.loads(line) for text in texts for line in text.splitlines()]
    assert len({entry["image"] for entry in entries}) == len(entries)
    return {entry["image"].rsplit("/", 1)[-1]: entry for entry in entries}


def test_a_pipeline_in_process_writes_what_predict_folder_does(photos, encoded_model, tmp_path, capsys):
    flags = ["--saved_model_dir", str(encoded_model / "1"), "--min_score", "0.3"]
    assert main(["--input", f"{photos}/*.jpg", "--output_prefix", str(tmp_path / "beam/run"), *flags]) == 3
    out = capsys.readouterr().out
    assert "5 images answered, 5 detections" in out and "2 rejected" in out
    assert predict_folder([str(photos), "--output_directory", str(tmp_path / "own"), *flags]) == 3
    beam = by_image(read(tmp_path / "beam/run-predictions-*.jsonl"))
    own = by_image([(tmp_path / "own/predictions.jsonl").read_text()])
    assert {name: entry["detections"] for name, entry in beam.items()} == {
        name: entry["detections"] for name, entry in own.items()
    }
    rows = [row for text in read(tmp_path / "beam/run-detections-*.csv") for row in csv.DictReader(text.splitlines())]
    with (tmp_path / "own/detections.csv").open(newline="") as file:
        expected = [{**row, "image": str(photos / row["image"])} for row in csv.DictReader(file)]
    assert sorted(rows, key=lambda row: row["image"]) == expected
    failures = by_image(read(tmp_path / "beam/run-failures-*.jsonl"))
    assert {name: entry["error"]["reason"] for name, entry in failures.items()} == {
        "text.jpg": "not an image",
        "empty.jpg": "empty file",
    }


def test_a_pipeline_through_a_server_takes_a_list_and_names_what_is_missing(photos, server, tmp_path, capsys):
    listed = tmp_path / "images.txt"
    listed.write_text("".join(f"{photos}/{name}\n" for name in ("1.jpg", "2.jpg", "gone.jpg")) + "\n")
    flags = ["--server", server.address, "--model_name", "detector", "--max_failures", "1"]
    assert main(["--input_list", str(listed), "--output_prefix", str(tmp_path / "run"), *flags]) == 0
    assert "2 images answered" in capsys.readouterr().out
    assert set(by_image(read(tmp_path / "run-predictions-*.jsonl"))) == {"1.jpg", "2.jpg"}
    failures = by_image(read(tmp_path / "run-failures-*.jsonl"))
    assert {name: entry["error"]["reason"] for name, entry in failures.items()} == {"gone.jpg": "missing"}


def test_a_server_that_does_not_answer_is_told_in_one_line(photos, tmp_path):
    words = ["--input", f"{photos}/1.jpg", "--output_prefix", str(tmp_path / "run"), "--model_name", "detector"]
    server = ["--server", "localhost:1", "--timeout_seconds", "5"]
    command = [sys.executable, "-m", "serving.beam_predict", *words, *server]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    told = ended.stderr.splitlines()[-1]
    assert told.startswith("error: no server answers at localhost:1: Connection refused")
    assert "while running" not in told
