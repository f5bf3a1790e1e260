"""Image files: found by id, recognised by content, not by name, and decoded whole within bounds.

Open Images' boxes relate to the pixels as they are stored. An EXIF orientation is therefore never applied (TensorFlow's
decoders ignore it as well); `prepared_image` takes it out.
"""

from __future__ import annotations

import contextlib
import io
import os
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image

from data_prep.formats.points import check_image_id
from data_prep.images.jpeg import MAX_SCANS, num_scans
from data_prep.images.jpeg_end import with_end_mark
from data_prep.images.png_data import holds_all_pixels
from data_prep.images.rgb_pixels import to_rgb
from data_prep.runtime.large_image_turn import large_image_turn
from data_prep.runtime.ledger import RejectedError

MAX_BYTES: Final = 64 * 1024 * 1024
MAX_PIXELS: Final = 100_000_000
FORMATS: Final = ("JPEG", "PNG", "BMP", "GIF", "WEBP")
SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")  # in the order in which a file is looked for

NOT_AN_IMAGE: Final = "not an image"  # the reason for which a file of another kind is rejected

# Beyond this Pillow warns and beyond twice this it refuses on opening; `read_header` refuses at once.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

# What Pillow's decoders are seen to raise on broken files; its own UnidentifiedImageError is an OSError.
DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
EXIF_ORIENTATION = 0x0112
JPEG_CONTENT = ("JPEG", "MPO")  # Pillow's name for a JPEG that others follow, such as a stereo camera's: no animation


class ImageError(RejectedError):
    """An image that cannot be used."""


@dataclass(frozen=True)
class ImageHeader:
    """Format and size of an image, from its first bytes.

    Attributes:
        format: One of `FORMATS`.
        mode: Pillow's, such as `RGB`, `L`, `CMYK`.
        width: In pixels.
        height: In pixels.
    """

    format: str
    mode: str
    width: int
    height: int


def find_image(directory: str | os.PathLike[str], image_id: str) -> Path | None:
    """Returns the file of `image_id` in `directory` by trying `SUFFIXES` in turn, or None.

    Raises:
        UserError: The id is not a plain file name.
    """
    name = check_image_id(image_id)
    return next((path for suffix in SUFFIXES if (path := Path(directory) / (name + suffix)).is_file()), None)


def read_image_file(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> bytes:
    """Returns the file's content, of which never more than `max_bytes` are read.

    Raises:
        ImageError: It is missing, unreadable, empty or larger.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(max_bytes + 1)
    except FileNotFoundError:
        raise ImageError("missing", str(path)) from None
    except OSError as error:
        raise ImageError("unreadable", f"{path}: {error.strerror or error}") from error
    if not content:
        raise ImageError("empty file", str(path))
    if len(content) > max_bytes:
        raise ImageError("too many bytes", f"{path}: more than {max_bytes / 2**20:g} MiB")
    return content


def read_header(content: bytes, max_pixels: int = MAX_PIXELS) -> ImageHeader:
    """Returns what the image says it is, without decoding it.

    Args:
        content: The file, or enough of its beginning.
        max_pixels: More are refused: they would need three bytes of memory each.

    Raises:
        ImageError: It is no image of `FORMATS`, or has too many pixels or none.
    """
    with open_image(content, max_pixels) as image:
        return ImageHeader(str(image.format), image.mode, image.width, image.height)


def decode_rgb(content: bytes) -> Image.Image:
    """Returns the image decoded whole, as 8-bit RGB; of an animation the first frame.

    Transparency is laid over white, 16-bit grey is cut to 8 bits. EXIF orientation and colour profile are not applied.

    Raises:
        ImageError: It does not decode, or only in part.
    """
    image = open_image(content)
    with large_image_turn(image.width * image.height), contextlib.closing(image):
        refuse_many_scans(image, content)
        image, content, _ = mended_image(image, content)
        load_image(image, content)
        return to_rgb(image)


def read_orientation(source: Path | io.BytesIO) -> int:
    """Returns the EXIF orientation of an image file, 1 (as stored) to 8; 1 where it has none, or a broken one."""
    try:
        with Image.open(source, formats=FORMATS) as image:
            orientation = image.getexif().get(EXIF_ORIENTATION, 1)
    except DECODING_ERRORS:
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def fitted_size(width: int, height: int, max_dimension: int | None) -> tuple[int, int]:
    """Returns (width, height) with the longest side brought down to `max_dimension`, the aspect ratio kept.

    Smaller images stay as they are; no side falls below one pixel.
    """
    longest = max(width, height)
    if max_dimension is None or longest <= max_dimension:
        return width, height
    scale = max_dimension / longest
    return max(1, round(width * scale)), max(1, round(height * scale))


def open_image(content: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Opens an image, of which only the beginning is read.

    Raises:
        ImageError: It is no image of `FORMATS`, or has too many pixels or none.
    """
    if not content:
        raise ImageError("empty file", "0 bytes")
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageError("too many pixels", str(error)) from error
    except Image.UnidentifiedImageError:
        start = content[:16]
        raise ImageError(NOT_AN_IMAGE, f"no {', '.join(FORMATS)} file; it begins with {start!r}") from None
    except DECODING_ERRORS as error:
        raise ImageError("does not decode", str(error)) from error
    pixels = image.width * image.height
    if not 1 <= pixels <= max_pixels:
        raise ImageError("too many pixels", f"{image.width}x{image.height}, at most {max_pixels} pixels are taken")
    return image


def mended_image(image: Image.Image, content: bytes) -> tuple[Image.Image, bytes, bool]:
    """Returns image and content, and whether they had to be mended: those of a JPEG that lacked just its end mark.

    Raises:
        ImageError: What was mended does not open.
    """
    mended = with_end_mark(content) if image.format in JPEG_CONTENT else None
    return (image, content, False) if mended is None else (open_image(mended), mended, True)


def load_image(image: Image.Image, content: bytes) -> None:
    """Decodes an image whole.

    Raises:
        ImageError: It does not decode, or only in part.
    """
    what = f"{image.width}x{image.height} {image.format}"
    try:
        image.load()
    except DECODING_ERRORS as error:
        raise ImageError("does not decode", f"{what}: {error}") from error
    except MemoryError as error:
        raise ImageError("out of memory", what) from error
    if image.format == "PNG" and not holds_all_pixels(content):
        raise ImageError("does not decode", f"{what}: its data end before its last pixel")


def refuse_many_scans(image: Image.Image, content: bytes) -> None:
    """Refuses a JPEG that would take minutes to decode.

    Raises:
        ImageError: It has more than `MAX_SCANS` scans.
    """
    if image.format in JPEG_CONTENT and (count := num_scans(content)) > MAX_SCANS:
        raise ImageError("too many scans", f"a JPEG of {count}, at most {MAX_SCANS} are taken")
