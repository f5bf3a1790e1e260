"""That the configs room works with the oldest and with the newest protobuf that requirements.txt allows.

Slow, since it installs both, each into a folder of its own: pytest -m slow tests/configs/test_protobuf_versions.py
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def bounds() -> tuple[str, str]:
    """The oldest and the newest series, as pip takes them, such as `==5.29.*` and `==7.*`."""
    (line,) = re.findall(r"^protobuf(>=\d+\.\d+,<\d+)$", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    oldest, above_newest = re.findall(r"[\d.]+", line)
    return f"=={oldest}.*", f"=={int(above_newest) - 1}.*"


@pytest.mark.slow
@pytest.mark.parametrize("series", bounds())
def test_the_configs_room_works_with_protobuf(series: str, tmp_path: Path) -> None:
    library = tmp_path / "protobuf"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(library)]
    subprocess.run([*install, f"protobuf{series}"], check=True, timeout=300)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(library), str(ROOT)])}
    version = subprocess.run(
        [sys.executable, "-c", "import google.protobuf; print(google.protobuf.__version__)"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert version.startswith(series.removeprefix("==").removesuffix("*"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(Path(__file__).parent)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stdout[-4000:]
