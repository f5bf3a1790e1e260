"""JPEGs: decoded at a fraction of their size, checked to their last coefficient, and encoded from pixels."""

from __future__ import annotations

import base64
import io
from typing import Final

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image

from data_prep.images.opencv import opencv

MAX_SCANS: Final = 200  # the encoders in use write 10 at most
_SCAN_MARK: Final = b"\xff\xda"
_DAMAGE: Final = "Corrupt JPEG data"  # the beginning of libjpeg's warnings about invalid coefficients
_DCT_SCALES: Final = (8, 4, 2)  # other eighths decode at a fraction of the speed
_SPARE: Final = 2  # how many times larger than wanted an image is decoded: the filter's part, for its sharper edges
_SHORTEST_SIDE: Final = 16  # in pixels, as decoded: of fewer, the last one counts, which may stand for a part of one


class JpegError(ValueError):
    """A JPEG that libjpeg complains of.

    Attributes:
        is_damage: Whether coefficients are damaged, so that part of the image shows something else. Otherwise it may
            be cut short, or just of an unusual kind.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.is_damage = problem.startswith(_DAMAGE)


def num_scans(content: bytes) -> int:
    """Returns how many times the image is gone through, at most: a thumbnail in its metadata counts as well.

    Scans of a few bytes may each cost as much as a whole image: in a file of megabytes they would take hours.
    """
    characters = np.frombuffer(content, np.uint8)
    marks = (characters[:-1] == _SCAN_MARK[0]) & (characters[1:] == _SCAN_MARK[1])
    return int(np.count_nonzero(marks))  # bytes.count takes five times as long, 3% of all that an image costs


def check_jpeg(content: bytes) -> None:
    """Reads every coefficient, and computes a 64th of the pixels.

    Args:
        content: A JPEG file of RGB or grey pixels, whose header has been checked.

    Raises:
        JpegError: It is damaged, or unusual.
    """
    _decode(content, "GRAY", 1, 1)


def decode_jpeg(
    content: bytes, width: int, height: int, target_width: int, target_height: int
) -> npt.NDArray[np.uint8]:
    """Decodes at the whole, a half, a quarter or an eighth of the size: at least twice what is wanted, if there is so
    much.

    EXIF orientation is not applied.

    Args:
        content: A JPEG file of RGB or grey pixels, whose header has been checked.
        width: What the header says.
        height: What the header says.
        target_width: The width that the image is to be shrunk to.
        target_height: The height that it is to be shrunk to, at the same aspect ratio.

    Returns:
        uint8 [H, W, 3], RGB; each side at least the target's.

    Raises:
        JpegError: It is damaged, or unusual.
    """
    ratio = max(width, height) / max(target_width, target_height)
    ratio = min(ratio / _SPARE, min(width, height) / _SHORTEST_SIDE)
    scale = next((scale for scale in _DCT_SCALES if ratio >= scale), 1)
    pixels = _decode(content, "RGB", -(-width // scale), -(-height // scale))
    # Where a side is no multiple of the scale, its last pixel stands for a part of one: it is taken for a whole one or
    # for none, whichever is nearer, so that nothing is shifted by more than a quarter of a pixel of the result.
    return pixels[: max(target_height, round(height / scale)), : max(target_width, round(width / scale))]


def _decode(content: bytes, colours: str, min_width: int, min_height: int) -> npt.NDArray[np.uint8]:
    try:
        pixels: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(
            content, colours, min_width=min_width, min_height=min_height
        )
    except ValueError as error:
        raise JpegError(str(error)) from error
    return pixels


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


def jpeg_data_url(image: Image.Image, quality: int) -> str:
    """Returns an RGB image as a JPEG in a `data:` URL, for a page in one file."""
    content = encode_jpeg(np.asarray(image), quality)
    return "data:image/jpeg;base64," + base64.b64encode(content).decode("ascii")
