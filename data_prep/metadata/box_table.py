"""Open Images' boxes in memory: checked, some 50 bytes a box, and in the order of any image index in linear time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data_prep.formats.number_text import float_of
from data_prep.formats.points import FLAGS, MAX_IMAGE_ID_LENGTH, MAX_LABEL_LENGTH, TOLERANCE, check_image_id
from data_prep.metadata.csv_frames import LINE
from data_prep.metadata.csv_rows import REPLACEMENT
from data_prep.metadata.open_images import BOX_FLAG_COLUMNS
from data_prep.runtime.command_line import UserError
from data_prep.runtime.ledger import RejectedError

NUMBER_COLUMNS = ("Confidence", "XMin", "XMax", "YMin", "YMax")
IMAGE_ID, LABEL = "ImageID", "LabelName"
_TRUE = ("1", "1.0", "true", "True", "TRUE")
_FALSE = ("0", "0.0", "false", "False", "FALSE", "-1", "-1.0", "")  # -1 and nothing at all: not annotated
_FLAG_VALUES = dict.fromkeys(_TRUE, True) | dict.fromkeys(_FALSE, False)
_PLAIN_IMAGE_ID = "^[A-Za-z0-9_-][A-Za-z0-9_.-]*$"  # of points.check_image_id, and no longer than it allows

RejectBox = Callable[[int, str, str], None]


def check_boxes(
    rows: pl.DataFrame,
    known_labels: Sequence[str] | None,
    reject: RejectBox,
    images_of_rejected: set[str] | None = None,
) -> pl.DataFrame:
    """Returns the boxes of `rows` that can be trained on, typed.

    Args:
        rows: Texts, as `read_frames` yields them: the columns of a boxes CSV, and `LINE`.
        known_labels: What a label may be; None takes any.
        reject: Called with line, reason and detail for each row that is left out, in the file's order.
        images_of_rejected: Gets the ids of the images of these rows, those aside that are no image ids.

    Returns:
        `ImageID` and `LabelName`; confidence, x0, x1, y0, y1 (relative, 0..1) under the names of `NUMBER_COLUMNS`, as
        float64; the flags under the names of `BOX_FLAG_COLUMNS`, as Booleans; and `LINE`. In the order of `rows`.
    """
    typed = rows.select(
        IMAGE_ID,
        LABEL,
        pl.col("Confidence").replace("", "1").cast(pl.Float64, strict=False),
        *(pl.col(name).cast(pl.Float64, strict=False) for name in NUMBER_COLUMNS[1:]),
        *(
            pl.col(name).replace_strict(_FLAG_VALUES, default=None, return_dtype=pl.Boolean)
            for name in BOX_FLAG_COLUMNS
        ),
        LINE,
    )
    x0, x1, y0, y1 = map(pl.col, NUMBER_COLUMNS[1:])
    good = pl.all_horizontal(
        pl.col(IMAGE_ID).str.len_bytes() <= MAX_IMAGE_ID_LENGTH,
        pl.col(IMAGE_ID).str.contains(_PLAIN_IMAGE_ID),
        _is_label(known_labels),
        *(edge.is_between(0.0, 1.0) for edge in (x0, x1, y0, y1, pl.col("Confidence"))),
        x0 < x1,
        y0 < y1,
        *(pl.col(name).is_not_null() for name in BOX_FLAG_COLUMNS),
    ).fill_null(False)
    mask = typed.select(good).to_series()
    if mask.all():  # nearly always
        return typed
    known = None if known_labels is None else frozenset(known_labels)
    mended = list(_mended(rows.filter(~mask), known, reject, images_of_rejected))
    return pl.concat([typed.filter(mask), pl.DataFrame(mended, schema=typed.schema, orient="row")]).sort(LINE)


def _is_label(known_labels: Sequence[str] | None) -> pl.Expr:
    if known_labels is not None:
        return pl.col(LABEL).is_in(list(known_labels))
    label = pl.col(LABEL)
    return label.str.len_chars().is_between(1, MAX_LABEL_LENGTH) & ~label.str.contains(REPLACEMENT, literal=True)


def _mended(
    rows: pl.DataFrame, known_labels: frozenset[str] | None, reject: RejectBox, images_of_rejected: set[str] | None
) -> Iterator[tuple[str | float | bool | int, ...]]:
    """Yields those of some suspicious rows that are good after all, such as one that sticks out by a rounding error."""
    names = (IMAGE_ID, LABEL, *NUMBER_COLUMNS, *BOX_FLAG_COLUMNS, LINE)
    for image_id, label, *cells, line in rows.select(names).iter_rows():
        numbers, flags = tuple(cells[: len(NUMBER_COLUMNS)]), tuple(cells[len(NUMBER_COLUMNS) :])
        try:
            check_image_id(image_id)
            values = check_box(label, numbers, flags, known_labels)
        except RejectedError as error:
            reject(line, error.reason, f"image {image_id}: {error.detail}")
            if images_of_rejected is not None:
                images_of_rejected.add(image_id)
        except UserError as error:
            reject(line, "unsafe image id" if image_id else "empty image id", str(error))
        else:
            yield image_id, label, *values, line


def check_box(
    label: str, numbers: tuple[str, ...], flags: tuple[str, ...], known_labels: frozenset[str] | None = None
) -> tuple[float | bool, ...]:
    """Returns confidence, x0, x1, y0, y1 (relative, 0..1) and the flags of a box.

    Args:
        label: Its class.
        numbers: Confidence (empty: 1), x0, x1, y0, y1 as text.
        flags: Occluded, truncated, group of, depiction, inside as text: 1, 0, -1 (unknown) or empty.
        known_labels: What `label` may be; None takes any.

    Raises:
        RejectedError: The box cannot be trained on.
    """
    if not label or len(label) > MAX_LABEL_LENGTH or REPLACEMENT in label:
        raise RejectedError("bad label", f"LabelName {label[:80]!r}")
    if known_labels is not None and label not in known_labels:
        raise RejectedError("unknown label", f"LabelName {label[:80]!r} is not in the class descriptions")
    values = _read_numbers(numbers)
    for flag, cell in zip(FLAGS, flags, strict=True):
        if cell not in _FLAG_VALUES:
            raise RejectedError("bad flag", f"{flag} is {cell[:80]!r}, not 0, 1 or -1")
    return *values, *(_FLAG_VALUES[cell] for cell in flags)


class Numbering:
    """Gives each text (an image id, a label) a number, from 0 in the order they first come.

    A dictionary, and not a join: a join would hash all that is known anew for every block of a file.
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def __len__(self) -> int:
        """Returns how many texts there are."""
        return len(self._numbers)

    def __contains__(self, text: object) -> bool:
        """Returns whether `text` has a number."""
        return text in self._numbers

    def __iter__(self) -> Iterator[str]:
        """Returns the texts by number."""
        return iter(self._numbers)

    @property
    def texts(self) -> pl.Series:
        """The texts by number."""
        return pl.Series("text", list(self._numbers), pl.String)

    def numbers_of(self, texts: pl.Series) -> NDArray[np.uint32]:
        """Returns the numbers of `texts`, giving one to each that is new."""
        known = self._numbers
        begins = (texts != texts.shift(1)).fill_null(True)  # rows of one image follow each other
        numbers = np.array([known.setdefault(text, len(known)) for text in texts.filter(begins).to_list()], np.uint32)
        return numbers if len(numbers) == len(texts) else numbers[np.cumsum(begins.to_numpy()) - 1]

    def contains(self, texts: pl.Series) -> pl.Series:
        """Returns for each of `texts` whether it has a number, as Booleans."""
        known = map(self._numbers.__contains__, texts.to_list())
        return pl.Series(np.fromiter(known, np.bool_, len(texts)))


