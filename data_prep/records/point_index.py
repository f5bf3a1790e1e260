"""Index of points.json: a key for each image, by which images are shared out to shards.

Processes that share out the work read the images that are theirs from the file itself; what goes between processes is
a few numbers an image.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data_prep.formats.point_texts import PointTexts, file_version
from data_prep.formats.points import read_point_items

_RANGE = 2**64


@dataclass(frozen=True)
class PointIndex:
    """The images of a points.json that has been checked, in an order of choice.

    Attributes:
        places: Where they are.
        keys: uint64 [N], what `key_of` of `index_points` returned of each image.
        boxes_by_label: How many boxes there are, by label; of all images that were indexed.
        missing_ids: Of the ids that were asked for, those that the file lacks.
    """

    places: PointTexts
    keys: npt.NDArray[np.uint64]
    boxes_by_label: Counter[str]
    missing_ids: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Returns how many images there are."""
        return len(self.places)

    def shards(self, num_shards: int) -> list[PointIndex]:
        """Shares the images out: to shard i those whose key, divided by `num_shards`, leaves i, in order of key."""
        of_each = self.keys % np.uint64(num_shards)
        order = np.lexsort((np.arange(len(self)), self.keys, of_each))
        ends = np.searchsorted(of_each[order], np.arange(1, num_shards, dtype=np.uint64))
        return [PointIndex(self.places.pick(chosen), self.keys[chosen], Counter()) for chosen in np.split(order, ends)]

    def texts(self) -> Iterator[bytes]:
        """Yields the images' texts; see `PointTexts.read`."""
        return self.places.read()


def index_points(path: Path, key_of: Callable[[str, int], int], image_ids: frozenset[str] | None = None) -> PointIndex:
    """Checks points.json and returns where its images are.

    Args:
        path: The file.
        key_of: Takes an image id and its number in the file, from 0; returns a key of 64 bits.
        image_ids: Which images to take; None takes all.

    Raises:
        UsageError: The file is missing, not JSON, or not of the schema; with the item and annotation, from 1.
    """
    version = file_version(path)
    places = array("q")
    keys: list[int] = []
    boxes_by_label: Counter[str] = Counter()
    missing = set(image_ids or ())
    for item in read_point_items(path):
        if image_ids is not None and item.value["id"] not in image_ids:
            continue
        missing.discard(item.value["id"])
        places.extend((item.start, len(item.text)))
        keys.append(key_of(item.value["id"], item.number - 1))
        boxes_by_label.update(annotation["label"] for annotation in item.value["annotations"])
    texts = PointTexts(path, version, np.array(places, np.int64).reshape(-1, 2))
    return PointIndex(texts, np.array(keys, np.uint64), boxes_by_label, tuple(sorted(missing)))


def shuffle_key(image_id: str, seed: int) -> int:
    """Returns the place of an image among all: a whole number of 64 bits, by chance, the same for the same seed.

    An image belongs to shard `key % num_shards`; within a shard, images are in the order of their keys. One that joins
    or leaves changes no other's place, so that only the shard that it belongs to need be written anew.
    """
    return _draw(image_id, seed, b"place")


def chance(image_id: str, seed: int) -> float:
    """Returns a number from 0 to below 1 for an image, by chance, the same for the same seed."""
    return _draw(image_id, seed, b"chance") / _RANGE


def _draw(image_id: str, seed: int, purpose: bytes) -> int:
    digest = hashlib.blake2b(f"{seed}:{image_id}".encode(), digest_size=8, person=purpose).digest()
    return int.from_bytes(digest, "little")
