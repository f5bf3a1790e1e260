"""Servers that mean ill, all in one run: each image ends with a reason of its own, and the good ones are had."""

from __future__ import annotations

import io
import json
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data_prep import download_images
from tests.data_prep import loopback_site

GARBAGE_BYTES = 50_000_000


def image() -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(buffer, "JPEG")
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it has that many pixels, and has none."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


class Handler(loopback_site.SilentHandler):
    server: Site

    def answer(self, body: bytes, *lengths: int, **headers: str) -> None:
        self.send_response(200)
        for length in lengths or (len(body),):
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def drip(self, chunk: bytes, seconds: float) -> None:
        while not self.server.done.wait(seconds):
            self.wfile.write(chunk)

    def get(self) -> None:
        name = self.path.strip("/").partition(".")[0]
        self.server.requests[name] += 1
        getattr(self, f"get_{name.rstrip('0123456789')}")()

    def get_good(self) -> None:
        self.answer(self.server.image)

    def get_garbage(self) -> None:
        self.answer(bytes(range(1, 251)) * (GARBAGE_BYTES // 250))

    def get_garbage_after_a_start(self) -> None:
        self.answer(b"\xff\xd8\xff\xe0" + bytes(range(1, 251)) * 400)

    def get_circle(self) -> None:
        self.send_response(302)
        self.send_header("Location", "/circle.jpg")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def get_endless_body(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.image[:1000])
        self.drip(b"x", 0.05)

    def get_endless_flood(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.image)
        self.drip(bytes(65536), 0.0)

    def get_endless_status_line(self) -> None:
        self.drip(b"H", 0.05)

    def get_endless_header(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Name: ")
        self.drip(b"x", 0.05)

    def get_endless_headers(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        self.drip(b"X-Name: value\r\n", 0.0)

    def get_endless_chunk_size(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.drip(b"0", 0.05)

    def get_silent(self) -> None:
        self.server.done.wait(20)

    def get_no_http(self) -> None:
        self.wfile.write(b"220 mail.example.org ESMTP\r\n")
        self.close_connection = True

    def get_bomb(self) -> None:
        self.answer(png_header(100_000, 100_000))

    def get_negative_length(self) -> None:
        self.answer(self.server.image, -1)
        self.close_connection = True

    def get_compressed(self) -> None:
        body = zlib.compress(bytes(10_000_000))
        self.answer(body, Content_Encoding="deflate")

    def get_cut(self) -> None:
        self.answer(self.server.image[:-100])

    def get_cut_connection(self) -> None:
        self.answer(self.server.image[:-100], len(self.server.image))
        self.close_connection = True

    def get_two_lengths(self) -> None:
        self.answer(self.server.image, len(self.server.image), 100)

    def get_page(self) -> None:
        self.answer(b"<!DOCTYPE html><html><body>This photo is private</body></html>")

    def get_elsewhere(self) -> None:
        self.send_response(301)
        self.send_header("Location", "file:///etc/hostname")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def get_nowhere(self) -> None:
        self.send_response(301)
        self.send_header("Location", "http://[")
        self.send_header("Content-Length", "0")
        self.end_headers()


class Site(loopback_site.Site):
    handler = Handler

    def __init__(self) -> None:
        super().__init__()
        self.image = image()


@pytest.fixture
def site() -> Iterator[Site]:
    with Site().running() as server:
        yield server


EXPECTED = {
    "garbage": "too many bytes",
    "garbage_after_a_start": "does not decode|not an image",
    "circle": "too many redirects",
    "endless_body": "timed out",
    "endless_flood": "too many bytes",
    "endless_status_line": "timed out",
    "endless_header": "timed out",
    "endless_headers": "connection failed",
    "endless_chunk_size": "timed out",
    "silent": "timed out",
    "no_http": "connection failed",
    "bomb": "too many pixels",
    "compressed": "not an image",
    "cut": "does not decode",
    "cut_connection": "connection broken off",
    "two_lengths": "connection failed",
    "page": "not an image",
    "elsewhere": "not an http URL",
    "nowhere": "bad URL",
}


def test_every_ill_will_ends_in_a_line(site: Site, tmp_path: Path, run: Callable[..., Any]) -> None:
    names = [*EXPECTED, "negative_length", *(f"good{number}" for number in range(30))]
    entries = [{"id": name, "url": f"http://127.0.0.1:{site.server_address[1]}/{name}.jpg"} for name in names]
    entries += [
        {"id": "local_file", "url": "file:///etc/passwd"},
        {"id": "no_host", "url": "http:///a.jpg"},
        {"id": "closed_port", "url": "http://127.0.0.1:1/a.jpg"},
        {"id": "injection", "url": f"http://127.0.0.1:{site.server_address[1]}/good1.jpg\r\nHost: elsewhere"},
    ]
    (tmp_path / "images.json").write_text(json.dumps(entries))
    start = time.monotonic()
    outcome = run(
        download_images.main,
        "--images_path", tmp_path / "images.json", "--images_output_directory", tmp_path / "images",
        "--allow_private_addresses", "--timeout_seconds", 1.5, "--max_retries", 1, "--max_image_megabytes", 2,
    )  # fmt: skip
    seconds = time.monotonic() - start
    assert outcome.code == 3
    assert outcome.error == ""
    lines = [json.loads(line) for line in (tmp_path / "images.downloads.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == [entry["id"] for entry in entries]
    found = {line["id"]: line for line in lines}
    for name, reason in EXPECTED.items():
        assert found[name].get("reason", "none") in reason.split("|"), (name, found[name])
        assert "://" in found[name]["detail"]
        assert "\n" not in found[name]["detail"]
    assert found["local_file"]["reason"] == "not an http URL"
    assert found["no_host"]["reason"] == "bad URL"
    assert found["closed_port"]["reason"] == "connection failed"
    assert {path.name for path in (tmp_path / "images").iterdir()} >= {f"good{number}.jpg" for number in range(30)}
    kept = {line["id"] for line in lines if line["outcome"] == "downloaded"}
    assert {path.stem for path in (tmp_path / "images").iterdir()} == kept
    for path in (tmp_path / "images").iterdir():
        assert path.read_bytes() == site.image
    assert site.requests["page"] == site.requests["bomb"] == site.requests["circle"] // 6 == 1
    assert seconds < 12


def test_garbage_is_not_read_to_its_end(site: Site, tmp_path: Path, run: Callable[..., Any]) -> None:
    entries = [{"id": name, "url": f"http://127.0.0.1:{site.server_address[1]}/{name}.jpg"} for name in
               ("good", "garbage1", "garbage2", "garbage3")]  # fmt: skip
    (tmp_path / "images.json").write_text(json.dumps(entries))
    flags = ("--images_path", tmp_path / "images.json", "--images_output_directory", tmp_path / "images")
    outcome = run(download_images.main, *flags, "--allow_private_addresses")
    assert outcome.code == 3
    assert "3 not an image" in outcome.output
    megabytes = float(outcome.output.split("fetched (")[1].split(" MB")[0])
    assert megabytes < 2
