"""What hangs on walls or stands before them upright: windows, curtains, televisions, clocks and pictures.

Each is built with its back at y = 0, its middle at x = 0, and z from 0 up, so that `placed` puts it on a wall.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from data_prep.sample_rooms import pictures, textures
from data_prep.sample_rooms.item import Item
from data_prep.sample_rooms.shapes import (
    Part,
    box,
    disc_outline,
    hanging_cloth,
    prism,
    rod,
    rounded_box,
    slab,
    turned,
)
from data_prep.sample_rooms.style import Style, between, chance, jitter, pick, shade


def window(rng: np.random.Generator, style: Style, width: float, height: float, outlook: pictures.Outlook) -> Item:
    """Returns a window with panes and a sill."""
    half, thick = width / 2, between(rng, 0.045, 0.08)
    outside = pictures.view(rng, outlook, (200, max(60, round(200 * height / width))))
    glow = between(rng, 0.35, 0.6) if outlook.night else between(rng, 1.1, 1.6)
    glass = box(
        (-half + 0.02, -0.012, 0.02),
        (half - 0.02, -0.004, height - 0.02),
        (180, 200, 220),
        emission=glow,
        textures={"front": outside},
        casts_shadow=False,
    )
    parts = [glass]
    trim = style.trim
    depth = between(rng, 0.03, 0.06)
    for low, high in (
        ((-half, -depth, 0.0), (half, 0.0, thick)),
        ((-half, -depth, height - thick), (half, 0.0, height)),
        ((-half, -depth, thick), (-half + thick, 0.0, height - thick)),
        ((half - thick, -depth, thick), (half, 0.0, height - thick)),
    ):
        parts.append(box(low, high, trim, casts_shadow=False))
    columns, rows = pick(rng, ((1, 1), (2, 1), (2, 1), (2, 2), (3, 1), (3, 2), (1, 2)))
    bar = thick * 0.6
    for i in range(1, columns):
        x = -half + width * i / columns
        parts.append(
            box((x - bar / 2, -depth * 0.8, thick), (x + bar / 2, 0.0, height - thick), trim, casts_shadow=False)
        )
    for i in range(1, rows):
        z = height * i / rows
        parts.append(
            box((-half + thick, -depth * 0.7, z - bar / 2), (half - thick, 0.0, z + bar / 2), trim, casts_shadow=False)
        )
    if chance(rng, 0.7):
        parts.append(box((-half - 0.05, -0.13, -0.04), (half + 0.05, 0.0, 0.0), trim))
    if chance(rng, 0.22):
        parts += _blind(rng, half - thick, height - thick, depth)
    return Item(tuple(parts), "Window")


def _blind(rng: np.random.Generator, half: float, top: float, depth: float) -> list[Part]:
    color = jitter(rng, (232, 226, 214), 12)
    count = int(top * between(rng, 0.25, 0.7) / 0.05)
    return [
        box(
            (-half, -depth - 0.012, top - 0.05 * i - 0.038),
            (half, -depth + 0.01, top - 0.05 * i),
            color,
            casts_shadow=False,
        )
        for i in range(count)
    ]


def curtains(rng: np.random.Generator, style: Style, width: float, height: float, *, to_floor: float) -> Item:
    """Returns a rod with one or two curtains for a window (clutter, not annotated).

    Args:
        rng: Where chance comes from.
        style: The room's colours.
        width: The window's.
        height: The window's; z = 0 is its lower edge.
        to_floor: How far below the window's lower edge the floor is.
    """
    color = jitter(rng, pick(rng, (*style.textiles, (240, 236, 228), (240, 236, 228))), 10)
    reach, y, top = width / 2 + between(rng, 0.12, 0.3), -0.19, height + between(rng, 0.06, 0.14)
    bottom = -to_floor + 0.03 if chance(rng, 0.6) else -0.14
    parts = [rod((-reach - 0.06, y, top), (reach + 0.06, y, top), 0.014, style.metal, segments=6)]
    sides = pick(rng, ((-1, 1), (-1, 1), (-1,), (1,)))
    for side in sides:
        cover = between(rng, 0.22, 0.42)
        low, high = sorted((side * reach, side * (reach - cover)))
        parts.append(
            hanging_cloth(low, high, bottom, top - 0.01, y, color, folds=cover * between(rng, 11, 16), depth=0.03)
        )
    return Item(tuple(parts))


def television(rng: np.random.Generator, width: float, *, on: bool, stand: bool) -> Item:
    """Returns a television; with `stand` it stands on feet at z = 0, without it hangs with its back at y = 0."""
    shown = pictures.screen(rng, on=on)
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
    image = pictures.poster(rng, style, (pixels, max(30, round(pixels * height / width))))
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
