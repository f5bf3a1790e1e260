"""A sample of a boxes CSV: its beginning, which is a random part of the images, since they are sorted by random ids."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_EDGE = 1.96  # standard deviations on either side, within which 95% of samples fall
_ID = "ImageID"


@dataclass(frozen=True)
class BoxesSample:
    """Whole images of a boxes CSV.

    Attributes:
        text: The header and all rows of those images.
        bytes_of_image: Length of each image's rows, in the file's order.
        share: Of the file's rows, by length; 1 for all of them.
        is_sorted: Whether the images come in the order of their ids.
    """

    text: bytes
    bytes_of_image: dict[str, int]
    share: float
    is_sorted: bool


@dataclass(frozen=True)
class Scaled:
    """A number of a whole file, as a sample has it.

    Attributes:
        value: The estimate.
        edge: Half the width of the interval that has the truth with a probability of 95%; 0 where it is exact.
    """

    value: float
    edge: float

    def __str__(self) -> str:
        if not self.edge:
            return f"{self.value:,.0f}"
        unit = 10 ** max(0, math.floor(math.log10(self.edge)) - 1)  # no more digits than are known
        return f"{round(self.value / unit) * unit:,.0f} ± {max(unit, round(self.edge / unit) * unit):,.0f}"


def sample_of(start: bytes, total_bytes: int | None) -> BoxesSample:
    """Returns the whole images in the beginning of a boxes CSV.

    Args:
        start: The beginning; all of the file where it has no more than `total_bytes`.
        total_bytes: The file's size; None where `start` is all of it.

    Raises:
        ValueError: There is no column ImageID, or not one whole image.
    """
    header, _, rows = start.partition(b"\n")
    names = next(csv.reader(io.StringIO(header.decode("utf-8-sig", "replace"))), [])
    column = [name.strip().casefold() for name in names].index(_ID.casefold())
    is_whole = total_bytes is None or len(start) >= total_bytes
    lines = rows.splitlines(keepends=True)
    if not is_whole and lines and not lines[-1].endswith(b"\n"):
        lines.pop()
    ids = [line.split(b",", column + 1)[column].decode("utf-8", "replace").strip() for line in lines]
    if not is_whole:  # more boxes of the last image may follow
        length = next((number for number, image_id in enumerate(ids) if image_id == ids[-1]), 0)
        lines, ids = lines[:length], ids[:length]
    if not ids:
        raise ValueError("not one whole image")
    bytes_of_image: dict[str, int] = {}
    for image_id, line in zip(ids, lines, strict=True):
        bytes_of_image[image_id] = bytes_of_image.get(image_id, 0) + len(line)
    text = header + b"\n" + b"".join(lines)
    rows_bytes = sum(bytes_of_image.values())
    share = 1.0 if is_whole or total_bytes is None else rows_bytes / max(1, total_bytes - len(header) - 1)
    order = list(bytes_of_image)
    return BoxesSample(text, bytes_of_image, share, order == sorted(order))


def scaled(sample: BoxesSample, count_of_image: dict[str, int]) -> Scaled:
    """Returns a sum over all images of the file, as a ratio to the length of their rows.

    Args:
        sample: The sample.
        count_of_image: What is summed, of images of the sample; 0 for those that it lacks.
    """
    return _ratio([(size, count_of_image.get(name, 0)) for name, size in sample.bytes_of_image.items()], sample.share)


def _ratio(pairs: Sequence[tuple[int, int]], share: float) -> Scaled:
    total = sum(count for _, count in pairs)
    if share >= 1.0:
        return Scaled(float(total), 0.0)
    ratio = total / sum(size for size, _ in pairs)
    variance = _sum_of_squares(count - ratio * size for size, count in pairs) * (1.0 - share)
    return Scaled(total / share, _EDGE * math.sqrt(variance) / share)


def _sum_of_squares(values: Iterable[float]) -> float:
    return math.fsum(value * value for value in values)
