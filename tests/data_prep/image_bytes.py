"""Images that tests make up, and their encoded bytes."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image


def encoded(image: Image.Image, image_format: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def photo(width: int = 64, height: int = 48, seed: int = 0) -> Image.Image:
    """A smooth image with a bright corner at the top left, so that turning or mirroring it shows."""
    coarse = np.random.default_rng(seed).integers(0, 160, (6, 8, 3), dtype=np.uint8)
    coarse[0, 0] = 255
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR)


def new_image(width: int = 80, height: int = 60, seed: int = 0) -> Image.Image:
    """Coloured blobs, other ones for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR)


def turned(orientation: int) -> Image.Exif:
    """EXIF that tells viewers to turn or mirror an image."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif
