"""Rugs and cushions."""

from __future__ import annotations

import numpy as np

from data_prep.sample_rooms import textures
from data_prep.sample_rooms.item import Item
from data_prep.sample_rooms.shapes import Part, box, cushion, rotation, turned
from data_prep.sample_rooms.style import Style, between, chance, jitter, pick


def throw_pillow(rng: np.random.Generator, style: Style, position: tuple[float, float, float]) -> Part:
    """Returns a small cushion that stands leaning backwards."""
    size = between(rng, 0.34, 0.44)
    turn = rotation("y", between(rng, -12, 12)) @ rotation("x", between(rng, 52, 72))
    return cushion(size, size, between(rng, 0.12, 0.16), jitter(rng, pick(rng, style.textiles), 24)).moved(
        position, turn
    )


def rug(rng: np.random.Generator, style: Style, width: float, depth: float) -> Item:
    """Returns a rug (clutter, not annotated)."""
    color, other = pick(rng, style.textiles[:3]), pick(rng, (*style.textiles, (240, 236, 228)))
    if chance(rng, 0.35):
        radius = min(width, depth) * 0.6
        top = textures.round_rug(rng, color, other)
        return Item((turned([(radius, 0.0), (radius, 0.012)], color, segments=40, top=top, casts_shadow=False),))
    cloth = textures.fabric(rng, color, other, (192, round(192 * depth / width)))
    low, high = (-width / 2, -depth / 2, 0.0), (width / 2, depth / 2, 0.012)
    return Item((box(low, high, color, textures={"top": cloth}, casts_shadow=False),))
