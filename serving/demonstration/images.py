"""Uploaded images: turned upright, and small enough to be shown on a phone."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

from PIL import Image, ImageOps

from data_prep.images.image_file import EXIF_ORIENTATION, decode_rgb, fitted_size, read_header, read_orientation

SHOWN_MAX_DIMENSION = 1280  # pixels; what a page needs of a photograph, a tenth of its bytes
JPEG_QUALITY = 92


@dataclass(frozen=True)
class UploadedImage:
    """One uploaded image that can be asked about and shown.

    Attributes:
        name: What its owner calls it.
        digest: Of the bytes that were brought; the same image brought twice has the same.
        content: What the server is sent: the bytes that were brought, or, where a viewer would have turned them, a
            JPEG of the upright image.
        width: Of `content`, in pixels.
        height: Of `content`, in pixels.
        turned: Whether `content` was turned upright.
        shown: The image at no more than `SHOWN_MAX_DIMENSION`, RGB, to draw on.
    """

    name: str
    digest: str
    content: bytes
    width: int
    height: int
    turned: bool
    shown: Image.Image


def digest_of(content: bytes) -> str:
    """Returns a digest by which the same upload is recognised."""
    return hashlib.sha256(content).hexdigest()


def read_upload(name: str, content: bytes) -> UploadedImage:
    """Decodes an image and turns it upright.

    Elsewhere an EXIF orientation is never applied, since annotations relate to the pixels as stored. Here there are
    none, and a phone stores what it takes sideways: a detector that has seen rooms upright has to see this one so.

    Args:
        name: What its owner calls it.
        content: The file.

    Raises:
        ImageError: It is no image, does not decode, or has too many pixels.
    """
    read_header(content)  # refuses what is too large before a pixel is decoded
    orientation = read_orientation(io.BytesIO(content))
    image = decode_rgb(content)
    sent = content
    if orientation != 1:
        exif = Image.Exif()
        exif[EXIF_ORIENTATION] = orientation
        image.info = {"exif": exif.tobytes()}  # what decode_rgb hands on depends on the mode; this does not
        image = ImageOps.exif_transpose(image)
        encoded = io.BytesIO()
        image.save(encoded, "JPEG", quality=JPEG_QUALITY, exif=b"")
        sent = encoded.getvalue()
    size = fitted_size(image.width, image.height, SHOWN_MAX_DIMENSION)
    shown = image if size == image.size else image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    return UploadedImage(name, digest_of(content), sent, image.width, image.height, orientation != 1, shown)
