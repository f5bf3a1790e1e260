"""Downloader of one URL over http or https, with bounds on time, bytes and redirects."""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import urllib3

from data_prep.downloading.download_errors import DownloadError, TransientError
from data_prep.downloading.http_connections import Attempt, ConnectionPools, Watchdog
from data_prep.downloading.retry_after import retry_after_seconds

USER_AGENT = "object-detection-road/0.1 (data set preparation; python-urllib3)"
MAX_REDIRECTS = 5
_CHUNK_BYTES = 256 * 1024
_DRAINED_BYTES = 64 * 1024  # of an unused answer: for more, a new connection costs less
_START_BYTES = 32
_RETRIED_STATUSES = frozenset({408, 425, 429})  # and all from 500
_HEADERS = {"User-Agent": USER_AGENT, "Accept": "image/*", "Accept-Encoding": "identity"}


@dataclass(frozen=True)
class DownloadLimits:
    """Bounds on what is fetched.

    Attributes:
        timeout_seconds: Of one try, from its start to its last byte.
        connect_timeout_seconds: Until the server answers at all, and between two of its bytes.
        max_bytes: Of one body.
        max_retries: After the first try.
        max_total_bytes: Of all bodies together, those that turn out useless among them; None for any.
        connections_per_host: How many are kept open.
        allow_private_addresses: Whether URLs may lead to addresses that are not the public internet's. A URL in a data
            set come from outside, and could otherwise make us send requests to an inner service.
        trusted_hosts: Hosts, in lower case, that may have such an address nevertheless.
    """

    timeout_seconds: float = 60.0
    connect_timeout_seconds: float = 10.0
    max_bytes: int = 64 * 1024 * 1024
    max_retries: int = 3
    max_total_bytes: int | None = None
    connections_per_host: int = 100
    allow_private_addresses: bool = False
    trusted_hosts: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Fetched:
    """A body and where it came from.

    Attributes:
        content: The body.
        url: Where the last redirect led to.
        complete: Whether the server said how long the body is, so that its end is known to be the end.
    """

    content: bytes
    url: str
    complete: bool


