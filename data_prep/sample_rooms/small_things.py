"""Small things that stand about, none of them annotated: books, vases, bowls, cups, boxes, candles."""

from __future__ import annotations

import math

import numpy as np

from data_prep.sample_rooms.item import Item
from data_prep.sample_rooms.shapes import box, rod, rotation, turned
from data_prep.sample_rooms.style import Style, between, chance, jitter, pick


def small_thing(rng: np.random.Generator, style: Style) -> Item:
    """Returns something small to stand on a table or a cabinet (clutter, not annotated)."""
    color = jitter(rng, pick(rng, (*style.textiles, (232, 226, 216), (190, 96, 70))), 20)
    kind = pick(rng, ("books", "books", "vase", "bowl", "cup", "box", "candles"))
    if kind == "books":
        parts, z = [], 0.0
        for _ in range(int(rng.integers(1, 5))):
            thick = between(rng, 0.015, 0.04)
            half = (between(rng, 0.08, 0.12), between(rng, 0.06, 0.085))
            cover = jitter(rng, pick(rng, (*style.textiles, (200, 90, 70), (240, 236, 226))), 24)
            book = box((-half[0], -half[1], z), (half[0], half[1], z + thick), cover)
            parts.append(book.moved((0, 0, 0), rotation("z", between(rng, -18, 18))))
            z += thick
        return Item(tuple(parts))
    if kind == "vase":
        radius, height = between(rng, 0.04, 0.07), between(rng, 0.16, 0.3)
        profile = [
            (radius * 0.6, 0.0),
            (radius, height * 0.3),
            (radius * 0.95, height * 0.5),
            (radius * 0.4, height * 0.85),
        ]
        parts = [turned([*profile, (radius * 0.55, height)], color)]
        if chance(rng, 0.5):
            for _ in range(5):
                tip = (between(rng, -0.1, 0.1), between(rng, -0.1, 0.1), height + between(rng, 0.12, 0.25))
                parts.append(rod((0.0, 0.0, height - 0.02), tip, 0.004, (176, 150, 110), segments=4))
                bloom = jitter(rng, pick(rng, ((226, 180, 150), (236, 220, 190), (196, 120, 120))), 14)
                parts.append(
                    turned(
                        [(0.012, tip[2] - 0.03), (0.022, tip[2]), (0.01, tip[2] + 0.03)],
                        bloom,
                        center=tip[:2],
                        segments=8,
                    )
                )
        return Item(tuple(parts))
    if kind == "bowl":
        radius = between(rng, 0.1, 0.16)
        parts = [
            turned(
                [(radius * 0.4, 0.0), (radius * 0.8, 0.03), (radius, 0.07), (radius * 0.95, 0.065)], color, segments=22
            )
        ]
        for i in range(int(rng.integers(0, 6))):
            angle, size = 1.1 * i, between(rng, 0.03, 0.04)
            fruit = jitter(rng, pick(rng, ((214, 70, 54), (232, 168, 60), (150, 180, 70))), 18)
            ring = [(size * math.cos(a), 0.08 + size * math.sin(a)) for a in np.linspace(-1.4, 1.4, 6)]
            parts.append(
                turned(
                    ring, fruit, center=(radius * 0.45 * math.cos(angle), radius * 0.45 * math.sin(angle)), segments=10
                )
            )
        return Item(tuple(parts))
    if kind == "cup":
        return Item((turned([(0.03, 0.0), (0.04, 0.02), (0.042, 0.09)], color, segments=14),))
    if kind == "candles":
        return Item(
            tuple(
                turned(
                    [(0.022, 0.0), (0.022, between(rng, 0.07, 0.2))],
                    (240, 232, 214),
                    center=(0.07 * i, 0.0),
                    segments=10,
                )
                for i in range(int(rng.integers(1, 4)))
            )
        )
    side = between(rng, 0.06, 0.1)
    return Item((box((-side, -side * 0.8, 0.0), (side, side * 0.8, side * 1.2), color),))
