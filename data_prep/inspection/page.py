"""HTML of the data page: what of a data set goes into it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from data_prep.inspection.data_set import DataSet
from data_prep.pages.page_file import COORDINATE_STEPS, encoded_column, page_pieces, script_json

_FOLDER = Path(__file__).resolve().parent / "page"
# In this order: a later one uses what the earlier ones define.
_SCRIPTS = ("data.js", "charts.js", "classes.js", "anchors.js", "filters.js", "gallery.js", "main.js")
_MAX_TEXT = 300  # characters of an id or a name, which may be a megabyte long
_MAX_LISTED_BOXES = 1_500_000  # 12 bytes each, a third more as text


def choose_listed(
    found: DataSet, shown: Mapping[int, bytes], scores: npt.NDArray[np.int32], max_images: int, seed: int
) -> npt.NDArray[np.int64]:
    """Chooses the images whose boxes the page holds: those with a thumbnail, then the most suspicious, then any.

    Args:
        found: The data set.
        shown: The thumbnails by row.
        scores: int32 [P], how suspicious each image is.
        max_images: How many at most; fewer if their boxes are too many.
        seed: Of the choice of the last.

    Returns:
        Rows of images, int64, ascending.
    """
    has_none = np.ones(found.num_images, bool)
    has_none[list(shown)] = False
    chance = np.random.default_rng(seed).permutation(found.num_images)
    order = np.lexsort((chance, -scores, has_none))[:max_images]
    boxes = np.cumsum(np.diff(found.box_offsets)[order])
    return np.sort(order[boxes <= _MAX_LISTED_BOXES])


def page(
    found: DataSet,
    statistics: Mapping[str, Any],
    thumbnails: Mapping[int, bytes],
    listed: npt.NDArray[np.int64],
    scores: npt.NDArray[np.int32],
    *,
    title: str,
    limits: Mapping[str, Any],
    coverage: Mapping[str, Any] | None,
) -> str:
    """Returns the page's HTML.

    Args:
        found: The data set.
        statistics: Of `data_prep.inspection.statistics`.
        thumbnails: JPEGs by row of the image.
        listed: Rows of the images whose boxes the page holds, among them all of the thumbnails.
        scores: int32 [P], how suspicious each image is.
        title: Of the page.
        limits: From where on something is suspicious; for the words of the page.
        coverage: What the anchors of a config match; None where none was given.
    """
    data = {
        "title": title,
        "source": found.source,
        "numImages": found.num_images,
        "numBoxes": found.num_boxes,
        "statistics": {**statistics, "classes": [_shortened(entry) for entry in statistics["classes"]]},
        "limits": dict(limits),
        "coverage": coverage,
        "problems": _problems(found),
        **_images(found, listed, scores),
    }
    encoded = [base64.b64encode(thumbnails[row]).decode("ascii") if row in thumbnails else 0 for row in listed.tolist()]
    contents = {"DATA": script_json(data), "THUMBNAILS": script_json(encoded)}
    return "".join(page_pieces(_FOLDER, _SCRIPTS, title=title, contents=contents))


def _problems(found: DataSet) -> dict[str, Any] | None:
    """Returns what `verify_tfrecords` would report of the records: kinds, most frequent first, then its warnings."""
    checked = found.checked
    if checked is None:
        return None
    return {
        "badRecords": checked.num_bad_records,
        "kinds": [
            {
                "kind": prefix + kind,
                "count": count,
                "examples": [example[:_MAX_TEXT] for example in checked.examples[kind]],
            }
            for prefix, counts in (("", checked.problems), ("warning: ", checked.warnings))
            for kind, count in counts.most_common()
        ],
    }


def _images(found: DataSet, listed: npt.NDArray[np.int64], scores: npt.NDArray[np.int32]) -> dict[str, Any]:
    """Returns the listed images and their boxes as columns, little-endian numbers in base64."""
    offsets = found.box_offsets
    counts = (offsets[listed + 1] - offsets[listed]).astype(np.int64)
    ends = np.cumsum(counts)
    # For each listed box its row: where its image's begin, and how far into them it is.
    rows = np.repeat(offsets[listed] - (ends - counts), counts) + np.arange(int(counts.sum()))
    boxes = np.rint(found.clipped_boxes()[rows] * COORDINATE_STEPS)
    return {
        "ids": [found.image_ids[row][:_MAX_TEXT] for row in listed.tolist()],
        "offsets": encoded_column(np.concatenate([[0], ends]), "<u4"),
        "widths": encoded_column(found.widths[listed], "<u4"),
        "heights": encoded_column(found.heights[listed], "<u4"),
        "imageFlags": encoded_column(found.image_flags[listed], "<u2"),
        "scores": encoded_column(scores[listed], "<u2"),
        "boxes": encoded_column(boxes, "<u2"),
        "boxClasses": encoded_column(found.box_classes[rows], "<u4" if len(found.labels) > 65535 else "<u2"),
        "wideClasses": len(found.labels) > 65535,
        "boxFlags": encoded_column(found.box_flags[rows], "<u2"),
    }


def _shortened(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {**entry, "label": entry["label"][:_MAX_TEXT], "name": entry["name"][:_MAX_TEXT]}
