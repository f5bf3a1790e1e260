"""A large file over http: faults, resumption and verification."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_prep.preparing import release_requests
from data_prep.preparing.file_download import fetch
from data_prep.preparing.release_requests import ask, new_session
from data_prep.runtime.command_line import UserError
from tests.data_prep.preparing.open_images_site import Handler, OpenImagesSite

ROOT = Path(__file__).resolve().parents[3]
CONTENT = os.urandom(3_000_000)
PATH = "/openimages/boxes.csv"
FETCH = """
import sys
from pathlib import Path
from data_prep.preparing.file_download import fetch
from data_prep.preparing.release_requests import ask, new_session
session = new_session()
fetch(session, ask(session, sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.fixture
def site() -> Iterator[OpenImagesSite]:
    with OpenImagesSite().running() as running:
        assert isinstance(running, OpenImagesSite)
        running.put("boxes.csv", CONTENT)
        yield running


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Notes how long a fetch would have waited between tries."""
    waited: list[float] = []
    clock = types.SimpleNamespace(monotonic=time.monotonic, time=time.time, sleep=waited.append)
    monkeypatch.setattr(release_requests, "time", clock)
    return waited


def fetched(site: OpenImagesSite, target: Path) -> bytes:
    session = new_session()
    fetch(session, ask(session, site.url(PATH)), target)
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    return target.read_bytes()


def cut_after(num_bytes: int, *, start: int = 0) -> object:
    """A fault: the connection ends in the middle of the body."""

    def fault(handler: Handler, content: bytes) -> None:
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(content) - start))
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        handler.send_headers_of(content)
        handler.end_headers()
        handler.wfile.write(content[start : start + num_bytes])
        handler.close_connection = True
        handler.connection.shutdown(socket.SHUT_RDWR)

    return fault


def failing(status: int, **headers: str) -> object:
    return lambda handler, content: handler.fail(status, **headers)


def test_a_file_is_asked_for_and_fetched(site: OpenImagesSite, tmp_path: Path):
    remote = ask(new_session(), site.url(PATH))
    assert remote.num_bytes == len(CONTENT)
    assert remote.md5 == hashlib.md5(CONTENT).hexdigest()
    assert remote.crc32c is not None
    assert fetched(site, tmp_path / "new" / "boxes.csv") == CONTENT


def test_a_connection_that_breaks_off_goes_on_where_it_was(site: OpenImagesSite, tmp_path: Path):
    site.faults["GET", PATH] = [cut_after(1_000_000), cut_after(1_500_000, start=1_000_000)]
    assert fetched(site, tmp_path / "boxes.csv") == CONTENT
    assert site.ranges == [(PATH, ""), (PATH, "bytes=1000000-"), (PATH, "bytes=2500000-")]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_asks_to_wait_is_obeyed(
    site: OpenImagesSite, tmp_path: Path, status: int, no_pauses: list[float], capsys: pytest.CaptureFixture[str]
):
    site.faults["GET", PATH] = [failing(status, Retry_After="7")]
    assert fetched(site, tmp_path / "boxes.csv") == CONTENT
    assert no_pauses == [7.0]
    assert f"boxes.csv: HTTP {status}; trying again in 7 s" in capsys.readouterr().out


def test_a_server_that_asks_to_wait_for_hours_is_left(site: OpenImagesSite, tmp_path: Path, no_pauses: list[float]):
    site.faults["GET", PATH] = [failing(503, Retry_After="7200")]
    with pytest.raises(UserError, match="HTTP 503, and asks to wait for 7200 s"):
        fetched(site, tmp_path / "boxes.csv")
    assert no_pauses == []


def test_a_server_that_always_fails_is_given_up(site: OpenImagesSite, tmp_path: Path):
    site.faults["GET", PATH] = [failing(500)] * 100
    with pytest.raises(UserError, match=r"boxes.csv: HTTP 500; given up after 6 tries"):
        fetched(site, tmp_path / "boxes.csv")


def test_a_file_that_is_not_there_is_named_at_once(site: OpenImagesSite):
    with pytest.raises(UserError, match=r"/openimages/other.csv: HTTP 404"):
        ask(new_session(), site.url("/openimages/other.csv"))
    assert site.requests["HEAD", "/openimages/other.csv"] == 1


def test_a_server_without_head_requests_is_asked_by_get(site: OpenImagesSite, tmp_path: Path):
    site.faults["HEAD", PATH] = [failing(405)]
    assert ask(new_session(), site.url(PATH)).num_bytes == len(CONTENT)


def test_a_server_that_is_not_there_is_named(no_pauses: list[float]):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(UserError, match=r"no answer \(ConnectionRefusedError.*given up after 6 tries"):
        ask(new_session(), f"http://127.0.0.1:{port}/boxes.csv")
    assert len(no_pauses) == 5


def test_a_file_that_changes_during_a_resume_is_fetched_anew(site: OpenImagesSite, tmp_path: Path):
    other = os.urandom(2_000_000)

    def cut_and_change(handler: Handler, content: bytes) -> None:
        site.put("boxes.csv", other)
        cut_after(1_000_000)(handler, content)  # type: ignore[operator]

    site.faults["GET", PATH] = [cut_and_change]
    assert fetched(site, tmp_path / "boxes.csv") == other


def test_a_server_that_takes_no_ranges_is_asked_for_all_again(site: OpenImagesSite, tmp_path: Path):
    site.takes_ranges = False
    site.faults["GET", PATH] = [cut_after(1_000_000)]
    assert fetched(site, tmp_path / "boxes.csv") == CONTENT


def test_what_has_another_md5_is_fetched_once_more_and_refused(site: OpenImagesSite, tmp_path: Path):
    def lie(handler: Handler, content: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.send_headers_of(content, md5_of=b"other")
        handler.end_headers()
        if handler.command == "GET":
            handler.wfile.write(content)

    site.faults["HEAD", PATH] = [lie]
    site.faults["GET", PATH] = [lie, lie]
    with pytest.raises(UserError, match=r"what came has the MD5 .*, the server says .*, twice"):
        fetched(site, tmp_path / "boxes.csv")
    assert not list(tmp_path.iterdir())
    site.faults["GET", PATH] = [lie]  # a passing fault: the second time is right
    assert fetched(site, tmp_path / "boxes.csv") == CONTENT


def test_a_body_damaged_on_the_way_is_noticed(site: OpenImagesSite, tmp_path: Path):
    def damage(handler: Handler, content: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.send_headers_of(content)
        handler.end_headers()
        handler.wfile.write(content[:-1] + bytes([content[-1] ^ 1]))

    site.faults["GET", PATH] = [damage]
    assert fetched(site, tmp_path / "boxes.csv") == CONTENT
    assert site.requests["GET", PATH] == 2


def test_a_server_that_drips_is_not_waited_for(
    site: OpenImagesSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(release_requests, "_SECONDS_OF_A_LOOK", 0.2)

    def drip(handler: Handler, content: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.send_headers_of(content)
        handler.end_headers()
        for number in range(200):
            handler.wfile.write(content[number : number + 1])
            if handler.server.done.wait(0.02):
                break

    site.faults["GET", PATH] = [drip]
    assert fetched(site, tmp_path / "boxes.csv") == CONTENT
    assert "less than 1000 bytes a second came" in capsys.readouterr().out


@pytest.mark.parametrize("changes", [False, True])
def test_killed_in_the_middle_a_fetch_goes_on(site: OpenImagesSite, tmp_path: Path, changes: bool):
    site.bytes_at_a_time, site.pause_seconds = 20_000, 0.02
    target = tmp_path / "boxes.csv"
    words = [sys.executable, "-c", FETCH, site.url(PATH), str(target)]
    process = subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(ROOT)})
    part = tmp_path / ".partial-boxes.csv"
    deadline = time.monotonic() + 20
    while not (part.exists() and part.stat().st_size > 300_000):
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGKILL)
    process.wait()
    came = part.stat().st_size
    site.bytes_at_a_time = 0
    site.ranges.clear()
    if changes:
        site.put("boxes.csv", CONTENT[::-1])
    assert fetched(site, target) == (CONTENT[::-1] if changes else CONTENT)
    assert site.ranges == [(PATH, "" if changes else f"bytes={came}-")]


def test_a_password_is_not_told(site: OpenImagesSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    site.faults["GET", PATH] = [failing(500)]
    session = new_session()
    url = site.url(PATH).replace("//", "//me:secret@")
    fetch(session, ask(session, url), tmp_path / "boxes.csv")
    assert "secret" not in capsys.readouterr().out
