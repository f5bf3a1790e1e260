"""Detections as an aligned table that grows line by line as the answers come."""

from __future__ import annotations

from collections.abc import Iterable

from data_prep.runtime.command_line import printable
from serving.client_library.detections import ImageDetections

MAX_IMAGE_WIDTH = 60
MAX_NAME_WIDTH = 32
NOTHING = "(nothing found)"


class DetectionsTable:
    """Lays out lines of: image, name, score, and the box in pixels as xmin, ymin, xmax, ymax."""

    def __init__(self, images: Iterable[str], names: Iterable[str]) -> None:
        """Fixes the columns' widths.

        Args:
            images: What will stand in the first column.
            names: What may stand in the second.
        """
        self._image_width = _width((*images, "picture"), MAX_IMAGE_WIDTH)
        self._name_width = _width((*names, "name", NOTHING), MAX_NAME_WIDTH)

    def header(self) -> list[str]:
        """Returns the two lines at the top."""
        indent = " " * (self._image_width + 2 + self._name_width + 2 + 6)
        return [f"{indent}box in pixels", self._line("picture", "name", "score", ("xmin", "ymin", "xmax", "ymax"))]

    def lines(self, result: ImageDetections) -> list[str]:
        """Returns the lines of one image that was answered, best score first."""
        image = _shortened(result.image, self._image_width)
        if not result.detections:
            return [f"{image:<{self._image_width}}  {NOTHING}"]
        lines = []
        for detection in result.detections:
            box = detection.box_pixels
            sides = tuple(f"{value:.0f}" for value in (box.xmin, box.ymin, box.xmax, box.ymax))
            name = printable(detection.name)
            lines.append(self._line(image, name[: self._name_width], f"{detection.score:.2f}", sides))
        return lines

    def _line(self, image: str, name: str, score: str, sides: tuple[str, ...]) -> str:
        columns = "".join(f"{side:>7}" for side in sides)
        return f"{image:<{self._image_width}}  {name:<{self._name_width}}  {score:>5}{columns}"


def _width(texts: Iterable[str], largest: int) -> int:
    return min(largest, max(len(printable(text)) for text in texts))


def _shortened(text: str, width: int) -> str:
    """Returns `text`, with its beginning left out where it is too long: the end of a path tells more."""
    text = printable(text)
    return text if len(text) <= width else "…" + text[-(width - 1) :]
