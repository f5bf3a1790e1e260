"""The frame that an image's boxes relate to: its size in their unit, and how EXIF turned it for who drew them.

Every later step, and TensorFlow's decoder, takes the pixels as they are stored, so that points must relate to those.
Most annotation tools show, and measure, the image as its EXIF orientation turns it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from data_prep.annotations.image_folder import ImageFile
from data_prep.annotations.source_image import SourceImage
from data_prep.runtime.ledger import RejectedError

BoxesAreOf = Literal["shown", "stored"]

SIZED_AS_STORED: Final = "sized as stored, not as shown"
SIZED_AS_SHOWN: Final = "sized as shown, not as stored"
SAME_ASPECT: Final = 0.01  # by how much the shares of two sizes may differ and still be one image, scaled

_SWAPPING: Final = (5, 6, 7, 8)  # orientations that swap width and height

# Where a point (u, v) of the image that viewers show lies in the stored one, both in shares, by EXIF orientation.
_STORED_FROM_SHOWN: Final[Mapping[int, Callable[[float, float], tuple[float, float]]]] = {
    1: lambda u, v: (u, v),
    2: lambda u, v: (1 - u, v),
    3: lambda u, v: (1 - u, 1 - v),
    4: lambda u, v: (u, 1 - v),
    5: lambda u, v: (v, u),
    6: lambda u, v: (v, 1 - u),
    7: lambda u, v: (1 - v, 1 - u),
    8: lambda u, v: (1 - v, u),
}


@dataclass(frozen=True)
class Frame:
    """What boxes relate to.

    Attributes:
        width: In the boxes' unit: 1 where they are in shares of the image.
        height: Likewise.
        orientation: The EXIF orientation in which the boxes were drawn; 1 is that of the stored pixels.
        is_scaled: Whether the annotated size is another than the image's, of the same aspect ratio.
    """

    width: float
    height: float
    orientation: int = 1
    is_scaled: bool = False

    def stored(self, xmin: float, ymin: float, xmax: float, ymax: float) -> tuple[float, float, float, float]:
        """Returns the edges, in shares of the stored image, of a box in shares of the image as it was drawn on."""
        turn = _STORED_FROM_SHOWN[self.orientation]
        corners = (turn(xmin, ymin), turn(xmax, ymax))
        (left, right), (top, bottom) = (sorted(values) for values in zip(*corners, strict=True))
        return left, top, right, bottom


def frame_of(image: SourceImage, file: ImageFile | None, boxes_are_of: BoxesAreOf) -> Frame:
    """Returns the frame of an image's boxes.

    For the orientations that swap the sides, an annotated size tells which image was seen. One that says otherwise than
    `boxes_are_of` is refused: the boxes may have been drawn on either.

    Args:
        image: As annotated.
        file: Its file; None where there is none, so that the annotated size is trusted and no orientation is known.
        boxes_are_of: `shown`, the image as EXIF turns it, or `stored`.

    Raises:
        RejectedError: No size is known, or the annotations' is another image's, or contradicts `boxes_are_of`.
    """
    width, height = image.width, image.height
    orientation = file.orientation if file is not None and boxes_are_of == "shown" else 1
    if not width or not height:
        if image.is_relative:
            return Frame(1, 1, orientation)
        if file is None:
            raise RejectedError("no image size", "neither the annotations nor an --image_directory give it")
        width, height = (file.height, file.width) if orientation in _SWAPPING else (file.width, file.height)
        return Frame(width, height, orientation)
    is_scaled = file is not None and _is_scaled(width, height, file, boxes_are_of)
    return Frame(1, 1, orientation, is_scaled) if image.is_relative else Frame(width, height, orientation, is_scaled)


def _is_scaled(width: int, height: int, file: ImageFile, boxes_are_of: BoxesAreOf) -> bool:
    """Tells whether an annotated size is the image's but for its scale.

    Raises:
        RejectedError: It is another image's, or the size of the image that `boxes_are_of` does not mean.
    """
    stored, turned = (file.width, file.height), (file.height, file.width)
    swaps = file.orientation in _SWAPPING
    meant, other = (turned, stored) if swaps and boxes_are_of == "shown" else (stored, turned)
    if (width, height) == meant:
        return False
    is_of_other = _same_aspect(width, height, *other)
    # Where both are nearly square, only an exact size tells, and only where EXIF says that there are two images.
    if _same_aspect(width, height, *meant) and not (swaps and (width, height) == other):
        return True
    detail = f"the annotations say {width}x{height}, {file.path} is {file.width}x{file.height}"
    if not is_of_other:
        raise RejectedError("another image size", detail)
    if not swaps:
        raise RejectedError("another image size", f"{detail}, turned, but no EXIF orientation says how")
    detail += f", shown as {file.height}x{file.width} (EXIF orientation {file.orientation})"
    raise RejectedError(SIZED_AS_STORED if boxes_are_of == "shown" else SIZED_AS_SHOWN, detail)


def _same_aspect(width: int, height: int, other_width: int, other_height: int) -> bool:
    """Tells whether two sizes have the same aspect ratio, to a pixel of the smaller or to `SAME_ASPECT`."""
    expected = width * other_height / height
    return abs(expected - other_width) <= max(1.0, SAME_ASPECT * other_width)
