"""Televisions: flat ones on feet or on the wall, and old deep ones."""

from __future__ import annotations

import numpy as np
from PIL import Image

from data_prep.sample_rooms import screens
from data_prep.sample_rooms.item import Item
from data_prep.sample_rooms.shapes import box, disc_outline, prism, rod, rounded_box, slab
from data_prep.sample_rooms.style import between, chance, pick


def television(rng: np.random.Generator, width: float, *, on: bool, stand: bool) -> Item:
    """Returns a television; with `stand` it stands on feet at z = 0, without it hangs with its back at y = 0."""
    shown = screens.screen(rng, on=on)
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
