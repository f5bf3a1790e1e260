"""Preparation of images for records: the result of `prepare_image`, without decoding sound JPEGs to pixels.

A JPEG is decoded at an eighth of its size and in grey, which reads every coefficient of it (so a file that breaks off,
or is damaged in the middle, shows) and computes a sixty-fourth of the pixels. What is not a plain, sound JPEG is
decoded in full by `prepare_image`, which accepts or rejects it.
"""

from __future__ import annotations

import io
import math
import struct

import simplejpeg
from PIL import Image

from data_prep.images.image_file import EXIF_ORIENTATION, MAX_PIXELS
from data_prep.images.prepared_image import PreparedImage, is_srgb, prepare_image
from data_prep.runtime.large_image_turn import large_image_turn

_JPEG_START = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"
_END_BYTES = 64  # some cameras leave a few zeros behind the end mark
_START_OF_SCAN = 0xDA


def record_image(content: bytes, *, decode: bool = True) -> PreparedImage:
    """Returns the image as a record holds it: 8-bit RGB or grey JPEGs and PNGs as they are, others encoded anew.

    Args:
        content: The file.
        decode: Whether to read a JPEG to its last coefficient. Without, its header and its end mark must do, which is
            enough for images that `validate_images` has just written.

    Raises:
        ImageError: It does not decode.
    """
    size = plain_jpeg_size(content)
    if size is None or _is_to_be_changed(content):
        return prepare_image(content, keep_formats=("JPEG", "PNG"))
    if is_sound_jpeg(content, size) if decode else _JPEG_END in content[-_END_BYTES:]:
        height, width = size
        return PreparedImage(content, "JPEG", width, height, ())
    return prepare_image(content, keep_formats=("JPEG", "PNG"))


def plain_jpeg_size(content: bytes) -> tuple[int, int] | None:
    """Returns height and width of a JPEG of 8-bit RGB or grey and of a size that may be decoded; None for all else."""
    if not content.startswith(_JPEG_START):
        return None
    try:
        height, width, color_space, _ = simplejpeg.decode_jpeg_header(content)
    except ValueError:
        return None
    if color_space not in ("YCbCr", "RGB", "Gray") or not 1 <= height * width <= MAX_PIXELS:
        return None
    return height, width


def is_sound_jpeg(content: bytes, size: tuple[int, int]) -> bool:
    """Tells whether every coefficient of a JPEG whose `plain_jpeg_size` is `size` can be read, without a warning."""
    try:
        with large_image_turn(math.prod(size)):
            simplejpeg.decode_jpeg(content, "GRAY", fastdct=True, fastupsample=True, min_height=1, min_width=1)
    except ValueError:
        return False
    return True


def _is_to_be_changed(content: bytes) -> bool:
    """Tells whether metadata turn the image in a viewer, change its colours, or are broken; the long way mends it."""
    metadata = _metadata(content)
    if b"ICC_PROFILE\0" in metadata and not is_srgb(content):
        return True
    if b"Exif\0\0" not in metadata and b"rientation" not in metadata:
        return False
    with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
        try:
            return bool(image.getexif().get(EXIF_ORIENTATION, 1) != 1)
        except (OSError, SyntaxError, ValueError, KeyError, TypeError, IndexError, OverflowError, struct.error):
            return True


def _metadata(content: bytes) -> bytes:
    """Returns what stands before a JPEG's pixels; all of it where the markers cannot be followed."""
    position = 2
    while position + 4 <= len(content) and content[position] == 0xFF:
        if content[position + 1] == _START_OF_SCAN:
            return content[:position]
        position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    return content
