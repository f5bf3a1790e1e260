"""Fetching one URL: over http or https, with bounds on time, bytes, redirects and retries."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

USER_AGENT = "object-detection-road/0.1 (data set preparation; python-requests)"
MAX_REDIRECTS = 5
MAX_RETRY_AFTER_SECONDS = 60.0
FIRST_BACK_OFF_SECONDS = 0.5
MAX_BACK_OFF_SECONDS = 20.0
_CHUNK_BYTES = 64 * 1024
_RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


class DownloadError(Exception):
    """A URL that could not be fetched.

    Attributes:
        reason: A few words from a small fixed set, for counting.
        detail: What was seen.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class _RetryableError(DownloadError):
    """A failure that another try may mend.

    Attributes:
        retry_after_seconds: What the server asked to wait, if it did.
    """

    def __init__(self, reason: str, detail: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(reason, detail)
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True)
class DownloadLimits:
    """Bounds on one URL.

    Attributes:
        timeout_seconds: Of one try, from its start to its last byte.
        connect_timeout_seconds: Until the server answers at all, and between two of its bytes.
        max_bytes: Of the body.
        max_retries: After the first try.
    """

    timeout_seconds: float = 60.0
    connect_timeout_seconds: float = 10.0
    max_bytes: int = 64 * 1024 * 1024
    max_retries: int = 3


class Downloader:
    """Fetches URLs from any number of threads, each with connections of its own that it reuses."""

    def __init__(self, limits: DownloadLimits, *, stop: threading.Event | None = None) -> None:
        """Prepares to fetch.

        Args:
            limits: Bounds on each URL.
            stop: Once set, no try is begun, no wait between tries goes on, and bodies are broken off.
        """
        self.limits = limits
        self._stop = stop or threading.Event()
        self._of_thread = threading.local()

    def fetch(self, url: str) -> bytes:
        """Returns the body at `url`.

        Connection failures, time-outs, broken-off bodies and the statuses 408, 425, 429 and 5xx are tried again, after
        a wait that doubles each time (with jitter, so that 32 threads do not come back at once) or that the server asks
        for, up to a minute. Everything else is final.

        Raises:
            DownloadError: It could not be had.
        """
        for attempt in range(self.limits.max_retries + 1):
            if self._stop.is_set():
                raise DownloadError("stopped", url)
            try:
                return self._try(url)
            except _RetryableError as error:
                if attempt == self.limits.max_retries:
                    raise DownloadError(error.reason, f"{error.detail} ({attempt + 1} tries)") from error
                self._stop.wait(_wait_seconds(attempt, error.retry_after_seconds))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _try(self, url: str) -> bytes:
        deadline = time.monotonic() + self.limits.timeout_seconds
        per_byte = min(self.limits.connect_timeout_seconds, self.limits.timeout_seconds)
        try:
            for _ in range(MAX_REDIRECTS + 1):
                _check_scheme(url)
                session = self._session()
                with session.get(url, stream=True, timeout=(per_byte, per_byte)) as response:
                    target = session.target_of(response)
                    if target is None:
                        _check_status(response, url)
                        return self._read(response, url, deadline)
                url = urljoin(url, target)
            raise DownloadError("too many redirects", f"{url}: more than {MAX_REDIRECTS}")
        except requests.Timeout as error:
            raise _RetryableError("timed out", f"{url}: no answer in {per_byte:g} s") from error
        except requests.exceptions.SSLError as error:
            raise DownloadError("certificate refused", f"{url}: {error}") from error
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
            raise _RetryableError("connection failed", f"{url}: {error}") from error
        except urllib3.exceptions.TimeoutError as error:
            raise _RetryableError("timed out", f"{url}: nothing more came for {per_byte:g} s") from error
        except urllib3.exceptions.HTTPError as error:
            raise _RetryableError("connection broken off", f"{url}: {error}") from error
        except (requests.RequestException, ValueError) as error:  # a URL or a redirect that is none
            raise DownloadError("bad URL", f"{url!r}: {error}") from error

    def _read(self, response: requests.Response, url: str, deadline: float) -> bytes:
        too_large = DownloadError("too many bytes", f"{url}: more than {self.limits.max_bytes / 2**20:g} MiB")
        announced = response.headers.get("Content-Length", "")
        if announced.isdecimal() and int(announced[:20]) > self.limits.max_bytes:
            raise too_large
        body = bytearray()
        # read1() returns what has come; read(n) would wait for n bytes, for hours on a server that sends one a second.
        # What a server compresses unasked is not unpacked: it could be a bomb, and pictures gain nothing by it.
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=False):
            body += chunk
            if self._stop.is_set():
                raise DownloadError("stopped", url)
            if len(body) > self.limits.max_bytes:
                raise too_large
            if time.monotonic() > deadline:
                raise _RetryableError(
                    "timed out", f"{url}: {len(body)} bytes in {self.limits.timeout_seconds:g} s, and no end"
                )
        if announced.isdecimal() and len(body) < int(announced[:20]):
            raise _RetryableError("connection broken off", f"{url}: {len(body)} of {announced[:20]} bytes came")
        return bytes(body)

    def _session(self) -> _SessionWithoutRedirects:
        session: _SessionWithoutRedirects | None = getattr(self._of_thread, "session", None)
        if session is None:
            session = _SessionWithoutRedirects()
            session.headers.update({"User-Agent": USER_AGENT, "Accept": "image/*", "Accept-Encoding": "identity"})
            # Strangers' servers get neither the passwords of ~/.netrc nor cookies from one picture to the next.
            session.auth = lambda request: request
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            self._of_thread.session = session
        return session


class _SessionWithoutRedirects(requests.Session):
    """Hands out redirects as they come: requests would read the body of each, however long it is, even to ignore it."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Returns None: nothing leads elsewhere."""
        return None

    def target_of(self, response: requests.Response) -> str | None:
        """Returns where `response` redirects to, if it does."""
        target: str | None = super().get_redirect_target(response)
        return target


def _check_scheme(url: str) -> None:
    if urlsplit(url).scheme.lower() not in ("http", "https"):
        raise DownloadError("not an http URL", f"{url!r}: only http and https are fetched")


def _check_status(response: requests.Response, url: str) -> None:
    status = response.status_code
    if status == requests.codes.ok:
        return
    if status in _RETRIED_STATUSES:
        retry_after = response.headers.get("Retry-After", "")
        seconds = float(retry_after) if retry_after.isdecimal() and len(retry_after) < 10 else None
        raise _RetryableError(f"HTTP {status}", url, seconds)
    raise DownloadError(f"HTTP {status}", url)


def _wait_seconds(attempt: int, retry_after_seconds: float | None) -> float:
    if retry_after_seconds is not None:
        return min(retry_after_seconds, MAX_RETRY_AFTER_SECONDS)
    longest = min(FIRST_BACK_OFF_SECONDS * 2**attempt, MAX_BACK_OFF_SECONDS)
    return random.uniform(longest / 2, longest)
