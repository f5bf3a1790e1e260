"""Windows, their blinds and curtains; z = 0 is the lower edge, y = 0 the wall."""

from __future__ import annotations

import numpy as np

from data_prep.sample_rooms import pictures
from data_prep.sample_rooms.item import Item
from data_prep.sample_rooms.shapes import Part, box, hanging_cloth, rod
from data_prep.sample_rooms.style import Style, between, chance, jitter, pick


def window(rng: np.random.Generator, style: Style, width: float, height: float, outlook: pictures.Outlook) -> Item:
    """Returns a window with panes and a sill."""
    half, thick = width / 2, between(rng, 0.045, 0.08)
    outside = pictures.view(rng, outlook, (200, max(60, round(200 * height / width))))
    glow = between(rng, 0.7, 1.2) if outlook.night else between(rng, 1.1, 1.6)
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
            hanging_cloth((low, bottom), (high, top - 0.01), y, color, folds=cover * between(rng, 11, 16), depth=0.03)
        )
    return Item(tuple(parts))
