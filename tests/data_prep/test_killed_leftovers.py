"""What a `kill -9` leaves half written, the next run of the same step removes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from data_prep.runtime.atomic_files import TEMPORARY_PREFIX
from tests.data_prep.conftest import BOX_COLUMNS, IMAGE_COLUMNS, box_row, image_row, write_csv
from tests.data_prep.image_bytes import encoded, new_image

ROOT = Path(__file__).resolve().parents[2]


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob(f"{TEMPORARY_PREFIX}*"))


def run_and_kill(folder: Path, *words: object) -> list[str]:
    """Runs a command until it has begun a file, kills it with SIGKILL, and returns what it has left."""
    command = [sys.executable, "-m", *map(str, words)]
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and not leftovers(folder):
                time.sleep(0.001)
            process.kill()
        if left := leftovers(folder):
            return left
    raise AssertionError("it was never killed while it wrote")


def run_to_its_end(*words: object) -> int:
    command = [sys.executable, "-m", *map(str, words)]
    return subprocess.run(command, check=False, cwd=ROOT, capture_output=True, timeout=120).returncode


def test_a_killed_validation_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "bad.jpg").write_bytes(b"no image")
    ids = ["bad", *(f"image{number:03}" for number in range(60))]
    for image_id in ids[1:]:
        (images / f"{image_id}.png").write_bytes(encoded(new_image(300, 200), "PNG"))
    points = tmp_path / "points.json"
    points.write_text(json.dumps([{"id": image_id, "annotations": []} for image_id in ids]))
    words = (
        "data_prep.validate_images", "--image_directory", images, "--image_saving_directory", tmp_path / "sound",
        "--datapoints_input_path", points, "--datapoints_output_path", tmp_path / "clean.json", "--max_failures", 1,
    )  # fmt: skip
    foreign = tmp_path / ".partial-0123456789ab-other.json"
    left = run_and_kill(tmp_path, *words)
    assert any(name.endswith("-clean.json") for name in left)
    foreign.write_text("another step's")
    assert run_to_its_end(*words) == 0
    assert leftovers(tmp_path) == [foreign.name]
    assert len(json.loads((tmp_path / "clean.json").read_text())) == 60
    assert (tmp_path / "clean.json.rejected.jsonl").is_file()


def test_a_killed_process_metadata_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    ids = [f"{number:016x}" for number in range(60_000)]
    boxes = write_csv(tmp_path / "boxes.csv", BOX_COLUMNS, [box_row(XMin="no"), *map(box_row, ids)])
    index = write_csv(tmp_path / "images.csv", IMAGE_COLUMNS, map(image_row, ids))
    words = (
        "data_prep.process_metadata", "--annotations_input_path", boxes, "--image_index_input_path", index,
        "--point_output_path", tmp_path / "points.json", "--image_index_output_path", tmp_path / "images.json",
    )  # fmt: skip
    assert run_and_kill(tmp_path, *words)
    assert run_to_its_end(*words, "--force") == 0
    assert leftovers(tmp_path) == []
    assert len(json.loads((tmp_path / "points.json").read_text())) == 60_000
