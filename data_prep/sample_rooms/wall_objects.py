"""Other objects on walls: clocks, posters, mirrors, shelves and doors.

Each is built with its back at y = 0 and its middle at x = 0, so that `placed` puts it on a wall.
"""

from __future__ import annotations

import math

import numpy as np

from data_prep.sample_rooms import pictures, posters, textures
from data_prep.sample_rooms.item import Item
from data_prep.sample_rooms.shapes import Part, box, disc_outline, prism, rod, turned
from data_prep.sample_rooms.style import Style, between, chance, jitter, pick, shade


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
    image = posters.poster(rng, style, (pixels, max(30, round(pixels * height / width))))
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
