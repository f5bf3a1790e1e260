"""A server that plays a release of Open Images, its CSVs and its images, with the faults that a test asks for."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import google_crc32c
import numpy as np
from PIL import Image

from data_prep.metadata.open_images import BOX_COLUMNS, IMAGE_COLUMNS
from data_prep.preparing.release_files import CLASS_DESCRIPTIONS, HIERARCHY, split_files
from tests.data_prep import loopback_site

CLASSES = {f"/m/0class{number:02}": f"Thing {number:02}" for number in range(30)}
Fault = Callable[["Handler", bytes], None]


class Handler(loopback_site.SilentHandler):
    """Answers as Google Cloud Storage does: Range, If-Range, ETag and x-goog-hash."""

    server: OpenImagesSite

    def do_HEAD(self) -> None:  # noqa: N802 - the name that http.server looks for
        self._answer(is_head=True)

    def get(self) -> None:
        self._answer(is_head=False)

    def _answer(self, *, is_head: bool) -> None:
        path = unquote(self.path)
        content = self.server.files.get(path)
        with self.server.lock:
            self.server.requests[self.command, path] += 1
            if not is_head:
                self.server.ranges.append((path, self.headers.get("Range", "")))
            faults = self.server.faults.get((self.command, path), [])
            fault = faults.pop(0) if faults else None
        if fault is not None:
            fault(self, content or b"")
            return
        if content is None:
            self.fail(404)
            return
        start = self._start(content)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_headers_of(content)
        self.end_headers()
        if not is_head:
            self.write(content[start:])

    def send_headers_of(self, content: bytes, md5_of: bytes | None = None) -> None:
        md5 = hashlib.md5(content if md5_of is None else md5_of).digest()
        crc32c = google_crc32c.value(content).to_bytes(4, "big")
        self.send_header("ETag", f'"{hashlib.md5(content).hexdigest()}"')
        self.send_header("x-goog-hash", f"crc32c={base64.b64encode(crc32c).decode()}")
        self.send_header("x-goog-hash", f"md5={base64.b64encode(md5).decode()}")

    def write(self, content: bytes) -> None:
        """Sends in parts, with a pause between them where the site is slow."""
        size = self.server.bytes_at_a_time or len(content) or 1
        for start in range(0, len(content), size):
            self.wfile.write(content[start : start + size])
            self.server.sent_bytes += min(size, len(content) - start)
            if self.server.bytes_at_a_time:
                time.sleep(self.server.pause_seconds)

    def fail(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def _start(self, content: bytes) -> int:
        text = self.headers.get("Range", "")
        version = self.headers.get("If-Range")
        if not text or not self.server.takes_ranges:
            return 0
        if version is not None and version != f'"{hashlib.md5(content).hexdigest()}"':
            return 0
        start = int(text.removeprefix("bytes=").split("-")[0])
        return start if start < len(content) else 0


class OpenImagesSite(loopback_site.Site):
    """A release below /openimages, and images below /images."""

    handler = Handler

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, bytes] = {}
        self.faults: dict[tuple[str, str], list[Fault]] = {}
        self.ranges: list[tuple[str, str]] = []
        self.lock = threading.Lock()
        self.takes_ranges = True
        self.bytes_at_a_time = 0  # 0: all
        self.pause_seconds = 0.0
        self.sent_bytes = 0

    def put(self, name: str, content: bytes) -> None:
        """Publishes a file of the release."""
        self.files[f"/openimages/{name}"] = content

    def words(self) -> list[str]:
        """Returns the flags that lead here."""
        return ["--metadata_base_url", self.url("openimages"), "--images_base_url", self.url("images")]

    def images_asked_for(self) -> list[str]:
        """Returns the paths of the images that were fetched, once for each time."""
        return [path for (verb, path), count in self.requests.items() if "/images/" in path for _ in range(count)]

    def publish(self, num_images: dict[str, int], *, version: str = "v7", classes: int = 30, pixels: int = 64) -> None:
        """Publishes a release of small images of noise, each with one to four boxes of chance classes."""
        labels = list(CLASSES)[:classes]
        self.put(
            CLASS_DESCRIPTIONS[version],
            ("LabelName,DisplayName\n" + "".join(f"{label},{CLASSES[label]}\n" for label in labels)).encode(),
        )
        kinds = ", ".join(f'{{"LabelName": "{label}"}}' for label in labels[1:3])
        self.put(HIERARCHY, f'{{"LabelName": "{labels[0]}", "Subcategory": [{kinds}]}}'.encode())
        for split, number in num_images.items():
            chance = random.Random(f"{split} {version}")
            ids = sorted(f"{chance.getrandbits(64):016x}" for _ in range(number))
            files = split_files(version, split)
            boxes = [row for image_id in ids for row in _boxes(image_id, labels, chance)]
            self.put(files.boxes, _csv(BOX_COLUMNS, boxes))
            self.put(files.image_index, _csv(IMAGE_COLUMNS, [{"ImageID": i, "Subset": split} for i in ids]))
            rows = [{"ImageID": i, "Source": "verification", "LabelName": labels[0], "Confidence": 0} for i in ids[:3]]
            self.put(files.image_labels, _csv(("ImageID", "Source", "LabelName", "Confidence"), rows))
            for image_id in ids:
                self.files[f"/images/{split}/{image_id}.jpg"] = _jpeg(image_id, pixels)


def _boxes(image_id: str, labels: list[str], chance: random.Random) -> list[dict[str, Any]]:
    rows = []
    for label in chance.sample(labels, k=min(len(labels), chance.randint(1, 4))):
        x, y = chance.uniform(0, 0.5), chance.uniform(0, 0.5)
        rows.append(
            {"ImageID": image_id, "Source": "xclick", "LabelName": label, "Confidence": 1}
            | {"XMin": f"{x:.6f}", "XMax": f"{x + 0.4:.6f}", "YMin": f"{y:.6f}", "YMax": f"{y + 0.4:.6f}"}
            | {"IsOccluded": 0, "IsTruncated": 0, "IsGroupOf": int(chance.random() < 0.1), "IsDepiction": 0}
            | {"IsInside": 0}
        )
    return rows


def _csv(columns: tuple[str, ...], rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _jpeg(image_id: str, pixels: int) -> bytes:
    noise = np.random.default_rng(int(image_id, 16)).integers(0, 256, (pixels, pixels, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def contents(folder: Path) -> dict[str, bytes]:
    """Returns all that a preparation leaves for training: the files whose bytes the inputs and flags decide alone."""
    wanted = [
        *folder.glob("*.record-*"),
        *folder.glob("*.pbtxt"),
        *folder.glob("*.config"),
        *folder.glob("*.points.json"),
    ]
    wanted += [*folder.glob("*.images.json"), *folder.glob("*.clean.json"), *folder.glob("images/*/*.jpg")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in wanted}
