"""The summary of an inspection page, in the few lines that the command prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from data_prep.inspection import data_set
from data_prep.inspection.data_set import DataSet

_BOX_WORDS = {
    data_set.UNUSABLE: "without area or outside their picture",
    data_set.DUPLICATE: "drawn twice",
    data_set.TWO_CLASSES: "of two classes in one place",
    data_set.TINY: "tiny",
    data_set.EXTREME_RATIO: "of an extreme aspect ratio",
    data_set.HUGE: "as large as their picture",
}
_IMAGE_WORDS = {
    data_set.NO_IMAGE: "missing or not readable",
    data_set.REPEATED_ID: "with the id of another",
    data_set.NO_BOXES: "without boxes",
    data_set.MANY_BOXES: "with very many boxes",
    data_set.SMALL_IMAGE: "small",
}


def describe(found: DataSet, coverage: Mapping[str, Any] | None, *, num_thumbnails: int, num_listed: int) -> list[str]:
    """Returns the lines.

    Args:
        found: The data set, marked.
        coverage: What the anchors match, or None.
        num_thumbnails: Images shown as such.
        num_listed: Images in the page.
    """
    num_classes = int(np.count_nonzero(np.bincount(found.box_classes, minlength=1)))
    lines = [
        f"{found.num_images} pictures with {found.num_boxes} boxes of {num_classes} classes, from {found.source}",
        f"suspicious pictures: {_counts(found.image_flags, _IMAGE_WORDS)}",
        f"suspicious boxes: {_counts(found.box_flags, _BOX_WORDS)}",
    ]
    if coverage is not None:
        compared = "all" if coverage["sampled"] == coverage["usable"] else f"{coverage['sampled']} of"
        lines.append(
            f"anchors of {coverage['config']}: {100 * coverage['share']:.1f}% of the boxes have one that matches "
            f"(compared: {compared} {coverage['usable']})"
        )
    lines.append(f"the page lists {num_listed} of the {found.num_images} pictures and shows {num_thumbnails} of them")
    return lines


def _counts(flags: Any, words: Mapping[int, str]) -> str:
    counts = {word: int(np.count_nonzero(flags & bit)) for bit, word in words.items()}
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "none"
