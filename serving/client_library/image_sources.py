"""Images as callers have them: a path, encoded bytes, a PIL image, or pixels in a NumPy array."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from data_prep.images.image_file import ImageError, decode_rgb, read_image_file


@dataclass(frozen=True)
class NamedImage:
    """An image that is no file of its own, such as a member of a zip archive, under the name that its answer bears.

    Attributes:
        name: What the answer calls it.
        content: The encoded image.
    """

    name: str
    content: bytes


ImageSource = bytes | str | os.PathLike[str] | NamedImage | Image.Image | np.ndarray

_WANTED = "give a path, encoded bytes, a PIL image, or a NumPy array of RGB pixels, uint8 [height, width, 3]"


def name_of(source: ImageSource) -> str:
    """Returns what an answer calls the image: its path as it was given, its name, or an empty text for the others.

    Raises:
        TypeError: It is nothing of which an image can be made.
    """
    if isinstance(source, NamedImage):
        return source.name
    if isinstance(source, str | os.PathLike):
        return str(source)
    if isinstance(source, bytes | Image.Image | np.ndarray):
        return ""
    raise TypeError(f"{type(source).__name__} is no image; {_WANTED}")


def encoded_image(source: ImageSource, max_bytes: int) -> bytes:
    """Returns an image as a file's content; PIL images and pixels as PNG, which loses nothing.

    Args:
        source: The image.
        max_bytes: Larger files are refused.

    Raises:
        ImageError: It is missing, empty, too large, or an array of another shape or type.
        TypeError: It is nothing of which an image can be made.
    """
    if isinstance(source, NamedImage):
        source = source.content
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if path.exists() and not path.is_file():  # a pipe or a device could be read for ever
            raise ImageError("unreadable", f"{path} is not a plain file")
        return read_image_file(path, max_bytes)
    if not isinstance(source, bytes):
        encoded = io.BytesIO()
        rgb_image(source).save(encoded, "PNG", compress_level=1)  # three times as fast as the default, hardly larger
        source = encoded.getvalue()
    if len(source) > max_bytes:
        raise ImageError("too many bytes", f"{len(source)}, at most {max_bytes} fit into a request")
    return source


def rgb_image(source: ImageSource) -> Image.Image:
    """Returns an image decoded, as 8-bit RGB; an EXIF orientation is not applied.

    Raises:
        ImageError: It cannot be read, does not decode, or is an array of another shape or type.
        TypeError: It is nothing of which an image can be made.
    """
    if isinstance(source, Image.Image):
        try:
            return source.convert("RGB")
        except (OSError, ValueError) as error:  # a file that Pillow has opened and not read yet, and that is cut short
            raise ImageError("does not decode", f"a PIL image: {error}") from error
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != 3 or 0 in source.shape:
            raise ImageError(
                "no RGB pixels",
                f"a NumPy array {source.dtype} {list(source.shape)}; wanted is uint8 [height, width, 3]",
            )
        return Image.fromarray(np.ascontiguousarray(source))
    if isinstance(source, bytes | NamedImage):
        return decode_rgb(source if isinstance(source, bytes) else source.content)
    return decode_rgb(read_image_file(name_of(source)))
