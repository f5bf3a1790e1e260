"""The images of one or more points.json as arrays: ids, which classes are on each, and where each stands in its file.

Millions of images are chosen among and written anew without their boxes ever being in memory: what is written is the
text that was read.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.formats.json_array import encoded_json_array_writer, on_one_line
from data_prep.formats.point_texts import PointTexts, file_version
from data_prep.formats.points import read_point_items
from data_prep.runtime.ledger import Ledger
from data_prep.runtime.progress import progress

LISTED_TWICE = "image listed in two inputs"


@dataclass(frozen=True)
class PointsTable:
    """Classes and boxes of N images, of C classes.

    Attributes:
        texts: For each file that was read, where its images stand in it; together those of `image_ids`, in order.
        image_ids: N ids, in the files' order; none comes twice.
        labels: C labels, sorted.
        image_of_pair, class_of_pair, boxes_of_pair: [P] int64 each: an image, a class that is on it (an index of
            `labels`), and how many boxes of it are there. Sorted by image, then class; no pair comes twice.
    """

    texts: tuple[PointTexts, ...]
    image_ids: list[str]
    labels: list[str]
    image_of_pair: np.ndarray
    class_of_pair: np.ndarray
    boxes_of_pair: np.ndarray

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.image_ids)

    def image_counts(self, images: np.ndarray | None = None) -> np.ndarray:
        """Returns [C] int64: on how many images each class is.

        Args:
            images: [N] bool, which images to count; None counts all.
        """
        chosen = self.class_of_pair if images is None else self.class_of_pair[images[self.image_of_pair]]
        return np.bincount(chosen, minlength=len(self.labels)).astype(np.int64)

    def box_counts(self, images: np.ndarray | None = None) -> np.ndarray:
        """Returns [C] int64: how many boxes of each class there are; see `image_counts`."""
        kept = slice(None) if images is None else images[self.image_of_pair]
        counts = np.zeros(len(self.labels), np.int64)
        np.add.at(counts, self.class_of_pair[kept], self.boxes_of_pair[kept])
        return counts

    def write(self, path: str | os.PathLike[str], images: np.ndarray) -> int:
        """Writes a points.json of the images where `images` ([N] bool) is true, each as it was read.

        Returns:
            How many.

        Raises:
            UserError: A file has changed since it was read.
        """
        first = 0
        with encoded_json_array_writer(path) as write:
            for texts in self.texts:
                chosen = np.flatnonzero(images[first : first + len(texts)])
                for text in texts.pick(chosen).read():
                    write(on_one_line(text))
                first += len(texts)
        return int(np.count_nonzero(images))


def read_points_table(paths: Sequence[str | os.PathLike[str]], ledger: Ledger | None = None) -> PointsTable:
    """Reads and checks one or more points.json.

    Args:
        paths: The files; several are taken one after the other.
        ledger: Gets the images that a file lists and an earlier file has listed as well; the earlier one stays. None
            where there is one file.

    Raises:
        UsageError: A file cannot be read, is not of the schema or lists an image twice.
    """
    image_ids: list[str] = []
    first_path: dict[str, int] = {}
    class_numbers: dict[str, int] = {}
    pairs = array("q"), array("q"), array("q")
    texts: list[PointTexts] = []
    ledger = ledger if ledger is not None else Ledger(None)
    sources = tuple(Path(path) for path in paths)
    for path_number, source in enumerate(sources):
        version = file_version(source)
        places = array("q")
        for item in progress(read_point_items(source), description=f"reading {source.name}", unit="images"):
            point, image_id = item.value, item.value["id"]
            earlier = first_path.setdefault(image_id, path_number)
            if earlier != path_number:
                detail = f"{source}: item {item.number}; taken from {sources[earlier]}"
                ledger.reject(image_id, LISTED_TWICE, detail)
                continue
            counts: dict[int, int] = {}
            for annotation in point["annotations"]:
                number = class_numbers.setdefault(annotation["label"], len(class_numbers))
                counts[number] = counts.get(number, 0) + 1
            pairs[0].extend([len(image_ids)] * len(counts))
            pairs[1].extend(counts.keys())
            pairs[2].extend(counts.values())
            image_ids.append(image_id)
            places.extend((item.start, len(item.text)))
        texts.append(PointTexts(source, version, np.array(places, np.int64).reshape(-1, 2)))
    labels = sorted(class_numbers)
    place_of_class = np.empty(len(labels), np.int64)
    place_of_class[[class_numbers[label] for label in labels]] = np.arange(len(labels))
    image_of_pair, class_of_pair, boxes_of_pair = (np.array(column, np.int64) for column in pairs)
    class_of_pair = place_of_class[class_of_pair]
    order = np.lexsort((class_of_pair, image_of_pair))
    return PointsTable(
        tuple(texts),
        image_ids,
        labels,
        image_of_pair[order],
        class_of_pair[order],
        boxes_of_pair[order],
    )
