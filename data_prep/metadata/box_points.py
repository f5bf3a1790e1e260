"""What points.json holds, made from columns of boxes: as JSON, thousands of images at a time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data_prep.metadata.box_table import Boxes
from data_prep.metadata.image_labels import ImageLabels
from data_prep.points import COORDINATES, FLAGS

IMAGES_AT_A_TIME = 20_000


def encoded_points(
    images: NDArray[np.uint32],
    boxes: Boxes,
    image_labels: ImageLabels | None,
    image_ids: pl.Series,
    labels: pl.Series,
) -> Iterator[str]:
    """Yields the images of points.json as JSON, many at a time with `,` and a line's end in between.

    Args:
        images: The numbers of the images, in the order to write them, each once.
        boxes: Those of other images are passed over; an image's boxes keep their order.
        image_labels: The verified labels; None leaves the key out.
        image_ids: The image ids by number, checked: they are plain file names.
        labels: The labels by number.
    """
    places = np.full(len(image_ids), -1, np.int64)
    places[images] = np.arange(len(images))
    box_rows, box_ends = _by_place(places[boxes.image], len(images))
    if image_labels is not None:
        label_rows, label_ends = _by_place(places[image_labels.image], len(images))
    for start in range(0, len(images), IMAGES_AT_A_TIME):
        end = min(start + IMAGES_AT_A_TIME, len(images))
        ids = image_ids.gather(images[start:end]).to_list()
        objects = _box_objects(box_rows[box_ends[start] : box_ends[end]], boxes, labels)
        annotations = _joined(objects, box_ends[start : end + 1])
        if image_labels is None:
            yield ",\n".join(map('{{"id": "{}", "annotations": [{}]}}'.format, ids, annotations))
        else:
            objects = _label_objects(label_rows[label_ends[start] : label_ends[end]], image_labels, labels)
            verified = _joined(objects, label_ends[start : end + 1])
            members = '{{"id": "{}", "annotations": [{}], "image_labels": [{}]}}'.format
            yield ",\n".join(map(members, ids, annotations, verified))


def _by_place(places: NDArray[np.int64], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns which rows belong to which place, without those of place -1.

    Returns:
        The rows, place by place, otherwise in their order; and [count + 1], where the rows of each place begin in the
        former, and at its end where they end.
    """
    rows = np.flatnonzero(places >= 0)
    of_rows = places[rows]
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(of_rows, minlength=count))])
    return rows[np.argsort(of_rows, kind="stable")], ends


def _box_objects(rows: NDArray[np.int64], boxes: Boxes, labels: pl.Series) -> list[str]:
    """Returns the JSON of each box of `rows`."""
    bits = boxes.flags[rows]
    numbers = zip(("confidence", *COORDINATES), boxes.numbers, strict=True)
    return _objects(
        {"label": labels.gather(boxes.label[rows])}
        | {key: column[rows] for key, column in numbers}
        | {flag: (bits >> bit & 1).astype(np.bool_) for bit, flag in enumerate(FLAGS)}
    )


def _label_objects(rows: NDArray[np.int64], image_labels: ImageLabels, labels: pl.Series) -> list[str]:
    """Returns the JSON of each verified label of `rows`."""
    present = image_labels.present[rows].astype(np.float64)
    return _objects({"label": labels.gather(image_labels.label[rows]), "confidence": present})


def _objects(columns: dict[str, Any]) -> list[str]:
    return pl.DataFrame(columns).select(pl.struct(pl.all()).struct.json_encode()).to_series().to_list()


def _joined(objects: list[str], ends: NDArray[np.int64]) -> Iterator[str]:
    """Yields the objects of each image; `ends` tells where in the columns they end, that of the image before first."""
    places = (ends - ends[0]).tolist()
    return (", ".join(objects[start:end]) for start, end in itertools.pairwise(places))
