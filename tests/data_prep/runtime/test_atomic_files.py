from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_prep.runtime.atomic_files import TEMPORARY_PREFIX, atomic_path, write_bytes, write_json, write_text

ROOT = Path(__file__).parents[3]


def test_files_appear_with_their_folder_and_their_content(tmp_path):
    write_bytes(tmp_path / "a" / "b" / "bytes", b"\x00\xff")
    write_text(str(tmp_path / "text"), "é\n")
    write_json(tmp_path / "json", {"a": [1.5, None]}, indent=1)
    assert (tmp_path / "a" / "b" / "bytes").read_bytes() == b"\x00\xff"
    assert (tmp_path / "text").read_bytes() == b"\xc3\xa9\n"
    assert json.loads((tmp_path / "json").read_text()) == {"a": [1.5, None]}
    assert {file.name for file in tmp_path.iterdir()} == {"a", "text", "json"}


def test_a_failure_leaves_the_earlier_file_and_no_other(tmp_path):
    path = tmp_path / "file"
    write_text(path, "good")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "good"
        raise RuntimeError
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, float("nan"))
    assert path.read_text() == "good"
    assert list(tmp_path.iterdir()) == [path]


def test_the_temporary_file_lies_beside_the_target_under_a_name_that_tells(tmp_path):
    with atomic_path(tmp_path / "file.json") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(TEMPORARY_PREFIX)
        assert temporary.name.endswith("file.json")


def test_a_file_has_the_rights_that_the_umask_gives(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "file", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_a_process_killed_while_writing_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "file"
    write_text(path, "good")
    program = (
        "import sys, time\nfrom data_prep.runtime.atomic_files import atomic_path\n"
        "with atomic_path(sys.argv[1]) as temporary:\n    temporary.write_text('half')\n    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(path)], cwd=ROOT)
    deadline = time.monotonic() + 30
    while not any(file.read_text() == "half" for file in tmp_path.glob(TEMPORARY_PREFIX + "*")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait(timeout=30)
    assert path.read_text() == "good"


def leftovers(folder: Path) -> list[Path]:
    return sorted(folder.glob(TEMPORARY_PREFIX + "*"))


def test_leftovers_of_a_killed_process_go_and_those_of_a_live_one_and_all_else_stay(tmp_path):
    program = (
        "import sys, time\nfrom data_prep.runtime.atomic_files import atomic_path, remove_leftovers\n"
        "print(remove_leftovers(sys.argv[1]), flush=True)\n"
        "with atomic_path(sys.argv[1]):\n    print('in', flush=True)\n    sys.stdin.read()\n"
    )

    def start() -> subprocess.Popen[str]:
        words = [sys.executable, "-c", program, str(tmp_path / "points.json")]
        process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        return process

    def said(process: subprocess.Popen[str]) -> list[str]:
        assert process.stdout is not None
        return [process.stdout.readline().strip() for _ in range(2)]

    others = [tmp_path / name for name in (
        "points.json", ".partial-points.json", ".partial-0123456789ab-other.json", ".partial-0123456789AB-points.json",
        ".partial-0123456789ab-points.json.old", ".partial-0123456789ab-xpoints.json",
    )]  # fmt: skip
    for path in others:
        path.write_text("x")
    (tmp_path / ".partial-0123456789ac-points.json").symlink_to(others[0])
    (tmp_path / ".partial-0123456789ad-points.json").mkdir()
    kept = {*others, *(tmp_path / f".partial-0123456789{end}-points.json" for end in ("ac", "ad"))}
    processes: list[subprocess.Popen[str]] = []
    try:
        live, killed = start(), start()
        assert said(live) == ["0", "in"]
        assert said(killed) == ["0", "in"]
        killed.kill()
        killed.wait(timeout=30)
        assert len(set(leftovers(tmp_path)) - kept) == 2
        assert said(start()) == ["1", "in"]
        assert len(set(leftovers(tmp_path)) - kept) == 2  # of the two that live
        live.communicate()
        processes[-1].communicate()
        assert set(tmp_path.iterdir()) == kept
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_a_full_disk_names_the_file_that_was_to_be_written(tmp_path: Path) -> None:
    with (
        pytest.raises(OSError, match="No space left on device") as error,
        atomic_path(tmp_path / "all.json"),
        Path("/dev/full").open("wb", buffering=0) as full,
    ):
        full.write(b"x")
    assert error.value.filename == str(tmp_path / "all.json")
    assert list(tmp_path.iterdir()) == []
