"""Boxes and their names on an image, drawn so that they can be read."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]
Rectangle = tuple[float, float, float, float]  # left, top, right, bottom

BLACK: Color = (0, 0, 0)
WHITE: Color = (255, 255, 255)

# Told apart at a glance, light and dark alternating, none close to the walls and woods that fill most photographs.
PALETTE: tuple[Color, ...] = (
    (230, 25, 75),
    (255, 214, 10),
    (0, 130, 240),
    (60, 200, 80),
    (170, 60, 220),
    (255, 130, 20),
    (0, 205, 215),
    (245, 80, 200),
    (150, 225, 20),
    (90, 90, 255),
    (255, 150, 150),
    (0, 150, 120),
    (200, 170, 255),
    (190, 20, 20),
    (130, 230, 200),
    (20, 70, 170),
)
# Chosen so that the commonest indoor and street classes of Open Images and COCO do not share a colour.
PALETTE_SALT = "782"
SMALLEST_FONT_PIXELS = 8


def color_of(class_id_or_name: int | str) -> Color:
    """Returns the colour of a class: the same in every image, process and machine.

    Args:
        class_id_or_name: A label map id (neighbouring ids get well separated colours) or a class name.

    Returns:
        Red, green, blue in 0..255.
    """
    if isinstance(class_id_or_name, str):
        digest = hashlib.sha256((PALETTE_SALT + class_id_or_name).encode("utf-8")).digest()
        return PALETTE[int.from_bytes(digest[:8], "big") % len(PALETTE)]
    return PALETTE[(int(class_id_or_name) - 1) % len(PALETTE)]


def readable_on(color: Color) -> Color:
    """Returns black or white, whichever contrasts more with `color` (relative luminance after WCAG 2.1)."""
    channels = [value / 255.0 for value in color]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return BLACK if (luminance + 0.05) / 0.05 >= 1.05 / (luminance + 0.05) else WHITE


def line_width_for(size: tuple[int, int]) -> int:
    """Returns the width in pixels of a box's line on an image of `size` (width, height)."""
    return max(1, round(math.hypot(*size) / 300))


def font_size_for(size: tuple[int, int]) -> int:
    """Returns the height in pixels of a name on an image of `size` (width, height)."""
    return max(SMALLEST_FONT_PIXELS, round(5 + math.hypot(*size) / 70))


def draw_boxes(
    image: Image.Image,
    boxes_ymin_xmin_ymax_xmax: np.ndarray | Sequence[Sequence[float]],
    names: Sequence[str],
    scores: Sequence[float] | np.ndarray | None = None,
    *,
    colors: Sequence[Color] | None = None,
    dashed: bool = False,
) -> Image.Image:
    """Draws boxes with their names on a copy of an image.

    Lines and letters grow with the image. Each name stands on a plate of its class's colour, kept inside the image
    and, where there is room, clear of the other plates. Parts of a box outside the image are cut off; a box that lies
    wholly outside, or whose coordinates are not finite, is not drawn.

    Args:
        image: Any Pillow image; it is left as it is.
        boxes_ymin_xmin_ymax_xmax: [N, 4] in pixels; N may be 0.
        names: N names; an empty one draws the box without a plate.
        scores: N scores in 0..1, shown as percent; None shows none.
        colors: N colours (red, green, blue in 0..255); by default each name's `color_of`.
        dashed: Draws the lines dashed, to tell ground truth from detections in one image.

    Returns:
        A new RGB image of the same size.

    Raises:
        ValueError: The boxes are not [N, 4], or names, scores or colours are not N.
    """
    boxes = np.asarray(boxes_ymin_xmin_ymax_xmax, dtype=np.float64)
    if boxes.size == 0:
        boxes = boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes must have the shape [N, 4], not {list(boxes.shape)}")
    for what, values in (("names", names), ("scores", scores), ("colors", colors)):
        if values is not None and len(values) != len(boxes):
            raise ValueError(f"{len(boxes)} boxes, but {len(values)} {what}")
    canvas = image.convert("RGB")  # a copy, where the mode is RGB already too
    draw = ImageDraw.Draw(canvas)
    width = line_width_for(canvas.size)
    # The largest first, so that a small box inside a large one stays on top.
    order = sorted(range(len(boxes)), key=lambda index: -_area(boxes[index]))
    shown: list[tuple[int, Rectangle, Color]] = []
    for index in order:
        rectangle = _clipped(boxes[index], canvas.size)
        if rectangle is None:
            continue
        color = colors[index] if colors is not None else color_of(names[index])
        _outline(draw, rectangle, color, width, dashed)
        shown.append((index, rectangle, color))
    taken: list[Rectangle] = []
    for index, rectangle, color in shown:
        text = names[index]
        if scores is not None:
            text = f"{text} {_percent(float(scores[index]))}".strip()
        if text:
            plate = _draw_plate(draw, text, rectangle, color=color, size=canvas.size, taken=taken)
            if plate is not None:
                taken.append(plate)
    return canvas


@functools.lru_cache(maxsize=32)
def _font(pixels: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size=pixels)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType; its wheels have it"
    return font


def _percent(score: float) -> str:
    return f"{100 * score:.0f}%" if math.isfinite(score) else "?%"


def _area(box_ymin_xmin_ymax_xmax: np.ndarray) -> float:
    ymin, xmin, ymax, xmax = box_ymin_xmin_ymax_xmax
    area = float((ymax - ymin) * (xmax - xmin))
    return area if math.isfinite(area) else 0.0


