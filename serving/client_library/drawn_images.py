"""JPEGs of images with their detections drawn, each under a unique name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from data_prep.runtime.atomic_files import atomic_path
from serving.client_library.detections import ImageDetections

JPEG_QUALITY = 92
MAX_STEM_LENGTH = 100
SUFFIX = "_detections"

_NOT_IN_A_NAME = re.compile(r"[^\w.-]+")


class DrawnImages:
    """A folder of drawn images; none takes the name of another, nor of an image that is asked about."""

    def __init__(self, directory: Path, images: Iterable[Path]) -> None:
        """Prepares the folder.

        Args:
            directory: It is made when the first image is written.
            images: The images that are asked about.
        """
        self.directory = directory
        resolved = directory.resolve()
        self._taken = {path.name.casefold() for path in images if path.parent.resolve() == resolved}

    def write(self, result: ImageDetections) -> Path:
        """Draws the detections with names and scores on the image and writes it as JPEG.

        Returns:
            Where it was written: STEM_detections.jpg, with a number where that name is taken.

        Raises:
            ImageError: The image cannot be read any more, or not in full.
        """
        drawn = result.draw()
        target = self.directory / self._name_for(Path(result.image))
        with atomic_path(target) as temporary:
            drawn.save(temporary, "JPEG", quality=JPEG_QUALITY)
        return target

    def _name_for(self, image: Path) -> str:
        stem = _NOT_IN_A_NAME.sub("_", image.stem.encode("utf-8", "replace").decode("utf-8"))[:MAX_STEM_LENGTH]
        stem = (stem.lstrip(".") or "image") + SUFFIX
        number, name = 1, f"{stem}.jpg"
        while name.casefold() in self._taken:
            number += 1
            name = f"{stem}-{number}.jpg"
        self._taken.add(name.casefold())
        return name
