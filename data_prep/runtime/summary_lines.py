"""What the summaries of several steps say in the same words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from typing import Final, TypeVar

CLASSES_SHOWN: Final = 10  # in a line
NAME_LENGTH: Final = 80  # characters of a name

_Class = TypeVar("_Class", bound=Hashable)


def commonest(counts: Counter[_Class], name_of: Callable[[_Class], str]) -> str:
    """Returns the ten classes that have most, with their counts, and how many more there are.

    Args:
        counts: By class.
        name_of: Returns what people call a class.
    """
    shown = [f"{name_of(key)} {count}" for key, count in counts.most_common(CLASSES_SHOWN)]
    more = f" and {len(counts) - CLASSES_SHOWN} more classes" if len(counts) > CLASSES_SHOWN else ""
    return ", ".join(shown) + more


def images_of_rejected_boxes_line(num_images: int, *, are_kept: bool) -> str:
    """Returns the line about images that lost all their boxes, and what became of them.

    Args:
        num_images: How many there are.
        are_kept: Whether --keep_images_of_rejected_boxes was given.
    """
    became = (
        "kept as images without objects, as --keep_images_of_rejected_boxes says"
        if are_kept
        else "dropped (--keep_images_of_rejected_boxes keeps them as images without objects)"
    )
    return f"{num_images} images whose boxes were all rejected: {became}"
