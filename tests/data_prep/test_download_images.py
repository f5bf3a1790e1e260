from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data_prep import download_images
from tests.data_prep import loopback_site


def jpeg(color: str, image_format: str = "JPEG", size: tuple[int, int] = (32, 24)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, image_format)
    return buffer.getvalue()


RED, BLUE, PNG = jpeg("red"), jpeg("blue"), jpeg("green", "PNG")


class Site(loopback_site.Site):
    """Serves `pages` by path on loopback; whatever else is asked for is not found."""

    def __init__(self) -> None:
        self.handler = Handler
        super().__init__()
        self.pages: dict[str, bytes] = {}
        self.failures: Counter[str] = Counter()  # how many times to answer 500 first
        self.redirects: dict[str, str] = {}


class Handler(loopback_site.SilentHandler):
    protocol_version = "HTTP/1.0"
    server: Site

    def get(self) -> None:
        self.server.requests[self.path] += 1
        if self.server.requests[self.path] <= self.server.failures[self.path]:
            self.send_error(500)
        elif self.path in self.server.redirects:
            self.send_response(302)
            self.send_header("Location", self.server.redirects[self.path])
            self.end_headers()
        elif self.path in self.server.pages:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.server.pages[self.path])
        else:
            self.send_error(404)


@pytest.fixture
def site() -> Iterator[Site]:
    with Site().running() as server:
        yield server


class Download:
    """Runs the command on a list of entries, in a folder of its own."""

    def __init__(self, folder: Path, run: Callable[..., Any]) -> None:
        self.folder = folder
        self.images = folder / "images"
        self.ledger_path = folder / "images.rejected.jsonl"
        self._run = run

    def __call__(self, entries: object, *words: object) -> Any:
        return self.in_public(entries, "--allow_private_addresses", *words)

    def in_public(self, entries: object, *words: object) -> Any:
        """Runs the command without leave to reach private addresses."""
        index = self.folder / "images.json"
        index.write_text(entries if isinstance(entries, str) else json.dumps(entries))
        flags = ("--images_path", index, "--images_output_directory", self.images, *words)
        return self._run(download_images.main, *flags)

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.images.iterdir()} if self.images.exists() else {}

    def everything(self) -> dict[Path, tuple[int, int]]:
        """Every file below with the moment of its last change and its inode; images.json is written by us."""
        found = ((path, path.stat()) for path in self.folder.rglob("*") if path.name != "images.json")
        return {path: (stat.st_mtime_ns, stat.st_ino) for path, stat in found}

    def outcomes(self) -> dict[str, dict[str, Any]]:
        lines = (self.folder / "images.downloads.jsonl").read_text().splitlines()
        entries = [json.loads(line) for line in lines]
        assert len({entry["id"] for entry in entries}) == len(entries)
        return {entry.pop("id"): entry for entry in entries}

    def ledger(self) -> dict[str, str]:
        lines = self.ledger_path.read_text().splitlines()
        return {entry["item"]: entry["reason"] for entry in map(json.loads, lines)}


@pytest.fixture
def download(tmp_path: Path, run: Callable[..., Any]) -> Download:
    return Download(tmp_path, run)


def test_fetches_every_image_once(site: Site, download: Download) -> None:
    site.pages = {"/a.jpg": RED, "/b.png": PNG}
    site.failures["/b.png"] = 1
    entries = [{"id": "a", "url": site.url("/a.jpg")}, {"id": "b", "url": site.url("/b.png"), "subset": "train"}]
    outcome = download(entries)
    assert outcome.code == 0
    assert "2 images: 2 fetched" in outcome.output
    assert download.files() == {"a.jpg": RED, "b.jpg": PNG}
    assert not download.ledger_path.exists()
    asked = site.requests.total()
    before = download.everything()
    outcome = download(entries)
    assert outcome.code == 0
    assert "0 fetched (0.0 MB), 2 were there already" in outcome.output
    assert "nothing had to be done" in outcome.output
    assert site.requests.total() == asked
    assert download.everything() == before  # nor has any file been written again


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
        "page": "not an image",
        "empty": "empty file",
        "local": "not an http URL",
    }
    assert download(entries, "--max_failures", 4).code == 0
    assert download(entries, "--max-failures=3").code == 3


