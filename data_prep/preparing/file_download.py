"""Fetching of one large file over http: resumed where it was broken off, and verified by what the server says of it.

What has come lies beside the file under a name that begins with `.partial-`, with the version that it is a part of; a
run that was killed goes on from there by a Range request, if the server still has that version.
"""

from __future__ import annotations

import base64
import binascii
import email.utils
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import google_crc32c
import requests
import urllib3

from data_prep.runtime.atomic_files import TEMPORARY_PREFIX, write_json
from data_prep.runtime.command_line import UserError
from data_prep.runtime.progress import progress
from data_prep.runtime.url_credentials import without_credentials

USER_AGENT = "object-detection-road/0.1 (data set preparation; python-requests)"
MAX_BYTES = 32 * 1024**3  # the largest CSV of Open Images has some 2 GB
MAX_TRIES = 6  # in a row without getting on
MAX_WAIT_SECONDS = 120.0  # that a server may ask for
_TIMEOUT_SECONDS = (10.0, 60.0)  # to connect, and between two bytes
_SLOWEST_BYTES_PER_SECOND = 1000
_SECONDS_OF_A_LOOK = 60.0
_CHUNK_BYTES = 1024 * 1024
_MAX_STATE_BYTES = 64 * 1024
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_TAKEN = frozenset({HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE})
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})")


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


class _PassingError(Exception):
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


def ask(session: requests.Session, url: str) -> RemoteFile:
    """Asks a server what it has at `url`, without fetching it.

    Raises:
        UserError: It has no such file, or does not answer after several tries.
    """

    def head() -> RemoteFile:
        with _request(session, "HEAD", url, {}) as response:
            return _described(url, response)

    return _persistently(url, head, lambda: 0)


