"""Beds: single and double, with headboards, blankets and pillows."""

from __future__ import annotations

import math

import numpy as np

from data_prep.sample_rooms import textures
from data_prep.sample_rooms.item import Item
from data_prep.sample_rooms.shapes import Color, Part, box, cushion, prism, rotation, rounded_box, slab
from data_prep.sample_rooms.soft_things import throw_pillow
from data_prep.sample_rooms.style import Style, between, chance, jitter, mix, pick, shade

LINENS: tuple[Color, ...] = ((246, 244, 238), (238, 232, 222), (226, 232, 236), (232, 222, 214))


def bed(rng: np.random.Generator, style: Style) -> Item:
    """Returns a single or double bed with its head at the back."""
    width, length = pick(rng, (0.95, 1.2, 1.45, 1.65)), between(rng, 1.9, 2.08)
    half, head, foot = width / 2, length / 2, -length / 2
    frame = style.wood if chance(rng, 0.6) else mix(pick(rng, style.textiles), (150, 150, 150), 0.3)
    top_of_frame = between(rng, 0.24, 0.36)
    top = top_of_frame + between(rng, 0.17, 0.24)
    sheet = pick(rng, LINENS)
    blanket = jitter(rng, pick(rng, (*style.textiles, (236, 232, 226))), 14)
    parts = [
        box((-half - 0.03, foot - 0.03, top_of_frame - 0.2), (half + 0.03, head, top_of_frame), frame),
        rounded_box((-half, foot, top_of_frame - 0.02), (half, head - 0.02, top), sheet, 0.06),
    ]
    for x in (-half + 0.05, half - 0.05):
        for y in (foot + 0.05, head - 0.08):
            parts.append(slab((x, y, (top_of_frame - 0.2) / 2), (0.07, 0.07, top_of_frame - 0.2), shade(frame, 0.7)))
    parts += _headboard(rng, style, frame, half=half, head=head, top=top)
    if chance(rng, 0.35):
        board = between(rng, top_of_frame + 0.05, top + 0.2)
        parts.append(box((-half - 0.04, foot - 0.08, 0.0), (half + 0.04, foot - 0.03, board), frame))
    cloth = textures.fabric(rng, blanket, pick(rng, style.textiles)) if chance(rng, 0.55) else None
    fold = head - between(rng, 0.5, 0.85)
    hang = between(rng, 0.12, 0.28)
    low, high = (-half - 0.025, foot - 0.022, top - hang), (half + 0.025, fold, top + 0.05)
    parts.append(rounded_box(low, high, blanket, 0.05, top=cloth))
    if chance(rng, 0.65):  # the blanket's end turned back over itself
        lining = sheet if chance(rng, 0.6) else mix(blanket, (250, 248, 244), 0.5)
        edge = fold - between(rng, 0.16, 0.3)
        parts.append(
            rounded_box((-half - 0.032, edge, top - hang), (half + 0.032, fold + 0.01, top + 0.065), lining, 0.04)
        )
    if chance(rng, 0.4):  # a throw across the foot
        start = foot + between(rng, 0.1, 0.35)
        throw = jitter(rng, pick(rng, style.textiles), 20)
        low = (-half - 0.045, start, top - hang * between(rng, 0.8, 1.3))
        parts.append(rounded_box(low, (half + 0.045, start + between(rng, 0.35, 0.6), top + 0.07), throw, 0.04))
    parts += _pillows(rng, style, half, head, top)
    return Item(tuple(parts), "Bed")


def _headboard(
    rng: np.random.Generator, style: Style, frame: Color, *, half: float, head: float, top: float
) -> list[Part]:
    height = top + between(rng, 0.3, 0.7)
    wide = half + between(rng, 0.02, 0.14)
    kind = pick(rng, ("panel", "cushioned", "slats", "arch", "none"))
    if kind == "panel":
        return [box((-wide, head, 0.0), (wide, head + 0.05, height), frame)]
    if kind == "cushioned":
        color = jitter(rng, pick(rng, style.textiles), 10)
        count = int(rng.integers(2, 6))
        step = 2 * wide / count
        return [
            rounded_box(
                (-wide + i * step, head - 0.02, 0.1), (-wide + (i + 1) * step, head + 0.09, height), color, 0.04
            )
            for i in range(count)
        ]
    if kind == "slats":
        parts = [slab((x, head + 0.03, height / 2), (0.06, 0.06, height), frame) for x in (-wide + 0.03, wide - 0.03)]
        parts.append(slab((0, head + 0.03, height - 0.04), (2 * wide, 0.05, 0.08), frame))
        count = int(rng.integers(5, 11))
        for i in range(1, count):
            x = -wide + 2 * wide * i / count
            parts.append(slab((x, head + 0.03, height / 2), (0.04, 0.025, height - 0.08), frame))
        return parts
    if kind == "arch":
        angles = np.linspace(0, math.pi, 19)
        rise = between(rng, 0.2, 0.4)
        outline = [(-wide, 0.1), (wide, 0.1)]
        outline += [(wide * math.cos(a), height - rise + rise * math.sin(a)) for a in angles]
        return [prism(outline, head, head + 0.06, frame)]
    return []


def _pillows(rng: np.random.Generator, style: Style, half: float, head: float, top: float) -> list[Part]:
    count = 1 if half < 0.55 else 2
    wide = between(rng, 0.48, 0.62) if count == 1 else min(0.68, half * 0.92)
    parts = []
    rows = int(rng.integers(1, 3))
    for row in range(rows):
        cover = jitter(rng, pick(rng, LINENS if row == 0 else (*LINENS, *style.textiles)), 8)
        tilt = between(rng, 15, 38) + 14 * row
        for i in range(count):
            x = (i - (count - 1) / 2) * (half if count > 1 else 0) + between(rng, -0.03, 0.03)
            size = (wide * (1 - 0.1 * row), between(rng, 0.36, 0.44))
            turn = rotation("z", between(rng, -5, 5)) @ rotation("x", tilt)
            rest = 0.5 * size[1] * math.sin(math.radians(tilt)) + 0.045
            position = (x, head - 0.24 - 0.17 * row, top + rest)
            parts.append(cushion(*size, between(rng, 0.13, 0.18), cover).moved(position, turn))
    if chance(rng, 0.35):
        parts.append(throw_pillow(rng, style, (between(rng, -0.2, 0.2), head - 0.28 - 0.17 * rows, top + 0.17)))
    return parts
