"""The check of a fetched image: decoded whole, of the size and MD5 in the index, shrunk where that is asked for."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import simplejpeg

from data_prep.downloading.download_errors import DownloadError
from data_prep.downloading.http_download import Fetched
from data_prep.downloading.image_sources import ImageSource
from data_prep.images.image_file import (
    FORMATS,
    MAX_PIXELS,
    NOT_AN_IMAGE,
    ImageError,
    fitted_size,
    read_header,
)
from data_prep.images.prepared_image import prepare_image
from data_prep.runtime.large_image_turn import large_image_turn

# Flickr answers for a photo that was taken down with an image of its own, "This photo is no longer available", most
# often by a redirect to photo_unavailable.png, of late on s.yimg.com; there have been GIFs and other sizes of it. The
# PNG has 2,051 bytes; several projects that cleaned data sets of it agree on its MD5.
_PLACEHOLDER_NAME: Final = "photo_unavailable"
_PLACEHOLDER_MD5S: Final = frozenset({"880a7a58e05d3e83797f27573bb6d35c"})
_PLACEHOLDER_HOSTS: Final = ("flickr.com", "yimg.com")
_PLACEHOLDER_MAX_BYTES: Final = 16 * 1024

_SIGNATURES: Final = (b"\xff\xd8", b"\x89PNG", b"GIF8", b"BM", b"RIFF")


@dataclass(frozen=True)
class FetchedImage:
    """An image as it is to be kept.

    Attributes:
        content: The file.
        width: In pixels.
        height: In pixels.
        shrunk: Whether it was larger than was asked for.
    """

    content: bytes
    width: int
    height: int
    shrunk: bool


def check_start(start: bytes, url: str) -> None:
    """Looks at a body's first bytes: 50 MB that are no image need not be fetched to know it.

    Raises:
        DownloadError: It begins as no image does.
    """
    if not start.startswith(_SIGNATURES):
        raise DownloadError(NOT_AN_IMAGE, f"{url}: no {', '.join(FORMATS)} file; it begins with {start[:16]!r}")


def accept_image(source: ImageSource, fetched: Fetched, max_dimension: int | None) -> FetchedImage:
    """Returns the image to keep for `source`.

    Args:
        source: What was asked for.
        fetched: What came.
        max_dimension: See `decoded_image`.

    Raises:
        DownloadError: It is not the image that was annotated, or no image, or damaged. Damage at an end that the
            server did not announce may be the connection's: that passes.
    """
    content = fetched.content
    try:
        _refuse_placeholder(source, fetched)
        if not content:
            raise ImageError("empty file", "0 bytes")
        if source.num_bytes is not None and len(content) != source.num_bytes:
            detail = f"{len(content)} bytes instead of {source.num_bytes}: not the image that was annotated"
            raise DownloadError("wrong size", f"{fetched.url}: {detail}", permanent=fetched.complete)
        if source.md5:
            # Not a matter of security: Open Images gives no stronger sum.
            found = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
            if found.rstrip("=") != source.md5.rstrip("="):
                detail = f"{fetched.url}: MD5 {found} instead of {source.md5}: not the image that was annotated"
                raise DownloadError("wrong MD5", detail)
        return decoded_image(content, max_dimension)
    except ImageError as error:
        permanent = fetched.complete or error.reason == NOT_AN_IMAGE
        raise DownloadError(error.reason, f"{fetched.url}: {error.detail}", permanent=permanent) from error


def decoded_image(content: bytes, max_dimension: int | None) -> FetchedImage:
    """Decodes an image whole, and shrinks it where it is too large.

    Args:
        content: The file.
        max_dimension: The longest side, in pixels, that the image may have; None keeps the file as it is. With a
            number, whatever is not an upright 8-bit JPEG becomes one (see `prepare_image`).

    Raises:
        ImageError: It does not decode, or only in part, or is an animation, which no photograph is.
    """
    if max_dimension is None:
        width, height = _size_of_sound_jpeg(content) or _size_of_sound_image(content)
        return FetchedImage(content, width, height, shrunk=False)
    header = read_header(content)
    width, height = header.width, header.height
    prepared = prepare_image(content, max_dimension=max_dimension, refuse_animations=True)
    shrunk = fitted_size(width, height, max_dimension) != (width, height)
    return FetchedImage(prepared.content, prepared.width, prepared.height, shrunk)


def _size_of_sound_jpeg(content: bytes) -> tuple[int, int] | None:
    """Returns (width, height) of a JPEG without a flaw, in a fifth of Pillow's time; None if Pillow is needed.

    At an eighth of its size, every bit of the file is read and a 64th of its pixels is computed.
    """
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(content)
        if width * height > MAX_PIXELS:
            return None
        with large_image_turn(width * height):
            simplejpeg.decode_jpeg(content, "GRAY", fastdct=True, fastupsample=True, min_height=1, min_width=1)
    except ValueError:
        return None
    return width, height


def _size_of_sound_image(content: bytes) -> tuple[int, int]:
    header = read_header(content)
    eighth = max(1, max(header.width, header.height) // 8)
    prepare_image(content, max_dimension=eighth, keep_formats=FORMATS, refuse_animations=True)
    return header.width, header.height


def _refuse_placeholder(source: ImageSource, fetched: Fetched) -> None:
    content, parts = fetched.content, urlsplit(fetched.url)
    name = parts.path.rpartition("/")[2]
    seen = ""
    if name.startswith(_PLACEHOLDER_NAME):
        seen = f"answered with {fetched.url}"
    elif len(content) <= _PLACEHOLDER_MAX_BYTES and content.startswith((b"\x89PNG", b"GIF8")):
        host = parts.hostname or ""
        if hashlib.md5(content, usedforsecurity=False).hexdigest() in _PLACEHOLDER_MD5S:
            seen = "answered with the image of Flickr that says so"
        elif host.endswith(_PLACEHOLDER_HOSTS) and source.url.lower().endswith((".jpg", ".jpeg")):
            seen = f"answered with a {read_header(content).format} of {len(content)} bytes for a photograph"
    if seen:
        raise DownloadError("photo no longer available", f"{source.url}: {seen}")
