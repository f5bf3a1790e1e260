"""JSON lines of points.json made from columns of boxes, thousands of images at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data_prep.formats.points import COORDINATES, FLAGS
from data_prep.metadata.box_table import Boxes
from data_prep.metadata.image_labels import ImageLabels

IMAGES_AT_A_TIME = 20_000
_PLACE = "place"


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
        image_ids: The image ids by number.
        labels: The labels by number.
    """
    places = np.full(len(image_ids), -1, np.int64)
    places[images] = np.arange(len(images))
    lists = [("annotations", _ByPlace(places[boxes.image]), lambda rows: _box_columns(rows, boxes, labels))]
    if image_labels is not None:
        labels_by_place = _ByPlace(places[image_labels.image])
        lists.append(("image_labels", labels_by_place, lambda rows: _label_columns(rows, image_labels, labels)))
    for start in range(0, len(images), IMAGES_AT_A_TIME):
        end = min(start + IMAGES_AT_A_TIME, len(images))
        points = pl.DataFrame({_PLACE: np.arange(start, end), "id": image_ids.gather(images[start:end])})
        for key, by_place, columns_of in lists:
            rows, of_rows = by_place.take(start, end)
            points = _with_lists(points, key, columns_of(rows), of_rows)
        yield points.select(pl.struct(pl.exclude(_PLACE)).struct.json_encode().str.join(",\n")).item()


class _ByPlace:
    """Rows sorted by the place of their image, without those of place -1, otherwise in their order."""

    def __init__(self, places: NDArray[np.int64]) -> None:
        rows = np.flatnonzero(places >= 0)
        self._rows = rows[np.argsort(places[rows], kind="stable")]
        self._places = places[self._rows]

    def take(self, start: int, end: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns the rows of places from `start` to before `end`, and their places."""
        first, stop = np.searchsorted(self._places, (start, end))
        return self._rows[first:stop], self._places[first:stop]


def _with_lists(points: pl.DataFrame, key: str, columns: Mapping[str, Any], places: NDArray[np.int64]) -> pl.DataFrame:
    """Returns `points` with a list of objects more for each, made of the rows of `columns` at its place."""
    objects = pl.DataFrame(columns).select(pl.struct(pl.all()).alias(key), pl.Series(_PLACE, places).set_sorted())
    lists = objects.group_by(_PLACE, maintain_order=True).agg(key)
    return points.join(lists, on=_PLACE, how="left", maintain_order="left").with_columns(pl.col(key).fill_null([]))


def _box_columns(rows: NDArray[np.int64], boxes: Boxes, labels: pl.Series) -> dict[str, Any]:
    bits = boxes.flags[rows]
    numbers = zip(("confidence", *COORDINATES), boxes.numbers, strict=True)
    return (
        {"label": labels.gather(boxes.label[rows])}
        | {key: column[rows] for key, column in numbers}
        | {flag: (bits >> bit & 1).astype(np.bool_) for bit, flag in enumerate(FLAGS)}
    )


def _label_columns(rows: NDArray[np.int64], image_labels: ImageLabels, labels: pl.Series) -> dict[str, Any]:
    present = image_labels.present[rows].astype(np.float64)
    return {"label": labels.gather(image_labels.label[rows]), "confidence": present}
