"""Seats: couches, chairs and poufs."""

from __future__ import annotations

import numpy as np

from data_prep.sample_rooms.item import Item
from data_prep.sample_rooms.shapes import cushion, rotation, rounded_box, slab, turned
from data_prep.sample_rooms.soft_things import throw_pillow
from data_prep.sample_rooms.style import Style, between, chance, jitter, pick, shade


def couch(rng: np.random.Generator, style: Style) -> Item:
    """Returns a couch of two or three seats that faces the front."""
    seats = 2 if chance(rng, 0.45) else 3
    seat_width = between(rng, 0.56, 0.68)
    half, depth = seats * seat_width / 2, between(rng, 0.82, 0.95)
    front, back = -depth / 2, depth / 2
    color = jitter(rng, pick(rng, (*style.textiles, (150, 146, 140), (112, 84, 64))), 12)
    leg, seat, height = between(rng, 0.05, 0.16), between(rng, 0.4, 0.46), between(rng, 0.72, 0.92)
    arm_height, arm_width = between(rng, 0.52, 0.66), between(rng, 0.1, 0.22)
    soft = between(rng, 0.03, 0.08)
    outer = half + arm_width
    parts = [
        rounded_box((-half, front + 0.02, leg), (half, back, seat - 0.12), color, 0.02),
        rounded_box((-outer, back - 0.2, leg), (outer, back, height), color, soft),
    ]
    for side in (-1, 1):
        inner, outward = sorted((side * half, side * outer))
        parts.append(rounded_box((inner, front, leg), (outward, back - 0.04, arm_height), color, soft))
        for y in (front + 0.08, back - 0.08):
            parts.append(slab((side * (outer - 0.07), y, leg / 2), (0.05, 0.05, leg), shade(style.wood, 0.8)))
    cushion_color = shade(color, between(rng, 1.0, 1.07))
    for i in range(seats):
        left = -half + i * seat_width
        low, high = (left + 0.004, front - 0.015, seat - 0.15), (left + seat_width - 0.004, back - 0.2, seat)
        parts.append(rounded_box(low, high, cushion_color, 0.05, steps=3))
        size = (seat_width * 1.02, height - seat + 0.12)
        middle = (left + seat_width / 2, back - 0.25, seat + size[1] / 2 - 0.06)
        parts.append(cushion(*size, 0.24, cushion_color).moved(middle, rotation("x", 80)))
    for _ in range(int(rng.integers(0, 4))):
        x = between(rng, -half + 0.2, half - 0.2)
        parts.append(throw_pillow(rng, style, (x, back - between(rng, 0.38, 0.44), seat + 0.17)))
    return Item(tuple(parts), "Couch")


def wooden_chair(rng: np.random.Generator, style: Style) -> Item:
    """Returns a simple chair that faces the front (clutter, not annotated)."""
    color = pick(rng, (style.wood, (232, 230, 226), (52, 50, 50), shade(style.wood, 0.7)))
    seat, half, height = 0.45, 0.21, between(rng, 0.8, 0.95)
    pad = jitter(rng, pick(rng, style.textiles), 10) if chance(rng, 0.4) else color
    parts = [rounded_box((-half, -half, seat - 0.04), (half, half, seat), pad, 0.015, steps=1)]
    for x in (-half + 0.025, half - 0.025):
        parts.append(slab((x, -half + 0.025, (seat - 0.04) / 2), (0.035, 0.035, seat - 0.04), color))
        parts.append(slab((x, half - 0.025, height / 2), (0.035, 0.035, height), color))
    rails = int(rng.integers(2, 5))
    for rail in range(rails):
        z = height - 0.05 - rail * (height - seat - 0.1) / rails
        parts.append(slab((0, half - 0.025, z), (2 * half - 0.05, 0.02, 0.05), color))
    return Item(tuple(parts))


def pouf(rng: np.random.Generator, style: Style) -> Item:
    """Returns a pouf, a stool or a basket (clutter, not annotated)."""
    radius, height = between(rng, 0.2, 0.3), between(rng, 0.32, 0.45)
    color = jitter(rng, pick(rng, (*style.textiles, (190, 156, 112))), 15)
    profile = [(radius * 0.85, 0.0), (radius, height * 0.2), (radius * 1.04, height * 0.5), (radius, height * 0.8)]
    profile += [(radius * 0.85, height * 0.95), (radius * 0.5, height)]
    return Item((turned(profile, color, segments=24),))
