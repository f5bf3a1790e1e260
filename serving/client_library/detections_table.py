"""Detections as an aligned table that grows line by line as the answers come."""

from __future__ import annotations

from collections.abc import Iterable

from serving.client_library.detections import PictureDetections

MAX_PICTURE_WIDTH = 60
MAX_NAME_WIDTH = 32
NOTHING = "(nothing found)"


def printable(text: str) -> str:
    """Returns `text` with what would move a terminal's cursor, or cannot be printed, escaped."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


class DetectionsTable:
    """Lays out lines of: picture, name, score, and the box in pixels as xmin, ymin, xmax, ymax."""

    def __init__(self, pictures: Iterable[str], names: Iterable[str]) -> None:
        """Fixes the columns' widths.

        Args:
            pictures: What will stand in the first column.
            names: What may stand in the second.
        """
        self._picture_width = _width((*pictures, "picture"), MAX_PICTURE_WIDTH)
        self._name_width = _width((*names, "name", NOTHING), MAX_NAME_WIDTH)

    def header(self) -> list[str]:
        """Returns the two lines at the top."""
        indent = " " * (self._picture_width + 2 + self._name_width + 2 + 6)
        return [f"{indent}box in pixels", self._line("picture", "name", "score", ("xmin", "ymin", "xmax", "ymax"))]

    def lines(self, result: PictureDetections) -> list[str]:
        """Returns the lines of one picture that was answered, best score first."""
        picture = _shortened(result.picture, self._picture_width)
        if not result.detections:
            return [f"{picture:<{self._picture_width}}  {NOTHING}"]
        lines = []
        for detection in result.detections:
            box = detection.box_pixels
            sides = tuple(f"{value:.0f}" for value in (box.xmin, box.ymin, box.xmax, box.ymax))
            name = printable(detection.name)
            lines.append(self._line(picture, name[: self._name_width], f"{detection.score:.2f}", sides))
        return lines

    def _line(self, picture: str, name: str, score: str, sides: tuple[str, ...]) -> str:
        columns = "".join(f"{side:>7}" for side in sides)
        return f"{picture:<{self._picture_width}}  {name:<{self._name_width}}  {score:>5}{columns}"


def _width(texts: Iterable[str], largest: int) -> int:
    return min(largest, max(len(printable(text)) for text in texts))


def _shortened(text: str, width: int) -> str:
    """Returns `text`, with its beginning left out where it is too long: the end of a path tells more."""
    text = printable(text)
    return text if len(text) <= width else "…" + text[-(width - 1) :]
