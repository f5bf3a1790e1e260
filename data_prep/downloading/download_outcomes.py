"""The log of a download: the outcome of each image as one JSON object a line, one line an id.

    {"id": "0a1b", "outcome": "downloaded", "url": "...", "bytes": 81240, "width": 640, "height": 480, "shrunk_to": 640}
    {"id": "2c3d", "outcome": "failed", "url": "...", "reason": "HTTP 404", "permanent": true, "detail": "..."}

Lines are added as images come, each before its image appears in the folder: a run that is killed leaves an image
without a line never, and a line without its image at most, which the next run sees. Where an id has several lines the
last one holds; when a run ends, the file is written anew with one line an id, in the order of images.json.
"""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from data_prep.runtime.atomic_files import atomic_path
from data_prep.runtime.command_line import UsageError

DOWNLOADED: Final = "downloaded"
PRESENT: Final = "present"  # it was there before any run of which we know
FAILED: Final = "failed"
MAX_DETAIL_LENGTH: Final = 500
MAX_LINE_BYTES: Final = 100_000  # far more than the longest URL and detail take
_READ_BYTES: Final = 512


@dataclass(frozen=True)
class Outcome:
    """Outcome of downloading one image.

    Attributes:
        image_id: Its id.
        outcome: `DOWNLOADED`, `PRESENT` or `FAILED`.
        url: Where it was asked for, without a name and a password.
        num_bytes: Of the file.
        width: In pixels.
        height: In pixels.
        shrunk_to: The largest side that was asked for, where that made it smaller than what was fetched; else 0.
        reason: Why it failed, in a few words from a small set.
        detail: What was seen.
        permanent: Whether it would fail again.
    """

    image_id: str
    outcome: str
    url: str = ""
    num_bytes: int = 0
    width: int = 0
    height: int = 0
    shrunk_to: int = 0
    reason: str = ""
    detail: str = ""
    permanent: bool = False

    def as_line(self) -> bytes:
        """Returns the outcome's line, with its end."""
        entry: dict[str, Any] = {"id": self.image_id, "outcome": self.outcome}
        if self.url:
            entry["url"] = self.url
        if self.outcome == FAILED:
            entry |= {"reason": self.reason, "permanent": self.permanent, "detail": self.detail[:MAX_DETAIL_LENGTH]}
        else:
            entry |= {"bytes": self.num_bytes, "width": self.width, "height": self.height}
            if self.shrunk_to:
                entry["shrunk_to"] = self.shrunk_to
        return json.dumps(entry).encode("ascii") + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Outcome:
        """Reads a line; raises ValueError where it has another format."""
        entry = json.loads(line)
        if not isinstance(entry, dict) or entry.get("outcome") not in (DOWNLOADED, PRESENT, FAILED):
            raise ValueError("not an outcome")
        texts = [entry.get(key, "") for key in ("id", "url", "reason", "detail")]
        numbers = [entry.get(key, 0) for key in ("bytes", "width", "height", "shrunk_to")]
        if not all(isinstance(text, str) for text in texts) or not all(isinstance(number, int) for number in numbers):
            raise ValueError("not an outcome")
        image_id, url, reason, detail = texts
        num_bytes, width, height, shrunk_to = numbers
        permanent = entry.get("permanent") is True
        return cls(image_id, entry["outcome"], url, num_bytes, width, height, shrunk_to, reason, detail, permanent)


class OutcomeLog:
    """The file of outcomes, open for adding; only places in it are held in memory, 200 bytes an id."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Opens the file, makes it if missing, and reads what earlier runs have left.

        A line that a killed run has left unfinished is cut off.

        Args:
            path: The JSON lines file.

        Raises:
            UsageError: The file has another format.
            OSError: It cannot be written.
        """
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._file: IO[bytes] = self.path.open("a+b", buffering=0)
        self._places: dict[str, int] = {}
        self._num_lines = 0
        try:
            self._end = self._read_places()
        except UsageError:
            self._file.close()
            raise
        if self._end != self.path.stat().st_size:
            self._file.truncate(self._end)

    def get(self, image_id: str) -> Outcome | None:
        """Returns the last outcome of `image_id`, if there is one."""
        with self._lock:
            place = self._places.get(image_id)
            return None if place is None else Outcome.from_line(self._line_at(place))

    def add(self, outcome: Outcome) -> None:
        """Adds a line; when this returns, it outlives this process."""
        line = outcome.as_line()
        with self._lock:
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            self._places[outcome.image_id] = self._end
            self._end += len(line)
            self._num_lines += 1

    def tidy(self, image_ids: Iterable[str]) -> None:
        """Writes the file anew with one line an id: those of `image_ids` in their order, then others in the file's.

        Where it is so already, nothing is written.
        """
        with self._lock:
            order = dict.fromkeys(image_id for image_id in image_ids if image_id in self._places)
            order.update(dict.fromkeys(self._places))
            places = [self._places[image_id] for image_id in order]
            if self._num_lines == len(places) and places == sorted(places):
                return
            new_places: dict[str, int] = {}
            with atomic_path(self.path) as temporary, temporary.open("wb") as file:
                end = 0
                for image_id in order:
                    line = self._line_at(self._places[image_id])
                    file.write(line)
                    new_places[image_id] = end
                    end += len(line)
            self._file.close()
            self._file = self.path.open("a+b", buffering=0)
            self._places, self._num_lines, self._end = new_places, len(new_places), end

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __enter__(self) -> OutcomeLog:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _read_places(self) -> int:
        end = 0
        for line in self._whole_lines():
            self._num_lines += 1
            try:
                outcome = Outcome.from_line(line)
            except ValueError as error:
                raise UsageError(
                    f"{self.path}:{self._num_lines}: no line of this command's; name another file, or remove this one "
                    "to have all images looked at again"
                ) from error
            self._places[outcome.image_id] = end
            end += len(line)
        return end

    def _whole_lines(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            while (line := file.readline(MAX_LINE_BYTES)) and line.endswith(b"\n"):
                yield line
            if len(line) == MAX_LINE_BYTES:
                yield line  # no run of this command writes such a line

    def _line_at(self, place: int) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            line += os.pread(self._file.fileno(), _READ_BYTES, place + len(line))
            line = line[: line.find(b"\n") + 1 or None]
        return line
