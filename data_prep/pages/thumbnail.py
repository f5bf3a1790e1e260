"""Small JPEGs of images, for pages that hold them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data_prep.images.image_file import decode_rgb, read_image_file
from data_prep.images.jpeg import encode_jpeg
from data_prep.images.opencv import opencv
from data_prep.images.prepared_image import prepare_image


def thumbnail(content: bytes, side: int, quality: int) -> bytes:
    """Returns an image file as a JPEG of which no side is longer than `side` pixels, in the frame that boxes refer to.

    Raises:
        ImageError: It does not decode.
    """
    small = prepare_image(content, max_dimension=side)
    encoded = io.BytesIO()
    decode_rgb(small.content).save(encoded, "JPEG", quality=quality, optimize=True)
    return encoded.getvalue()


def thumbnail_of_file(path: Path, side: int, quality: int) -> bytes:
    """Returns the thumbnail of the image file at a path; as `thumbnail`."""
    return thumbnail(read_image_file(path), side, quality)


def thumbnail_of_pixels(
    pixels: npt.NDArray[np.uint8], side: int, quality: int, *, height: float, width: float
) -> bytes:
    """Returns pixels as a JPEG of which no side is longer than `side` pixels, and that is not enlarged.

    Args:
        pixels: uint8 [H, W, 3], RGB.
        side: In pixels, from 1.
        quality: 1 to 95.
        height: With the width, the shape that the thumbnail is to have, where the pixels were brought to another one.
        width: See height.
    """
    scale = min(side / max(height, width), max(pixels.shape[0] / height, pixels.shape[1] / width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = opencv().resize(pixels, size, interpolation=opencv().INTER_AREA)
    return encode_jpeg(small, quality, with_opencv=True)