def test_a_run_mends_what_an_earlier_one_could_not(site: Site, download: Download) -> None:
    entries = [{"id": name, "url": site.url(f"/{name}.jpg")} for name in ("a", "b")]
    site.pages = {"/a.jpg": RED, "/b.jpg": BLUE}
    site.failures["/b.jpg"] = 1
    assert download(entries, "--max_retries", 0).code == 3
    assert download.ledger() == {"b": "HTTP 500"}
    (download.images / "a.jpg").write_bytes(b"")  # a file without content is no image
    assert download(entries).code == 0
    assert download.files() == {"a.jpg": RED, "b.jpg": BLUE}
    assert not download.ledger_path.exists()


def test_every_id_has_its_line(site: Site, download: Download) -> None:
    site.pages = {"/a.jpg": RED}
    download.images.mkdir()
    (download.images / "mine.jpg").write_bytes(PNG)
    names = ("none", "a", "mine")
    download([{"id": name, "url": site.url(f"/{name}.jpg")} for name in names])
    assert list(download.outcomes()) == list(names)
    assert download.outcomes() == {
        "none": {
            "outcome": "failed",
            "url": site.url("/none.jpg"),
            "reason": "HTTP 404",
            "permanent": True,
            "detail": site.url("/none.jpg"),
        },
        "a": {"outcome": "downloaded", "url": site.url("/a.jpg"), "bytes": len(RED), "width": 32, "height": 24},
        "mine": {"outcome": "present", "bytes": len(PNG), "width": 32, "height": 24},
    }


def test_only_what_failed_for_a_passing_reason_is_asked_for_again(site: Site, download: Download) -> None:
    site.pages = {"/busy.jpg": RED, "/a.jpg": RED}
    site.failures["/busy.jpg"] = 99
    entries = [{"id": name, "url": site.url(f"/{name}.jpg")} for name in ("none", "busy", "a")]
    outcome = download(entries, "--max_retries", 0)
    assert outcome.code == 3
    assert "1 failed for a reason that may pass" in outcome.output
    site.requests.clear()
    site.failures.clear()
    site.pages["/none.jpg"] = BLUE  # nobody asks
    outcome = download(entries)
    assert outcome.code == 3
    assert site.requests == {"/busy.jpg": 1}
    assert "1 failed for good in an earlier run" in outcome.output
    assert download.ledger() == {"none": "HTTP 404"}
    assert download(entries, "--retry_permanent").code == 0
    assert site.requests == {"/busy.jpg": 1, "/none.jpg": 1}
    assert not download.ledger_path.exists()


def test_what_failed_at_one_address_is_asked_for_at_another(site: Site, download: Download) -> None:
    site.pages = {"/train/a.jpg": RED}
    entries = [{"id": "a", "subset": "train", "url": site.url("/gone.jpg")}]
    assert download(entries).code == 1
    assert download(entries, "--base_url", site.url("/")).code == 0
    assert download.files() == {"a.jpg": RED}


def test_images_that_join_are_all_that_is_fetched(site: Site, download: Download) -> None:
    site.pages = {f"/{name}.jpg": jpeg(color) for name, color in (("a", "red"), ("b", "blue"), ("c", "green"))}
    entries = [{"id": name, "url": site.url(f"/{name}.jpg")} for name in ("c", "a", "b")]
    assert download(entries[1:]).code == 0
    site.requests.clear()
    outcome = download(entries)
    assert "3 images: 1 fetched" in outcome.output
    assert site.requests == {"/c.jpg": 1}
    assert list(download.outcomes()) == ["c", "a", "b"]
    assert download(entries[:1]).code == 0
    assert list(download.outcomes()) == ["c", "a", "b"]  # what is no longer listed is still known


