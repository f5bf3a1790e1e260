"""The visible box of each object, and the tables that Open Images would hold of it."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.sample_rooms.rasterizer import Faces, Visible, silhouette
from data_prep.sample_rooms.scene import CLASS_MIDS, Scene

SMALLEST_SHARE_SEEN = 0.25  # of which less is seen is not annotated: it could not be recognised
SMALLEST_SIDE = 0.012  # of the image's side
OCCLUDED_BELOW = 0.87  # share of what is inside the image that is not hidden by something else

BOX_COLUMNS = (
    "ImageID",
    "Source",
    "LabelName",
    "Confidence",
    "XMin",
    "XMax",
    "YMin",
    "YMax",
    "IsOccluded",
    "IsTruncated",
    "IsGroupOf",
    "IsDepiction",
    "IsInside",
)
IMAGE_COLUMNS = (
    "ImageID",
    "Subset",
    "OriginalURL",
    "OriginalLandingURL",
    "License",
    "AuthorProfileURL",
    "Author",
    "Title",
    "OriginalSize",
    "OriginalMD5",
    "Thumbnail300KURL",
    "Rotation",
)
LICENSE_URL = "https://creativecommons.org/publicdomain/zero/1.0/"


@dataclass(frozen=True)
class Annotation:
    """One box; coordinates are 0..1 of the image.

    Attributes:
        class_name: The Open Images name.
        ymin: The upper edge.
        xmin: The left edge.
        ymax: The lower edge.
        xmax: The right edge.
        is_occluded: Something in the room hides a part of it.
        is_truncated: It goes on beyond the image's edge.
    """

    class_name: str
    ymin: float
    xmin: float
    ymax: float
    xmax: float
    is_occluded: bool
    is_truncated: bool


@dataclass(frozen=True)
class AnnotatedImage:
    """A finished image and its boxes.

    Attributes:
        image_id: 16 hexadecimal digits.
        subset: `train` or `validation`.
        jpeg: The file.
        annotations: Its boxes.
    """

    image_id: str
    subset: str
    jpeg: bytes
    annotations: tuple[Annotation, ...]


def item_map(scene: Scene, faces: Faces, visible: Visible) -> np.ndarray:
    """Returns for each pixel of the scene's camera the index of the item it shows, -1 for the room itself."""
    item_of_part = np.array((*scene.item_of_part, -1), dtype=np.int16)  # part -1, "nothing", picks the last
    return item_of_part[faces.part][visible.face]


def annotate(scene: Scene, faces: Faces, visible: Visible) -> list[Annotation]:
    """Returns the boxes around what is seen of each item that has a class, tight to the pixel."""
    items = item_map(scene, faces, visible)
    height, width = items.shape
    owner = np.array(scene.item_of_part)
    annotations = []
    for index, item in enumerate(scene.items):
        if item.class_name is None:
            continue
        outlines = [outline for part in np.flatnonzero(owner == index) for outline in faces.outlines[part]]
        whole = silhouette(outlines, width, height)
        if whole.window is None:
            continue
        left, top, right, bottom = whole.window
        mask = items[top:bottom, left:right] == index
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(rows):
            continue
        top, bottom, left, right = top + rows[0], top + rows[-1] + 1, left + columns[0], left + columns[-1] + 1
        if right - left < SMALLEST_SIDE * width or bottom - top < SMALLEST_SIDE * height:
            continue
        seen = float(np.count_nonzero(mask))
        if seen < SMALLEST_SHARE_SEEN * whole.area:
            continue
        annotations.append(
            Annotation(
                class_name=item.class_name,
                ymin=float(top / height),
                xmin=float(left / width),
                ymax=float(bottom / height),
                xmax=float(right / width),
                is_occluded=bool(seen < OCCLUDED_BELOW * whole.area_inside),
                is_truncated=bool(whole.area_inside < 0.99 * whole.area),
            )
        )
    return annotations


def boxes_csv(images: Iterable[AnnotatedImage]) -> str:
    """Returns the boxes table, all columns of Open Images; its Source `xclick` means boxes drawn tight by hand."""
    rows: list[Sequence[str]] = [BOX_COLUMNS]
    for image in images:
        for box in image.annotations:
            corners = (f"{value:.6f}" for value in (box.xmin, box.xmax, box.ymin, box.ymax))
            flags = (str(int(flag)) for flag in (box.is_occluded, box.is_truncated, False, False, False))
            rows.append((image.image_id, "xclick", CLASS_MIDS[box.class_name], "1", *corners, *flags))
    return _csv(rows)


def images_csv(images: Iterable[AnnotatedImage], base_url: str) -> str:
    """Returns the image index, all columns of Open Images.

    Args:
        images: All of one subset.
        base_url: What `images/SUBSET/ID.jpg` is found under.
    """
    rows: list[Sequence[str]] = [IMAGE_COLUMNS]
    for image in images:
        url = f"{base_url.rstrip('/')}/{image_path(image.subset, image.image_id)}"
        md5 = base64.b64encode(hashlib.md5(image.jpeg, usedforsecurity=False).digest()).decode("ascii")
        title = f"Room {image.image_id}"
        about = (LICENSE_URL, "", "make_sample_set", title, str(len(image.jpeg)), md5, "", "0.0")
        rows.append((image.image_id, image.subset, url, url, *about))
    return _csv(rows)


def class_descriptions_csv() -> str:
    """Returns the classes' MIDs and names, without a header, as Open Images has them."""
    return _csv((mid, name) for name, mid in CLASS_MIDS.items())


def trainable_classes_text() -> str:
    """Returns the MIDs of the annotated classes, one a line."""
    return "".join(f"{mid}\n" for mid in CLASS_MIDS.values())


def image_path(subset: str, image_id: str) -> str:
    """Returns where an image lies inside the set's folder."""
    return f"images/{subset}/{image_id}.jpg"


def _csv(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
