"""Thumbnails of an evaluation's images: on disk while it runs, then in the page, as many as its budget takes."""

from __future__ import annotations

import base64
import tempfile
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from data_prep.pages.thumbnail import thumbnail_of_file, thumbnail_of_pixels

SIDES = (640, 256)  # of the longer side, in pixels: large ones where all fit, else small ones
_QUALITIES = (70, 60)  # of their JPEGs
_TEXT_PER_BYTE = 4 / 3  # base64


class ThumbnailStore:
    """Takes images one by one, and gives the thumbnails back as text for the page.

    Nothing of an image stays in memory: the JPEGs are in nameless temporary files, which are gone with the process.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """Starts empty.

        Args:
            folder: Where the temporary files may be; made if missing.
            max_bytes: Of all thumbnails in the page together.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._max_bytes = max_bytes
        self._large: _JpegFile | None = _JpegFile(folder)
        self._small = _JpegFile(folder)
        self._chosen = self._small

    def add_pixels(self, pixels: np.ndarray, original_shape: tuple[int, int]) -> None:
        """Takes an image.

        Args:
            pixels: uint8 or float32 [H, W, 3], RGB 0..255; it may have been brought to another shape.
            original_shape: Height and width of the image, in its own pixels.
        """
        pixels = np.clip(np.rint(pixels), 0, 255).astype(np.uint8) if pixels.dtype != np.uint8 else pixels
        height, width = original_shape
        self._add(*(
            thumbnail_of_pixels(pixels, side, quality, height=height, width=width)
            for side, quality in self._kinds()
        ))  # fmt: skip

    def add_file(self, path: Path) -> None:
        """Takes an image file.

        Raises:
            ImageError: It cannot be read; it then has to be added as one without a thumbnail.
        """
        self._add(*(thumbnail_of_file(path, side, quality) for side, quality in self._kinds()))

    def add_none(self) -> None:
        """Takes an image that has no thumbnail."""
        self._add(*(b"" for _ in self._kinds()))

    def choose(self, order: Sequence[int]) -> list[int]:
        """Decides which thumbnails go into the page: large ones if all fit, else small ones as long as they fit.

        Args:
            order: Numbers of images, most wanted first.

        Returns:
            The images that have one in the page.
        """
        for file in filter(None, (self._large, self._small)):
            self._chosen, kept = file, self._fitting(file, order)
            if len(kept) == sum(size > 0 for size in file.sizes):
                break
        return kept

    def _fitting(self, file: _JpegFile, order: Sequence[int]) -> list[int]:
        kept, num_characters = [], 0
        for image in order:
            size = file.sizes[image]
            num_characters += -(-size // 3) * 4 + 3  # base64, quotes and a comma
            if num_characters > self._max_bytes:
                break
            if size:
                kept.append(image)
        return kept

    def texts(self, kept: Sequence[int]) -> Iterator[str]:
        """Yields a JSON array with an entry an image, base64 of its JPEG or 0, piece by piece."""
        in_page = set(kept)
        for image in range(len(self._chosen.sizes)):
            yield "[" if image == 0 else ","
            yield f'"{self._chosen.text(image)}"' if image in in_page else "0"
        yield "]" if self._chosen.sizes else "[]"

    @property
    def side(self) -> int:
        """The longer side of the thumbnails in the page, at most."""
        return SIDES[0] if self._chosen is self._large else SIDES[1]

    def close(self) -> None:
        """Gives the disk space back."""
        for file in filter(None, (self._large, self._small)):
            file.close()

    def _kinds(self) -> Iterator[tuple[int, int]]:
        kinds = zip(SIDES, _QUALITIES, strict=True)
        return (kind for kind in kinds if self._large is not None or kind[0] == SIDES[1])

    def _add(self, *jpegs: bytes) -> None:
        self._small.append(jpegs[-1])
        if self._large is None:
            return
        self._large.append(jpegs[0])
        if self._large.num_bytes * _TEXT_PER_BYTE > self._max_bytes:
            self._large.close()
            self._large = None


class _JpegFile:
    """JPEGs one behind the other in a temporary file.

    Attributes:
        sizes: Of each, in bytes; 0 for none.
        num_bytes: Of all.
    """

    def __init__(self, folder: Path) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it stays open as long as the store
        self._starts = array("q")
        self.sizes = array("q")
        self.num_bytes = 0

    def append(self, content: bytes) -> None:
        self._starts.append(self.num_bytes)
        self.sizes.append(len(content))
        self._file.write(content)
        self.num_bytes += len(content)

    def text(self, number: int) -> str:
        self._file.seek(self._starts[number])
        return base64.b64encode(self._file.read(self.sizes[number])).decode("ascii")

    def close(self) -> None:
        self._file.close()