def fetch(session: requests.Session, remote: RemoteFile, path: Path) -> RemoteFile:
    """Fetches a file to `path`, which appears whole or not at all; returns what it was held against.

    Args:
        session: Of `new_session`.
        remote: Of `ask`.
        path: Where it goes; its folder is made if missing.

    Raises:
        UserError: It cannot be had, or is not of the size or checksum that the server says it is.
        OSError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _Part(path, remote)
    mismatch = ""
    for _ in range(2):  # a connection can damage bytes, a server's checksum can be wrong for good
        _persistently(remote.url, lambda: _fetch_rest(session, part), part.size)
        mismatch = part.mismatch()
        if not mismatch:
            part.finish()
            return part.remote
        part.discard()
    raise UserError(f"{remote.url}: {mismatch}, twice; fetch it by other means into --metadata_directory")


class _Part:
    """What has come of a file."""

    def __init__(self, path: Path, remote: RemoteFile) -> None:
        self.remote = remote
        self._target = path
        self.path = path.with_name(f"{TEMPORARY_PREFIX}{path.name}")
        self._state_path = path.with_name(f"{TEMPORARY_PREFIX}{path.name}.json")
        if self._is_of_another_version():
            self.discard()

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def begin(self, remote: RemoteFile) -> None:
        """Notes the version before its first byte is written; what its answer leaves out, an earlier one has told."""
        self.discard()
        if remote.version == self.remote.version:
            told = self.remote
            remote = replace(
                remote,
                num_bytes=told.num_bytes if remote.num_bytes is None else remote.num_bytes,
                md5=remote.md5 or told.md5,
                crc32c=told.crc32c if remote.crc32c is None else remote.crc32c,
            )
        self.remote = remote
        write_json(self._state_path, {"url": without_credentials(remote.url), "version": remote.version})

    def mismatch(self) -> str:
        """Returns how it differs from what the server says of it, or an empty string."""
        expected = self.remote
        if expected.num_bytes is not None and self.size() != expected.num_bytes:
            return f"{self.size()} bytes came, of {expected.num_bytes}"
        md5, crc32c = hashlib.md5(usedforsecurity=False), 0
        with self.path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                md5.update(chunk)
                crc32c = google_crc32c.extend(crc32c, chunk)
        if expected.md5 and md5.hexdigest() != expected.md5:
            return f"what came has the MD5 {md5.hexdigest()}, the server says {expected.md5}"
        if expected.crc32c is not None and crc32c != expected.crc32c:
            return f"what came has the CRC-32C {crc32c:08x}, the server says {expected.crc32c:08x}"
        return ""

    def finish(self) -> None:
        self.path.replace(self._target)
        self._state_path.unlink(missing_ok=True)

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._state_path.unlink(missing_ok=True)

    def _is_of_another_version(self) -> bool:
        try:
            state = json.loads(self._state_path.read_bytes()[:_MAX_STATE_BYTES])
        except (OSError, ValueError, RecursionError):
            return True
        # Without a version of its bytes nothing tells whether the rest belongs to what has come.
        expected = {"url": without_credentials(self.remote.url), "version": self.remote.version}
        return not self.remote.version or state != expected


def _fetch_rest(session: requests.Session, part: _Part) -> None:
    start = part.size()
    if start and start == part.remote.num_bytes:
        return  # killed before it was renamed
    headers = {"Range": f"bytes={start}-", "If-Range": part.remote.version} if start else {}
    with _request(session, "GET", part.remote.url, headers) as response:
        if not _goes_on(response, part, start):
            start = 0
            part.begin(_described(part.remote.url, response))
        total = part.remote.num_bytes
        with part.path.open("ab") as file:
            # Bytes are counted as megabytes, for people.
            shown = progress(
                _megabytes(response, file, start),
                description=part.path.name.removeprefix(TEMPORARY_PREFIX),
                total=None if total is None else -(-total // _CHUNK_BYTES),
                unit="MB",
            )
            for _ in shown:
                pass
    if total is not None and part.size() < total:
        raise _PassingError(f"the connection was broken off after {part.size()} of {total} bytes")


def _goes_on(response: requests.Response, part: _Part, start: int) -> bool:
    """Tells whether an answer is the rest of what has come."""
    if response.status_code == HTTPStatus.OK:
        return False
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if match and int(match[1]) == start and int(match[2]) == part.remote.num_bytes:
        version = response.headers.get("ETag", part.remote.version)
        if version == part.remote.version:
            return True
    part.discard()
    raise _PassingError("the file has changed on the server meanwhile: begun anew", 0.0)


def _megabytes(response: requests.Response, file: Any, start: int) -> Iterator[None]:
    """Writes a body; yields once for each megabyte of the file, those that were there among them."""
    written, shown = start, 0
    looked_at, looked_size = time.monotonic(), start
    while True:
        while shown < written // _CHUNK_BYTES:
            shown += 1
            yield
        try:
            chunk = response.raw.read1(_CHUNK_BYTES, decode_content=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _PassingError(
                f"the connection was broken off after {written} bytes ({type(error).__name__})"
            ) from error
        if not chunk:
            return
        file.write(chunk)
        written += len(chunk)
        if written > MAX_BYTES:
            raise UserError(f"{response.url}: more than {MAX_BYTES // 1024**3} GiB; is that the right address?")
        now = time.monotonic()
        if now - looked_at >= _SECONDS_OF_A_LOOK:
            if written - looked_size < _SLOWEST_BYTES_PER_SECOND * (now - looked_at):
                raise _PassingError(f"less than {_SLOWEST_BYTES_PER_SECOND} bytes a second came")
            looked_at, looked_size = now, written


def _persistently(url: str, work: Callable[[], Any], size: Callable[[], int]) -> Any:
    """Returns what `work` does, tried again after passing failures, as long as more of the file comes."""
    failures, before = 0, size()
    while True:
        try:
            return work()
        except _PassingError as failure:
            now = size()
            failures = 1 if now > before + _CHUNK_BYTES else failures + 1
            before = now
            wait = failure.wait_seconds if failure.wait_seconds is not None else min(60.0, 0.5 * 2**failures)
            if wait > MAX_WAIT_SECONDS:
                raise UserError(f"{url}: {failure}, and asks to wait for {wait:.0f} s; try again then") from failure
            if failures >= MAX_TRIES:
                raise UserError(
                    f"{url}: {failure}; given up after {failures} tries, the same command goes on from here"
                ) from failure
            print(f"{without_credentials(url)}: {failure}; trying again in {wait:.0f} s", flush=True)
            time.sleep(wait)


def _request(session: requests.Session, method: str, url: str, headers: dict[str, str]) -> requests.Response:
    """Sends a request; returns the answer, its body unread, if it is one of success."""
    try:
        response = session.request(method, url, headers=headers, stream=True, timeout=_TIMEOUT_SECONDS)
    except (requests.ConnectionError, requests.Timeout) as error:
        raise _PassingError(f"no answer ({_cause(error)})") from error
    except (requests.RequestException, ValueError) as error:
        raise UserError(f"{url}: {_cause(error)}") from error
    status = response.status_code
    if status in _TAKEN:
        return response
    response.close()
    if status in _RETRIED:
        raise _PassingError(f"HTTP {status}", _retry_after_seconds(response.headers.get("Retry-After", "")))
    raise UserError(f"{url}: HTTP {status} {response.reason}; is the address right, or the mirror complete?")


def _cause(error: Exception) -> str:
    """Returns the innermost message, in one line."""
    inner: Any = error
    while isinstance(inner, Exception) and (inner.__cause__ or inner.__context__):
        inner = inner.__cause__ or inner.__context__
    return " ".join(f"{type(inner).__name__}: {inner}".split())[:200]


def _described(url: str, response: requests.Response) -> RemoteFile:
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


def _retry_after_seconds(text: str) -> float | None:
    if text.isdecimal() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
