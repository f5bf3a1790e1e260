"""JPEGs written from pixels, by Pillow or in four fifths of the time by OpenCV: the same bytes."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from data_prep.images.opencv import opencv


def encode_jpeg(pixels: npt.NDArray[np.uint8], quality: int, *, with_opencv: bool = False) -> bytes:
    """Returns an RGB JPEG file (colours at half the resolution) without metadata.

    Args:
        pixels: uint8 [H, W, 3], RGB.
        quality: 1 to 95.
        with_opencv: Where it is there: a client that shrinks no image need not have it.
    """
    # Not by simplejpeg, whatever its flags: it does not take libjpeg's accurate cosine transform.
    if with_opencv:
        cv2 = opencv()
        _, array = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, quality))
        content: bytes = array.tobytes()
        return content
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "JPEG", quality=quality)
    return encoded.getvalue()
