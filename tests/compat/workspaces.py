"""What a tutorial's workspace begins with: labelled images, and Python that sees the package alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.conftest import block_image

ROOT = Path(__file__).resolve().parents[2]
COMPAT = ROOT / "compat"
SCRIPTS = COMPAT / "object_detection"
NAMES = ("red", "blue")


def python(workspace: Path, *words: object, python_path: Sequence[Path] = (COMPAT,), **variables: str) -> str:
    """Runs Python in the workspace with the package on the path, and nothing else of the project."""
    path = os.pathsep.join(map(str, python_path))
    environment = os.environ | {"PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"} | variables
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=workspace, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


def write_labelled_image(
    folder: Path, number: int, names: Sequence[str] = NAMES, xml_folder: Path | None = None
) -> None:
    """An image and its XML, as LabelImg writes it; the XML beside it if no folder is named."""
    encoded, boxes, ids = block_image(number)
    (folder / f"photo{number}.jpg").write_bytes(encoded)
    objects = "".join(
        f"<object><name>{names[class_id - 1]}</name><pose>Unspecified</pose><truncated>0</truncated>"
        f"<difficult>0</difficult><bndbox><xmin>{round(box[1] * 128)}</xmin><ymin>{round(box[0] * 96)}</ymin>"
        f"<xmax>{round(box[3] * 128)}</xmax><ymax>{round(box[2] * 96)}</ymax></bndbox></object>"
        for box, class_id in zip(boxes, ids, strict=True)
    )
    ((xml_folder or folder) / f"photo{number}.xml").write_text(
        f"<annotation><filename>photo{number}.jpg</filename><size><width>128</width><height>96</height>"
        f"<depth>3</depth></size>{objects}</annotation>"
    )
