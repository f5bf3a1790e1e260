"""Ground truth expanded along a class hierarchy, as Open Images' challenge evaluates it.

A box of a Bed is a box of Furniture too: it is repeated for each class above its own. What a person saw on an image as
a whole holds for all classes above (a Bed is there, so Furniture is), what a person missed for all below (no Furniture,
so no Bed). So has it the Object Detection API's `oid_hierarchical_labels_expansion.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data_prep.metadata.box_repeats import are_among
from data_prep.metadata.box_table import Boxes, Numbering
from data_prep.metadata.hierarchy import Expansion
from data_prep.metadata.image_labels import ImageLabels


def expand_boxes(boxes: Boxes, labels: Numbering, expansion: Expansion) -> tuple[Boxes, int, int]:
    """Returns the boxes, each for all classes that it is kept for, one after the other.

    A copy is left out where the image has a box with just these edges that is annotated with the class: one thing that
    was annotated twice, as a Bed and as Furniture. Copies of two boxes in one place both stay.

    Args:
        boxes: As annotated.
        labels: The numbers of labels; gets those of classes above.
        expansion: Which classes.

    Returns:
        The boxes, in their order; how many copies are among them, and how many were left out.
    """
    origin, label, is_copy = _repeated(boxes.label, labels, expansion.of_box)
    copies = np.flatnonzero(is_copy)
    annotated = are_among(replace(boxes.pick(origin[copies]), label=label[copies]), boxes)
    stays = np.ones(len(origin), np.bool_)
    stays[copies[annotated]] = False
    num_left_out = int(np.count_nonzero(annotated))
    return replace(boxes.pick(origin[stays]), label=label[stays]), len(copies) - num_left_out, num_left_out


def expand_image_labels(image_labels: ImageLabels, labels: Numbering, expansion: Expansion) -> tuple[ImageLabels, int]:
    """Returns the labels of images, each for all classes that it is kept for, every image and class once.

    What a person said of the class itself goes before what follows from another class; of two that follow, present
    goes before absent.

    Returns:
        The labels, and how many copies are among them.
    """
    present = image_labels.present
    parts = []
    for value in (True, False):
        rows = np.flatnonzero(present == value)

        def classes_of(label: str, value: bool = value) -> list[str]:
            return expansion.of_image_label(label, is_present=value)

        origin, label, is_copy = _repeated(image_labels.label[rows], labels, classes_of)
        parts.append((rows[origin], label, is_copy))
    origin, label, is_copy = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    # Present before absent already; now what was said before what follows, and within each the file's order.
    order = np.lexsort((~present[origin], is_copy))
    origin, label, is_copy = origin[order], label[order], is_copy[order]
    pair = pl.Series((image_labels.image[origin].astype(np.uint64) << np.uint64(32)) | label)
    once = pair.is_first_distinct().to_numpy()
    origin, label, is_copy = origin[once], label[once], is_copy[once]
    order = np.argsort(origin, kind="stable")
    origin, label = origin[order], label[order]
    expanded = replace(image_labels, image=image_labels.image[origin], label=label, present=present[origin])
    return expanded, int(np.count_nonzero(is_copy))


def _repeated(
    label_of_row: NDArray[np.uint32], labels: Numbering, classes_of: Callable[[str], list[str]]
) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.bool_]]:
    """Returns for each copy of a row, itself included, the row's number, the copy's label, and whether it is another's.

    Args:
        label_of_row: Numbers of labels.
        labels: Gets the labels that are new.
        classes_of: Returns the classes of a label.
    """
    if not len(label_of_row):
        return np.zeros(0, np.int64), np.zeros(0, np.uint32), np.zeros(0, np.bool_)
    known = list(labels)
    used = np.bincount(label_of_row, minlength=len(known)) > 0
    classes = [
        labels.numbers_of(pl.Series(classes_of(label), dtype=pl.String)) if is_used else np.zeros(0, np.uint32)
        for label, is_used in zip(known, used, strict=True)
    ]
    counts = np.array([len(found) for found in classes])
    starts = np.cumsum(counts) - counts
    origin = np.repeat(np.arange(len(label_of_row)), counts[label_of_row])
    first = np.flatnonzero(np.diff(origin, prepend=-1))
    place = np.arange(len(origin)) - np.repeat(first, np.diff(first, append=len(origin)))
    label = np.concatenate(classes)[starts[label_of_row[origin]] + place].astype(np.uint32)
    return origin, label, label != label_of_row[origin]
