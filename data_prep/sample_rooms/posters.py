"""Pictures to hang on a wall; some could be taken for a screen or a window, which is what they are for."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from data_prep.sample_rooms.pictures import gradient, random_outlook, view
from data_prep.sample_rooms.style import Style, between, chance, jitter, mix, pick, shade

PASSE_PARTOUT = (248, 246, 240)


def poster(rng: np.random.Generator, style: Style, size: tuple[int, int]) -> Image.Image:
    """Returns a picture of `size` (width, height), most with a passe-partout."""
    motif = pick(rng, (_landscape, _landscape, _shapes, _arches, _leaf, _dark, _lines))
    image = motif(rng, style, size)
    if chance(rng, 0.4):
        return image
    margin = round(min(size) * between(rng, 0.08, 0.16))
    mounted = Image.new("RGB", size, PASSE_PARTOUT)
    mounted.paste(image.resize((size[0] - 2 * margin, size[1] - 2 * margin)), (margin, margin))
    return mounted


def _paper(style: Style, size: tuple[int, int]) -> Image.Image:
    return Image.new("RGB", size, mix((246, 242, 234), style.textiles[2], 0.4))


def _landscape(rng: np.random.Generator, style: Style, size: tuple[int, int]) -> Image.Image:
    return view(rng, random_outlook(rng, night=chance(rng, 0.15)), size)


def _dark(rng: np.random.Generator, style: Style, size: tuple[int, int]) -> Image.Image:
    darkest = style.textiles[3]
    return gradient(shade(darkest, between(rng, 0.45, 0.6)), shade(darkest, 0.25), size)


def _shapes(rng: np.random.Generator, style: Style, size: tuple[int, int]) -> Image.Image:
    image = _paper(style, size)
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(3, 8))):
        x, y, radius = between(rng, 0, size[0]), between(rng, 0, size[1]), between(rng, 0.1, 0.35) * min(size)
        color = jitter(rng, pick(rng, style.textiles), 18)
        if chance(rng, 0.5):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)
        else:
            draw.rectangle((x - radius, y - radius / 2, x + radius, y + radius / 2), fill=color)
    return image


def _arches(rng: np.random.Generator, style: Style, size: tuple[int, int]) -> Image.Image:
    image = _paper(style, size)
    draw = ImageDraw.Draw(image)
    x, y = size[0] / 2, size[1] * 0.75
    for ring in range(5, 0, -1):
        radius = ring * min(size) / 11
        color = jitter(rng, style.textiles[ring % len(style.textiles)], 12)
        draw.pieslice((x - radius, y - radius, x + radius, y + radius), 180, 360, fill=color)
    return image


def _leaf(rng: np.random.Generator, style: Style, size: tuple[int, int]) -> Image.Image:
    image = _paper(style, size)
    draw = ImageDraw.Draw(image)
    width, height = size
    for side in range(-3, 4):
        x, y = width / 2 + side * width / 9, height * (0.18 + 0.06 * abs(side))
        draw.line((width / 2, height * 0.9, x, y), fill=jitter(rng, (70, 110, 80), 20), width=max(2, width // 26))
        blade = (x - width / 20, y - height / 14, x + width / 20, y + height / 14)
        draw.ellipse(blade, fill=jitter(rng, (80, 126, 88), 20))
    return image


def _lines(rng: np.random.Generator, style: Style, size: tuple[int, int]) -> Image.Image:
    image = _paper(style, size)
    draw = ImageDraw.Draw(image)
    width, height = size
    for line in range(7):
        bend, level = line * between(rng, 0.5, 0.9), height * (0.15 + 0.11 * line)
        points = [(x, level + 6 * math.sin(x / width * 7 + bend)) for x in range(0, width + 8, 8)]
        draw.line(points, fill=pick(rng, style.textiles), width=max(2, height // 40))
    return image
