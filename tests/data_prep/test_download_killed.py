"""A download killed at random moments, again and again, ends with what an undisturbed one ends with."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data_prep import loopback_site

ROOT = Path(__file__).resolve().parents[2]
NUM_IMAGES = 240
CHUNK_BYTES = 4096


def noise(number: int) -> bytes:
    """A JPEG of some 60 kB that no other number has."""
    pixels = np.random.default_rng(number).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


class Handler(loopback_site.SilentHandler):
    """Sends an image in parts with pauses in between, so that a client has half of it most of the time."""

    server: Site

    def get(self) -> None:
        number = int(self.path.strip("/").removesuffix(".jpg"))
        self.server.requests[number] += 1
        if number % 20 == 7:
            self.send_error(404)
            return
        content = self.server.images[number % len(self.server.images)]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        for start in range(0, len(content), CHUNK_BYTES):
            self.wfile.write(content[start : start + CHUNK_BYTES])
            time.sleep(0.012)


class Site(loopback_site.Site):
    handler = Handler

    def __init__(self) -> None:
        super().__init__()
        self.images = [noise(number) for number in range(NUM_IMAGES // 10)]


@pytest.fixture
def site() -> Iterator[Site]:
    with Site().running() as server:
        yield server


def start_download(folder: Path, *words: str) -> subprocess.Popen[str]:
    command = [
        sys.executable, "-m", "data_prep.download_images", "--images_path", str(folder.parent / "images.json"),
        "--images_output_directory", str(folder / "images"), "--allow_private_addresses", "--num_threads", "16",
        "--max_failures", "100", *words,
    ]  # fmt: skip
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def result_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("words", [(), ("--max_dimension", "128")], ids=["as it comes", "shrunk"])
def test_the_result_is_that_of_an_undisturbed_run(site: Site, tmp_path: Path, words: tuple[str, ...]) -> None:
    url = f"http://127.0.0.1:{site.server_address[1]}"
    entries = [{"id": f"photo{number}", "url": f"{url}/{number}.jpg"} for number in range(NUM_IMAGES)]
    (tmp_path / "images.json").write_text(json.dumps(entries))
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    assert start_download(undisturbed, *words).wait(120) == 0
    site.requests.clear()

    moments = random.Random(5)
    whole = {len(content) for name, content in result_in(undisturbed).items() if name.endswith(".jpg")}
    kills_under_way = 0
    for _ in range(6):
        process = start_download(killed, *words)
        seen = len(site.requests)
        while process.poll() is None and len(site.requests) == seen:
            time.sleep(0.005)  # it takes a while to start
        time.sleep(moments.uniform(0.0, 0.5))
        process.kill()
        kills_under_way += process.wait() != 0
        for path in (killed / "images").glob("*"):
            assert path.name.startswith(".partial-") or path.stat().st_size in whole, path
    assert kills_under_way >= 2
    last = start_download(killed, *words)
    output = last.communicate(timeout=120)[0]
    assert last.returncode == 0
    assert "were there already" in output
    assert result_in(killed) == result_in(undisturbed)
    # What was whole before a kill was not fetched after it: at most the 16 on their way at each.
    assert site.requests.total() <= NUM_IMAGES + 6 * 16
