"""Fetching of one large file over http: resumed where it was broken off, and verified by what the server says of it.

What has come lies beside the file under a name that begins with `.partial-`, with the version that it is a part of; a
run that was killed goes on from there by a Range request, if the server still has that version.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import IO

import google_crc32c
import requests

from data_prep.preparing.release_requests import (
    CHUNK_BYTES,
    PassingError,
    RemoteFile,
    body_chunks,
    described,
    persistently,
    send,
)
from data_prep.runtime.atomic_files import TEMPORARY_PREFIX, remove_leftovers, write_json
from data_prep.runtime.command_line import UserError
from data_prep.runtime.progress import progress
from data_prep.runtime.url_credentials import without_credentials

_MAX_STATE_BYTES = 64 * 1024
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})")


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
        persistently(remote.url, lambda: _fetch_rest(session, part), part.size)
        mismatch = part.mismatch()
        if not mismatch:
            part.finish()
            return part.remote
        part.discard()
    raise UserError(f"{remote.url}: {mismatch}, twice; fetch it by other means, to {path}")


def fetch_start(session: requests.Session, remote: RemoteFile, num_bytes: int) -> bytes:
    """Returns the first `num_bytes` bytes of a file, or all of a shorter one.

    Raises:
        UserError: They cannot be had.
    """

    def read() -> bytes:
        with send(session, "GET", remote.url, {"Range": f"bytes=0-{num_bytes - 1}"}) as response:
            content = bytearray()
            for chunk in body_chunks(response, 0):
                content += chunk
                if len(content) >= num_bytes:  # a server that knows no ranges sends all, and is hung up on
                    break
        if len(content) < min(num_bytes, remote.num_bytes or 0):
            raise PassingError(f"the connection was broken off after {len(content)} bytes")
        return bytes(content[:num_bytes])

    return persistently(remote.url, read)


class _Part:
    """What has come of a file."""

    def __init__(self, path: Path, remote: RemoteFile) -> None:
        self.remote = remote
        self._target = path
        self.path = path.with_name(f"{TEMPORARY_PREFIX}{path.name}")
        self._state_path = path.with_name(f"{TEMPORARY_PREFIX}{path.name}.json")
        remove_leftovers(self._state_path)
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
            while chunk := file.read(CHUNK_BYTES):
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
    with send(session, "GET", part.remote.url, headers) as response:
        if not _goes_on(response, part, start):
            start = 0
            part.begin(described(part.remote.url, response))
        total = part.remote.num_bytes
        with part.path.open("ab") as file:
            # Bytes are counted as megabytes, for people.
            shown = progress(
                _megabytes(body_chunks(response, start), file, start),
                description=part.path.name.removeprefix(TEMPORARY_PREFIX),
                total=None if total is None else -(-total // CHUNK_BYTES),
                unit="MB",
            )
            for _ in shown:
                pass
    if total is not None and part.size() < total:
        raise PassingError(f"the connection was broken off after {part.size()} of {total} bytes")


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
    raise PassingError("the file has changed on the server meanwhile: begun anew", 0.0)


def _megabytes(chunks: Iterable[bytes], file: IO[bytes], start: int) -> Iterator[None]:
    """Writes a body; yields once for each megabyte of the file, those that were there among them."""
    written, shown = start, 0
    for chunk in chunks:
        file.write(chunk)
        written += len(chunk)
        while shown < written // CHUNK_BYTES:
            shown += 1
            yield