def _clipped(box_ymin_xmin_ymax_xmax: np.ndarray, size: tuple[int, int]) -> Rectangle | None:
    """Returns the pixels (left, top, right, bottom, all inside the image) of a box, or None where nothing shows."""
    if not np.all(np.isfinite(box_ymin_xmin_ymax_xmax)):
        return None
    ymin, xmin, ymax, xmax = (float(value) for value in box_ymin_xmin_ymax_xmax)
    left, right = min(xmin, xmax), max(xmin, xmax)
    top, bottom = min(ymin, ymax), max(ymin, ymax)
    if right < 0 or bottom < 0 or left > size[0] or top > size[1]:
        return None
    # Coordinates are edges between pixels: a box to xmax=10 ends with pixel 9.
    left, top = min(max(round(left), 0), size[0] - 1), min(max(round(top), 0), size[1] - 1)
    right, bottom = min(max(round(right) - 1, left), size[0] - 1), min(max(round(bottom) - 1, top), size[1] - 1)
    return left, top, right, bottom


def _outline(draw: ImageDraw.ImageDraw, rectangle: Rectangle, color: Color, width: int, dashed: bool) -> None:
    """Draws a rectangle's line with a thin dark or light rim, so that it shows on a ground of its own colour."""
    left, top, right, bottom = rectangle
    rim = max(1, width // 3)
    if width >= 2:
        outer = (left - rim, top - rim, right + rim, bottom + rim)
        draw.rectangle(outer, outline=_rim_color(color), width=rim)
    if not dashed:
        draw.rectangle(rectangle, outline=color, width=width)
        return
    dash = max(3, 4 * width)
    inner = width - 1
    for start in range(round(left), round(right) + 1, 2 * dash):
        end = min(start + dash - 1, right)
        draw.rectangle((start, top, end, min(top + inner, bottom)), fill=color)
        draw.rectangle((start, max(bottom - inner, top), end, bottom), fill=color)
    for start in range(round(top), round(bottom) + 1, 2 * dash):
        end = min(start + dash - 1, bottom)
        draw.rectangle((left, start, min(left + inner, right), end), fill=color)
        draw.rectangle((max(right - inner, left), start, right, end), fill=color)


def _rim_color(color: Color) -> Color:
    return (20, 20, 20) if readable_on(color) == BLACK else (245, 245, 245)


def _draw_plate(
    draw: ImageDraw.ImageDraw,
    text: str,
    rectangle: Rectangle,
    *,
    color: Color,
    size: tuple[int, int],
    taken: Sequence[Rectangle],
) -> Rectangle | None:
    """Draws a name on its plate near `rectangle`; returns the plate, or None where the image has no room for it."""
    pad = max(1, round(font_size_for(size) * 0.22))
    font, text = fitted_text(draw, text, font_size_for(size), size[0] - 2 * pad)
    if not text:
        return None
    text_width = draw.textlength(text, font=font)
    ascent, descent = _vertical_extent(font)
    plate_width, plate_height = math.ceil(text_width) + 2 * pad, ascent + descent + 2 * pad
    if plate_height > size[1]:
        return None
    plate = _free_place(rectangle, (plate_width, plate_height), size, taken)
    draw.rectangle((plate[0], plate[1], plate[2] - 1, plate[3] - 1), fill=color)
    draw.text((plate[0] + pad, plate[1] + pad + ascent), text, fill=readable_on(color), font=font, anchor="ls")
    return plate


def _vertical_extent(font: ImageFont.FreeTypeFont) -> tuple[int, int]:
    """Returns how far letters reach above and below the baseline, the same for every text so that plates align."""
    _, top, _, bottom = font.getbbox("Mgjpq|", anchor="ls")
    return math.ceil(-top), math.ceil(bottom)


def fitted_text(
    draw: ImageDraw.ImageDraw, text: str, font_pixels: int, room: float
) -> tuple[ImageFont.FreeTypeFont, str]:
    """Returns a font and as much of `text` as `room` pixels take: first smaller letters, then fewer.

    Args:
        draw: What the text will be drawn with.
        text: On one line; white space becomes single spaces.
        font_pixels: The height of letters where there is room.
        room: In pixels.
    """
    text = " ".join(text.split())
    font = _font(font_pixels)
    while draw.textlength(text, font=font) > room and font_pixels > SMALLEST_FONT_PIXELS:
        font_pixels = max(SMALLEST_FONT_PIXELS, min(font_pixels - 1, int(font_pixels * 0.9)))
        font = _font(font_pixels)
    if draw.textlength(text, font=font) > room:
        while text and draw.textlength(text + "..", font=font) > room:
            text = text[:-1]
        text = text + ".." if text else ""
    return font, text


def _free_place(
    rectangle: Rectangle,
    plate_size: tuple[int, int],
    size: tuple[int, int],
    taken: Sequence[Rectangle],
) -> Rectangle:
    """Returns where a plate goes: by its box, inside the image, on the place that covers least of other plates."""
    left, top, right, bottom = rectangle
    width, height = plate_size
    lefts = (left, right + 1 - width, (left + right + 1 - width) / 2)
    tops = [top - height, top, bottom + 1, bottom + 1 - height]
    # Further places step down inside the box, for many boxes stacked on one another.
    tops += [top + step * height for step in range(1, 6)]
    best: tuple[float, Rectangle] | None = None
    for candidate_top in tops:
        for candidate_left in lefts:
            x = min(max(candidate_left, 0), size[0] - width)
            y = min(max(candidate_top, 0), size[1] - height)
            place = (x, y, x + width, y + height)
            covered = sum(_overlap(place, other) for other in taken)
            if covered == 0:
                return place
            if best is None or covered < best[0]:
                best = covered, place
    assert best is not None
    return best[1]


def _overlap(a: Rectangle, b: Rectangle) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
