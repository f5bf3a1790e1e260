"""Colours that go together: what a room's walls, textiles, woods and metals look like."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from data_prep.sample_rooms.shapes import Color

Choice = TypeVar("Choice")

# Walls, then an accent wall or wallpaper, then textiles from quiet to strong.
SCHEMES: tuple[tuple[Color, Color, tuple[Color, ...]], ...] = (
    ((226, 220, 208), (150, 168, 160), ((120, 140, 132), (196, 120, 88), (232, 226, 214), (60, 84, 92))),
    ((214, 222, 226), (122, 150, 172), ((88, 116, 148), (232, 196, 132), (238, 238, 236), (48, 62, 88))),
    ((236, 226, 214), (214, 168, 142), ((202, 138, 112), (120, 144, 128), (242, 234, 224), (120, 62, 60))),
    ((204, 212, 200), (124, 146, 118), ((98, 122, 96), (222, 186, 120), (236, 232, 220), (72, 70, 58))),
    ((230, 228, 224), (176, 176, 174), ((128, 130, 134), (224, 178, 60), (244, 242, 238), (58, 60, 66))),
    ((232, 214, 204), (188, 130, 128), ((176, 108, 116), (108, 128, 140), (240, 228, 220), (92, 60, 82))),
    ((210, 200, 186), (142, 112, 88), ((160, 110, 72), (92, 108, 96), (230, 220, 202), (84, 58, 46))),
    ((196, 212, 216), (70, 116, 126), ((52, 110, 118), (234, 142, 100), (232, 236, 232), (30, 66, 80))),
    ((222, 214, 228), (150, 132, 168), ((122, 104, 148), (214, 184, 148), (238, 232, 240), (74, 58, 98))),
    ((240, 232, 206), (222, 188, 108), ((212, 168, 76), (96, 128, 140), (246, 240, 224), (110, 92, 52))),
    ((150, 164, 172), (74, 90, 104), ((60, 76, 94), (216, 164, 124), (216, 220, 220), (140, 62, 52))),
    ((116, 132, 122), (66, 86, 76), ((210, 198, 172), (184, 118, 76), (228, 224, 210), (50, 66, 60))),
    ((244, 240, 234), (226, 214, 200), ((172, 160, 146), (150, 92, 74), (250, 248, 242), (88, 104, 118))),
    ((216, 196, 178), (168, 92, 70), ((150, 78, 62), (70, 100, 104), (236, 222, 204), (60, 48, 46))),
)
WOODS: tuple[Color, ...] = (
    (196, 154, 108),
    (168, 118, 74),
    (124, 82, 52),
    (86, 58, 42),
    (214, 184, 144),
    (150, 128, 104),
    (226, 222, 214),
    (70, 66, 64),
)
METALS: tuple[Color, ...] = ((40, 40, 44), (188, 150, 84), (176, 178, 182), (226, 224, 220), (122, 92, 66))
TRIMS: tuple[Color, ...] = ((242, 240, 236), (242, 240, 236), (232, 226, 214), (122, 84, 56), (58, 58, 62))
LEAVES: tuple[Color, ...] = ((70, 124, 62), (46, 98, 58), (98, 142, 66), (64, 112, 84), (118, 152, 92))
POTS: tuple[Color, ...] = (
    (196, 112, 78),
    (232, 228, 220),
    (84, 88, 92),
    (206, 178, 138),
    (74, 106, 124),
    (222, 170, 160),
)


@dataclass(frozen=True)
class Style:
    """One room's colours, red, green, blue in 0..255.

    Attributes:
        wall: Most of the walls.
        accent_wall: A second colour for wallpaper or one wall.
        textiles: From quiet to strong.
        wood: The furniture's.
        floor_wood: The floor's.
        metal: Lamps, legs and rods.
        trim: Windows, baseboards and doors.
    """

    wall: Color
    accent_wall: Color
    textiles: tuple[Color, ...]
    wood: Color
    floor_wood: Color
    metal: Color
    trim: Color


def random_style(rng: np.random.Generator) -> Style:
    """Returns the colours of one room."""
    wall, accent, textiles = pick(rng, SCHEMES)
    return Style(
        wall=jitter(rng, wall, 10),
        accent_wall=jitter(rng, accent, 14),
        textiles=tuple(jitter(rng, color, 16) for color in textiles),
        wood=jitter(rng, pick(rng, WOODS), 10),
        floor_wood=jitter(rng, pick(rng, WOODS[:6]), 10),
        metal=jitter(rng, pick(rng, METALS), 6),
        trim=jitter(rng, pick(rng, TRIMS), 4),
    )


def pick(rng: np.random.Generator, choices: Sequence[Choice]) -> Choice:
    """Returns one of `choices`, all equally likely."""
    return choices[int(rng.integers(len(choices)))]


def chance(rng: np.random.Generator, probability: float) -> bool:
    """Returns True with the given probability."""
    return bool(rng.random() < probability)


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """Returns a number from `low` to `high`."""
    return float(rng.uniform(low, high))


def jitter(rng: np.random.Generator, color: Color, amount: float) -> Color:
    """Returns a colour near `color`: lighter or darker, and a little off in hue."""
    lighter, *hue = rng.uniform(-amount, amount, size=4).tolist()
    return _color(value + lighter + shift / 3 for value, shift in zip(color, hue, strict=True))


def shade(color: Color, factor: float) -> Color:
    """Returns `color` darker (factor below 1) or lighter."""
    return _color(value * factor for value in color)


def mix(color: Color, other: Color, share_of_other: float) -> Color:
    """Returns a colour between two."""
    return _color(a + (b - a) * share_of_other for a, b in zip(color, other, strict=True))


def _color(values: Iterable[float]) -> Color:
    red, green, blue = (min(max(round(value), 0), 255) for value in values)
    return red, green, blue
