"""Pictures on their way into records: what `images.prepare_image` gives, without decoding sound JPEGs to pixels.

A JPEG is decoded at an eighth of its size and in grey, which reads every coefficient of it (so a file that breaks off,
or is damaged in the middle, shows) and computes a sixty-fourth of the pixels. Whatever is not a plain, sound JPEG takes
the long way, whose word is final.
"""

from __future__ import annotations

import io
import struct

import simplejpeg
from PIL import Image

from data_prep.images import PreparedImage, prepare_image, read_header

_JPEG_START = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"
_END_BYTES = 64  # some cameras leave a few zeros behind the end mark
_EXIF_ORIENTATION = 0x0112


def record_image(content: bytes, *, decode: bool = True) -> PreparedImage:
    """Returns the picture as a record holds it: 8-bit RGB or grey JPEGs and PNGs as they are, others encoded anew.

    Args:
        content: The file.
        decode: Whether to read a JPEG to its last coefficient. Without, its header and its end mark must do, which is
            enough for pictures that `validate_images` has just written.

    Raises:
        ImageError: It does not decode.
    """
    if content.startswith(_JPEG_START):
        header = read_header(content)  # bounds the pixels before anything is decoded
        plain = header.format == "JPEG" and header.mode in ("RGB", "L") and not _is_turned(content)
        if plain and (is_sound_jpeg(content) if decode else _JPEG_END in content[-_END_BYTES:]):
            return PreparedImage(content, "JPEG", header.width, header.height, ())
    return prepare_image(content, keep_formats=("JPEG", "PNG"))


def is_sound_jpeg(content: bytes) -> bool:
    """Tells whether every coefficient of a JPEG can be read, without a warning from the decoder.

    The header must have been read before (`images.read_header`), for its bound on the pixels.
    """
    try:
        simplejpeg.decode_jpeg(content, "GRAY", fastdct=True, fastupsample=True, min_height=1, min_width=1)
    except ValueError:
        return False
    return True


def _is_turned(content: bytes) -> bool:
    """Tells whether metadata may turn the picture in a viewer (or are broken), which the long way mends."""
    if b"Exif\0\0" not in content and b"rientation" not in content:
        return False
    with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
        try:
            return bool(image.getexif().get(_EXIF_ORIENTATION, 1) != 1)
        except (OSError, SyntaxError, ValueError, KeyError, TypeError, IndexError, OverflowError, struct.error):
            return True
