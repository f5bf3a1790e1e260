"""A points.json by where each image's text lies in it, so that millions of images need not be held in memory."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data_prep.formats.json_array import ArrayItem, read_array_items
from data_prep.formats.points import check_point
from data_prep.runtime.command_line import UsageError, UserError


@dataclass(frozen=True)
class PointTexts:
    """Some images of a points.json that has been checked, in an order of choice.

    Attributes:
        path: The file.
        version: Its size and time of change before it was checked.
        offsets: int64 [N], the byte where each image's text begins.
        lengths: int64 [N], in bytes.
    """

    path: Path
    version: tuple[int, int]
    offsets: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Returns how many images there are."""
        return len(self.offsets)

    def pick(self, chosen: npt.NDArray[np.intp]) -> PointTexts:
        """Returns the images of those numbers, in their order."""
        return PointTexts(self.path, self.version, self.offsets[chosen], self.lengths[chosen])

    def read(self) -> Iterator[bytes]:
        """Yields the images, each as its JSON stands in the file: checked, but without what was left out filled in.

        Raises:
            UserError: The file is not the one that was checked any more.
        """
        with self.path.open("rb") as file:
            for offset, length in zip(self.offsets.tolist(), self.lengths.tolist(), strict=True):
                if file.tell() != offset:
                    file.seek(offset)
                yield file.read(length)
        if _version(self.path) != self.version:
            raise UserError(f"{self.path} was changed while it was being read; run the command again")


class PointTextsReader:
    """Goes through a points.json, checks it, and notes where the images stand that its caller wants to keep."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Opens nothing yet.

        Raises:
            UsageError: The file is missing.
        """
        self._path = Path(path)
        try:
            self._version = _version(self._path)
        except OSError as error:
            raise UsageError(f"{self._path}: {error.strerror or error}") from error
        self._offsets, self._lengths = array("q"), array("q")
        self._item: ArrayItem | None = None

    @property
    def where(self) -> str:
        """The file and the number of the image yielded last, for messages."""
        return f"{self._path}: item {self._item.number if self._item is not None else 0}"

    def points(self) -> Iterator[dict[str, Any]]:
        """Yields the images.

        Raises:
            UsageError: The file is not JSON, or not of the schema; with the item and annotation, from 1.
        """
        for item in read_array_items(self._path):
            self._item = item
            check_point(item.value, self.where)
            yield item.value

    def keep(self) -> None:
        """Keeps the image yielded last."""
        assert self._item is not None
        self._offsets.append(self._item.start)
        self._lengths.append(len(self._item.text))

    def texts(self) -> PointTexts:
        """Returns the images kept."""
        return PointTexts(
            self._path, self._version, np.array(self._offsets, np.int64), np.array(self._lengths, np.int64)
        )


def _version(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
