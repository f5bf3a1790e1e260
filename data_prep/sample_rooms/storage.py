"""Furniture for storage, none of it annotated: nightstands, cabinets and bookcases."""

from __future__ import annotations

import numpy as np

from data_prep.sample_rooms import textures
from data_prep.sample_rooms.item import Item
from data_prep.sample_rooms.shapes import box, slab
from data_prep.sample_rooms.style import Style, between, pick, shade


def nightstand(rng: np.random.Generator, style: Style) -> tuple[Item, float]:
    """Returns a small cabinet for beside a bed (clutter, not annotated), and its height."""
    half, depth, height = between(rng, 0.2, 0.27), between(rng, 0.36, 0.44), between(rng, 0.46, 0.6)
    color = pick(rng, (style.wood, (238, 236, 232), shade(style.wood, 0.75)))
    leg = between(rng, 0.02, 0.18)
    front = textures.drawers(rng, color, style.metal, int(rng.integers(1, 4)), 1)
    parts = [box((-half, -depth / 2, leg), (half, depth / 2, height), color, textures={"front": front})]
    for x in (-half + 0.03, half - 0.03):
        for y in (-depth / 2 + 0.03, depth / 2 - 0.03):
            parts.append(slab((x, y, leg / 2), (0.035, 0.035, leg), shade(color, 0.7)))
    return Item(tuple(parts)), height


def cabinet(rng: np.random.Generator, style: Style, width: float, height: float) -> Item:
    """Returns a low cabinet or chest of drawers (clutter, not annotated)."""
    half, depth = width / 2, between(rng, 0.36, 0.46)
    color = pick(rng, (style.wood, (236, 234, 230), shade(style.wood, 0.8)))
    leg = between(rng, 0.03, 0.14)
    rows = max(1, round((height - leg) / 0.26))
    front = textures.drawers(rng, color, style.metal, rows, max(1, round(width / 0.5)))
    parts = [
        box((-half, -depth / 2, leg), (half, depth / 2, height - 0.025), color, textures={"front": front}),
        box((-half - 0.015, -depth / 2 - 0.015, height - 0.025), (half + 0.015, depth / 2, height), shade(color, 1.04)),
    ]
    for x in (-half + 0.06, half - 0.06):
        for y in (-depth / 2 + 0.05, depth / 2 - 0.05):
            parts.append(slab((x, y, leg / 2), (0.04, 0.04, leg), shade(color, 0.6)))
    return Item(tuple(parts))


def bookcase(rng: np.random.Generator, style: Style) -> Item:
    """Returns a filled bookcase (clutter, not annotated)."""
    half, rows = between(rng, 0.35, 0.5), int(rng.integers(2, 6))
    front = textures.book_row(rng, style, rows)
    return Item((box((-half, -0.14, 0.0), (half, 0.14, 0.36 * rows), style.wood, textures={"front": front}),))