def test_a_file_that_is_not_as_it_was_is_looked_at(site: Site, download: Download) -> None:
    site.pages = {f"/{name}.jpg": RED for name in ("whole", "cut", "html", "new")}
    entries = [{"id": name, "url": site.url(f"/{name}.jpg")} for name in ("whole", "cut", "html", "new")]
    assert download(entries[:3]).code == 0
    site.requests.clear()
    (download.images / "cut.jpg").write_bytes(RED[:-20])
    (download.images / "html.jpg").write_bytes(b"<html>")
    (download.images / "new.jpg").write_bytes(BLUE[:300])  # somebody's half an image
    outcome = download(entries)
    assert outcome.code == 0
    assert "3 fetched" in outcome.output
    assert site.requests == {"/cut.jpg": 1, "/html.jpg": 1, "/new.jpg": 1}
    assert set(download.files().values()) == {RED}


def test_shrinking_on_arrival(site: Site, download: Download) -> None:
    big, upright = jpeg("red", size=(400, 200)), jpeg("blue", size=(60, 100))
    site.pages = {"/big.jpg": big, "/upright.jpg": upright, "/png.jpg": PNG}
    entries = [{"id": name, "url": site.url(f"/{name}.jpg")} for name in ("big", "upright", "png")]

    def sizes() -> dict[str, tuple[str | None, tuple[int, int]]]:
        images = {name: Image.open(io.BytesIO(content)) for name, content in download.files().items()}
        return {name.removesuffix(".jpg"): (image.format, image.size) for name, image in images.items()}

    assert download(entries, "--max_dimension", 100).code == 0
    assert sizes() == {"big": ("JPEG", (100, 50)), "upright": ("JPEG", (60, 100)), "png": ("JPEG", (32, 24))}
    assert download.files()["upright.jpg"] == upright  # what is small enough stays the bytes it was
    assert download.outcomes()["big"]["shrunk_to"] == 100
    assert "shrunk_to" not in download.outcomes()["upright"]

    site.requests.clear()
    before = download.everything()
    assert "nothing had to be done" in download(entries, "--max_dimension", 100).output
    assert download.everything() == before
    outcome = download(entries, "--max_dimension", 50)  # smaller ones are made of what is there
    assert "2 of those that were there are smaller now" in outcome.output
    assert site.requests.total() == 0
    assert sizes() == {"big": ("JPEG", (50, 25)), "upright": ("JPEG", (30, 50)), "png": ("JPEG", (32, 24))}
    assert download(entries, "--max_dimension", 200).code == 0  # larger ones are not
    assert site.requests == {"/big.jpg": 1, "/upright.jpg": 1}
    assert sizes() == {"big": ("JPEG", (200, 100)), "upright": ("JPEG", (60, 100)), "png": ("JPEG", (32, 24))}
    assert download(entries).code == 0
    assert download.files()["big.jpg"] == big
    assert site.requests == {"/big.jpg": 2, "/upright.jpg": 1}


def test_size_as_open_images_has_it(site: Site, download: Download) -> None:
    site.pages = {"/a.jpg": RED, "/b.jpg": RED}
    sizes = {"a": len(RED), "b": len(RED) + 1}
    entries = [{"id": name, "url": site.url(f"/{name}.jpg"), "original_size": sizes[name]} for name in sizes]
    assert download(entries).code == 3
    assert download.files() == {"a.jpg": RED}
    assert download.ledger() == {"b": "wrong size"}
    assert download(entries, "--url_template", "{url}").code == 0  # asked of copies by nobody


def test_the_image_that_says_there_is_none(site: Site, download: Download) -> None:
    site.pages = {"/pw/images/en-us/photo_unavailable.png": PNG, "/a.jpg": RED}
    site.redirects = {"/gone_o.jpg": site.url("/pw/images/en-us/photo_unavailable.png")}
    entries = [{"id": "gone", "url": site.url("/gone_o.jpg")}, {"id": "a", "url": site.url("/a.jpg")}]
    assert download(entries).code == 3
    assert download.files() == {"a.jpg": RED}
    assert download.ledger() == {"gone": "photo no longer available"}
    assert download.outcomes()["gone"]["permanent"] is True