@dataclass(frozen=True)
class Boxes:
    """Boxes, one after the other; all arrays are as long as there are boxes.

    Attributes:
        image: The number of the box's image, uint32.
        label: The number of its label, uint32.
        numbers: Confidence, x0, x1, y0, y1 (relative, 0..1), each float64.
        flags: One bit for each of `points.FLAGS`, uint8.
    """

    image: NDArray[np.uint32]
    label: NDArray[np.uint32]
    numbers: tuple[NDArray[np.float64], ...]
    flags: NDArray[np.uint8]

    def __len__(self) -> int:
        """Returns how many boxes there are."""
        return len(self.image)

    def pick(self, rows: NDArray[np.int64]) -> Boxes:
        """Returns the boxes of those numbers, in their order."""
        numbers = tuple(column[rows] for column in self.numbers)
        return Boxes(self.image[rows], self.label[rows], numbers, self.flags[rows])


class BoxTable:
    """Boxes in the order they come, as columns.

    Attributes:
        images: The numbers of image ids.
        labels: The numbers of labels.
    """

    def __init__(self) -> None:
        self.images = Numbering()
        self.labels = Numbering()
        self._columns: list[list[NDArray[Any]]] = [[] for _ in range(3 + len(NUMBER_COLUMNS))]

    def __len__(self) -> int:
        """Returns how many boxes there are."""
        return sum(map(len, self._columns[0]))

    def add(self, boxes: pl.DataFrame) -> None:
        """Adds boxes as `check_boxes` returns them."""
        if not len(boxes):
            return
        bits = pl.sum_horizontal(
            pl.col(name).cast(pl.UInt8) * (1 << bit) for bit, name in enumerate(BOX_FLAG_COLUMNS)
        ).cast(pl.UInt8)
        columns = (
            self.images.numbers_of(boxes[IMAGE_ID]),
            self.labels.numbers_of(boxes[LABEL]),
            boxes.select(bits).to_series().to_numpy(),
            *(boxes[name].to_numpy() for name in NUMBER_COLUMNS),
        )
        for chunks, column in zip(self._columns, columns, strict=True):
            chunks.append(np.array(column))  # a copy: Polars' own may be a view of a block of the CSV

    def take(self) -> Boxes:
        """Returns the boxes and forgets them, so that they are never in memory twice as a whole."""
        types = (np.uint32, np.uint32, np.uint8, *[np.float64] * len(NUMBER_COLUMNS))
        taken = []
        for chunks, kind in zip(self._columns, types, strict=True):
            taken.append(np.concatenate(chunks) if chunks else np.zeros(0, kind))
            chunks.clear()
        image, label, flags, *numbers = taken
        return Boxes(image, label, tuple(numbers), flags)


def count_by_label(label_of_box: NDArray[np.uint32], labels: pl.Series) -> Counter[str]:
    """Returns how many boxes each label has, without those that have none.

    Args:
        label_of_box: The number of each box's label.
        labels: The labels by number.
    """
    counts = np.bincount(label_of_box, minlength=len(labels)).tolist()
    return Counter({label: count for label, count in zip(labels.to_list(), counts, strict=True) if count})


def _read_numbers(cells: tuple[str, ...]) -> tuple[float, ...]:
    """Reads confidence, x0, x1, y0, y1 (relative, 0..1), cutting off what sticks out by a rounding error."""
    try:
        values = tuple(map(float_of, (cells[0] or "1", *cells[1:])))
    except ValueError:
        raise RejectedError("not a number", _shown(cells)) from None
    if not all(map(math.isfinite, values)):
        raise RejectedError("not a number", _shown(cells))
    if min(values) < -TOLERANCE or max(values) > 1.0 + TOLERANCE:
        raise RejectedError("outside 0..1", _shown(cells))
    values = tuple(min(max(value, 0.0), 1.0) for value in values)
    _, x0, x1, y0, y1 = values
    if x1 < x0 or y1 < y0:
        raise RejectedError("reversed box", _shown(cells))
    if x1 == x0 or y1 == y0:
        raise RejectedError("box without area", _shown(cells))
    return values


def _shown(cells: tuple[str, ...]) -> str:
    return ", ".join(f"{name} {cell[:40]}" for name, cell in zip(NUMBER_COLUMNS, cells, strict=True))
