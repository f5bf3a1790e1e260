"""Shrinking of images, before they are sent, to what a model's image resizer makes of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from PIL import Image

from data_prep.images.image_file import decode_rgb, read_header
from data_prep.images.jpeg import JpegError, decode_jpeg, encode_jpeg
from data_prep.runtime.command_line import UsageError
from serving.client_library.image_requests import ImageInput

# The signature by which exports tell what their resizer brings larger images down to: `height` and `width`, where each
# image becomes so large; `min_dimension` and `max_dimension`, where the shorter side becomes the first or the longer
# one the second, whichever comes first.
IMAGE_RESIZER = "image_resizer"
SIDES_TOLD = (("height", "width"), ("min_dimension", "max_dimension"))
DEFAULT_QUALITY, MAX_QUALITY = 90, 95
# Images that are larger than needed by less than this are sent as they are: it would cost more than it saves.
_LEAST_SHRINKAGE = 1.25

LeastSides = Mapping[str, int]


@dataclasses.dataclass(frozen=True)
class Shrink:
    """How a client shrinks images before it sends them; boxes are relative to the sides, and stay right.

    Attributes:
        shorter_side: What images' shorter side is brought down to, in pixels; None for what the model tells.
        quality: Of the JPEG that is sent, 1 to 95.
    """

    shorter_side: int | None = None
    quality: int = DEFAULT_QUALITY

    def __post_init__(self) -> None:
        """Checks what was given.

        Raises:
            UsageError: No such side or quality.
        """
        if self.shorter_side is not None and self.shorter_side < 1:
            raise UsageError(f"images cannot be shrunk to a side of {self.shorter_side} pixels")
        if not 1 <= self.quality <= MAX_QUALITY:
            raise UsageError(f"a JPEG's quality is 1 to {MAX_QUALITY}, not {self.quality}")

    @property
    def own_sides(self) -> LeastSides | None:
        """What was given, as a model would tell it; None where the model is to be asked."""
        return None if self.shorter_side is None else {"height": self.shorter_side, "width": self.shorter_side}


def shrunk_size(width: int, height: int, sides: LeastSides) -> tuple[int, int]:
    """Returns the least width and height, at the same aspect ratio, of which the resizer makes as many pixels.

    Args:
        width: Of the image, in pixels.
        height: Of the image.
        sides: As the signature `image_resizer` tells them.
    """
    if "height" in sides:
        shrinkage = min(height / sides["height"], width / sides["width"])
    else:
        shrinkage = max(min(width, height) / sides["min_dimension"], max(width, height) / sides["max_dimension"])
    if shrinkage < _LEAST_SHRINKAGE:
        return width, height
    return max(1, round(width / shrinkage)), max(1, round(height / shrinkage))


def shrink_image(image: ImageInput, sides: LeastSides, quality: int) -> ImageInput:
    """Returns an image to send in another's place, a JPEG; `image` itself where that would save nothing.

    Args:
        image: As it was read.
        sides: As for `shrunk_size`.
        quality: Of the JPEG.

    Returns:
        The image, with the width and height of `image`, which detections in pixels relate to.

    Raises:
        ImageError: It does not decode.
    """
    size = shrunk_size(image.width, image.height, sides)
    if size == (image.width, image.height):
        return image
    shrunk = Image.fromarray(_pixels(image, size)).resize(size, Image.Resampling.LANCZOS)
    encoded = encode_jpeg(np.asarray(shrunk), quality)
    return dataclasses.replace(image, encoded=encoded) if len(encoded) < len(image.encoded) else image


def _pixels(image: ImageInput, size: tuple[int, int]) -> np.ndarray:
    """RGB of at least a size, uint8 [H, W, 3]; a JPEG is decoded at a fraction of its own where that is enough."""
    header = read_header(image.encoded)
    if header.format == "JPEG" and header.mode in ("RGB", "L"):
        try:
            return decode_jpeg(image.encoded, image.width, image.height, *size)
        except JpegError:  # which Pillow may yet decode, or say what is wrong
            pass
    return np.asarray(decode_rgb(image.encoded))
