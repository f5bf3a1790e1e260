"""Pascal VOC's XML, one file an image, in the challenge's folders."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from data_prep.annotation_export.exported_image import ExportedBox, ExportedClasses, ExportedImage
from data_prep.annotation_export.output_folder import OutputFolder
from data_prep.runtime.atomic_files import atomic_path, remove_leftovers

DIGITS: Final = 4  # of a pixel, where fractions are written
HELD_FLAGS: Final = frozenset({"is_truncated", "is_occluded", "is_difficult"})


@dataclass(frozen=True)
class Pixels:
    """How edges are written.

    Attributes:
        first: The number of the first column and row: 0, or 1 as in the challenge's own files, where xmax and ymax are
            the last pixel within the box.
        has_fractions: Whether fractions of a pixel are written; else an edge goes to the nearest whole pixel.
    """

    first: int = 0
    has_fractions: bool = False

    def edges(self, low: float, high: float, side: int) -> tuple[str, str]:
        """Returns as text where a box begins and ends, both given as shares of a `side` in pixels."""
        start, end = low * side, high * side
        if self.has_fractions:
            texts = (f"{start + self.first:.{DIGITS}f}", f"{end:.{DIGITS}f}")
            if float(texts[0]) - self.first < float(texts[1]):
                return texts
            return repr(start + self.first), repr(end)
        rounded = round(start), round(end)
        if rounded[0] == rounded[1]:
            rounded = math.floor(start), math.ceil(end)  # else a box below a pixel would have no area
        return str(rounded[0] + self.first), str(rounded[1])


@contextlib.contextmanager
def pascal_voc_writer(
    directory: Path, split: str, classes: ExportedClasses, pixels: Pixels
) -> Iterator[Callable[[ExportedImage], None]]:
    """Yields a function that writes an image's XML.

    `Annotations/ID.xml` for each image; when the block ends well, `ImageSets/Main/SPLIT.txt` with the ids, and
    `labelmap.txt`, by which other tools know the classes.

    Args:
        directory: The data set's folder; that of its other splits too.
        split: The name of this part, such as `train`.
        classes: What the ids mean.
        pixels: How edges are written.

    Raises:
        OSError: A file cannot be written.
    """
    folder = OutputFolder(directory / "Annotations")
    list_path = directory / "ImageSets" / "Main" / f"{split}.txt"
    remove_leftovers(list_path, directory / "labelmap.txt")
    with atomic_path(list_path) as temporary, temporary.open("w", encoding="utf-8") as image_list:

        def write(image: ExportedImage) -> None:
            folder.write(f"{image.image_id}.xml", _xml(image, classes, pixels).encode("utf-8"))
            image_list.write(f"{image.image_id}\n")

        yield write
    with atomic_path(directory / "labelmap.txt") as temporary:
        lines = ["# label:color_rgb:parts:actions", *(f"{name}:::" for _, name in classes)]
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _xml(image: ExportedImage, classes: ExportedClasses, pixels: Pixels) -> str:
    objects = "".join(_object(box, image, classes, pixels) for box in image.boxes)
    return (
        f"<annotation>\n\t<folder>JPEGImages</folder>\n\t<filename>{escape(image.file_name)}</filename>\n"
        f"\t<size>\n\t\t<width>{image.width}</width>\n\t\t<height>{image.height}</height>\n\t\t<depth>3</depth>\n"
        f"\t</size>\n\t<segmented>0</segmented>\n{objects}</annotation>\n"
    )


def _object(box: ExportedBox, image: ExportedImage, classes: ExportedClasses, pixels: Pixels) -> str:
    xmin, xmax = pixels.edges(box.xmin, box.xmax, image.width)
    ymin, ymax = pixels.edges(box.ymin, box.ymax, image.height)
    flags = {name: int(f"is_{name}" in box.flags) for name in ("truncated", "occluded", "difficult")}
    lines = [
        f"<name>{escape(classes.names[box.class_id])}</name>",
        "<pose>Unspecified</pose>",
        *(f"<{name}>{value}</{name}>" for name, value in flags.items()),
        "<bndbox>",
        *(f"\t<{edge}>{value}</{edge}>" for edge, value in zip(_EDGES, (xmin, ymin, xmax, ymax), strict=True)),
        "</bndbox>",
    ]
    return "\t<object>\n" + "".join(f"\t\t{line}\n" for line in lines) + "\t</object>\n"


_EDGES: Final = ("xmin", "ymin", "xmax", "ymax")
