"""Image files: recognised by content, not by name, decoded whole within bounds, and turned into sRGB for training.

Open Images' boxes relate to the pixels as they are stored. An EXIF orientation is therefore never applied (TensorFlow's
decoders ignore it as well); an image that carries one is encoded anew without it, so that viewers, which do apply it,
show what the detector sees.
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

import numpy as np
import numpy.typing as npt
from PIL import Image

from data_prep.formats.points import check_image_id
from data_prep.images.area_filter import shrink
from data_prep.images.colour_profile import ColourProfileError, Conversion, conversion_to_srgb
from data_prep.images.jpeg import MAX_SCANS, JpegError, check_jpeg, decode_jpeg, encode_jpeg, num_scans
from data_prep.images.jpeg_end import with_end_mark
from data_prep.images.png_data import holds_all_pixels
from data_prep.runtime.large_image_turn import large_image_turn
from data_prep.runtime.ledger import RejectedError

MAX_BYTES: Final = 64 * 1024 * 1024
MAX_PIXELS: Final = 100_000_000
JPEG_QUALITY: Final = 92
FORMATS: Final = ("JPEG", "PNG", "BMP", "GIF", "WEBP")
SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")  # in the order in which a file is looked for

NOT_AN_IMAGE: Final = "not an image"  # the reason for which a file of another kind is rejected

NO_END_MARK: Final = "no end of file mark"  # reasons for which an image is encoded anew
NOT_SRGB: Final = "not sRGB"
UNUSABLE_PROFILE: Final = "unusable colour profile"

_STRIP_PIXELS: Final = 4_000_000  # that are turned into RGB at a time: a large image's other copies are small

# Beyond this Pillow warns and beyond twice this it refuses on opening; `read_header` refuses at once.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

# What Pillow's decoders are seen to raise on broken files; its own UnidentifiedImageError is an OSError.
_DECODING_ERRORS = (
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
_JPEG_CONTENT = ("JPEG", "MPO")  # Pillow's name for a JPEG that others follow, such as a stereo camera's: no animation
_PNG_END = b"IEND\xaeB`\x82"  # the last chunk and its checksum


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


@dataclass(frozen=True)
class PreparedImage:
    """An image as training reads it: RGB or grey, 8 bits, within the largest side that was asked for.

    Attributes:
        content: The file.
        format: `JPEG`, or `PNG` where that was to be kept.
        width: In pixels.
        height: In pixels.
        changes: Why it was encoded anew, in words from a small set; empty where `content` is what was given.
    """

    content: bytes
    format: str
    width: int
    height: int
    changes: tuple[str, ...]


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
    with _open(content, max_pixels) as image:
        return ImageHeader(str(image.format), image.mode, image.width, image.height)


def decode_rgb(content: bytes) -> Image.Image:
    """Returns the image decoded whole, as 8-bit RGB; of an animation the first frame.

    Transparency is laid over white, 16-bit grey is cut to 8 bits. EXIF orientation and colour profile are not applied.

    Raises:
        ImageError: It does not decode, or only in part.
    """
    image = _open(content, MAX_PIXELS)
    with large_image_turn(image.width * image.height), contextlib.closing(image):
        _refuse_many_scans(image, content)
        image, content, _ = _with_end_mark(image, content)
        _load(image, content)
        return _to_rgb(image)


def prepare_image(
    content: bytes,
    *,
    max_dimension: int | None = None,
    keep_formats: tuple[str, ...] = ("JPEG",),
    keep_grey: bool = True,
    refuse_animations: bool = False,
) -> PreparedImage:
    """Decodes an image whole and encodes it anew where something has to change, and only there.

    It has to where the format is not one of `keep_formats`, the pixels are not 8-bit RGB or grey, the longest side is
    above `max_dimension`, an EXIF orientation would turn it in a viewer, a colour profile says that it is not sRGB, or
    the end mark of a PNG or a JPEG is missing. What is encoded anew is an sRGB JPEG of quality 92 without metadata;
    everything else stays the bytes it was. A profile that cannot be used is ignored, and goes.

    A JPEG that stays is read to its last coefficient, but only a 64th of its pixels are computed. Large images are
    decoded one at a time; see `large_image_turn`.

    Args:
        content: The file.
        max_dimension: The longest side, in pixels, that the image may have; None for any.
        keep_formats: `JPEG`, `PNG` or both.
        keep_grey: Whether a grey image may stay; otherwise it is encoded anew as RGB.
        refuse_animations: Whether an image of several frames is refused; otherwise it is its first frame.

    Raises:
        ImageError: It does not decode, or only in part, or to damaged pixels.
    """
    image = _open(content, MAX_PIXELS)
    with large_image_turn(image.width * image.height), contextlib.closing(image):
        return _prepared(image, content, max_dimension, keep_formats, keep_grey, refuse_animations)


def _prepared(
    image: Image.Image,
    content: bytes,
    max_dimension: int | None,
    keep_formats: tuple[str, ...],
    keep_grey: bool,
    refuse_animations: bool,
) -> PreparedImage:
    """Does what `prepare_image` says, with the image as it was opened, and closes that when its pixels are copied."""
    _refuse_many_scans(image, content)
    image, content, is_mended = _with_end_mark(image, content)
    if refuse_animations and _is_animated(image):
        raise ImageError("animation", f"a {image.format} file of several frames")
    width, height = image.width, image.height
    size = fitted_size(width, height, max_dimension)
    changes = _reasons_to_change(image, content, keep_formats, keep_grey)
    if is_mended:
        changes = (*changes, NO_END_MARK)
    conversion, profile_changes = _conversion(image)
    changes += profile_changes
    if size != (width, height):
        changes = (*changes, "too large")
    pixels = None
    if image.format in _JPEG_CONTENT and image.mode in ("RGB", "L"):
        try:
            if not changes:
                check_jpeg(content)
                return PreparedImage(content, str(image.format), width, height, ())
            pixels = decode_jpeg(content, width, height, *size)
        except JpegError as error:
            if error.is_damage:
                raise ImageError("damaged", f"{width}x{height} {image.format}: {error}") from error
            changes = ("unusual JPEG", *changes)  # unless Pillow finds no image in it
    if pixels is None:
        _load(image, content)
        if not changes:
            return PreparedImage(content, str(image.format), width, height, ())
        pixels = _rgb_pixels(image, conversion)
        image.close()
    shrunk = shrink(pixels, *size)
    is_shrunk = shrunk is not pixels
    del pixels  # which may take as much as what comes of them
    if conversion is not None and conversion.mode != "CMYK":  # whose ink has become RGB already
        shrunk = conversion.of_pixels(shrunk)
    encoded = encode_jpeg(shrunk, JPEG_QUALITY, with_opencv=is_shrunk)
    return PreparedImage(encoded, "JPEG", *size, changes)


def is_srgb(content: bytes) -> bool:
    """Tells whether an image's colours stay as they are: it has no colour profile, or one of sRGB.

    Raises:
        ImageError: It is no image.
    """
    with _open(content, MAX_PIXELS) as image:
        return not _conversion(image)[1]


def read_orientation(source: Path | io.BytesIO) -> int:
    """Returns the EXIF orientation of an image file, 1 (as stored) to 8; 1 where it has none, or a broken one."""
    try:
        with Image.open(source, formats=FORMATS) as image:
            orientation = image.getexif().get(EXIF_ORIENTATION, 1)
    except _DECODING_ERRORS:
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


def _open(content: bytes, max_pixels: int) -> Image.Image:
    if not content:
        raise ImageError("empty file", "0 bytes")
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageError("too many pixels", str(error)) from error
    except Image.UnidentifiedImageError:
        start = content[:16]
        raise ImageError(NOT_AN_IMAGE, f"no {', '.join(FORMATS)} file; it begins with {start!r}") from None
    except _DECODING_ERRORS as error:
        raise ImageError("does not decode", str(error)) from error
    pixels = image.width * image.height
    if not 1 <= pixels <= max_pixels:
        raise ImageError("too many pixels", f"{image.width}x{image.height}, at most {max_pixels} pixels are taken")
    return image


def _with_end_mark(image: Image.Image, content: bytes) -> tuple[Image.Image, bytes, bool]:
    """Returns image and content, and whether they had to be mended: those of a JPEG that lacked just its end mark."""
    mended = with_end_mark(content) if image.format in _JPEG_CONTENT else None
    return (image, content, False) if mended is None else (_open(mended, MAX_PIXELS), mended, True)


def _conversion(image: Image.Image) -> tuple[Conversion | None, tuple[str, ...]]:
    """Returns what makes an image's colours sRGB, None where nothing has to, and the reason to change it for them."""
    try:
        conversion = conversion_to_srgb(image)
    except ColourProfileError:
        return None, (UNUSABLE_PROFILE,)
    return conversion, (NOT_SRGB,) if conversion is not None else ()


