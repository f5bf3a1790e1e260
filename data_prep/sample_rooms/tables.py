"""Tables (for dining, coffee, work, and beside a bed) and storage furniture, which is not annotated."""

from __future__ import annotations

import math

import numpy as np

from data_prep.sample_rooms import textures
from data_prep.sample_rooms.item import Item
from data_prep.sample_rooms.shapes import Color, Part, box, rod, rounded_box, slab, turned
from data_prep.sample_rooms.style import Style, between, chance, jitter, pick, shade


def table(rng: np.random.Generator, style: Style, kind: str) -> tuple[Item, float, tuple[float, float]]:
    """Returns a table, the height of its top, and half the room on it (x, y) for what stands there.

    Args:
        rng: Where chance comes from.
        style: The room's colours.
        kind: `dining`, `coffee`, `desk` or `side`.
    """
    height = {"dining": 0.75, "coffee": between(rng, 0.36, 0.46), "desk": 0.74, "side": between(rng, 0.48, 0.6)}[kind]
    width, depth = {
        "dining": (between(rng, 1.1, 1.6), between(rng, 0.75, 0.9)),
        "coffee": (between(rng, 0.85, 1.2), between(rng, 0.5, 0.7)),
        "desk": (between(rng, 1.0, 1.4), between(rng, 0.5, 0.65)),
        "side": (between(rng, 0.42, 0.55), between(rng, 0.42, 0.55)),
    }[kind]
    top_color = jitter(rng, pick(rng, (style.wood, style.wood, (236, 234, 230), (60, 56, 54), (206, 170, 126))), 8)
    leg_color = pick(rng, (top_color, shade(top_color, 0.75), style.metal))
    thick = between(rng, 0.025, 0.05)
    if kind != "desk" and chance(rng, 0.42):
        radius = depth * (0.62 if kind != "side" else 0.5)
        parts = [
            turned(
                [(radius * 0.97, height - thick), (radius, height - thick / 2), (radius, height)],
                top_color,
                segments=40,
            )
        ]
        parts += _round_table_legs(rng, leg_color, radius, height - thick)
        return Item(tuple(parts), "Table"), height, (radius * 0.6, radius * 0.6)
    half_x, half_y = width / 2, depth / 2
    parts = [rounded_box((-half_x, -half_y, height - thick), (half_x, half_y, height), top_color, 0.012, steps=1)]
    inset = between(rng, 0.04, 0.1)
    leg = between(rng, 0.035, 0.07)
    legs = pick(rng, ("square", "square", "round", "splayed", "frame"))
    for sx in (-1, 1):
        for sy in (-1, 1):
            x, y = sx * (half_x - inset), sy * (half_y - inset)
            if legs in ("square", "frame"):
                parts.append(slab((x, y, (height - thick) / 2), (leg, leg, height - thick), leg_color))
            else:
                spread = 0.06 if legs == "splayed" else 0.0
                parts.append(rod((x + sx * spread, y + sy * spread, 0.0), (x, y, height - thick), leg / 2, leg_color))
        if legs == "frame":
            x = sx * (half_x - inset)
            parts.append(slab((x, 0, leg / 2), (leg, depth - 2 * inset, leg), leg_color))
    if chance(rng, 0.5):
        apron = (width - 2 * inset, depth - 2 * inset, 0.07)
        parts.append(slab((0, 0, height - thick - 0.035), apron, shade(top_color, 0.92)))
    if kind == "desk" and chance(rng, 0.6):
        low, high = (half_x - 0.42, -half_y + 0.06, height - 0.45), (half_x - 0.06, half_y - 0.05, height - thick)
        front = textures.drawers(rng, shade(top_color, 0.96), style.metal, 3, 1)
        parts.append(box(low, high, shade(top_color, 0.9), textures={"front": front}))
    if kind == "coffee" and chance(rng, 0.3):
        parts.append(slab((0, 0, height * 0.35), (width - 2 * inset, depth - 2 * inset, 0.025), top_color))
    return Item(tuple(parts), "Table"), height, (half_x - 0.14, half_y - 0.12)


def _round_table_legs(rng: np.random.Generator, color: Color, radius: float, height: float) -> list[Part]:
    if chance(rng, 0.45):
        foot = radius * 0.55
        profile = [(foot, 0.0), (foot, 0.02), (0.05, 0.06), (0.04, height * 0.6), (0.07, height)]
        return [turned(profile, color)]
    count = 3 if chance(rng, 0.4) else 4
    parts = []
    for i in range(count):
        angle = 2 * math.pi * i / count + 0.6
        x, y = math.cos(angle), math.sin(angle)
        start = (x * radius * 0.85, y * radius * 0.85, 0.0)
        parts.append(rod(start, (x * radius * 0.6, y * radius * 0.6, height), 0.022, color))
    return parts


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