def test_bytes_in_all_are_bounded(site: Site, download: Download) -> None:
    noise = random.Random(0).randbytes(60 * 1024 * 3)
    buffer = io.BytesIO()
    Image.frombytes("RGB", (240, 256), noise).save(buffer, "JPEG", quality=95)
    content = buffer.getvalue()
    site.pages = {f"/{number}.jpg": content for number in range(20)}
    entries = [{"id": str(number), "url": site.url(f"/{number}.jpg")} for number in range(20)]
    limit = 5.5 * len(content) / 1e9
    outcome = download(entries, "--max_total_gigabytes", limit, "--num_threads", 1)
    assert outcome.code == 3
    assert len(download.files()) == 5
    assert set(download.ledger().values()) == {"total byte limit reached"}
    assert site.requests.total() <= 7
    assert download(entries).code == 0  # the next run goes on
    assert len(download.files()) == 20


def test_inner_services_are_not_asked_on_a_strangers_word(site: Site, download: Download) -> None:
    site.pages = {"/train/a.jpg": RED, "/train/b.jpg": BLUE}
    site.redirects = {"/train/b.jpg": site.url("/train/a.jpg").replace("127.0.0.1", "127.0.0.2")}
    entries = [{"id": name, "subset": "train", "url": site.url(f"/train/{name}.jpg")} for name in ("a", "b")]
    assert download.in_public(entries).code == 1
    assert download.ledger() == {"a": "private address", "b": "private address"}
    assert site.requests.total() == 0
    # A host that the command line names is meant; where it redirects to is not.
    assert download.in_public(entries, "--base_url", site.url("")).code == 3
    assert download.files() == {"a.jpg": RED}
    assert download.ledger() == {"b": "private address"}
    assert site.requests == {"/train/a.jpg": 1, "/train/b.jpg": 1}


def test_two_runs_do_not_write_into_one_folder(site: Site, download: Download) -> None:
    download.images.mkdir()
    holder = subprocess.Popen(
        [sys.executable, "-c", "import fcntl, os, sys, time\n"
         "fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX); print('held', flush=True); time.sleep(60)",
         str(download.images)],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdout is not None
    try:
        holder.stdout.readline()
        outcome = download([{"id": "a", "url": site.url("/a.jpg")}])
    finally:
        holder.kill()
        holder.wait()
    assert outcome.code == 1
    assert "another run is at work in" in outcome.error
    assert site.requests.total() == 0


def test_what_a_killed_run_left_half_written_is_removed(site: Site, download: Download) -> None:
    site.pages = {"/a.jpg": RED}
    entries = [{"id": "a", "url": site.url("/a.jpg")}]
    download.images.mkdir()
    left = [
        download.images / ".partial-a.jpg",
        download.folder / ".partial-0123456789ab-images.downloads.jsonl",
        download.folder / ".partial-0123456789ab-images.rejected.jsonl",
    ]
    others = [download.folder / ".partial-0123456789ab-train.record", download.images / "notes.txt"]
    for path in (*left, *others):
        path.write_bytes(RED[:100])
    assert download(entries).code == 0
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in others)


def test_a_log_that_is_none_of_ours(site: Site, download: Download) -> None:
    path = download.folder / "images.downloads.jsonl"
    for content in ('{"id": "a", "outcome": "bought"}\n', "hello\n", "[1]\n", "x" * 300_000, '{"id": 7}\n'):
        path.write_text(content)
        outcome = download([{"id": "a", "url": site.url("/a.jpg")}])
        assert outcome.code == 2
        assert "images.downloads.jsonl:1: no line of this command's" in outcome.error
        assert outcome.error.count("\n") == 1
        assert path.read_text() == content


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


def test_an_image_without_a_url_is_a_failure_of_its_own(site: Site, download: Download) -> None:
    site.pages = {"/a.jpg": RED, "/train/b.jpg": BLUE}
    first = {"id": "a", "url": site.url("/a.jpg"), "subset": "train"}
    entries = [first, {"id": "b", "subset": "train"}, {"id": "c", "url": ""}]
    outcome = download(entries)
    assert outcome.code == 3
    assert "3 images: 1 fetched" in outcome.output
    assert "2 rejected (2 no URL; " in outcome.output
    assert download.files() == {"a.jpg": RED}
    assert download.ledger() == {"b": "no URL", "c": "no URL"}
    assert "--base_url" in download.outcomes()["b"]["detail"]
    outcome = download(entries)
    assert "2 failed for good in an earlier run" in outcome.output
    assert download(entries[:2], "--base_url", site.url()).code == 0  # which needs no URL
    assert download.files() == {"a.jpg": RED, "b.jpg": BLUE}
    assert download(entries[1:], "--url_template", "{url}").code == 3
    assert download.ledger() == {"c": "no URL"}  # b is there


