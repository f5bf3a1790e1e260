"""Televisions and the images on their screens: flat ones on feet or on the wall, and old deep ones."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from data_prep.sample_rooms.item import Item
from data_prep.sample_rooms.pictures import gradient, random_outlook, view
from data_prep.sample_rooms.shapes import box, disc_outline, prism, rod, rounded_box, slab
from data_prep.sample_rooms.style import between, chance, jitter, pick, shade

SIZE = (192, 108)


def television(rng: np.random.Generator, width: float, *, on: bool, stand: bool) -> Item:
    """Returns a television; with `stand` it stands on feet at z = 0, without it hangs with its back at y = 0."""
    shown = screen(rng, on=on)
    body = pick(rng, ((22, 22, 25), (30, 30, 34), (66, 68, 72), (184, 186, 190)))
    glow = between(rng, 0.75, 1.15) if on else 0.0
    if stand and width < 0.8 and chance(rng, 0.45):
        return _tube_television(rng, width, shown, glow)
    half, height = width / 2, width * 9 / 16 + 0.02
    lift, middle = (between(rng, 0.04, 0.1), -0.1) if stand else (0.0, -0.03)
    rim = between(rng, 0.012, 0.028)
    parts = [
        rounded_box((-half, middle - 0.02, lift), (half, middle + 0.03, lift + height), body, 0.008, steps=1),
        box(
            (-half + rim, middle - 0.024, lift + rim * 1.3),
            (half - rim, middle - 0.02, lift + height - rim),
            (20, 20, 24),
            emission=glow,
            textures={"front": shown},
            casts_shadow=False,
        ),
    ]
    if stand and chance(rng, 0.5):
        parts.append(slab((0.0, middle, lift / 2), (0.06, 0.04, lift), body))
        parts.append(slab((0.0, middle, 0.008), (width * 0.38, 0.2, 0.016), body))
    elif stand:
        for x in (-half * 0.72, half * 0.72):
            parts.append(rod((x, middle - 0.1, 0.006), (x, middle, lift + 0.01), 0.009, body, segments=5))
            parts.append(rod((x, middle + 0.1, 0.006), (x, middle, lift + 0.01), 0.009, body, segments=5))
    return Item(tuple(parts), "Television")


def _tube_television(rng: np.random.Generator, width: float, shown: Image.Image, glow: float) -> Item:
    """Returns an old, deep television with knobs and perhaps an aerial."""
    half, height = width / 2, width * between(rng, 0.74, 0.82)
    body = pick(rng, ((60, 58, 58), (120, 84, 56), (196, 190, 178), (150, 60, 50)))
    front, back = -0.34, 0.02
    panel = half - width * between(rng, 0.18, 0.24)
    parts = [
        rounded_box((-half, front, 0.03), (half, back, height), body, 0.03),
        rounded_box((-half + 0.03, front - 0.012, 0.07), (panel, front + 0.05, height - 0.05), (26, 26, 28), 0.012),
        box(
            (-half + 0.055, front - 0.018, 0.095),
            (panel - 0.025, front - 0.01, height - 0.075),
            (20, 22, 24),
            emission=glow,
            textures={"front": shown},
            casts_shadow=False,
        ),
    ]
    for i in range(2):
        outline = disc_outline(0.03, ((panel + half) / 2, height * (0.72 - 0.2 * i)), 12)
        parts.append(prism(outline, front - 0.02, front, (206, 200, 188)))
    if chance(rng, 0.6):
        for side in (-1, 1):
            parts.append(
                rod((0.0, -0.15, height), (side * 0.17, -0.15, height + 0.3), 0.005, (170, 170, 174), segments=4)
            )
    return Item(tuple(parts), "Television")


def screen(rng: np.random.Generator, *, on: bool) -> Image.Image:
    """Returns what a television shows: a film, a match, the news, a menu, or a dark screen with a reflection."""
    if not on:
        return _dark(rng)
    programme = pick(rng, (_film, _film, _match, _news, _menu, _cartoon))
    return programme(rng).filter(ImageFilter.GaussianBlur(0.7))


def _dark(rng: np.random.Generator) -> Image.Image:
    glare = Image.new("L", SIZE, 0)
    x = between(rng, 20, 140)
    ImageDraw.Draw(glare).polygon([(x, 0), (x + 36, 0), (x - 10, 108), (x - 46, 108)], fill=26)
    white = Image.new("RGB", SIZE, (200, 210, 220))
    return Image.composite(white, gradient((34, 37, 44), (12, 13, 16), SIZE), glare.filter(ImageFilter.GaussianBlur(6)))


def _film(rng: np.random.Generator) -> Image.Image:
    return view(rng, random_outlook(rng, night=chance(rng, 0.3)), SIZE)


def _match(rng: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", SIZE)
    draw = ImageDraw.Draw(image)
    for stripe in range(12):
        grass = (58, 140, 62) if stripe % 2 else (68, 156, 70)
        draw.rectangle((stripe * 16, 0, stripe * 16 + 15, 108), fill=grass)
    draw.line((96, 0, 96, 108), fill=(230, 240, 230), width=2)
    draw.ellipse((76, 34, 116, 74), outline=(230, 240, 230), width=2)
    for team in ((220, 60, 50), (250, 240, 120)):
        for _ in range(7):
            x, y = between(rng, 6, 186), between(rng, 8, 98)
            draw.ellipse((x - 2, y - 5, x + 2, y), fill=(230, 190, 160))
            draw.rectangle((x - 2, y, x + 2, y + 6), fill=team)
    draw.rectangle((6, 5, 52, 14), fill=(20, 24, 34))
    return image


def _news(rng: np.random.Generator) -> Image.Image:
    image = gradient((26, 60, 130), (90, 150, 220), SIZE)
    draw = ImageDraw.Draw(image)
    skin = pick(rng, ((236, 196, 164), (196, 144, 108), (130, 90, 64)))
    hair = pick(rng, ((40, 30, 26), (120, 84, 48), (190, 186, 180)))
    coat = pick(rng, ((44, 48, 60), (150, 44, 60), (232, 230, 226)))
    x = between(rng, 50, 140)
    draw.rectangle((x - 30, 66, x + 30, 108), fill=coat)
    draw.rectangle((x - 7, 54, x + 7, 70), fill=shade(skin, 0.9))
    draw.ellipse((x - 16, 24, x + 16, 62), fill=skin)
    draw.pieslice((x - 18, 20, x + 18, 58), 180, 360, fill=hair)
    draw.rectangle((0, 88, 192, 108), fill=(170, 30, 40))
    for line in range(2):
        draw.rectangle((8, 92 + 7 * line, between(rng, 90, 180), 95 + 7 * line), fill=(245, 240, 236))
    return image


def _menu(rng: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", SIZE, (30, 34, 44))
    draw = ImageDraw.Draw(image)
    for row in range(3):
        for column in range(4):
            color = pick(rng, ((200, 70, 70), (70, 120, 200), (90, 170, 110), (220, 180, 70)))
            place = (8 + column * 46, 10 + row * 33, 48 + column * 46, 36 + row * 33)
            draw.rectangle(place, fill=jitter(rng, color, 40))
    return image


def _cartoon(rng: np.random.Generator) -> Image.Image:
    image = gradient((120, 210, 240), (250, 240, 190), SIZE)
    draw = ImageDraw.Draw(image)
    draw.ellipse((20, 70, 230, 190), fill=(110, 190, 90))
    for _ in range(3):
        x, y, radius = between(rng, 30, 160), between(rng, 40, 70), between(rng, 12, 24)
        color = pick(rng, ((240, 110, 90), (250, 200, 70), (140, 110, 210)))
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)
        for eye in (-0.4, 0.4):
            draw.ellipse((x + (eye - 0.16) * radius, y - 6, x + (eye + 0.16) * radius, y + 2), fill=(250, 250, 250))
    return image
