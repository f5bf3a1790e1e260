"""Reader of a data set from points.json, with the sizes of its images read from their first bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from data_prep.formats.points import read_point_items
from data_prep.images.image_file import ImageError, find_image, read_header, read_image_file
from data_prep.inspection import data_set
from data_prep.inspection.data_set import DataSet, DataSetBuilder
from data_prep.runtime.command_line import UserError
from data_prep.runtime.ledger import Ledger
from data_prep.runtime.progress import progress
from data_prep.runtime.worker_pool import map_in_order

_HEADER_BYTES = 64 * 1024  # a JPEG's size stands behind its EXIF thumbnail, which may take this much
_FLAGS = {
    "is_occluded": data_set.OCCLUDED,
    "is_truncated": data_set.TRUNCATED,
    "is_group_of": data_set.GROUP_OF,
    "is_depiction": data_set.DEPICTION,
    "is_inside": data_set.INSIDE,
}


def read_points_data_set(
    path: Path,
    image_directory: Path | None,
    names: Mapping[str, str],
    *,
    lists_all: bool,
    ledger: Ledger,
    num_threads: int,
) -> DataSet:
    """Reads points, and of each image its size.

    Args:
        path: points.json.
        image_directory: Holds ID.jpg or the like; None: sizes are not known, and nothing is missing.
        names: Class names by label.
        lists_all: Whether classes of `names` without a box are listed too.
        ledger: Takes images that are missing or that are no images; their boxes stay in the data set.
        num_threads: Files opened at a time.

    Raises:
        UserError: There are no points, or they cannot be read.
    """
    builder = DataSetBuilder(names, lists_all=lists_all)
    points = (item.value for item in read_point_items(path))
    with_sizes = _with_sizes(points, image_directory, ledger, num_threads)
    count = 0
    for count, (point, size) in enumerate(progress(with_sizes, description="points", unit="images"), start=1):  # noqa: B007
        _add_point(builder, point, size)
    if not count:
        raise UserError(f"{path} lists no images: nothing to look at")
    images = f" and images of {image_directory}" if image_directory is not None else ""
    return builder.finish(f"{path}{images}")


def _add_point(builder: DataSetBuilder, point: Mapping[str, Any], size: tuple[int, int] | None) -> None:
    if size is None:
        builder.add_image(point["id"], flags=data_set.NO_IMAGE)
    else:
        builder.add_image(point["id"], width=size[0], height=size[1])
    for annotation in point["annotations"]:
        flags = sum(bit for key, bit in _FLAGS.items() if annotation[key])
        builder.add_box(annotation["label"], tuple(annotation[key] for key in ("y0", "x0", "y1", "x1")), flags)
    for verified in point.get("image_labels", ()):
        builder.add_verified_label(verified["label"], is_present=verified["confidence"] >= 0.5)


def _with_sizes(
    points: Iterable[dict[str, Any]], image_directory: Path | None, ledger: Ledger, num_threads: int
) -> Iterator[tuple[dict[str, Any], tuple[int, int] | None]]:
    """Yields each point with its image's width and height: zeros without a folder, None for what is no image."""
    if image_directory is None:
        yield from ((point, (0, 0)) for point in points)
        return
    folder = image_directory

    def measured(point: dict[str, Any]) -> tuple[dict[str, Any], tuple[int, int] | ImageError]:
        try:
            path = find_image(folder, point["id"])
            if path is None:
                raise ImageError("missing", f"no {point['id']}.jpg (.png, ...) in {folder}")
            return point, _size(path)
        except ImageError as error:
            return point, error

    with ThreadPoolExecutor(num_threads) as executor:
        for point, size in map_in_order(executor, measured, points, num_workers=num_threads):
            if isinstance(size, ImageError):
                ledger.reject(point["id"], size.reason, size.detail)
                yield point, None
            else:
                yield point, size


def _size(path: Path) -> tuple[int, int]:
    try:
        with path.open("rb") as file:
            header = read_header(file.read(_HEADER_BYTES))
    except OSError as error:
        raise ImageError("unreadable", f"{path}: {error.strerror or error}") from error
    except ImageError:  # its beginning alone is not enough
        header = read_header(read_image_file(path))
    return header.width, header.height
