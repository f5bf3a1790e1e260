"""Thumbnails of the page: which images are shown, and their small JPEGs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data_prep.images.image_file import ImageError, find_image, read_image_file
from data_prep.inspection import data_set
from data_prep.inspection.data_set import DataSet
from data_prep.pages.thumbnail import thumbnail
from data_prep.runtime.ledger import Ledger
from data_prep.runtime.progress import progress
from data_prep.runtime.worker_pool import map_in_order

_JPEG_QUALITY = 72
_SUSPICIOUS_SHARE = 0.4  # of the thumbnails, at most; the rest goes round the classes


def choose_images(found: DataSet, scores: npt.NDArray[np.int32], count: int, seed: int) -> list[int]:
    """Chooses images to show, most wanted first: suspicious ones in turn with the classes', then any.

    A class's turn takes an image of it that is not chosen yet, the most suspicious of them every other time, so that
    rare classes are seen whole and frequent ones both at their worst and as they mostly are.

    Args:
        found: The data set.
        scores: int32 [P], how suspicious each image is.
        count: How many to choose at most.
        seed: Of the choice.

    Returns:
        Rows of images, each once. Missing images are never chosen.
    """
    shuffled = np.random.default_rng(seed).permutation(found.num_images)
    shown = shuffled[(found.image_flags[shuffled] & data_set.NO_IMAGE) == 0]
    by_score = shown[np.argsort(-scores[shown], kind="stable")]
    suspicious = by_score[scores[by_score] > 0][: int(count * _SUSPICIOUS_SHARE)]
    chosen: dict[int, None] = {}
    for image in _alternately(suspicious.tolist(), _class_by_class(found, by_score, shown)):
        if len(chosen) >= count:
            break
        chosen.setdefault(image)
    for image in shown.tolist():
        if len(chosen) >= count:
            break
        chosen.setdefault(image)
    return list(chosen)


def _class_by_class(found: DataSet, by_score: npt.NDArray[np.int64], shuffled: npt.NDArray[np.int64]) -> Iterator[int]:
    """Yields an image of each class in turn, rarest class first, until all have been yielded; some come twice."""
    queues = []
    for order in (by_score, shuffled):
        rank = np.full(found.num_images, -1, np.int64)
        rank[order] = np.arange(len(order))
        ranks = rank[found.box_images]
        shown = ranks >= 0
        # The boxes by class, and within a class in the order of their images.
        sorted_boxes = np.flatnonzero(shown)[np.lexsort((ranks[shown], found.box_classes[shown]))]
        classes = found.box_classes[sorted_boxes]
        offsets = np.searchsorted(classes, np.arange(len(found.labels) + 1))
        queues.append([found.box_images[sorted_boxes[a:b]] for a, b in itertools.pairwise(offsets)])
    classes_left = sorted(
        (row for row in range(len(found.labels)) if len(queues[0][row])), key=lambda row: len(queues[0][row])
    )
    places = {row: [0, 0] for row in classes_left}
    yielded: set[tuple[int, int]] = set()
    turn = 0
    while classes_left:
        left = []
        for row in classes_left:
            queue, place = queues[turn % 2][row], places[row]
            while place[turn % 2] < len(queue) and (row, int(queue[place[turn % 2]])) in yielded:
                place[turn % 2] += 1
            if place[turn % 2] >= len(queue):
                continue  # the other order holds the same images, so that all of this class have been yielded
            image = int(queue[place[turn % 2]])
            yielded.add((row, image))
            left.append(row)
            yield image
        classes_left = left
        turn += 1


def _alternately(first: Sequence[int], second: Iterable[int]) -> Iterator[int]:
    others = iter(second)
    for item in first:
        yield item
        other = next(others, None)
        if other is not None:
            yield other
    yield from others


def make_thumbnails(
    found: DataSet,
    chosen: Sequence[int],
    image_directory: Path | None,
    *,
    side: int,
    max_bytes: int,
    ledger: Ledger,
    num_threads: int,
) -> dict[int, bytes]:
    """Makes the chosen images small, as JPEGs, until their bytes reach a limit.

    Args:
        found: The data set.
        chosen: Rows of images, most wanted first.
        image_directory: Where points' images are; not looked at for records.
        side: The longest of a thumbnail, in pixels.
        max_bytes: Of all thumbnails together.
        ledger: Takes images that do not decode, which are flagged as no images too.
        num_threads: Images decoded at a time.

    Returns:
        The JPEGs by row of the image.
    """
    contents = (
        _contents_of_records(found, chosen) if found.places else _contents_of_files(found, chosen, image_directory)
    )

    def small(item: tuple[int, bytes | ImageError | Path]) -> tuple[int, bytes | ImageError]:
        row, content = item
        try:
            if isinstance(content, Path):
                content = read_image_file(content)
            if isinstance(content, ImageError):
                return row, content
            return row, thumbnail(content, side, _JPEG_QUALITY)
        except ImageError as error:
            return row, error

    thumbnails: dict[int, bytes] = {}
    failures: dict[int, ImageError] = {}
    num_bytes = 0
    with ThreadPoolExecutor(num_threads) as executor:
        made = map_in_order(executor, small, contents, num_workers=num_threads)
        for row, result in progress(made, description="thumbnails", total=len(chosen), unit="images"):
            if isinstance(result, ImageError):
                failures[row] = result
                continue
            if num_bytes + len(result) > max_bytes and not found.places:
                break  # files come most wanted first, so that the rest can wait
            thumbnails[row] = result
            num_bytes += len(result)
    for row, error in failures.items():
        ledger.reject(found.image_ids[row], error.reason, error.detail)
        found.image_flags[row] |= np.uint8(data_set.NO_IMAGE)
    return _within(thumbnails, chosen, max_bytes)


def _within(thumbnails: dict[int, bytes], chosen: Sequence[int], max_bytes: int) -> dict[int, bytes]:
    """Returns as many of the most wanted as `max_bytes` hold."""
    kept: dict[int, bytes] = {}
    num_bytes = 0
    for row in chosen:
        if row in thumbnails:
            num_bytes += len(thumbnails[row])
            if num_bytes > max_bytes:
                break
            kept[row] = thumbnails[row]
    return kept


def _contents_of_files(
    found: DataSet, chosen: Sequence[int], image_directory: Path | None
) -> Iterator[tuple[int, bytes | ImageError | Path]]:
    if image_directory is None:
        return
    for row in chosen:
        path = find_image(image_directory, found.image_ids[row])
        yield row, path if path is not None else ImageError("missing", f"{found.image_ids[row]} is gone")


def _contents_of_records(found: DataSet, chosen: Sequence[int]) -> Iterator[tuple[int, bytes | ImageError | Path]]:
    from data_prep.inspection.records_source import read_encoded_images

    rows = {found.places[row]: row for row in chosen}
    for place, content in read_encoded_images(list(rows)):
        yield rows[place], content if content else ImageError("empty file", "image/encoded holds nothing")
