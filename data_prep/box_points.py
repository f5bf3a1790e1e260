"""What points.json holds, made from columns of boxes: as JSON, thousands of images at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data_prep.box_table import Boxes
from data_prep.image_labels import ImageLabels
from data_prep.points import COORDINATES, FLAGS

IMAGES_AT_A_TIME = 20_000
_PLACE, _OBJECT = "place", "object"


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
        points = pl.DataFrame({_PLACE: np.arange(start, end), "id": image_ids.gather(images[start:end])})
        rows = box_rows[box_ends[start] : box_ends[end]]
        members = [
            pl.lit('{"id": "') + pl.col("id") + pl.lit('"'),
            _joined("annotations", points, _box_objects(rows, places, boxes, labels)),
        ]
        if image_labels is not None:
            rows = label_rows[label_ends[start] : label_ends[end]]
            members.append(_joined("image_labels", points, _label_objects(rows, places, image_labels, labels)))
        lines = points.select(pl.concat_str(members, separator=", ") + pl.lit("}")).to_series()
        yield ",\n".join(lines.to_list())


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


def _box_objects(rows: NDArray[np.int64], places: NDArray[np.int64], boxes: Boxes, labels: pl.Series) -> pl.DataFrame:
    """Returns the place and the JSON of each box of `rows`."""
    bits = boxes.flags[rows]
    numbers = zip(("confidence", *COORDINATES), boxes.numbers, strict=True)
    box = pl.DataFrame(
        {"label": labels.gather(boxes.label[rows])}
        | {key: column[rows] for key, column in numbers}
        | {flag: (bits >> bit & 1).astype(np.bool_) for bit, flag in enumerate(FLAGS)}
    )
    return _objects(places[boxes.image[rows]], box)


def _label_objects(
    rows: NDArray[np.int64], places: NDArray[np.int64], image_labels: ImageLabels, labels: pl.Series
) -> pl.DataFrame:
    """Returns the place and the JSON of each verified label of `rows`."""
    label = pl.DataFrame(
        {
            "label": labels.gather(image_labels.label[rows]),
            "confidence": image_labels.present[rows].astype(np.float64),
        }
    )
    return _objects(places[image_labels.image[rows]], label)


def _objects(places: NDArray[np.int64], columns: pl.DataFrame) -> pl.DataFrame:
    return columns.select(pl.Series(_PLACE, places), pl.struct(pl.all()).struct.json_encode().alias(_OBJECT))


def _joined(key: str, points: pl.DataFrame, objects: pl.DataFrame) -> pl.Series:
    """Returns `"key": [objects]` for each of `points`; an empty array for one that has none."""
    by_place = objects.group_by(_PLACE, maintain_order=True).agg(pl.col(_OBJECT).str.join(", "))
    joined = points.join(by_place, on=_PLACE, how="left", maintain_order="left")
    text = pl.lit(f'"{key}": [') + pl.col(_OBJECT).fill_null("") + pl.lit("]")
    return joined.select(text.alias(key)).to_series()