def _load(image: Image.Image, content: bytes) -> None:
    what = f"{image.width}x{image.height} {image.format}"
    try:
        image.load()
    except _DECODING_ERRORS as error:
        raise ImageError("does not decode", f"{what}: {error}") from error
    except MemoryError as error:
        raise ImageError("out of memory", what) from error
    if image.format == "PNG" and not holds_all_pixels(content):
        raise ImageError("does not decode", f"{what}: its data end before its last pixel")


def _refuse_many_scans(image: Image.Image, content: bytes) -> None:
    if image.format in _JPEG_CONTENT and (count := num_scans(content)) > MAX_SCANS:
        raise ImageError("too many scans", f"a JPEG of {count}, at most {MAX_SCANS} are taken")


def _is_animated(image: Image.Image) -> bool:
    if image.format in _JPEG_CONTENT:
        return False
    try:
        return bool(getattr(image, "is_animated", False))
    except _DECODING_ERRORS as error:
        raise ImageError("does not decode", f"{image.width}x{image.height} {image.format}: {error}") from error


def _reasons_to_change(
    image: Image.Image, content: bytes, keep_formats: tuple[str, ...], keep_grey: bool
) -> tuple[str, ...]:
    reasons = []
    if image.format not in keep_formats:
        reasons.append(f"{image.format} file")
    if image.mode != "RGB" and not (image.mode == "L" and keep_grey):
        reasons.append(f"{image.mode} pixels")
    if image.format == "PNG" and _PNG_END not in content[-1024:]:
        # All pixels may be there and Pillow content; TensorFlow is not.
        reasons.append(NO_END_MARK)
    try:
        orientation = image.getexif().get(EXIF_ORIENTATION, 1)
    except _DECODING_ERRORS:  # broken metadata around a sound image: it goes
        reasons.append("broken EXIF")
    else:
        if orientation != 1:
            reasons.append("EXIF orientation")
    return tuple(reasons)


def _to_rgb(image: Image.Image) -> Image.Image:
    """Returns a copy as 8-bit RGB, made strip by strip: a conversion takes several copies of what it is given."""
    if image.mode == "RGB":
        return image.copy()
    strips = _strips(image)
    if strips == [(0, image.height)]:
        return _strip_to_rgb(image)
    converted = Image.new("RGB", image.size)
    for top, bottom in strips:
        converted.paste(_strip_to_rgb(image.crop((0, top, image.width, bottom))), (0, top))
    return converted


def _rgb_pixels(image: Image.Image, conversion: Conversion | None) -> npt.NDArray[np.uint8]:
    """Returns the pixels of what `_to_rgb` returns, uint8 [H, W, 3]; ink becomes sRGB as its colour profile says."""
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
