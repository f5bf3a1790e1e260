"""`prepare_open_images` run against a release that a test plays, and what an undisturbed run made of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.data_prep.preparing.open_images_site import CLASSES, OpenImagesSite

ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
NAMES = list(CLASSES.values())
IMAGES = {"train": 24, "validation": 12}


@dataclass(frozen=True)
class Prepared:
    """A release, and what an undisturbed run for the first three classes made of it."""

    site: OpenImagesSite
    folder: Path
    output: str

    def copied_to(self, folder: Path) -> Path:
        """Copies the folder that the command ran in, times and all; returns its data."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return folder / "data"


def command(site: OpenImagesSite, *words: object) -> list[str]:
    chosen = (
        [] if any(str(word).endswith(("--classes", "_classes_path")) for word in words) else ["--classes", *NAMES[:3]]
    )
    output = [] if "--output_directory" in words else ["--output_directory", "data"]
    return [sys.executable, "-m", "data_prep.prepare_open_images", *chosen, *output, *site.words(), *map(str, words)]


def prepare(site: OpenImagesSite, folder: Path, *words: object, code: int = 0) -> str:
    """Runs the command in a folder; returns what it printed."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        command(site, *words), cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr
