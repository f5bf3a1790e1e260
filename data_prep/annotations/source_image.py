"""The common result of every format's reader: images with their boxes, as the format states them, not yet checked."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_prep.formats.number_text import float_of
from data_prep.formats.points import MAX_LABEL_LENGTH
from data_prep.runtime.ledger import RejectedError

MAX_NUMBER_LENGTH = 40  # characters; a double needs 24

_NO_LETTER = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffd]")

Reject = Callable[[str, str, str], None]
"""Takes where something stands, a reason from a small fixed set, and what was seen; `Ledger.reject` is one."""


@dataclass(frozen=True)
class SourceBox:
    """A box.

    Attributes:
        where: File and row, object or annotation number.
        label: Its class.
        xmin: Left edge.
        ymin: Upper edge.
        xmax: Right edge.
        ymax: Lower edge.
        extra: Keys of points.json's annotations beside label and coordinates, such as `is_group_of`.
    """

    where: str
    label: str
    xmin: float
    ymin: float
    xmax: float
    ymax: float
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SourceImage:
    """An image.

    Attributes:
        where: File and row.
        names: What the annotations call its file, with `/` or `\\` between folders, the likeliest first.
        is_relative: Whether its boxes are in shares of the image (0..1) rather than pixels.
        boxes: Its boxes.
        width: In pixels, where the annotations say it.
        height: In pixels.
        url: Where it can be downloaded, or an empty string.
        num_rejected: How many boxes more it has that the reader rejected.
        directory: The folder below which its file lies, where the reader knows it; None leaves it to the options.
        content: The image's file, where the annotations hold it; `container` then is the file that they are in.
        container: See `content`.
    """

    where: str
    names: tuple[str, ...]
    is_relative: bool
    boxes: tuple[SourceBox, ...]
    width: int | None = None
    height: int | None = None
    url: str = ""
    num_rejected: int = 0
    directory: Path | None = None
    content: bytes | None = None
    container: Path | None = None


@dataclass
class SourceSet:
    """Images and classes that a reader found in a file or folder.

    All but `images` may be complete only once these have been read.

    Attributes:
        images: The images, read as they are asked for.
        class_ids: The format's own list of classes with the ids, from 1, that they get; None where only boxes name
            classes.
        class_remark: How the format's own class numbers were mapped.
        remarks: Further lines to print.
    """

    images: Iterator[SourceImage]
    class_ids: Mapping[str, int] | None
    class_remark: str = ""
    remarks: list[str] = field(default_factory=list)


def read_boxes(
    where: str, items: Sequence[Any], read: Callable[[str, Any], SourceBox], reject: Reject
) -> tuple[SourceBox, ...]:
    """Returns the boxes of an image's list that can be read; the others are rejected, each by its place.

    Args:
        where: Of the list.
        items: What it holds.
        read: Makes a box of its place and an item; raises `RejectedError`.
        reject: Takes what cannot be used.
    """
    boxes = []
    for number, item in enumerate(items):
        place = f"{where}[{number}]"
        try:
            boxes.append(read(place, item))
        except RejectedError as error:
            reject(place, error.reason, error.detail)
    return tuple(boxes)


def read_number(value: Any, name: str) -> float:
    """Returns a finite number from a text or a JSON value.

    Raises:
        RejectedError: It is none.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number or (isinstance(value, str) and len(value) <= MAX_NUMBER_LENGTH):
        try:
            number = float_of(value) if isinstance(value, str) else float(value)
        except (ValueError, OverflowError):
            number = math.nan
        if math.isfinite(number):
            return number
    raise RejectedError("not a number", f"{name} is {shown(value)}")


def check_label(text: str) -> str:
    """Returns a class name without blanks around it.

    Raises:
        RejectedError: It is empty or too long, or holds what no name does: control characters, half a surrogate pair,
            marks that turn the direction of writing, or U+FFFD, which stands for broken text.
    """
    label = text.strip()
    if not label or len(label) > MAX_LABEL_LENGTH or _NO_LETTER.search(label):
        raise RejectedError("bad label", shown(text))
    return label


def read_side(value: Any) -> int | None:
    """Returns an image's width or height in pixels, or None for what is missing, zero, or no number.

    Labelling tools write 0 where they could not open the image, so that a bad size is no more than a missing one.
    """
    try:
        number = read_number(value.strip() if isinstance(value, str) else value, "side")
    except RejectedError:
        return None
    return int(number) if 1 <= number < 2**31 and number == int(number) else None


def shown(value: Any) -> str:
    """Returns any value for a message, shortened."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else f"an array of {len(value)}"
    text = repr(value if not isinstance(value, str) else value[:100])
    return text if len(text) <= 80 else text[:80] + "..."
