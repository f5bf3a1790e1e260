"""The pixels of an image as 8-bit RGB, whatever its mode, made strip by strip."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from data_prep.images.colour_profile import Conversion

_STRIP_PIXELS: Final = 4_000_000  # that are turned into RGB at a time: a large image's other copies are small


def to_rgb(image: Image.Image) -> Image.Image:
    """Returns a copy as 8-bit RGB, made strip by strip: a conversion takes several copies of what it is given.

    Transparency is laid over white, 16-bit grey is cut to 8 bits.
    """
    if image.mode == "RGB":
        return image.copy()
    strips = _strips(image)
    if strips == [(0, image.height)]:
        return _strip_to_rgb(image)
    converted = Image.new("RGB", image.size)
    for top, bottom in strips:
        converted.paste(_strip_to_rgb(image.crop((0, top, image.width, bottom))), (0, top))
    return converted


def rgb_array(image: Image.Image, conversion: Conversion | None) -> npt.NDArray[np.uint8]:
    """Returns the pixels of what `to_rgb` returns, uint8 [H, W, 3]; ink becomes sRGB as its colour profile says."""
    in_rgb = conversion.of_image if conversion is not None and conversion.mode == "CMYK" else _strip_to_rgb
    strips = _strips(image)
    if strips == [(0, image.height)]:
        return np.asarray(in_rgb(image))
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top, bottom in strips:
        pixels[top:bottom] = np.asarray(in_rgb(image.crop((0, top, image.width, bottom))))
    return pixels


def _strips(image: Image.Image) -> list[tuple[int, int]]:
    """Returns the first row of each strip, and the one behind its last."""
    rows = max(1, _STRIP_PIXELS // image.width)
    return [(top, min(top + rows, image.height)) for top in range(0, image.height, rows)]


def _strip_to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I"):
        # Pillow would clip 16 bits at 255 where we want the upper 8 of them.
        return Image.fromarray(np.clip(np.asarray(image) >> 8, 0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        with_alpha = image.convert("RGBA")
        ground = Image.new("RGBA", with_alpha.size, "white")
        return Image.alpha_composite(ground, with_alpha).convert("RGB")
    return image.convert("RGB")
