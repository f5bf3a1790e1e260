"""points.json by where each picture's text lies in it, so that millions of pictures need not be held in memory.

Processes that share out the work read the pictures that are theirs from the file itself; what goes between processes is
a few numbers a picture.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data_prep.command_line import UsageError, UserError
from data_prep.json_array import read_array_items
from data_prep.points import check_point


@dataclass(frozen=True)
class PointIndex:
    """The pictures of a points.json that has been checked, in an order of choice.

    Attributes:
        path: The file.
        version: Its size and time of change when it was checked.
        offsets: int64 [N], the byte where each picture's text begins.
        lengths: int64 [N], in bytes.
        keys: uint64 [N], what `index_points` was told to compute of each picture.
        boxes_by_label: How many boxes there are, by label; of the whole file.
    """

    path: Path
    version: tuple[int, int]
    offsets: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    keys: npt.NDArray[np.uint64]
    boxes_by_label: Counter[str]

    def __len__(self) -> int:
        """Returns how many pictures there are."""
        return len(self.offsets)

    def shards(self, num_shards: int) -> list[PointIndex]:
        """Shares the pictures out: to shard i those whose key, divided by `num_shards`, leaves i, in order of key."""
        of_each = self.keys % np.uint64(num_shards)
        order = np.lexsort((np.arange(len(self)), self.keys, of_each))
        ends = np.searchsorted(of_each[order], np.arange(1, num_shards, dtype=np.uint64))
        return [self._pick(chosen) for chosen in np.split(order, ends)]

    def texts(self) -> Iterator[bytes]:
        """Yields the pictures, each as its JSON stands in the file: checked, but without what was left out filled in.

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

    def _pick(self, chosen: npt.NDArray[np.intp]) -> PointIndex:
        return PointIndex(
            self.path, self.version, self.offsets[chosen], self.lengths[chosen], self.keys[chosen], Counter()
        )


def index_points(path: Path, key_of: Callable[[str, int], int]) -> PointIndex:
    """Checks points.json and returns where its pictures are.

    Args:
        path: The file.
        key_of: Takes an image id and its number in the file, from 0; returns a key of 64 bits.

    Raises:
        UsageError: The file is missing, not JSON, or not of the schema; with the item and annotation, from 1.
    """
    offsets: list[int] = []
    lengths: list[int] = []
    keys: list[int] = []
    seen: set[str] = set()
    boxes_by_label: Counter[str] = Counter()
    try:
        version = _version(path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    for item in read_array_items(path):
        where = f"{path}: item {item.number}"
        point = item.value
        check_point(point, where)
        if point["id"] in seen:
            raise UsageError(f"{where}: image id {point['id']!r} comes twice")
        seen.add(point["id"])
        boxes_by_label.update(annotation["label"] for annotation in point["annotations"])
        offsets.append(item.start)
        lengths.append(len(item.text))
        keys.append(key_of(point["id"], item.number - 1))
    return PointIndex(
        path,
        version,
        np.array(offsets, np.int64),
        np.array(lengths, np.int64),
        np.array(keys, np.uint64),
        boxes_by_label,
    )


def _version(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
