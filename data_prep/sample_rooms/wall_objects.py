"""Other objects on walls: clocks, framed pictures and what they show, mirrors, shelves and doors.

Each is built with its back at y = 0 and its middle at x = 0, so that `placed` puts it on a wall.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from data_prep.sample_rooms import pictures, textures
from data_prep.sample_rooms.item import Item
from data_prep.sample_rooms.pictures import gradient, random_outlook, view
from data_prep.sample_rooms.shapes import Part, box, disc_outline, prism, rod, turned
from data_prep.sample_rooms.style import Style, between, chance, jitter, mix, pick, shade

PASSE_PARTOUT = (248, 246, 240)


def wall_clock(rng: np.random.Generator, diameter: float) -> Item:
    """Returns a round, square or sunburst clock with its middle at the origin."""
    radius = diameter / 2
    dial, rim = textures.clock_face(rng)
    kind = pick(rng, ("round", "round", "round", "square", "sunburst"))
    inner = radius * 0.88
    parts: list[Part] = []
    if kind == "square":
        parts.append(box((-radius, -0.045, -radius), (radius, 0.0, radius), rim))
        low, high = (-inner, -0.05, -inner), (inner, -0.045, inner)
        parts.append(box(low, high, rim, textures={"front": dial}, casts_shadow=False))
        return Item(tuple(parts), "Wall clock")
    if kind == "sunburst":
        rays = pick(rng, (12, 16, 24))
        for i in range(rays):
            angle = 2 * math.pi * i / rays
            length = radius * (1.0 if i % 2 else 0.82)
            tip = (length * math.cos(angle), -0.015, length * math.sin(angle))
            start = (radius * 0.5 * math.cos(angle), -0.015, radius * 0.5 * math.sin(angle))
            parts.append(rod(start, tip, 0.008, rim, segments=5))
        radius *= 0.62
        inner = radius * 0.9
    parts.append(prism(disc_outline(radius, (0, 0)), -0.045, 0.0, rim))
    parts.append(prism(disc_outline(inner, (0, 0)), -0.048, -0.03, (240, 240, 236), front=dial))
    return Item(tuple(parts), "Wall clock")


def picture(rng: np.random.Generator, style: Style, width: float, height: float) -> Item:
    """Returns a framed picture with its middle at the origin (clutter, not annotated)."""
    pixels = 150
    image = poster(rng, style, (pixels, max(30, round(pixels * height / width))))
    frame = pick(rng, (style.wood, (30, 30, 32), (244, 242, 238), (196, 158, 92), style.metal))
    rim, half, tall = between(rng, 0.012, 0.04), width / 2, height / 2
    return Item(
        (
            box((-half, -0.03, -tall), (half, 0.0, tall), frame),
            box(
                (-half + rim, -0.034, -tall + rim),
                (half - rim, -0.03, tall - rim),
                frame,
                textures={"front": image},
                casts_shadow=False,
            ),
        )
    )


def mirror(rng: np.random.Generator, style: Style, radius: float) -> Item:
    """Returns a round mirror with its middle at the origin (clutter that a clock could be taken for, not annotated)."""
    tint = pictures.gradient(shade(style.wall, 1.12), shade(style.wall, 0.8), (64, 64))
    frame = pick(rng, (style.wood, style.metal, (30, 30, 32)))
    outline = disc_outline(radius, (0, 0))
    return Item(
        (prism(outline, -0.03, 0.0, frame), prism(disc_outline(radius * 0.9, (0, 0)), -0.035, -0.02, frame, front=tint))
    )


def shelf(rng: np.random.Generator, style: Style, width: float) -> Item:
    """Returns a board on the wall with books and a vase (clutter, not annotated)."""
    half = width / 2
    parts = [box((-half, -0.2, -0.03), (half, 0.0, 0.0), style.wood)]
    x = -half + 0.05
    while x < half - 0.12:
        color = jitter(rng, pick(rng, (*style.textiles, (180, 80, 60), (230, 220, 200))), 25)
        if chance(rng, 0.25):
            radius = between(rng, 0.035, 0.06)
            profile = [(radius * 0.6, 0.0), (radius, 0.05), (radius, 0.09), (radius * 0.4, 0.15), (radius * 0.5, 0.18)]
            parts.append(turned(profile, color, center=(x + radius, -0.1), segments=12))
            x += 2 * radius + between(rng, 0.02, 0.1)
        else:
            thick, tall = between(rng, 0.02, 0.045), between(rng, 0.16, 0.26)
            parts.append(box((x, -0.17, 0.0), (x + thick, -0.03, tall), color))
            x += thick + (between(rng, 0.05, 0.15) if chance(rng, 0.2) else 0.002)
    return Item(tuple(parts))


def door(rng: np.random.Generator, style: Style) -> Item:
    """Returns a closed door with its sill at z = 0 (clutter, not annotated)."""
    color = pick(rng, (style.trim, style.wood, (240, 238, 234)))
    parts = [
        box((-0.5, -0.03, 0.0), (0.5, 0.0, 2.12), style.trim, casts_shadow=False),
        box((-0.42, -0.045, 0.0), (0.42, 0.0, 2.04), color, casts_shadow=False),
    ]
    for low, high in ((0.15, 0.85), (1.0, 1.9)):
        for x in (-0.34, 0.04):
            parts.append(box((x, -0.052, low), (x + 0.3, -0.045, high), shade(color, 0.95), casts_shadow=False))
    parts.append(rod((0.36, -0.09, 1.02), (0.26, -0.09, 1.02), 0.011, style.metal, segments=6))
    return Item(tuple(parts))


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
