"""Images laid side by side, each under its caption."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

from data_prep.images.drawing import Color, fitted_text

PAPER: Color = (250, 250, 248)
INK: Color = (45, 45, 48)


def side_by_side(images: Sequence[Image.Image], captions: Sequence[str] | None = None) -> Image.Image:
    """Lays images in a row, scaled to the height of the tallest, each under its caption.

    Args:
        images: One or more images.
        captions: One an image, such as `ground truth` and `detections`; None for none.

    Returns:
        An RGB image.

    Raises:
        ValueError: There is no image, or the captions are not one an image.
    """
    if not images:
        raise ValueError("no images to lay side by side")
    height = max(image.height for image in images)
    scaled = [
        image if image.height == height else image.resize((max(1, round(image.width * height / image.height)), height))
        for image in images
    ]
    return _grid(scaled, len(scaled), captions, widths=[image.width for image in scaled])


def contact_sheet(images: Sequence[Image.Image], columns: int, captions: Sequence[str] | None = None) -> Image.Image:
    """Lays images in a grid, row by row, each fitted into a cell of the first image's size.

    Args:
        images: One or more images.
        columns: How many stand in a row.
        captions: One an image; None for none.

    Returns:
        An RGB image.

    Raises:
        ValueError: There is no image, `columns` is below 1, or the captions are not one an image.
    """
    if not images:
        raise ValueError("no images for a contact sheet")
    if columns < 1:
        raise ValueError(f"a contact sheet needs at least 1 column, not {columns}")
    cell_width, cell_height = images[0].size
    fitted = []
    for image in images:
        scale = min(cell_width / image.width, cell_height / image.height)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        fitted.append(image if size == image.size else image.resize(size))
    columns = min(columns, len(images))
    return _grid(fitted, columns, captions, widths=[cell_width] * columns)


def _grid(
    images: Sequence[Image.Image], columns: int, captions: Sequence[str] | None, *, widths: Sequence[int]
) -> Image.Image:
    """Lays images in `columns` columns of the given widths on white, centred in their cells."""
    if captions is not None and len(captions) != len(images):
        raise ValueError(f"{len(images)} images, but {len(captions)} captions")
    cell_height = max(image.height for image in images)
    font_pixels = max(11, round(5 + math.hypot(max(widths), cell_height) / 60))
    caption_height = round(font_pixels * 1.8) if captions is not None else 0
    gap = max(2, round(cell_height / 60))
    rows = math.ceil(len(images) / columns)
    lefts = [gap + sum(widths[:column]) + gap * column for column in range(columns)]
    sheet = Image.new(
        "RGB", (sum(widths) + gap * (columns + 1), rows * (cell_height + caption_height) + gap * (rows + 1)), PAPER
    )
    draw = ImageDraw.Draw(sheet)
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        top = gap + row * (cell_height + caption_height + gap)
        if captions is not None:
            font, text = fitted_text(draw, captions[index], font_pixels, widths[column])
            draw.text(
                (lefts[column] + widths[column] / 2, top + caption_height / 2), text, fill=INK, font=font, anchor="mm"
            )
        offset = ((widths[column] - image.width) // 2, caption_height + (cell_height - image.height) // 2)
        sheet.paste(image.convert("RGB"), (lefts[column] + offset[0], top + offset[1]))
    return sheet