class Downloader:
    """Fetches URLs from any number of threads, which share open connections."""

    def __init__(self, limits: DownloadLimits, *, stop: threading.Event | None = None) -> None:
        """Prepares to fetch.

        Args:
            limits: Bounds on each URL and on all.
            stop: Once set, no try is begun, and bodies are broken off.
        """
        self.limits = limits
        self._stop = stop or threading.Event()
        self._watchdog = Watchdog(self._stop)
        self._pools = ConnectionPools(limits.connections_per_host)
        self._lock = threading.Lock()
        self._received_bytes = 0

    @property
    def received_bytes(self) -> int:
        """How many bytes of bodies have come, those of failed tries among them."""
        return self._received_bytes

    def fetch(self, url: str, *, check_start: Callable[[bytes, str], None] | None = None) -> Fetched:
        """Returns the body at `url`, in one try.

        Args:
            url: Where the body lies.
            check_start: Gets the body's first bytes and its URL before the rest is read; may raise `DownloadError`.

        Raises:
            TransientError: It failed, but a retry may succeed: connection failures, time-outs, broken-off
                bodies and the statuses 408, 425, 429 and 5xx.
            DownloadError: It failed for good.
        """
        if self._stop.is_set():
            raise DownloadError("stopped", url, permanent=False)
        self._count(0, url)
        attempt = Attempt(url, time.monotonic() + self.limits.timeout_seconds, allow_private=True)
        try:
            with self._watchdog.watching(attempt):
                fetched = self._follow(url, attempt, check_start)
        except TransientError as error:
            if attempt.expired:
                raise self._out_of_time(url) from error
            raise
        if attempt.expired:  # what was shut may look like a body's end
            raise self._out_of_time(url)
        return fetched

    def _follow(self, first_url: str, attempt: Attempt, check_start: Callable[[bytes, str], None] | None) -> Fetched:
        url, reading = first_url, False
        between_bytes = min(self.limits.connect_timeout_seconds, self.limits.timeout_seconds)
        try:
            for _ in range(MAX_REDIRECTS + 1):
                attempt.url, attempt.allow_private = url, self._may_be_private(url)
                with contextlib.closing(self._pools.get(url, _HEADERS, between_bytes)) as response:
                    target = response.get_redirect_location()
                    if not target:
                        _check_status(response, url)
                        reading = True
                        return self._read(response, url, attempt, check_start)
                    _drain(response)
                url = urljoin(url, target)
            raise DownloadError("too many redirects", f"{first_url}: more than {MAX_REDIRECTS}")
        except urllib3.exceptions.NewConnectionError as error:  # to urllib3, one of the time-outs
            raise TransientError("connection failed", f"{url}: {error}") from error
        except urllib3.exceptions.TimeoutError as error:
            raise TransientError("timed out", f"{url}: nothing came for {between_bytes:g} s") from error
        except urllib3.exceptions.SSLError as error:
            if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in (*error.args, error.__cause__)):
                # Not a matter of seconds, but of a clock or a list of authorities that may be put right.
                raise DownloadError("certificate refused", f"{url}: {error}", permanent=False) from error
            raise TransientError("connection failed", f"{url}: {error}") from error
        except (urllib3.exceptions.LocationValueError, ValueError) as error:  # a URL or a redirect that is none
            raise DownloadError("bad URL", f"{url!r}: {error}") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            reason = "connection broken off" if reading else "connection failed"
            raise TransientError(reason, f"{url}: {error}") from error

    def _may_be_private(self, url: str) -> bool:
        """Checks where `url` leads; raises ValueError where it is none."""
        parts = urlsplit(url)
        if parts.scheme.lower() not in ("http", "https"):
            raise DownloadError("not an http URL", f"{url!r}: only http and https are fetched")
        if not parts.hostname:
            raise ValueError("it names no host")
        return self.limits.allow_private_addresses or parts.hostname in self.limits.trusted_hosts

    def _read(
        self,
        response: urllib3.BaseHTTPResponse,
        url: str,
        attempt: Attempt,
        check_start: Callable[[bytes, str], None] | None,
    ) -> Fetched:
        limit = f"{self.limits.max_bytes / 2**20:g} MiB"
        too_large = DownloadError("too many bytes", f"{url}: more than {limit}", permanent=False)
        text = response.headers.get("Content-Length", "")
        announced = int(text) if text.isdecimal() and len(text) < 20 else None
        if announced is not None and announced > self.limits.max_bytes:
            raise too_large
        body = bytearray()
        # read1() returns what has come; read(n) would wait for n bytes, for hours on a server that sends one a second.
        # What a server compresses unasked is not unpacked: it could be a bomb, and images gain nothing by it.
        while chunk := response.read1(_CHUNK_BYTES, decode_content=False):
            body += chunk
            self._count(len(chunk), url)
            if len(body) > self.limits.max_bytes:
                raise too_large
            if check_start is not None and len(body) >= _START_BYTES:
                check_start(bytes(body[:_START_BYTES]), url)
                check_start = None
            if self._stop.is_set():
                raise DownloadError("stopped", url, permanent=False)
            if time.monotonic() > attempt.deadline:
                raise self._out_of_time(url)
        if announced is not None and len(body) < announced:
            raise TransientError("connection broken off", f"{url}: {len(body)} of {announced} bytes came")
        chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
        return Fetched(bytes(body), url, complete=announced is not None or chunked)

    def _count(self, num_bytes: int, url: str) -> None:
        with self._lock:
            self._received_bytes += num_bytes
            total = self._received_bytes
        limit = self.limits.max_total_bytes
        if limit is not None and total >= limit:
            raise DownloadError(
                "total byte limit reached", f"{url}: {limit / 1e9:g} GB have come in all", permanent=False
            )

    def _out_of_time(self, url: str) -> DownloadError:
        if self._stop.is_set():
            return DownloadError("stopped", url, permanent=False)
        return TransientError("timed out", f"{url}: no end after {self.limits.timeout_seconds:g} s")


def _check_status(response: urllib3.BaseHTTPResponse, url: str) -> None:
    status = response.status
    if status == 200:
        return
    _drain(response)
    if status in _RETRIED_STATUSES or status >= 500:
        asked = retry_after_seconds(response.headers.get("Retry-After", ""))
        raise TransientError(f"HTTP {status}", url, retry_after_seconds=asked, status=status)
    raise DownloadError(f"HTTP {status}", url, permanent=status != 407)


def _drain(response: urllib3.BaseHTTPResponse) -> None:
    """Reads a short unused body, so that the connection can be used again."""
    text = response.headers.get("Content-Length", "")
    if text.isdecimal() and len(text) < 10 and int(text) <= _DRAINED_BYTES:
        response.read(decode_content=False)
