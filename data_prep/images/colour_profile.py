"""Colour profiles (ICC): pixels of a wider gamut than sRGB, or of another kind, become sRGB.

A detector is trained on numbers and looks at no profile. Those of a photograph in Display P3 or Adobe RGB, taken for
sRGB, are duller colours than it shows.
"""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

MAX_PROFILE_BYTES: Final = 4 * 1024 * 1024  # those for print, the largest, have up to some 3 MB
_LARGEST_DIFFERENCE: Final = 3  # of 255: sRGB is written down in many ways, which round otherwise
_GRID_STEPS: Final = 9
_STRIP_PIXELS: Final = 4_000_000  # that are converted at a time, as they are copied
_CHANNELS: Final = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # Pillow's modes by the profile's kind
_GREY_MODES: Final = ("1", "L", "LA", "La", "F")


class ColourProfileError(ValueError):
    """A profile that is broken, or of another kind than the pixels."""


@dataclass(frozen=True)
class Conversion:
    """The way from a profile's colours to sRGB.

    Attributes:
        mode: What it takes: `RGB`, `L` or `CMYK` pixels.
        transform: Made by littlecms; several threads may use it.
    """

    mode: str
    transform: ImageCms.ImageCmsTransform

    def of_image(self, image: Image.Image) -> Image.Image:
        """Returns an image of `mode` as RGB."""
        converted = self.transform.apply(image)
        converted.info.pop("icc_profile", None)
        return converted

    def of_pixels(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Returns pixels in sRGB; for `RGB` and `L`.

        Args:
            pixels: uint8 [H, W, 3], RGB; of grey ones each value three times.
        """
        converted = np.empty_like(pixels)
        rows = max(1, _STRIP_PIXELS // pixels.shape[1])
        for top in range(0, len(pixels), rows):
            strip = pixels[top : top + rows]
            image = Image.fromarray(np.ascontiguousarray(strip if self.mode == "RGB" else strip[..., 0]))
            converted[top : top + rows] = np.asarray(self.of_image(image))
        return converted


def conversion_to_srgb(image: Image.Image) -> Conversion | None:
    """Returns what turns an image's colours into sRGB; None where they are: it has no profile, or one of sRGB.

    What a profile is called does not matter: it is one of sRGB if it moves no colour by more than 3 of 255.

    Args:
        image: As it was opened; its pixels are not looked at.

    Raises:
        ColourProfileError: The profile cannot be used.
    """
    profile = image.info.get("icc_profile")
    if not profile:
        return None
    mode, conversion = _read_profile(profile)
    if image.mode == "CMYK":
        fits = mode == "CMYK"
    elif image.mode in _GREY_MODES or image.mode.startswith("I"):
        fits = mode in ("L", "RGB")
    else:
        fits = mode == "RGB"
    if not fits:
        raise ColourProfileError(f"a profile of {mode} pixels with {image.mode} ones")
    return conversion


@functools.lru_cache(maxsize=16)
def _read_profile(content: bytes) -> tuple[str, Conversion | None]:
    """Returns the mode of a profile's pixels, and the conversion where they are not sRGB."""
    if len(content) > MAX_PROFILE_BYTES:
        raise ColourProfileError(f"a profile of {len(content)} bytes, at most {MAX_PROFILE_BYTES} are taken")
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(content))
        kind = profile.profile.xcolor_space
        if kind not in _CHANNELS:
            raise ColourProfileError(f"a profile of {kind.strip()} pixels")
        mode = _CHANNELS[kind]
        conversion = Conversion(mode, ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB"))
        return mode, None if _is_srgb(conversion) else conversion
    except (OSError, ValueError, TypeError, ImageCms.PyCMSError) as error:
        raise ColourProfileError(str(error)) from error


def _is_srgb(conversion: Conversion) -> bool:
    if conversion.mode == "CMYK":
        return False
    levels = np.linspace(0, 255, _GRID_STEPS).round().astype(np.uint8)
    if conversion.mode == "L":
        grid = np.repeat(levels[:, np.newaxis], 3, axis=1)
    else:
        grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, 3)
    converted = conversion.of_pixels(grid[np.newaxis])[0]
    return bool(np.abs(converted.astype(int) - grid).max() <= _LARGEST_DIFFERENCE)
