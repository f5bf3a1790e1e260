from __future__ import annotations

import email.utils
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_prep.downloading.http_connections import is_public_address
from data_prep.downloading.http_download import USER_AGENT, Downloader, DownloadError, DownloadLimits, Fetched
from data_prep.downloading.parallel_download import ParallelDownload
from tests.data_prep import loopback_site

BODY = b"image" * 1000
LIMITS = DownloadLimits(
    timeout_seconds=1.5,
    connect_timeout_seconds=0.6,
    max_bytes=100_000,
    max_retries=2,
    allow_private_addresses=True,
)


class Site(loopback_site.Site):
    """A server on loopback that misbehaves by path, and remembers what it was asked."""

    def __init__(self) -> None:
        self.handler = Handler
        super().__init__()
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.clients: set[object] = set()


class Handler(loopback_site.SilentHandler):
    server: Site

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def get(self) -> None:
        name, _, argument = self.path.strip("/").partition("/")
        self.server.requests[name] += 1
        self.server.headers.append(dict(self.headers))
        self.server.times.append(time.monotonic())
        self.server.clients.add(self.client_address)
        getattr(self, f"get_{name}")(argument)

    def get_ok(self, _: str) -> None:
        self.answer(200, BODY, Set_Cookie="tracker=1; Path=/")

    def get_status(self, status: str) -> None:
        self.answer(int(status))

    def get_fails(self, times: str) -> None:
        self.answer(503 if self.server.requests["fails"] <= int(times) else 200, BODY)

    def get_busy(self, _: str) -> None:
        if self.server.requests["busy"] == 1:
            self.answer(429, Retry_After="1")
        else:
            self.answer(200, BODY)

    def get_busy_until_a_date(self, _: str) -> None:
        if self.server.requests["busy_until_a_date"] == 1:
            self.answer(503, Retry_After=email.utils.formatdate(time.time() + 2, usegmt=True))
        else:
            self.answer(200, BODY)

    def get_busy_for_an_hour(self, _: str) -> None:
        self.answer(503, Retry_After="3600")

    def get_endless_header(self, _: str) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Name: ")
        self.drip(b"x", 0.05)

    def get_endless_chunk_size(self, _: str) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.drip(b"0", 0.05)

    def get_to_private(self, _: str) -> None:
        self.answer(302, Location=f"http://127.0.0.2:{self.server.server_address[1]}/ok")

    def get_redirect(self, target: str) -> None:
        self.answer(302, Location=f"/{target}")

    def get_loop(self, _: str) -> None:
        self.answer(302, Location="/loop")

    def get_to_file(self, _: str) -> None:
        self.answer(302, Location="file:///etc/hostname")

    def get_silent(self, _: str) -> None:
        self.server.done.wait(10)

    def drip(self, chunk: bytes, seconds: float) -> None:
        while not self.server.done.wait(seconds):
            self.wfile.write(chunk)

    def get_dripping(self, _: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.drip(b"x", 0.05)

    def get_endless(self, _: str) -> None:
        self.send_response(200)
        self.end_headers()
        self.drip(b"x" * 20_000, 0.0)

    def get_endless_redirect(self, _: str) -> None:
        self.send_response(302)
        self.send_header("Location", "/ok")
        self.end_headers()
        self.drip(b"x" * 20_000, 0.0)

    def get_huge(self, _: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "99999999999")
        self.end_headers()

    def get_broken_off(self, _: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY[:100])
        self.close_connection = True

    def get_hang_up(self, _: str) -> None:
        self.close_connection = True

    def get_chunked(self, _: str) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start in range(0, len(BODY), 999):
            part = BODY[start : start + 999]
            self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")


@pytest.fixture
def site() -> Iterator[Site]:
    with Site().running() as server:
        yield server


def download(downloader: Downloader, url: str, stop: threading.Event | None = None) -> list[Fetched | DownloadError]:
    parallel = ParallelDownload(
        downloader, url_of=str, accept=lambda _, fetched: fetched, reject=lambda _, error: error
    )
    return list(parallel.run([url], num_threads=1, max_per_host=1, stop=stop or threading.Event()))


def fetch(url: str, limits: DownloadLimits = LIMITS) -> Fetched:
    """Fetches one URL with all its retries."""
    [result] = download(Downloader(limits), url)
    if isinstance(result, DownloadError):
        raise result
    return result


def reason_of(url: str, limits: DownloadLimits = LIMITS) -> str:
    with pytest.raises(DownloadError) as caught:
        fetch(url, limits)
    assert url.split(":", maxsplit=1)[0] in caught.value.detail  # every message says which URL
    return caught.value.reason


@pytest.mark.parametrize("path", ["ok", "chunked", "redirect/ok", "redirect/redirect/redirect/ok"])
def test_fetches_the_body(site: Site, path: str) -> None:
    assert fetch(site.url(path)).content == BODY


def test_says_who_asks_and_keeps_no_cookies(
    site: Site, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path_factory.mktemp("home") / "netrc"
    netrc.write_text("default login someone password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    downloader = Downloader(LIMITS)
    downloader.fetch(site.url("ok"))
    downloader.fetch(site.url("ok"))
    for headers in site.headers:
        assert headers["User-Agent"] == USER_AGENT
        assert "Cookie" not in headers
        assert "Authorization" not in headers


def test_a_failure_that_passes_is_tried_again(site: Site) -> None:
    assert fetch(site.url("fails/2")).content == BODY
    assert site.requests["fails"] == 3


def test_tries_come_to_an_end_and_wait_longer_each_time(site: Site) -> None:
    assert reason_of(site.url("fails/99")) == "HTTP 503"
    assert site.requests["fails"] == 3
    first, second = (later - earlier for earlier, later in zip(site.times, site.times[1:], strict=False))
    assert 0.24 < first < second


def test_a_server_that_asks_to_wait_is_obeyed(site: Site) -> None:
    assert fetch(site.url("busy")).content == BODY
    assert site.times[1] - site.times[0] >= 0.99


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_final_status_is_not_tried_again(site: Site, status: int) -> None:
    assert reason_of(site.url(f"status/{status}")) == f"HTTP {status}"
    assert site.requests["status"] == 1


@pytest.mark.parametrize(
    ("path", "reason", "tries"),
    [
        ("loop", "too many redirects", 6),
        ("to_file", "not an http URL", 1),
        ("endless", "too many bytes", 1),
        ("huge", "too many bytes", 1),
    ],
)
def test_what_has_no_end_or_leads_elsewhere_is_refused_at_once(site: Site, path: str, reason: str, tries: int) -> None:
    assert reason_of(site.url(path)) == reason
    assert site.requests[path] == tries


def test_the_body_of_a_redirect_is_not_read(site: Site) -> None:
    start = time.monotonic()
    assert fetch(site.url("endless_redirect")).content == BODY
    assert time.monotonic() - start < 1


@pytest.mark.parametrize("path", ["silent", "dripping"])
def test_a_slow_server_times_out(site: Site, path: str) -> None:
    limits = DownloadLimits(
        timeout_seconds=0.8, connect_timeout_seconds=0.4, max_retries=1, allow_private_addresses=True
    )
    start = time.monotonic()
    assert reason_of(site.url(path), limits) == "timed out"
    assert site.requests[path] == 2
    assert time.monotonic() - start < 4


@pytest.mark.parametrize("path", ["broken_off", "hang_up"])
def test_a_broken_connection_is_tried_again(site: Site, path: str) -> None:
    assert reason_of(site.url(path)) in ("connection broken off", "connection failed")
    assert site.requests[path] == 3


def test_a_server_that_is_down() -> None:
    closed = Site()
    url = closed.url("ok")
    closed.server_close()
    assert reason_of(url, DownloadLimits(max_retries=0, allow_private_addresses=True)) == "connection failed"


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://localhost/a.jpg", "a.jpg", "data:image/png;base64,AA"])
def test_only_http_is_fetched(url: str) -> None:
    assert reason_of(url) == "not an http URL"


@pytest.mark.parametrize("url", ["http://", "http://[::1", "http://a b/"])
def test_a_url_that_is_none(url: str) -> None:
    assert reason_of(url, DownloadLimits(max_retries=0, connect_timeout_seconds=0.5)) == "bad URL"


def test_stopping_ends_the_wait_between_tries(site: Site) -> None:
    stop = threading.Event()
    downloader = Downloader(DownloadLimits(max_retries=100, allow_private_addresses=True), stop=stop)
    threading.Timer(0.5, stop.set).start()
    start = time.monotonic()
    assert download(downloader, site.url("status/500"), stop) == []
    assert time.monotonic() - start < 2


@pytest.mark.parametrize("path", ["endless_header", "endless_chunk_size"])
def test_a_server_that_sends_a_byte_now_and_then_times_out(site: Site, path: str) -> None:
    # Each byte comes in time; only the whole does not.
    limits = DownloadLimits(timeout_seconds=0.8, max_retries=0, allow_private_addresses=True)
    start = time.monotonic()
    assert reason_of(site.url(path), limits) == "timed out"
    assert time.monotonic() - start < 2


def test_stopping_breaks_off_an_answer_under_way(site: Site) -> None:
    stop = threading.Event()
    downloader = Downloader(DownloadLimits(allow_private_addresses=True), stop=stop)
    threading.Timer(0.3, stop.set).start()
    start = time.monotonic()
    with pytest.raises(DownloadError, match="stopped"):
        downloader.fetch(site.url("silent"))
    assert time.monotonic() - start < 2


def test_a_date_to_come_back_at_is_obeyed(site: Site) -> None:
    assert fetch(site.url("busy_until_a_date")).content == BODY
    assert site.times[1] - site.times[0] >= 0.9


def test_nobody_waits_for_an_hour(site: Site) -> None:
    start = time.monotonic()
    with pytest.raises(DownloadError) as caught:
        fetch(site.url("busy_for_an_hour"))
    assert caught.value.reason == "HTTP 503"
    assert "asks to wait 3600 s" in caught.value.detail
    assert not caught.value.permanent
    assert site.requests["busy_for_an_hour"] == 1
    assert time.monotonic() - start < 2


@pytest.mark.parametrize(
    ("path", "permanent"),
    [
        ("status/404", True),
        ("status/410", True),
        ("status/403", True),
        ("status/500", False),
        ("status/502", False),
        ("status/429", False),
        ("loop", True),
        ("to_file", True),
        ("hang_up", False),
        ("huge", False),
    ],
)
def test_what_may_pass_and_what_may_not(site: Site, path: str, permanent: bool) -> None:
    limits = DownloadLimits(max_bytes=100_000, max_retries=0, allow_private_addresses=True)
    with pytest.raises(DownloadError) as caught:
        fetch(site.url(path), limits)
    assert caught.value.permanent is permanent


def test_connections_are_used_again(site: Site) -> None:
    downloader = Downloader(LIMITS)
    for path in ("ok", "redirect/ok", "chunked", "ok"):
        downloader.fetch(site.url(path))
    with pytest.raises(DownloadError):
        downloader.fetch(site.url("status/404"))
    downloader.fetch(site.url("ok"))
    assert len(site.clients) == 1


def test_bytes_in_all_are_bounded(site: Site) -> None:
    limits = DownloadLimits(max_total_bytes=int(2.5 * len(BODY)), allow_private_addresses=True)
    downloader = Downloader(limits)
    downloader.fetch(site.url("ok"))
    downloader.fetch(site.url("ok"))
    for _ in range(2):
        with pytest.raises(DownloadError) as caught:
            downloader.fetch(site.url("ok"))
        assert caught.value.reason == "total byte limit reached"
        assert not caught.value.permanent
    assert site.requests["ok"] == 3


def test_private_addresses_are_refused_before_they_are_connected_to(site: Site) -> None:
    limits = DownloadLimits(max_retries=0, connect_timeout_seconds=2, trusted_hosts=frozenset({"127.0.0.1"}))
    port = site.server_address[1]
    for host in ("localhost", "127.0.0.2", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "10.0.0.1", "2130706433"):
        start = time.monotonic()
        assert reason_of(f"http://{host}:{port}/ok", limits) == "private address"
        assert time.monotonic() - start < 1.5
    assert not site.clients
    assert fetch(site.url("ok"), limits).content == BODY  # it was named
    assert reason_of(site.url("to_private"), limits) == "private address"


@pytest.mark.parametrize(
    ("host", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("example.org", True),
        ("LOCALHOST.", False),
        ("0.0.0.0", False),
        ("100.64.0.1", False),
        ("192.168.1.1", False),
        ("224.0.0.1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::5db8:d70e", True),
        ("2002:7f00:1::", False),
    ],
)
def test_which_addresses_are_public(host: str, public: bool) -> None:
    assert is_public_address(host) is public


def test_certificates_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = [
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
        "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate),
    ]  # fmt: skip
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on the path: it makes a certificate")
    subprocess.run(command, check=True, capture_output=True)
    server = Site()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with server.running():
        url = f"https://localhost:{server.server_address[1]}/ok"
        assert reason_of(url) == "certificate refused"
        assert server.requests.total() == 0
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        assert fetch(url).content == BODY
        other_name = url.replace("localhost", "127.0.0.1")
        assert reason_of(other_name) == "certificate refused"
