"""Images as training reads them: sound, in sRGB, upright in the pixels' own frame, within a largest side.

An image that carries an EXIF orientation is encoded anew without it, so that viewers, which do apply it, show what the
detector sees.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Final

from PIL import Image

from data_prep.images.area_filter import shrink
from data_prep.images.colour_profile import ColourProfileError, Conversion, conversion_to_srgb
from data_prep.images.image_file import (
    DECODING_ERRORS,
    EXIF_ORIENTATION,
    JPEG_CONTENT,
    ImageError,
    fitted_size,
    load_image,
    mended_image,
    open_image,
    refuse_many_scans,
)
from data_prep.images.jpeg import JpegError, check_jpeg, decode_jpeg, encode_jpeg
from data_prep.images.rgb_pixels import rgb_array
from data_prep.runtime.large_image_turn import large_image_turn

JPEG_QUALITY: Final = 92

NO_END_MARK: Final = "no end of file mark"  # reasons for which an image is encoded anew
NOT_SRGB: Final = "not sRGB"
UNUSABLE_PROFILE: Final = "unusable colour profile"

_PNG_END = b"IEND\xaeB`\x82"  # the last chunk and its checksum


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
    image = open_image(content)
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
    refuse_many_scans(image, content)
    image, content, is_mended = mended_image(image, content)
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
    if image.format in JPEG_CONTENT and image.mode in ("RGB", "L"):
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
        load_image(image, content)
        if not changes:
            return PreparedImage(content, str(image.format), width, height, ())
        pixels = rgb_array(image, conversion)
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
    with open_image(content) as image:
        return not _conversion(image)[1]


def _conversion(image: Image.Image) -> tuple[Conversion | None, tuple[str, ...]]:
    """Returns what makes an image's colours sRGB, None where nothing has to, and the reason to change it for them."""
    try:
        conversion = conversion_to_srgb(image)
    except ColourProfileError:
        return None, (UNUSABLE_PROFILE,)
    return conversion, (NOT_SRGB,) if conversion is not None else ()


def _is_animated(image: Image.Image) -> bool:
    if image.format in JPEG_CONTENT:
        return False
    try:
        return bool(getattr(image, "is_animated", False))
    except DECODING_ERRORS as error:
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
    except DECODING_ERRORS:  # broken metadata around a sound image: it goes
        reasons.append("broken EXIF")
    else:
        if orientation != 1:
            reasons.append("EXIF orientation")
    return tuple(reasons)
