from __future__ import annotations

import base64
import hashlib
import io
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data_prep import download_images


def jpeg(color: str, image_format: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 24), color).save(buffer, image_format)
    return buffer.getvalue()


RED, BLUE, PNG = jpeg("red"), jpeg("blue"), jpeg("green", "PNG")


class Site(ThreadingHTTPServer):
    """Serves `pages` by path on loopback; whatever else is asked for is not found."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages: dict[str, bytes] = {}
        self.requests: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()  # how many times to answer 500 first

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"


class Handler(BaseHTTPRequestHandler):
    server: Site

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.requests[self.path] += 1
        if self.server.requests[self.path] <= self.server.failures[self.path]:
            self.send_error(500)
        elif self.path in self.server.pages:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.server.pages[self.path])
        else:
            self.send_error(404)


@pytest.fixture
def site() -> Iterator[Site]:
    server = Site()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


class Download:
    """Runs the command on a list of entries, in a folder of its own."""

    def __init__(self, folder: Path, run: Callable[..., Any]) -> None:
        self.folder = folder
        self.images = folder / "images"
        self.ledger_path = folder / "images.rejected.jsonl"
        self._run = run

    def __call__(self, entries: object, *words: object) -> Any:
        index = self.folder / "images.json"
        index.write_text(entries if isinstance(entries, str) else json.dumps(entries))
        flags = ("--images_path", index, "--images_output_directory", self.images, "--allow_private_addresses", *words)
        return self._run(download_images.main, *flags)

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.images.iterdir()} if self.images.exists() else {}

    def ledger(self) -> dict[str, str]:
        lines = self.ledger_path.read_text().splitlines()
        return {entry["item"]: entry["reason"] for entry in map(json.loads, lines)}


@pytest.fixture
def download(tmp_path: Path, run: Callable[..., Any]) -> Download:
    return Download(tmp_path, run)


def test_fetches_every_picture_once(site: Site, download: Download) -> None:
    site.pages = {"/a.jpg": RED, "/b.png": PNG}
    site.failures["/b.png"] = 1
    entries = [{"id": "a", "url": site.url("/a.jpg")}, {"id": "b", "url": site.url("/b.png"), "subset": "train"}]
    outcome = download(entries)
    assert outcome.code == 0
    assert "2 pictures: 2 fetched" in outcome.output
    assert download.files() == {"a.jpg": RED, "b.jpg": PNG}
    assert not download.ledger_path.exists()
    asked = site.requests.total()
    outcome = download(entries)
    assert outcome.code == 0
    assert "0 fetched (0.0 MB), 2 were there already" in outcome.output
    assert site.requests.total() == asked


def test_what_cannot_be_had_is_listed_and_what_is_good_is_kept(site: Site, download: Download) -> None:
    site.pages = {"/a.jpg": RED, "/page.jpg": b"<html>gone, but politely</html>", "/empty.jpg": b""}
    entries = [{"id": name, "url": site.url(f"/{name}.jpg")} for name in ("none", "page", "empty", "a")]
    entries.append({"id": "local", "url": "file:///etc/hostname"})
    outcome = download(entries)
    assert outcome.code == 3
    assert "4 rejected" in outcome.output
    assert str(download.ledger_path) in outcome.output
    assert download.files() == {"a.jpg": RED}
    assert download.ledger() == {
        "none": "HTTP 404",
        "page": "not a picture",
        "empty": "empty file",
        "local": "not an http URL",
    }
    assert download(entries, "--max_failures", 4).code == 0
    assert download(entries, "--max-failures=3").code == 3


def test_a_run_mends_what_an_earlier_one_could_not(site: Site, download: Download) -> None:
    entries = [{"id": name, "url": site.url(f"/{name}.jpg")} for name in ("a", "b")]
    site.pages = {"/a.jpg": RED}
    assert download(entries).code == 3
    site.pages["/b.jpg"] = BLUE
    (download.images / "a.jpg").write_bytes(b"")  # a file without content is no picture
    assert download(entries).code == 0
    assert download.files() == {"a.jpg": RED, "b.jpg": BLUE}
    assert not download.ledger_path.exists()


def test_md5_as_open_images_has_it(site: Site, download: Download) -> None:
    site.pages = {"/a.jpg": RED, "/b.jpg": RED}
    digests = {name: base64.b64encode(hashlib.md5(content).digest()).decode() for name, content in
               (("a", RED), ("b", BLUE))}  # fmt: skip
    entries = [{"id": name, "url": site.url(f"/{name}.jpg"), "original_md5": md5} for name, md5 in digests.items()]
    assert download(entries).code == 3
    assert download.files() == {"a.jpg": RED}
    assert download.ledger() == {"b": "wrong MD5"}


def test_from_elsewhere_by_template(site: Site, download: Download) -> None:
    site.pages = {"/copies/train/a.jpg": RED}
    entries = [{"id": "a", "subset": "train", "url": "http://localhost:1/gone.jpg", "original_md5": "of the original"}]
    outcome = download(entries, "--url_template", site.url("/copies/{subset}/{id}.jpg"))
    assert outcome.code == 0
    assert download.files() == {"a.jpg": RED}


def test_too_large_for_the_flag(site: Site, download: Download) -> None:
    site.pages = {"/a.jpg": RED, "/b.jpg": RED + bytes(10_000)}
    entries = [{"id": name, "url": site.url(f"/{name}.jpg")} for name in ("a", "b")]
    assert download(entries, "--max_image_megabytes", 0.005).code == 3
    assert download.files() == {"a.jpg": RED}
    assert download.ledger() == {"b": "too many bytes"}


def test_nothing_at_all_can_be_fetched(site: Site, download: Download) -> None:
    outcome = download([{"id": "a", "url": site.url("/none.jpg")}], "--max_failures", 10)
    assert outcome.code == 1
    assert outcome.error.count("\n") == 1
    assert "none of the 1 pictures" in outcome.error


@pytest.mark.parametrize(
    ("entries", "code", "message"),
    [
        ([{"id": "../../escape", "url": "http://localhost/a.jpg"}], 2, "item 1: image id '../../escape'"),
        ([{"id": "a/b", "url": "http://localhost/a.jpg"}], 2, "'a/b'"),
        ([{"url": "http://localhost/a.jpg"}], 2, "item 1: image id None"),
        ([{"id": "a"}], 2, "'url' is missing"),
        ([{"id": "a", "url": 7}], 2, "'url' must be a text"),
        ([{"id": "a", "url": "http://x/"}, {"id": "a", "url": "http://y/"}], 2, "item 2: image id 'a' comes twice"),
        ({"id": "a"}, 2, "JSON array"),
        (["a"], 2, "item 1"),
        ("[{", 2, "not JSON"),
        ([], 1, "no pictures"),
    ],
)
def test_a_bad_list_ends_in_one_line(download: Download, entries: object, code: int, message: str) -> None:
    outcome = download(entries)
    assert outcome.code == code
    assert message in outcome.error
    assert outcome.error.count("\n") == 1
    assert list(download.folder.iterdir()) == [download.folder / "images.json"]


@pytest.mark.parametrize(
    "words",
    [
        ["--url_template", "http://localhost/same_for_all.jpg"],
        ["--url_template", "http://localhost/{name}.jpg"],
        ["--url_template", "http://localhost/{id.__class__}.jpg"],
        ["--url_template", "http://localhost/{id.jpg"],
        ["--timeout_seconds", "0"],
        ["--num_threads", "0"],
    ],
)
def test_bad_flags(download: Download, words: list[str]) -> None:
    assert download([{"id": "a", "url": "http://localhost:1/a.jpg"}], *words).code == 2


def test_a_folder_that_cannot_be_written_to(site: Site, download: Download) -> None:
    site.pages = {"/a.jpg": RED}
    obstacle = download.images
    obstacle.write_text("a file where the folder should be")
    for download.images in (obstacle, obstacle / "below"):
        outcome = download([{"id": "a", "url": site.url("/a.jpg")}])
        assert outcome.code == 1
        assert "cannot write pictures" in outcome.error
        assert outcome.error.count("\n") == 1
