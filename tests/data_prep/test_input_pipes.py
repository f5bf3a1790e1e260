"""Pipes as inputs of commands: a CSV is read as it comes; where a file is gone back in, that is said in one line."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_prep import (
    choose_subset,
    download_images,
    inspect_data,
    make_label_map,
    make_tfrecords,
    process_metadata,
    split_points,
    validate_images,
    verify_tfrecords,
)
from data_prep.runtime import input_files
from tests.data_prep.conftest import OpenImagesFiles

ROOT = Path(__file__).resolve().parents[2]
NO_REGULAR_FILE = "not a regular file"
NO_WRITER = "a pipe to which nobody has begun to write in 0.2 seconds"


def run_in_bash(line: str) -> subprocess.CompletedProcess[str]:
    line = line.replace("process_metadata", f"{sys.executable} -m data_prep.process_metadata")
    return subprocess.run(["bash", "-c", line], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_metadata_comes_through_pipes(open_images_files: OpenImagesFiles, run: Callable[..., Any]) -> None:
    files = open_images_files
    assert run(process_metadata.main, *files.words()).code == 0
    expected = [(files.folder / name).read_bytes() for name in ("points.json", "images.json")]
    for path in (files.boxes, files.index):
        Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes()))
    outputs = f"--point_output_path {files.folder}/p.json --image_index_output_path {files.folder}/i.json"
    for inputs in (
        f"--annotations_input_path <(zcat {files.boxes}.gz) --image_index_input_path <(cat {files.index}.gz) "
        f"--class_description_path <(cat {files.descriptions})",
        f"--annotations_input_path /dev/stdin --image_index_input_path {files.index} "
        f"--class_description_path {files.descriptions} < <(zcat {files.boxes}.gz)",
        f"--annotations_input_path {files.boxes} --image_index_input_path /dev/stdin "
        f"--class_description_path {files.descriptions} < {files.index}.gz",
    ):
        done = run_in_bash(f"process_metadata {outputs} {inputs}")
        assert done.returncode == 0, done.stderr
        assert [(files.folder / name).read_bytes() for name in ("p.json", "i.json")] == expected
        for name in ("p.json", "i.json"):
            (files.folder / name).unlink()


def test_of_a_pipe_no_second_look_is_taken_for_a_message(open_images_files: OpenImagesFiles) -> None:
    files = open_images_files
    outputs = f"--point_output_path {files.folder}/p.json --image_index_output_path {files.folder}/i.json"
    done = run_in_bash(
        f"process_metadata {outputs} --annotations_input_path <(cat {files.boxes}) --classes sofa "
        f"--image_index_input_path {files.index}"
    )
    assert done.returncode == 1
    assert "none of its 4 boxes is left: 4 are of other classes than sofa\n" in done.stderr


FLAGS: dict[str, tuple[Any, str, str]] = {  # main, its words, and what is said of PIPE
    "boxes": (
        process_metadata.main,
        "--annotations_input_path PIPE --image_index_input_path F --point_output_path p --image_index_output_path i",
        NO_WRITER,
    ),
    "descriptions": (make_label_map.main, "--class_description_path PIPE --label_map_path m", NO_WRITER),
    "hierarchy": (
        make_label_map.main,
        "--class_description_path C --with_descendants --hierarchy_path PIPE --classes Bed --label_map_path m",
        NO_REGULAR_FILE,
    ),
    "earlier label map": (
        make_label_map.main, "--class_description_path C --earlier_label_map_path PIPE --label_map_path m", NO_WRITER,
    ),
    "points to choose from": (
        choose_subset.main, "--datapoints_input_path PIPE --num_images 1 --datapoints_output_path p", NO_REGULAR_FILE,
    ),
    "points to split": (
        split_points.main, "--datapoints_input_path PIPE --output_directory d", NO_REGULAR_FILE,
    ),
    "groups": (
        split_points.main,
        "--datapoints_input_path P --output_directory d --group_by Author --group_csv_path PIPE",
        NO_WRITER,
    ),
    "images to fetch": (download_images.main, "--images_path PIPE --images_output_directory d", NO_REGULAR_FILE),
    "points to validate": (
        validate_images.main,
        "--datapoints_input_path PIPE --image_directory . --datapoints_output_path p",
        NO_REGULAR_FILE,
    ),
    "points to write": (
        make_tfrecords.main,
        "--datapoints_input_path PIPE --image_directory . --label_map_path M --record_output_path r",
        NO_REGULAR_FILE,
    ),
    "label map": (
        make_tfrecords.main,
        "--datapoints_input_path P --image_directory . --label_map_path PIPE --record_output_path r",
        NO_WRITER,
    ),
    "records": (verify_tfrecords.main, "--input_path PIPE --label_map_path M", NO_REGULAR_FILE),
    "records to look at": (inspect_data.main, "--input_path PIPE --output_path page", NO_REGULAR_FILE),
    "points to look at": (inspect_data.main, "--datapoints_input_path PIPE --output_path page", NO_REGULAR_FILE),
}  # fmt: skip


@pytest.mark.parametrize("what", FLAGS)
def test_no_command_waits_for_ever_for_a_pipe_that_nobody_writes_to(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., Any]
) -> None:
    main, words, said = FLAGS[what]
    monkeypatch.setattr(input_files, "SECONDS_FOR_A_WRITER", 0.2)
    monkeypatch.chdir(tmp_path)
    os.mkfifo("PIPE")
    Path("C").write_text("/m/03ssj5,Bed\n")
    Path("F").write_text("ImageID,OriginalURL\n")
    Path("M").write_text("item { name: '/m/03ssj5' id: 1 }\n")
    Path("P").write_text('[{"id": "a", "annotations": []}, {"id": "b", "annotations": []}]')
    outcome = run(main, *words.split())
    assert outcome.code == 2
    assert said in outcome.error
    assert outcome.error.startswith("error: ")
    assert "PIPE" in outcome.error
    assert outcome.error.count("\n") == 1
