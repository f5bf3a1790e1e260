"""Flat images of materials: floors, wallpapers, fabrics, and the faces of clocks, drawers and shelves."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from data_prep.sample_rooms.shapes import Color
from data_prep.sample_rooms.style import Style, between, chance, jitter, mix, pick, shade

FLOOR_PIXELS_PER_METRE = 130
WALL_PIXELS_PER_METRE = 100


def floor(rng: np.random.Generator, style: Style, width_metres: float, depth_metres: float) -> Image.Image:
    """Returns a floor of planks, herringbone, tiles or carpet, of the room's size."""
    size = (round(width_metres * FLOOR_PIXELS_PER_METRE), round(depth_metres * FLOOR_PIXELS_PER_METRE))
    kind = rng.random()
    if kind < 0.5:
        return _planks(rng, style.floor_wood, size)
    if kind < 0.62:
        return _checked_parquet(rng, style.floor_wood, size)
    if kind < 0.78:
        return _tiles(rng, mix(style.wall, (190, 186, 180), 0.6), size)
    return _carpet(rng, mix(pick(rng, style.textiles[:3]), (170, 164, 156), 0.55), size)


def wall(rng: np.random.Generator, style: Style, width_metres: float, height_metres: float, kind: str) -> Image.Image:
    """Returns a wall that is not plain; `kind` is `stripes`, `dots`, `panels`, `diamonds` or `bricks`."""
    scale = WALL_PIXELS_PER_METRE
    size = (max(8, round(width_metres * scale)), max(8, round(height_metres * scale)))
    image = Image.new("RGB", size, style.wall)
    draw = ImageDraw.Draw(image)
    if kind == "stripes":
        step = between(rng, 0.12, 0.3) * scale
        color = mix(style.wall, style.accent_wall, between(rng, 0.25, 0.6))
        for i in range(0, int(size[0] / step) + 1, 2):
            draw.rectangle((i * step, 0, (i + 1) * step, size[1]), fill=color)
    elif kind in ("dots", "diamonds"):
        step = between(rng, 0.18, 0.32) * scale
        motif = _motif(kind, step * between(rng, 0.1, 0.22))
        color = mix(style.wall, style.accent_wall, 0.55)
        for row in range(int(size[1] / step) + 2):
            for column in range(int(size[0] / step) + 2):
                x, y = (column + 0.5 * (row % 2)) * step, row * step
                image.paste(color, (round(x) - motif.width // 2, round(y) - motif.height // 2), motif)
    elif kind == "panels":
        height = round(size[1] * between(rng, 0.58, 0.68))
        lower = mix(style.accent_wall, style.wall, between(rng, 0.0, 0.5))
        draw.rectangle((0, height, size[0], size[1]), fill=lower)
        draw.rectangle((0, height - 3, size[0], height + 1), fill=style.trim)
        step = between(rng, 0.35, 0.7) * scale
        for i in range(int(size[0] / step) + 1):
            frame = (i * step + 5, height + 9, (i + 1) * step - 5, size[1] - 14)
            draw.rectangle(frame, outline=shade(lower, 0.88), width=2)
    elif kind == "bricks":
        _bricks(rng, draw, size, mix(style.wall, (176, 110, 84), between(rng, 0.0, 0.8)), scale)
    return _grained(rng, image, 1.6, (4, 4))


def fabric(rng: np.random.Generator, color: Color, other: Color, size: tuple[int, int] = (96, 96)) -> Image.Image:
    """Returns a blanket's or rug's cloth: plain, striped, checked, dotted or bordered."""
    image = Image.new("RGB", size, color)
    draw = ImageDraw.Draw(image)
    kind = pick(rng, ("plain", "stripes", "rows", "checks", "dots", "border"))
    step = pick(rng, (8, 12, 16, 24))
    if kind in ("stripes", "checks"):
        for x in range(0, size[0], 2 * step):
            draw.rectangle((x, 0, x + step - 1, size[1]), fill=mix(color, other, 0.5))
    if kind in ("rows", "checks"):
        for y in range(0, size[1], 2 * step):
            blend = mix(color, other, 0.45)
            draw.rectangle((0, y, size[0], y + step // (2 if kind == "rows" else 1)), fill=blend)
    if kind == "dots":
        for row, y in enumerate(range(step // 2, size[1], step)):
            for x in range(step // 2 + (row % 2) * step // 2, size[0], step):
                draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=other)
    if kind == "border":
        draw.rectangle((6, 6, size[0] - 7, size[1] - 7), outline=other, width=5)
        draw.rectangle((16, 16, size[0] - 17, size[1] - 17), outline=mix(color, other, 0.5), width=2)
    return _grained(rng, image, 5.0, (2, 2))


def round_rug(rng: np.random.Generator, color: Color, other: Color) -> Image.Image:
    """Returns a rug of rings, for a round shape's top."""
    image = Image.new("RGB", (160, 160), color)
    draw = ImageDraw.Draw(image)
    rings = int(rng.integers(1, 7))
    for ring in range(rings):
        inset = 80 * ring / rings
        draw.ellipse((inset, inset, 160 - inset, 160 - inset), fill=color if ring % 2 else mix(color, other, 0.6))
    return _grained(rng, image, 5.0, (2, 2))


def drawers(rng: np.random.Generator, color: Color, knob: Color, rows: int, columns: int) -> Image.Image:
    """Returns the front of a cabinet with `rows` by `columns` drawers or doors."""
    width, height = 60 * columns + 8, 40 * rows + 8
    image = Image.new("RGB", (width, height), shade(color, 0.8))
    draw = ImageDraw.Draw(image)
    with_grip = chance(rng, 0.5)
    for row in range(rows):
        for column in range(columns):
            x, y = 6 + column * 60, 6 + row * 40
            draw.rectangle((x, y, x + 55, y + 35), fill=color, outline=shade(color, 0.9))
            if with_grip:
                draw.rectangle((x + 20, y + 15, x + 36, y + 18), fill=knob)
            else:
                draw.ellipse((x + 24, y + 14, x + 31, y + 21), fill=knob)
    return image


def clock_face(rng: np.random.Generator) -> tuple[Image.Image, Color]:
    """Returns a clock's dial with hands, and the colour of its rim."""
    pixels, center = 192, 96.0
    dial, ink, rim = pick(
        rng,
        (
            ((250, 249, 244), (40, 40, 44), (44, 44, 48)),
            ((246, 238, 220), (72, 48, 36), (122, 82, 52)),
            ((44, 46, 52), (238, 236, 230), (30, 30, 34)),
            ((252, 252, 250), (60, 66, 78), (190, 152, 88)),
            ((196, 222, 220), (36, 66, 72), (240, 240, 236)),
            ((238, 236, 232), (170, 52, 44), (170, 52, 44)),
            ((198, 158, 112), (58, 38, 28), (150, 110, 72)),
        ),
    )
    image = Image.new("RGB", (pixels, pixels), dial)
    draw = ImageDraw.Draw(image)
    style = pick(rng, ("ticks", "dots", "quarters", "numbers"))
    for hour in range(12):
        angle = hour * math.pi / 6
        sine, cosine = math.sin(angle), -math.cos(angle)
        if style == "dots":
            x, y, size = center + 76 * sine, center + 76 * cosine, 6 if hour % 3 == 0 else 4
            draw.ellipse((x - size, y - size, x + size, y + size), fill=ink)
        elif style == "numbers":
            draw.text((center + 70 * sine, center + 70 * cosine), str(hour or 12), fill=ink, anchor="mm", font_size=27)
        elif style == "ticks" or hour % 3 == 0:
            inner = 62 if hour % 3 == 0 else 70
            ends = (center + inner * sine, center + inner * cosine, center + 84 * sine, center + 84 * cosine)
            draw.line(ends, fill=ink, width=9 if hour % 3 == 0 else 5)
    minutes = between(rng, 0, 720)
    for turn, length, width in ((minutes / 720, 46, 11), (minutes % 60 / 60, 70, 7)):
        angle = turn * 2 * math.pi
        tip = (center + length * math.sin(angle), center - length * math.cos(angle))
        tail = (center - 12 * math.sin(angle), center + 12 * math.cos(angle))
        draw.line((*tail, *tip), fill=ink, width=width)
    draw.ellipse((center - 8, center - 8, center + 8, center + 8), fill=ink)
    return image, rim


def book_row(rng: np.random.Generator, style: Style, rows: int = 1) -> Image.Image:
    """Returns the front of a bookcase: `rows` shelves of books and a few other things."""
    width, row_height = 200, 80
    back = shade(style.wood, 0.45)
    image = Image.new("RGB", (width, row_height * rows), back)
    draw = ImageDraw.Draw(image)
    for row in range(rows):
        base = (row + 1) * row_height - 6
        x = 4.0
        while x < width - 12:
            thickness, height = between(rng, 6, 15), between(rng, 40, 64)
            color = jitter(rng, pick(rng, (*style.textiles, (150, 60, 50), (60, 90, 110), (210, 190, 150))), 25)
            if chance(rng, 0.15):
                x += between(rng, 8, 40)
                continue
            draw.rectangle((x, base - height, x + thickness - 1, base), fill=color)
            draw.rectangle(
                (x + 1, base - height * 0.75, x + thickness - 2, base - height * 0.66),
                fill=mix(color, (240, 230, 200), 0.5),
            )
            x += thickness
        draw.rectangle((0, base, width, base + 6), fill=style.wood)
        draw.rectangle((0, row * row_height, width, row * row_height + 2), fill=shade(style.wood, 0.6))
    draw.rectangle((0, 0, width - 1, row_height * rows - 1), outline=style.wood, width=4)
    return image


def _motif(kind: str, radius: float) -> Image.Image:
    """Returns the mask of a dot or a diamond of `radius` pixels, with soft edges."""
    finer = 4
    half = math.ceil(1.8 * radius)
    mask = Image.new("L", (2 * half * finer, 2 * half * finer), 0)
    center, reach = half * finer, radius * finer
    if kind == "dots":
        ImageDraw.Draw(mask).ellipse((center - reach, center - reach, center + reach, center + reach), fill=255)
    else:
        tall = 1.7 * reach
        corners = [(center, center - tall), (center + reach, center), (center, center + tall), (center - reach, center)]
        ImageDraw.Draw(mask).polygon(corners, fill=255)
    return mask.reduce(finer)


def _planks(rng: np.random.Generator, wood: Color, size: tuple[int, int]) -> Image.Image:
    image = Image.new("RGB", size, wood)
    draw = ImageDraw.Draw(image)
    wide = between(rng, 0.09, 0.2) * FLOOR_PIXELS_PER_METRE
    along_view = chance(rng, 0.6)
    span, length = (size[0], size[1]) if along_view else (size[1], size[0])
    contrast = between(rng, 5, 16)
    for i in range(int(span / wide) + 1):
        start = -between(rng, 0, 1.2) * FLOOR_PIXELS_PER_METRE
        while start < length:
            end = start + between(rng, 0.8, 1.6) * FLOOR_PIXELS_PER_METRE
            color = jitter(rng, wood, contrast)
            cross = (i * wide, (i + 1) * wide)
            place = (cross[0], start, cross[1], end) if along_view else (start, cross[0], end, cross[1])
            draw.rectangle(place, fill=color, outline=shade(color, 0.78))
            start = end
    return _grained(rng, image, 7.0, (3, 40) if along_view else (40, 3))


def _checked_parquet(rng: np.random.Generator, wood: Color, size: tuple[int, int]) -> Image.Image:
    image = Image.new("RGB", size, wood)
    draw = ImageDraw.Draw(image)
    block, strips = between(rng, 0.3, 0.45) * FLOOR_PIXELS_PER_METRE, int(rng.integers(4, 7))
    for row in range(int(size[1] / block) + 1):
        for column in range(int(size[0] / block) + 1):
            for strip in range(strips):
                color = jitter(rng, wood, 9)
                low, high = strip * block / strips, (strip + 1) * block / strips
                x, y = column * block, row * block
                across = (row + column) % 2
                place = (x, y + low, x + block, y + high) if across else (x + low, y, x + high, y + block)
                draw.rectangle(place, fill=color, outline=shade(color, 0.82))
    return _grained(rng, image, 6.0, (6, 6))


def _tiles(rng: np.random.Generator, color: Color, size: tuple[int, int]) -> Image.Image:
    grout = shade(color, between(rng, 0.72, 0.9))
    image = Image.new("RGB", size, grout)
    draw = ImageDraw.Draw(image)
    step = between(rng, 0.3, 0.6) * FLOOR_PIXELS_PER_METRE
    other = shade(color, between(rng, 0.55, 0.85)) if chance(rng, 0.4) else color
    for row in range(int(size[1] / step) + 1):
        for column in range(int(size[0] / step) + 1):
            place = (column * step + 1, row * step + 1, (column + 1) * step - 2, (row + 1) * step - 2)
            draw.rectangle(place, fill=jitter(rng, other if (row + column) % 2 else color, 4))
    return _grained(rng, image, 4.0, (14, 14))


def _carpet(rng: np.random.Generator, color: Color, size: tuple[int, int]) -> Image.Image:
    return _grained(rng, _grained(rng, Image.new("RGB", size, color), 11.0, (2, 2)), 6.0, (30, 30))


def _bricks(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, size: tuple[int, int], color: Color, scale: float
) -> None:
    wide, high = 0.25 * scale, 0.085 * scale
    draw.rectangle((0, 0, *size), fill=mix(color, (214, 208, 198), 0.6))
    for row in range(int(size[1] / high) + 1):
        for column in range(-1, int(size[0] / wide) + 1):
            x, y = (column + 0.5 * (row % 2)) * wide, row * high
            draw.rectangle((x + 1, y + 1, x + wide - 1, y + high - 1), fill=jitter(rng, color, 12))


def _grained(rng: np.random.Generator, image: Image.Image, amount: float, grain: tuple[int, int]) -> Image.Image:
    """Returns the image with soft light and dark spots of `grain` (width, height) pixels."""
    small = (max(2, math.ceil(image.width / grain[0])), max(2, math.ceil(image.height / grain[1])))
    noise = rng.standard_normal((small[1], small[0]), dtype=np.float32) * np.float32(amount) + 128
    spots = Image.fromarray(noise.clip(0, 255).astype(np.uint8)).resize(image.size, Image.Resampling.BILINEAR)
    return ImageChops.add(image, Image.merge("RGB", [spots] * 3), scale=1, offset=-128)
