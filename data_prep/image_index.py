"""Open Images' image index: where each picture is to be had, and what it then should be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any

from data_prep.csv_rows import REPLACEMENT, read_rows
from data_prep.ledger import Ledger
from data_prep.open_images import IMAGE_OPTIONAL_COLUMNS, IMAGE_REQUIRED_COLUMNS
from data_prep.progress import progress

_ROTATIONS = {f"{degrees}{end}": degrees for degrees in (0, 90, 180, 270) for end in ("", ".0")}


def read_image_index(
    path: str, wanted: Container[str], ledger: Ledger, count: Counter[str]
) -> Iterator[dict[str, Any]]:
    """Yields the wanted images of the index, as images.json holds them, in the index's order.

    Args:
        path: The image index CSV, plain or gzipped.
        wanted: The ids of the images to yield.
        ledger: Gets the rows that cannot be used.
        count: `count["read"]` becomes the number of rows.

    Raises:
        UsageError: The file cannot be read or lacks a column.
        UserError: It is damaged.
    """
    name = Path(path).name
    seen: set[str] = set()

    def reject_row(line: int, reason: str, detail: str) -> None:
        count["read"] += 1
        ledger.reject(f"{name}:{line}", reason, detail)

    rows = read_rows(
        path,
        required=IMAGE_REQUIRED_COLUMNS,
        optional=IMAGE_OPTIONAL_COLUMNS,
        on_bad_row=reject_row,
    )
    for line, (image_id, *cells) in progress(rows, description="reading the image index", unit="images"):
        if image_id in seen:
            reject_row(line, "image listed twice", f"image {image_id}")
            continue
        count["read"] += 1
        if image_id not in wanted:
            continue
        seen.add(image_id)
        try:
            yield _image(image_id, cells)
        except ValueError as error:
            ledger.reject(f"{name}:{line}", "bad image row", f"image {image_id}: {error}")


def _image(image_id: str, cells: Sequence[str]) -> dict[str, Any]:
    """Returns an entry of images.json; raises ValueError for what cannot be used."""
    url, subset, md5, size, rotation, thumbnail = cells
    if not url or REPLACEMENT in url:
        raise ValueError(f"OriginalURL {url[:80]!r}")
    image: dict[str, Any] = {"id": image_id, "url": url}
    texts = {"subset": subset, "original_md5": md5, "thumbnail_300k_url": thumbnail}
    image |= {key: text for key, text in texts.items() if text}
    if size:
        if not size.isdecimal() or len(size) > 18:
            raise ValueError(f"OriginalSize {size[:80]!r} is not a number of bytes")
        image["original_size"] = int(size)
    if rotation:
        if rotation not in _ROTATIONS:
            raise ValueError(f"Rotation {rotation[:80]!r} is not 0, 90, 180 or 270 degrees")
        image["rotation"] = _ROTATIONS[rotation]
    return image
