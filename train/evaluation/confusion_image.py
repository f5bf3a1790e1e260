"""The confusion matrix as an image, for TensorBoard and trackers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from train.metrics.report import shortened_name

MOST_CLASSES = 40
_CELL, _MARGIN, _GAP = 34, 8, 6  # pixels
_BLUE = np.array([31, 90, 168])


def confusion_image(matrix: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """Draws the counts, each cell as dark as its share of its row.

    Of more than 40 classes, those with the most mistakes are shown.

    Args:
        matrix: int [C + 1, C + 1], a row a class of objects, a column a class of detections; background comes last.
        labels: C + 1 names.

    Returns:
        uint8 [H, W, 3], RGB.
    """
    caption = "rows: objects, columns: what they are detected as"
    num_classes = len(labels) - 1
    if num_classes > MOST_CLASSES:
        mistakes = matrix.sum(axis=0) + matrix.sum(axis=1) - 2 * np.diag(matrix)
        shown = np.sort(np.argsort(-mistakes[:-1], kind="stable")[:MOST_CLASSES])
        shown = np.append(shown, num_classes)
        matrix, labels = matrix[np.ix_(shown, shown)], [labels[number] for number in shown]
        caption += f"; the {MOST_CLASSES} of {num_classes} classes with the most mistakes"
    font = ImageFont.load_default(12)
    names = [shortened_name(label) for label in labels]
    longest = max(int(font.getlength(name)) for name in names)
    left, top = _MARGIN + longest + _GAP, _MARGIN + 20 + longest + _GAP
    side = _CELL * len(names)
    width = max(left + side, int(font.getlength(caption)) + _MARGIN) + _MARGIN
    image = Image.new("RGB", (width, top + side + _MARGIN), "white")
    draw = ImageDraw.Draw(image)
    draw.text((_MARGIN, _MARGIN), caption, "black", font)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    for row, name in enumerate(names):
        middle = top + row * _CELL + _CELL // 2
        draw.text((left - _GAP, middle), name, "black", font, anchor="rm")
        _draw_upright(image, name, font, (left + row * _CELL, top - _GAP))
        for column, count in enumerate(matrix[row].tolist()):
            share = float(shares[row, column])
            x = left + column * _CELL
            color = tuple(np.rint(255 - share * (255 - _BLUE)).astype(int).tolist())
            draw.rectangle((x, middle - _CELL // 2, x + _CELL - 1, middle + _CELL // 2 - 1), color, (225, 225, 225))
            if count:
                ink = "white" if share > 0.5 else "black"
                draw.text((x + _CELL // 2, middle), _short(count), ink, font, anchor="mm")
    return np.asarray(image)


def _draw_upright(
    image: Image.Image, name: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, corner: tuple[int, int]
) -> None:
    """Writes a name from the corner upwards, in the middle of a column."""
    text = Image.new("L", (max(int(font.getlength(name)) + 2, 1), 16))
    ImageDraw.Draw(text).text((0, 8), name, 255, font, anchor="lm")
    turned = text.rotate(90, expand=True)
    place = (corner[0] + (_CELL - turned.width) // 2, corner[1] - turned.height)
    image.paste((0, 0, 0), place, turned)


def _short(count: int) -> str:
    return str(count) if count < 10_000 else f"{count // 1000}k"
