"""Small files that hold many pixels: 64 PNGs of 9000x9000, 250 kB each, do not take a command beyond 1.5 GiB."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from data_prep.formats.tf_example import make_example
from data_prep.records.record_files import RecordWriter
from data_prep.runtime.large_image_turn import LARGE_PIXELS
from tests.data_prep import loopback_site

ROOT = Path(__file__).resolve().parents[2]
SIDE = 9000
NUM_IMAGES = 64
MOST_BYTES = 1.5 * 2**30
IDS = [f"{number:016x}" for number in range(NUM_IMAGES)]
LABEL = "/m/bed"

pytestmark = pytest.mark.slow


def plain_png(side: int) -> bytes:
    """A PNG of one colour, which is written row by row and never held as pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + bytes((200, 90, 40)) * side
    compressor = zlib.compressobj(9)
    pixels = b"".join(compressor.compress(row) for _ in range(side)) + compressor.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


class Handler(loopback_site.SilentHandler):
    server: Site

    def get(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        self.wfile.write(self.server.content)


class Site(loopback_site.Site):
    handler = Handler
    content = b""


@pytest.fixture(scope="module")
def content() -> bytes:
    assert SIDE * SIDE > LARGE_PIXELS
    return plain_png(SIDE)


@pytest.fixture
def site(content: bytes) -> Iterator[Site]:
    with Site().running() as server:
        assert isinstance(server, Site)
        server.content = content
        yield server


@pytest.fixture
def images(tmp_path: Path, content: bytes) -> Path:
    """The images, and beside them points.json and a label map."""
    folder = tmp_path / "images"
    folder.mkdir()
    for image_id in IDS:
        (folder / f"{image_id}.png").write_bytes(content)
    box = {"label": LABEL, "x0": 0.1, "x1": 0.5, "y0": 0.1, "y1": 0.5}
    points = [{"id": image_id, "annotations": [box]} for image_id in IDS]
    (tmp_path / "points.json").write_text(json.dumps(points))
    (tmp_path / "label_map.pbtxt").write_text(f"item {{ name: '{LABEL}' id: 1 }}\n")
    return folder


def processes_of(process_id: int) -> list[int]:
    """The process and all that it has started, as far as they still live."""
    found = [process_id]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found.extend(map(int, children.read_text().split()))
            except OSError:
                continue
    return found


def resident_bytes(process_id: int) -> int:
    try:
        return int(Path(f"/proc/{process_id}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def peak_bytes(*words: object) -> tuple[int, int]:
    """Runs a command, and returns its `ru_maxrss` and the most that all of its processes had together, in bytes."""
    command = [sys.executable, "-m", *map(str, words)]
    most = 0
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        output: list[bytes] = []
        reader = threading.Thread(target=lambda: output.append(process.stdout.read()))  # type: ignore[union-attr]
        reader.start()
        while reader.is_alive():
            most = max(most, sum(map(resident_bytes, processes_of(process.pid))))
            time.sleep(0.02)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, output
    print(f"{words[0]}: {usage.ru_maxrss / 1024:.0f} MiB, all processes {most / 2**20:.0f} MiB")
    return usage.ru_maxrss * 1024, most


def test_a_download_of_bombs_stays_small(tmp_path: Path, site: Site) -> None:
    entries = [{"id": image_id, "subset": "train", "url": site.url(f"{image_id}.png")} for image_id in IDS]
    (tmp_path / "images.json").write_text(json.dumps(entries))
    own, all_together = peak_bytes(
        "data_prep.download_images", "--images_path", tmp_path / "images.json",
        "--images_output_directory", tmp_path / "fetched", "--allow_private_addresses",
    )  # fmt: skip
    assert max(own, all_together) < MOST_BYTES
    assert len(list((tmp_path / "fetched").iterdir())) == NUM_IMAGES


def test_hashing_bombs_stays_small(tmp_path: Path, images: Path) -> None:
    points = json.loads((tmp_path / "points.json").read_text())
    splits = [tmp_path / "train.json", tmp_path / "validation.json"]
    for path, part in zip(splits, (points[:40], points[40:]), strict=True):
        path.write_text(json.dumps(part))
    own, all_together = peak_bytes(
        "data_prep.find_duplicates", "--datapoints_input_path", *splits, "--image_directory", images,
        "--ledger_path", tmp_path / "duplicates.jsonl",
    )  # fmt: skip
    assert max(own, all_together) < MOST_BYTES


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("validate_images", ("--image_saving_directory", "sound", "--datapoints_output_path", "clean.json")),
        ("inspect_data", ("--output_path", "page.html")),
        ("make_tfrecords", ("--label_map_path", "label_map.pbtxt", "--record_output_path", "t.record")),
    ],
)
def test_commands_that_decode_bombs_stay_small(tmp_path: Path, images: Path, command: str, flags: tuple[str]) -> None:
    words = [flag if flag.startswith("--") else tmp_path / flag for flag in flags]
    points = tmp_path / "points.json"
    own, all_together = peak_bytes(
        f"data_prep.{command}", "--datapoints_input_path", points, "--image_directory", images, *words
    )
    assert max(own, all_together) < MOST_BYTES


@pytest.mark.parametrize("command", ["verify_tfrecords", "inspect_data"])
def test_records_of_bombs_are_looked_at_in_little_memory(
    tmp_path: Path, images: Path, content: bytes, command: str
) -> None:
    with RecordWriter(tmp_path / "t.record-00000-of-00001") as writer:
        for image_id in IDS:
            writer.write(
                make_example(
                    encoded_image=content, image_format="png", filename=f"{image_id}.png", source_id=image_id,
                    height=SIDE, width=SIDE, boxes_ymin_xmin_ymax_xmax=np.array([[0.1, 0.1, 0.5, 0.5]]),
                    class_labels=[1], class_texts=[LABEL],
                )
            )  # fmt: skip
    own, all_together = peak_bytes(
        f"data_prep.{command}", "--input_path", tmp_path / "t.record-00000-of-00001",
        "--label_map_path", tmp_path / "label_map.pbtxt",
        *(("--output_path", tmp_path / "page.html") if command == "inspect_data" else ()),
    )  # fmt: skip
    assert max(own, all_together) < MOST_BYTES
