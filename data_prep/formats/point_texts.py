"""Byte offsets of the images in a points.json, so that millions of them need not be held in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data_prep.runtime.command_line import UsageError, UserError


@dataclass(frozen=True)
class PointTexts:
    """Some images of a points.json that has been checked, in an order of choice.

    Attributes:
        path: The file.
        version: Its size and time of change before it was checked.
        places: int64 [N, 2], the byte where each image's text begins, and how many bytes it has.
    """

    path: Path
    version: tuple[int, int]
    places: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Returns how many images there are."""
        return len(self.places)

    def pick(self, chosen: npt.NDArray[np.intp]) -> PointTexts:
        """Returns the images of those numbers, in their order."""
        return PointTexts(self.path, self.version, self.places[chosen])

    def read(self) -> Iterator[bytes]:
        """Yields the images, each as its JSON stands in the file: checked, but without what was left out filled in.

        Raises:
            UserError: The file is not the one that was checked any more.
        """
        with self.path.open("rb") as file:
            for offset, length in self.places.tolist():
                if file.tell() != offset:
                    file.seek(offset)
                yield file.read(length)
        if file_version(self.path) != self.version:
            raise UserError(f"{self.path} was changed while it was being read; run the command again")


def file_version(path: Path) -> tuple[int, int]:
    """Returns a file's size in bytes and when it was changed, in nanoseconds.

    Raises:
        UsageError: The file is missing.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    return status.st_size, status.st_mtime_ns
