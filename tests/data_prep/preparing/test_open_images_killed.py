"""`prepare_open_images` killed again and again ends with the bytes of an undisturbed run."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from data_prep.preparing.release_files import split_files
from tests.data_prep.preparing.open_images_run import ENVIRONMENT, NAMES, Prepared, command, prepare
from tests.data_prep.preparing.open_images_site import OpenImagesSite, contents


def test_killed_five_times_it_ends_with_the_same_bytes(prepared: Prepared, tmp_path: Path):
    site, data = prepared.site, tmp_path / "data"
    boxes = Path(split_files("v7", "train").boxes)
    site.bytes_at_a_time, site.pause_seconds = 200, 0.01
    kill_when(site, tmp_path, lambda: any((data / "metadata").rglob(f".partial-{boxes.name}")))
    site.bytes_at_a_time = 0
    kill_when(site, tmp_path, "step 2 of")
    site.bytes_at_a_time = 200
    kill_when(site, tmp_path, lambda: len(list(data.glob("images/train/*.jpg"))) > 3)
    site.bytes_at_a_time = 0
    kill_when(site, tmp_path, "step 7 of")
    kill_when(site, tmp_path, "step 10 of")
    prepare(site, tmp_path)
    assert contents(data) == contents(prepared.folder / "data")
    assert not list(data.rglob(".partial-*"))


@pytest.mark.slow
def test_thirty_classes_killed_five_times_end_with_the_same_bytes(tmp_path: Path):
    words = ["--classes", *NAMES]
    with OpenImagesSite().running() as site:
        assert isinstance(site, OpenImagesSite)
        site.publish({"train": 600, "validation": 150}, pixels=200)
        site.bytes_at_a_time, site.pause_seconds = 4000, 0.002
        output = prepare(site, tmp_path / "undisturbed", *words)
        folder = tmp_path / "killed"
        images = folder / "data" / "images"

        def has(split: str, number: int) -> Callable[[], bool]:
            return lambda: len(list(images.glob(f"{split}/*.jpg"))) >= number

        moments = [has("train", 150), has("train", 450), "step 6 of", has("validation", 70), "step 12 of"]
        shown = [kill_when(site, folder, moment, *words) for moment in moments]
        site.requests.clear()
        prepare(site, folder, *words)
        print(f"killed in: {shown}; then {len(site.images_asked_for())} images were fetched")
    assert re.search(r"^  30  Thing 29 +\d+", output, re.MULTILINE)
    assert contents(tmp_path / "killed" / "data") == contents(tmp_path / "undisturbed" / "data")
    assert not list((tmp_path / "killed" / "data").rglob(".partial-*"))


def kill_when(site: OpenImagesSite, folder: Path, moment: str | Callable[[], bool], *words: object) -> str:
    """Runs the command and kills it a little after it has said something, or when something holds.

    Returns the last step that it had begun.
    """
    folder.mkdir(exist_ok=True)
    said: list[str] = []
    process = subprocess.Popen(command(site, *words), cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    reader = threading.Thread(target=said.extend, args=(process.stdout,), daemon=True)
    reader.start()
    started = time.monotonic()
    while True:
        if any(moment in line for line in said) if isinstance(moment, str) else moment():
            break
        assert time.monotonic() - started < 120
        assert process.poll() is None, f"done before it could be killed at {moment}"
        time.sleep(0.005)
    if isinstance(moment, str):
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    reader.join()
    return next((line.strip() for line in reversed(said) if line.startswith("== step")), "before the first step")
