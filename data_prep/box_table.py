"""Open Images' boxes in memory: checked, some 50 bytes a box, and grouped by image in linear time."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterator, KeysView
from typing import Any

import numpy as np

from data_prep.csv_rows import REPLACEMENT
from data_prep.points import COORDINATES, FLAGS, MAX_LABEL_LENGTH, TOLERANCE

_TRUE = {"1", "1.0", "true", "True", "TRUE"}
_FALSE = {"0", "0.0", "false", "False", "FALSE", "-1", "-1.0", ""}  # -1 and nothing at all: nobody looked
_FLAG_VALUES = dict.fromkeys(_TRUE, True) | dict.fromkeys(_FALSE, False)
_FLAGS_OF_BITS = [{flag: bool(bits >> bit & 1) for bit, flag in enumerate(FLAGS)} for bits in range(1 << len(FLAGS))]
_NUMBERS_A_BOX = 1 + len(COORDINATES)


class BadBoxError(ValueError):
    """A box that cannot be trained on.

    Attributes:
        reason: A few words from a small fixed set.
        detail: What was seen.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class BoxTable:
    """Boxes in the order they come, and by image in the order that images first come.

    Attributes:
        image_numbers: For each image id its number, from 0.
        boxes_by_label: How many boxes each label has.
        label_numbers: For each label its number, from 0.
        image_of_box: The image's number of each box.
        label_of_box: The label's number of each box.
        numbers: Confidence, x0, x1, y0, y1 (relative, 0..1) of each box, one after the other.
        flags: Of each box, one bit for each of `points.FLAGS`.
    """

    def __init__(self) -> None:
        self.image_numbers: dict[str, int] = {}
        self.boxes_by_label: Counter[str] = Counter()
        self.label_numbers: dict[str, int] = {}
        self.image_of_box = array("l")
        self.label_of_box = array("l")
        self.numbers = array("d")
        self.flags = array("B")

    def __len__(self) -> int:
        """Returns how many boxes there are."""
        return len(self.image_of_box)

    def add(self, image_id: str, label: str, numbers: tuple[str, ...], flags: tuple[str, ...]) -> None:
        """Adds a box.

        Args:
            image_id: Its image, checked by the caller.
            label: Its class.
            numbers: Confidence (empty: 1), x0, x1, y0, y1 as text.
            flags: Occluded, truncated, group of, depiction, inside as text: 1, 0, -1 (unknown) or empty.

        Raises:
            BadBoxError: The box cannot be trained on; nothing was added.
        """
        if not label or len(label) > MAX_LABEL_LENGTH or REPLACEMENT in label:
            raise BadBoxError("bad label", f"LabelName {label[:80]!r}")
        values = _read_numbers(numbers)
        bits = 0
        for bit, flag in enumerate(flags):
            value = _FLAG_VALUES.get(flag)
            if value is None:
                raise BadBoxError("bad flag", f"{FLAGS[bit]} is {flag[:80]!r}, not 0, 1 or -1")
            bits |= value << bit
        self.image_of_box.append(self.image_numbers.setdefault(image_id, len(self.image_numbers)))
        self.label_of_box.append(self.label_numbers.setdefault(label, len(self.label_numbers)))
        self.numbers.extend(values)
        self.flags.append(bits)
        self.boxes_by_label[label] += 1

    def group(self) -> GroupedBoxes:
        """Returns the boxes by image; no box may be added afterwards."""
        return GroupedBoxes(self)


class GroupedBoxes:
    """What a `BoxTable` holds, image by image."""

    def __init__(self, table: BoxTable) -> None:
        image_of_box = np.frombuffer(table.image_of_box, np.dtype("l"))
        self._image_numbers = table.image_numbers
        self._labels = list(table.label_numbers)
        self._label_of_box = np.frombuffer(table.label_of_box, np.dtype("l"))
        self._numbers = np.frombuffer(table.numbers, np.float64).reshape(-1, _NUMBERS_A_BOX)
        self._flags = np.frombuffer(table.flags, np.uint8)
        self._order = np.argsort(image_of_box, kind="stable")  # stable: an image's boxes stay in the file's order
        self._ends = np.cumsum(np.bincount(image_of_box, minlength=len(table.image_numbers)))

    @property
    def image_ids(self) -> KeysView[str]:
        """The images that have boxes, in the order that they first came."""
        return self._image_numbers.keys()

    def count(self, image_id: str) -> int:
        """Returns how many boxes an image has."""
        return len(self._rows(image_id))

    def annotations(self, image_id: str) -> Iterator[dict[str, Any]]:
        """Yields the boxes of an image as points.json holds them, in the order they were added."""
        for row in self._rows(image_id):
            confidence, *coordinates = self._numbers[row].tolist()
            yield {
                "label": self._labels[self._label_of_box[row]],
                "confidence": confidence,
                **dict(zip(COORDINATES, coordinates, strict=True)),
                **_FLAGS_OF_BITS[self._flags[row]],
            }

    def _rows(self, image_id: str) -> list[int]:
        number = self._image_numbers[image_id]
        start = int(self._ends[number - 1]) if number else 0
        return self._order[start : int(self._ends[number])].tolist()


def _read_numbers(cells: tuple[str, ...]) -> tuple[float, ...]:
    """Reads confidence, x0, x1, y0, y1 (relative, 0..1), cutting off what sticks out by a rounding error."""
    try:
        confidence, x0, x1, y0, y1 = values = tuple(map(float, (cells[0] or "1", *cells[1:])))
    except ValueError:
        raise BadBoxError("not a number", _shown(cells)) from None
    if 0.0 <= x0 < x1 <= 1.0 and 0.0 <= y0 < y1 <= 1.0 and 0.0 <= confidence <= 1.0:  # nearly all of them
        return values
    if not all(map(math.isfinite, values)):
        raise BadBoxError("not a number", _shown(cells))
    if min(values) < -TOLERANCE or max(values) > 1.0 + TOLERANCE:
        raise BadBoxError("outside 0..1", _shown(cells))
    values = tuple(min(max(value, 0.0), 1.0) for value in values)
    _, x0, x1, y0, y1 = values
    if x1 < x0 or y1 < y0:
        raise BadBoxError("reversed box", _shown(cells))
    if x1 == x0 or y1 == y0:
        raise BadBoxError("box without area", _shown(cells))
    return values


def _shown(cells: tuple[str, ...]) -> str:
    names = ("Confidence", "XMin", "XMax", "YMin", "YMax")
    return ", ".join(f"{name} {cell[:40]}" for name, cell in zip(names, cells, strict=True))
