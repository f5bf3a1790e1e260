from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_prep.runtime import atomic_files
from data_prep.runtime.staged_folder import staged

ROOT = Path(__file__).parents[3]


def test_folders_of_killed_runs_go_and_those_of_live_ones_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom data_prep.runtime.staged_folder import staged\n"
        "with staged(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'file').write_text('x')\n    print(folder.name, flush=True)\n    sys.stdin.read()\n"
    )
    processes = []
    names = []
    for target in ("a", "b"):
        words = [sys.executable, "-c", program, str(tmp_path / target)]
        processes.append(subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        names.append(processes[-1].stdout.readline().strip())  # type: ignore[union-attr]
    killed, live = processes
    try:
        killed.kill()
        killed.wait(timeout=30)
        (tmp_path / ".partial-export-other.txt").write_text("no folder of ours")
        (tmp_path / ".partial-x-shards").mkdir()
        monkeypatch.setattr(atomic_files, "_START", time.time() + 1)
        with staged(tmp_path / "c") as folder:
            (folder / "file").write_text("y")
        left = {path.name for path in tmp_path.iterdir()}
        assert left == {"c", ".partial-export-other.txt", ".partial-x-shards", names[1]}
        live.communicate(timeout=30)
        assert (tmp_path / "b" / "file").read_text() == "x"
        assert not (tmp_path / names[1]).exists()
    finally:
        for process in processes:
            process.kill()
            process.communicate()
