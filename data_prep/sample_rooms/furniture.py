"""What stands on the floor: beds, couches, tables, cabinets and seats, each in several builds."""

from __future__ import annotations

import math

import numpy as np

from data_prep.sample_rooms import textures
from data_prep.sample_rooms.item import Item
from data_prep.sample_rooms.shapes import (
    Color,
    Part,
    box,
    cushion,
    disc_outline,
    prism,
    rod,
    rotation,
    rounded_box,
    slab,
    turned,
)
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
    parts += _headboard(rng, style, frame, half, head, top)
    if chance(rng, 0.35):
        low = between(rng, top_of_frame + 0.05, top + 0.2)
        parts.append(box((-half - 0.04, foot - 0.08, 0.0), (half + 0.04, foot - 0.03, low), frame))
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
    rng: np.random.Generator, style: Style, frame: Color, half: float, head: float, top: float
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
        parts.append(_throw_pillow(rng, style, (between(rng, -0.2, 0.2), head - 0.28 - 0.17 * rows, top + 0.17)))
    return parts


def _throw_pillow(rng: np.random.Generator, style: Style, position: tuple[float, float, float]) -> Part:
    size = between(rng, 0.34, 0.44)
    turn = rotation("y", between(rng, -12, 12)) @ rotation("x", between(rng, 52, 72))
    return cushion(size, size, between(rng, 0.12, 0.16), jitter(rng, pick(rng, style.textiles), 24)).moved(
        position, turn
    )


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
        low, high = sorted((side * half, side * outer))
        parts.append(rounded_box((low, front, leg), (high, back - 0.04, arm_height), color, soft))
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
        parts.append(_throw_pillow(rng, style, (x, back - between(rng, 0.38, 0.44), seat + 0.17)))
    return Item(tuple(parts), "Couch")


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
            if legs == "square" or legs == "frame":
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


def round_mirror_outline(radius: float) -> list[tuple[float, float]]:
    """Returns the outline of a round thing that hangs on a wall, around the origin."""
    return disc_outline(radius, (0.0, 0.0), 36)
