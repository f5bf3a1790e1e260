"""What a `kill -9` leaves half written, the next run of the same step removes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_prep import (
    choose_subset,
    download_images,
    find_duplicates,
    import_annotations,
    inspect_data,
    make_label_map,
    make_sample_set,
    make_tfrecords,
    split_points,
    translate_classes,
)
from data_prep.runtime import atomic_files
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


MIDS = ("/m/03ssj5", "/m/07c52")
COMMANDS: dict[str, tuple[Any, str, tuple[str, ...]]] = {  # main, its words, and the files and folders that it writes
    "choose_subset": (
        choose_subset.main,
        "--datapoints_input_path IN/points.json --images_path IN/images.json --num_images 5 "
        "--datapoints_output_path p.json --images_output_path i.json",
        ("p.json", "i.json"),
    ),
    "split_points": (
        split_points.main,
        "--datapoints_input_path IN/points.json --images_path IN/images.json --output_directory split",
        ("split/train/points.json", "split/validation/images.json", "split/split.rejected.jsonl"),
    ),
    "find_duplicates": (
        find_duplicates.main,
        "--datapoints_input_path IN/points.json IN/others.json --image_directory IN/images --ledger_path l.jsonl "
        "--num_processes 1 --datapoints_output_path a.json b.json --report_path page.html",
        ("l.jsonl", "l.unreadable.jsonl", "a.json", "b.json", "page.html"),
    ),
    "make_label_map": (
        make_label_map.main, "--class_description_path IN/classes.csv --label_map_path map.pbtxt", ("map.pbtxt",),
    ),
    "translate_classes": (
        translate_classes.main,
        "--trainable_classes_path IN/classes.txt --class_description_path IN/classes.csv "
        "--trainable_translated_path names.json",
        ("names.json",),
    ),
    "make_tfrecords": (
        make_tfrecords.main,
        "--datapoints_input_path IN/points.json --image_directory IN/images --label_map_path IN/map.pbtxt "
        "--record_output_path t.record --num_shards 1 --num_processes 1",
        ("t.record.rejected.jsonl",),
    ),
    "inspect_data": (
        inspect_data.main,
        "--datapoints_input_path IN/points.json --image_directory IN/images --output_path page.html",
        ("page.html", "page.html.rejected.jsonl"),
    ),
    "import_annotations": (
        import_annotations.main,
        "--format csv --annotations_path IN/boxes.csv --point_output_path p.json --label_map_path map.pbtxt",
        ("p.json", "map.pbtxt", "p.rejected.jsonl"),
    ),
    "download_images": (
        download_images.main,
        "--images_path IN/images.json --images_output_directory fetched --max_failures 99",
        ("fetched/image00.jpg", "fetched.downloads.jsonl", "fetched.rejected.jsonl"),
    ),
    "make_sample_set": (make_sample_set.main, "--output_directory rooms --num_train 1 --num_validation 1", ()),
}  # fmt: skip


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """Ten images, their points and what else commands read."""
    folder = tmp_path / "inputs"
    (folder / "images").mkdir(parents=True)
    ids = [f"image{number:02}" for number in range(10)]
    for seed, image_id in enumerate(ids):
        (folder / "images" / f"{image_id}.jpg").write_bytes(encoded(new_image(90, 70, seed)))
    box = {"label": MIDS[0], "x0": 0.1, "x1": 0.5, "y0": 0.1, "y1": 0.5}
    points = [{"id": image_id, "annotations": [box]} for image_id in ids]
    (folder / "points.json").write_text(json.dumps(points))
    (folder / "others.json").write_text(json.dumps(points[:3]))
    (folder / "images.json").write_text(json.dumps([{"id": image_id} for image_id in ids]))
    (folder / "classes.csv").write_text("".join(f"{mid},name{mid[-2:]}\n" for mid in MIDS))
    (folder / "classes.txt").write_text("\n".join(MIDS))
    (folder / "map.pbtxt").write_text(f"item {{ name: '{MIDS[0]}' id: 1 }}\n")
    (folder / "boxes.csv").write_text("filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,90,70,bed,1,1,50,50\n")
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_removes_what_was_left_of_the_files_it_writes(
    command: str, tmp_path: Path, inputs: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., Any]
) -> None:
    main, words, outputs = COMMANDS[command]
    folder = tmp_path / "outputs"
    folder.mkdir()
    for path in (folder / name for name in outputs):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_name(f"{TEMPORARY_PREFIX}0123456789ab-{path.name}").write_text("half")
    if command == "make_sample_set":
        (folder / f"{TEMPORARY_PREFIX}sample-set-abcd_012" / "images").mkdir(parents=True)
    (folder / f"{TEMPORARY_PREFIX}0123456789ab-other").write_text("another step's")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(atomic_files, "_START", time.time() + 1)  # as if this process were a later one
    outcome = run(main, *words.replace("IN/", f"{inputs}/").split())
    assert outcome.code == (1 if command == "download_images" else 0), outcome.error
    assert leftovers(folder) == [f"{TEMPORARY_PREFIX}0123456789ab-other"]
