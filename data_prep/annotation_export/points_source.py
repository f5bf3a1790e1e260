"""Images to export from points.json, with their sizes from the images' headers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from data_prep.annotation_export.export_summary import ExportSummary
from data_prep.annotation_export.exported_image import ExportedBox, ExportedImage
from data_prep.annotations.image_folder import ImageFile, examine_image_file
from data_prep.formats.label_map import LabelMap
from data_prep.formats.points import EXTRA_FLAGS, FLAGS, SEGMENT_AREA, read_point_items
from data_prep.images.image_file import find_image
from data_prep.runtime.ledger import Ledger, RejectedError
from data_prep.runtime.worker_pool import map_in_order


def images_of_points(
    path: Path,
    image_directory: Path,
    label_map: LabelMap,
    *,
    are_shown: bool,
    num_threads: int,
    summary: ExportSummary,
    ledger: Ledger,
) -> Iterator[ExportedImage]:
    """Yields the images of points.json, in their order; only a few are in memory at a time.

    Args:
        path: points.json.
        image_directory: Holds ID.jpg or the like.
        label_map: Boxes of labels that it lacks are left out and counted.
        are_shown: Whether boxes shall be of the images as EXIF turns them.
        num_threads: Headers read at a time.
        summary: Counted in.
        ledger: Takes images that are missing or that are no images.

    Raises:
        UsageError: The points cannot be read.
    """

    def measured(point: dict[str, Any]) -> tuple[dict[str, Any], ImageFile | RejectedError]:
        file = find_image(image_directory, point["id"])
        if file is None:
            return point, RejectedError("missing", f"no {point['id']}.jpg (.png, ...) in {image_directory}")
        try:
            return point, examine_image_file(file)
        except RejectedError as error:
            return point, error

    ids = {item.name: item.id for item in label_map}
    points = (item.value for item in read_point_items(path))
    with ThreadPoolExecutor(num_threads) as executor:
        for point, file in map_in_order(executor, measured, points, num_workers=num_threads):
            summary.images_read += 1
            summary.boxes_read += len(point["annotations"])
            if isinstance(file, RejectedError):
                ledger.reject(point["id"], file.reason, file.detail)
                summary.boxes_lost += len(point["annotations"])
                continue
            known = [annotation for annotation in point["annotations"] if annotation["label"] in ids]
            summary.boxes_of_other_labels += len(point["annotations"]) - len(known)
            image = ExportedImage(
                image_id=point["id"],
                suffix=file.path.suffix.lower(),
                width=file.width,
                height=file.height,
                boxes=tuple(_box(annotation, ids) for annotation in known),
                content=file,
                num_verified_labels=len(point.get("image_labels", ())),
            )
            yield image.as_shown(file.orientation) if are_shown else image


def _box(annotation: Mapping[str, Any], ids: Mapping[str, int]) -> ExportedBox:
    # Open Images prints six digits: a 1 may come as a hair more.
    xmin, xmax, ymin, ymax = (min(max(annotation[key], 0.0), 1.0) for key in ("x0", "x1", "y0", "y1"))
    return ExportedBox(
        ids[annotation["label"]],
        xmin,
        ymin,
        xmax,
        ymax,
        flags=frozenset(flag for flag in (*FLAGS, *EXTRA_FLAGS) if annotation.get(flag)),
        segment_area=annotation.get(SEGMENT_AREA),
        confidence=annotation["confidence"],
    )
