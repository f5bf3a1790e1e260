"""Requests to the servers of a release: tried again where that may help, bounded in time, and what they tell of a file.

Requests rather than urllib3 alone, as for images: these are a handful of files that somebody chose, of one server.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

import requests
import urllib3

from data_prep.downloading.retry_after import retry_after_seconds
from data_prep.runtime.command_line import UserError
from data_prep.runtime.url_credentials import without_credentials

Result = TypeVar("Result")

USER_AGENT = "object-detection-road/0.1 (data set preparation; python-requests)"
MAX_BYTES = 32 * 1024**3  # the largest CSV of Open Images has some 2 GB
MAX_TRIES = 6  # in a row without getting on
MAX_WAIT_SECONDS = 120.0  # that a server may ask for
CHUNK_BYTES = 1024 * 1024
_TIMEOUT_SECONDS = (10.0, 60.0)  # to connect, and between two bytes
_SLOWEST_BYTES_PER_SECOND = 1000
_SECONDS_OF_A_LOOK = 60.0
_TAKEN = frozenset({HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE})
_NO_HEAD = frozenset({HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED})
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class RemoteFile:
    """A file as its server describes it.

    Attributes:
        url: Where it is.
        num_bytes: Its size; None where the server does not say.
        version: Its ETag, where that stands for its very bytes; empty otherwise.
        md5: Of its content, in hexadecimal; empty where the server does not say.
        crc32c: Of its content; None where the server does not say.
    """

    url: str
    num_bytes: int | None
    version: str = ""
    md5: str = ""
    crc32c: int | None = None


class PassingError(Exception):
    """A failure after which another try may succeed."""

    def __init__(self, message: str, wait_seconds: float | None = None) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


def new_session() -> requests.Session:
    """Returns a session that asks for files as they are stored."""
    session = requests.Session()
    session.max_redirects = 5
    session.headers.update({"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"})
    return session


def ask(session: requests.Session, url: str, max_tries: int = MAX_TRIES) -> RemoteFile:
    """Asks a server what it has at `url`, without fetching it.

    Args:
        session: Of `new_session`.
        url: Of the file.
        max_tries: How often.

    Raises:
        UserError: It has no such file, or does not answer.
    """

    def head() -> RemoteFile:
        with send(session, "HEAD", url, {}) as response:
            if response.status_code == HTTPStatus.OK:
                return described(url, response)
        with send(session, "GET", url, {}) as response:  # its head alone is read
            return described(url, response)

    return persistently(url, head, max_tries=max_tries)


def body_chunks(response: requests.Response, start: int) -> Iterator[bytes]:
    """Yields a body as it comes.

    Args:
        response: An answer whose body is unread.
        start: Where in the file it begins.

    Raises:
        PassingError: It breaks off, or hardly gets on.
        UserError: It has no end.
    """
    size, looked_at, looked_size = start, time.monotonic(), start
    while True:
        try:
            chunk = response.raw.read1(CHUNK_BYTES, decode_content=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise PassingError(f"the connection was broken off after {size} bytes ({type(error).__name__})") from error
        if not chunk:
            return
        size += len(chunk)
        if size > MAX_BYTES:
            raise UserError(f"{response.url}: more than {MAX_BYTES // 1024**3} GiB; is that the right address?")
        yield chunk
        now = time.monotonic()
        if now - looked_at >= _SECONDS_OF_A_LOOK:
            if size - looked_size < _SLOWEST_BYTES_PER_SECOND * (now - looked_at):
                raise PassingError(f"less than {_SLOWEST_BYTES_PER_SECOND} bytes a second came")
            looked_at, looked_size = now, size


def persistently(
    url: str, work: Callable[[], Result], size: Callable[[], int] = lambda: 0, *, max_tries: int = MAX_TRIES
) -> Result:
    """Returns what `work` returns, which is tried again after a `PassingError`.

    Args:
        url: What it is about.
        work: Does it.
        size: How much of the file there is, in bytes; when that has grown by a megabyte, tries count anew.
        max_tries: In a row without getting on.

    Raises:
        UserError: It was tried often enough, or the server asks for more than `MAX_WAIT_SECONDS`.
    """
    failures, before = 0, size()
    while True:
        try:
            return work()
        except PassingError as failure:
            now = size()
            failures = 1 if now > before + CHUNK_BYTES else failures + 1
            before = now
            wait = failure.wait_seconds if failure.wait_seconds is not None else min(60.0, 0.5 * 2**failures)
            if wait > MAX_WAIT_SECONDS:
                raise UserError(f"{url}: {failure}, and asks to wait for {wait:.0f} s; try again then") from failure
            if failures >= max_tries:
                times = f"given up after {failures} tries, the same command goes on from here"
                raise UserError(f"{url}: {failure}{f'; {times}' * (failures > 1)}") from failure
            print(f"{without_credentials(url)}: {failure}; trying again in {wait:.0f} s", flush=True)
            time.sleep(wait)


def send(session: requests.Session, method: str, url: str, headers: dict[str, str]) -> requests.Response:
    """Sends a request; returns the answer, its body unread: 200, 206, 416, or that there are no HEAD requests.

    Raises:
        PassingError: There is none, or it asks to come again.
        UserError: It is another.
    """
    try:
        response = session.request(method, url, headers=headers, stream=True, timeout=_TIMEOUT_SECONDS)
    except (requests.ConnectionError, requests.Timeout) as error:
        raise PassingError(f"no answer ({_cause(error)})") from error
    except (requests.RequestException, ValueError) as error:
        raise UserError(f"{url}: {_cause(error)}") from error
    status = response.status_code
    if status in _TAKEN or (method == "HEAD" and status in _NO_HEAD):
        return response
    response.close()
    if status in _RETRIED:
        raise PassingError(f"HTTP {status}", retry_after_seconds(response.headers.get("Retry-After", "")))
    raise UserError(f"{url}: HTTP {status} {response.reason}; is the address right, or the mirror complete?")


def _cause(error: Exception) -> str:
    """Returns the innermost message, in one line."""
    inner: Any = error
    while isinstance(inner, Exception) and (inner.__cause__ or inner.__context__):
        inner = inner.__cause__ or inner.__context__
    return " ".join(f"{type(inner).__name__}: {inner}".split())[:200]


def described(url: str, response: requests.Response) -> RemoteFile:
    """Returns what an answer tells of a file: its size only where it is an answer with all of it."""
    headers = response.headers
    is_stored_so = headers.get("Content-Encoding", "identity") == headers.get(
        "x-goog-stored-content-encoding", headers.get("Content-Encoding", "identity")
    )
    length = headers.get("Content-Length", "")
    etag = headers.get("ETag", "")
    checksums = dict(part.strip().partition("=")[::2] for part in headers.get("x-goog-hash", "").split(","))
    # What a server unpacks on the way is not what its checksums are of.
    md5 = _of_base64(checksums.get("md5") or headers.get("Content-MD5", ""), 16) if is_stored_so else None
    crc32c = _of_base64(checksums.get("crc32c", ""), 4) if is_stored_so else None
    return RemoteFile(
        url,
        int(length) if length.isdecimal() and len(length) < 19 and response.status_code == HTTPStatus.OK else None,
        "" if etag.startswith("W/") else etag,
        md5.hex() if md5 is not None else "",
        int.from_bytes(crc32c, "big") if crc32c is not None else None,
    )


def _of_base64(text: str, num_bytes: int) -> bytes | None:
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return value if len(value) == num_bytes else None