def test_a_password_in_a_url_is_in_no_file_and_no_output(site: Site, download: Download) -> None:
    site.pages = {"/a.jpg": RED, "/page.jpg": b"<html>", "/train/a.jpg": RED}
    host = site.url("").removeprefix("http://")
    secret = f"http://user:secret@{host}"
    site.redirects["/moved.jpg"] = f"{secret}/none.jpg"
    entries = [
        {"id": name, "url": f"{secret}/{name}.jpg", "subset": "train"} for name in ("a", "gone", "page", "moved")
    ]
    entries += [
        {"id": "odd", "url": "ftp://user:secret@h/odd.jpg"},
        {"id": "bad", "url": "http://user:secret@h:port/"},
        {"id": "nowhere", "url": "http://user:secret@127.0.0.1:1/a.jpg"},
    ]
    first = download(entries, "--max_retries", 0)
    again = download(entries, "--max_retries", 0)
    assert "1 fetched" in first.output
    assert "5 failed for good in an earlier run" in again.output  # so the masked URL is known again
    outcomes = download.outcomes()
    assert outcomes["a"]["url"] == f"http://***@{host}/a.jpg"
    assert outcomes["gone"]["url"] == f"http://***@{host}/gone.jpg"
    bases = [download(entries[:2], "--base_url", base) for base in (secret, "ftp://user:secret@h")]
    bases.append(download(entries[:2], "--url_template", f"{secret}/{{name}}.jpg"))
    bases.append(download(entries[:2], "--bas_url", secret))
    assert [outcome.code for outcome in bases] == [3, 2, 2, 2]
    for outcome in (first, again, *bases):
        assert "secret" not in outcome.output + outcome.error
    for path in (download.ledger_path, download.folder / "images.downloads.jsonl"):
        assert "secret" not in path.read_text()
        assert "***@" in path.read_text()


def test_nothing_at_all_can_be_fetched(site: Site, download: Download) -> None:
    outcome = download([{"id": "a", "url": site.url("/none.jpg")}], "--max_failures", 10)
    assert outcome.code == 1
    assert outcome.error.count("\n") == 1
    assert "none of the 1 images" in outcome.error


@pytest.mark.parametrize(
    ("entries", "code", "message"),
    [
        ([{"id": "../../escape", "url": "http://localhost/a.jpg"}], 2, "item 1: image id '../../escape'"),
        ([{"id": "a/b", "url": "http://localhost/a.jpg"}], 2, "'a/b'"),
        ([{"url": "http://localhost/a.jpg"}], 2, "item 1: image id None"),
        ([{"id": "a", "url": 7}], 2, "'url' must be a text"),
        ([{"id": "a", "url": "http://x/" + "a" * 10_000}], 2, "10009 characters"),
        ([{"id": "a", "url": "http://x/", "original_size": "7"}], 2, "'original_size' must be a number"),
        ([{"id": "a", "url": "http://x/"}, {"id": "a", "url": "http://y/"}], 2, "item 2: image id 'a' comes twice"),
        ({"id": "a"}, 2, "JSON array"),
        (["a"], 2, "item 1"),
        ("[{", 2, "not JSON"),
        ([], 1, "no images"),
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
        ["--base_url", "ftp://localhost/"],
        ["--base_url", "http://"],
        ["--base_url", "http://localhost/", "--url_template", "http://localhost/{id}.jpg"],
        ["--max_total_gigabytes", "0"],
        ["--max_dimension", "0"],
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
        assert "cannot write images" in outcome.error
        assert outcome.error.count("\n") == 1
