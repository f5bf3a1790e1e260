from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from data_prep.runtime.atomic_files import new_temporary_path
from data_prep.runtime.work_folders import shared_folder

REPOSITORY = Path(__file__).parents[3]
HOLD = """
import sys
from pathlib import Path
from data_prep.runtime.work_folders import shared_folder
with shared_folder(Path(sys.argv[1])):
    print("in", flush=True)
    sys.stdin.read()
"""


def test_leftovers_of_killed_runs_go_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    with shared_folder(folder) as num_removed:
        assert num_removed == 0
        leftover = new_temporary_path(folder / "a.jpg")
    others = [folder / name for name in ("a.jpg", ".partial-b.jpg", ".hidden.jpg", "0123456789ab-c.jpg")]
    for path in others:
        path.write_bytes(b"x")
    with shared_folder(folder) as num_removed:
        assert num_removed == 1
    assert not leftover.exists()
    assert all(path.exists() for path in others)


def test_what_another_run_is_writing_stays_until_it_is_killed(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"in\n"
    partial = new_temporary_path(tmp_path / "a.jpg")
    with shared_folder(tmp_path) as num_removed:
        assert num_removed == 0
        assert partial.exists()
    process.kill()
    process.communicate()
    with shared_folder(tmp_path) as num_removed:
        assert num_removed == 1
    assert not partial.exists()
