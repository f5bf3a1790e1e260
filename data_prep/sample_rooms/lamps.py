"""Lamps that stand on the floor, stand on a table, and hang from the ceiling."""

from __future__ import annotations

import itertools
import math

import numpy as np

from data_prep.sample_rooms.item import Item, Light
from data_prep.sample_rooms.shapes import Color, Part, rod, turned
from data_prep.sample_rooms.style import Style, between, chance, jitter, mix, pick

SHADES: tuple[Color, ...] = (
    (244, 232, 208),
    (240, 238, 232),
    (226, 206, 170),
    (206, 120, 84),
    (92, 112, 116),
    (222, 178, 80),
)
WARM = np.array([1.0, 0.72, 0.42])


def floor_lamp(rng: np.random.Generator, style: Style, *, on: bool) -> Item:
    """Returns a floor lamp: a straight pole, a tripod, or an arc."""
    height = between(rng, 1.35, 1.75)
    metal = style.metal
    shade, bottom = _shade(rng, height, between(rng, 0.17, 0.26), on=on)
    kind = pick(rng, ("pole", "pole", "tripod", "arc"))
    parts: list[Part] = []
    offset = 0.0
    if kind == "tripod":
        for i in range(3):
            angle = 2 * math.pi * i / 3 + 0.5
            parts.append(
                rod((0.28 * math.cos(angle), 0.28 * math.sin(angle), 0.0), (0.0, 0.0, bottom + 0.05), 0.014, style.wood)
            )
    elif kind == "arc":
        offset = between(rng, 0.3, 0.5) * (1 if chance(rng, 0.5) else -1)
        parts.append(turned([(0.16, 0.0), (0.16, 0.03), (0.03, 0.04)], metal))
        points = [(0.0, 0.0, 0.0)] + [
            (offset * (1 - math.cos(a)) / 2, 0.0, height * 0.65 + (height * 0.35 + 0.12) * math.sin(a))
            for a in np.linspace(0, math.pi * 0.96, 9)
        ]
        points.append((offset, 0.0, height - 0.02))
        parts += [rod(a, b, 0.012, metal) for a, b in itertools.pairwise(points)]
    else:
        parts.append(turned([(0.14, 0.0), (0.14, 0.025), (0.02, 0.04)], metal))
        parts.append(rod((0.0, 0.0, 0.03), (0.0, 0.0, bottom + 0.05), 0.014, metal))
    parts.append(shade.moved((offset, 0.0, 0.0)))
    light = _light((offset, 0.0, height - 0.1), between(rng, 0.3, 0.6))
    return Item(tuple(parts), "Lamp", (light,) if on else ())


def table_lamp(rng: np.random.Generator, style: Style, *, on: bool) -> Item:
    """Returns a lamp for a table or a nightstand."""
    height = between(rng, 0.36, 0.55)
    shade, bottom = _shade(rng, height, between(rng, 0.12, 0.18), on=on)
    color = jitter(rng, pick(rng, (*style.textiles, style.metal, (230, 226, 218))), 12)
    kind = pick(rng, ("ball", "vase", "stick", "block"))
    if kind == "ball":
        radius = bottom * 0.42
        angles = np.linspace(-1.3, 1.3, 9)
        profile = [(radius * math.cos(a), radius * (math.sin(a) + 0.97)) for a in angles]
        base = turned([*profile, (0.015, bottom * 0.9), (0.015, bottom + 0.03)], color)
    elif kind == "vase":
        profile = [
            (0.05, 0.0),
            (0.075, bottom * 0.25),
            (0.08, bottom * 0.45),
            (0.03, bottom * 0.8),
            (0.018, bottom + 0.03),
        ]
        base = turned(profile, color)
    elif kind == "block":
        base = turned([(0.06, 0.0), (0.06, bottom * 0.75), (0.015, bottom * 0.76), (0.015, bottom + 0.03)], color)
    else:
        base = turned([(0.075, 0.0), (0.075, 0.015), (0.012, 0.025), (0.012, bottom + 0.03)], style.metal)
    light = _light((0.0, 0.0, height - 0.08), between(rng, 0.18, 0.38))
    return Item((base, shade), "Lamp", (light,) if on else ())


def pendant_lamp(rng: np.random.Generator, style: Style, *, on: bool, drop: float) -> Item:
    """Returns a lamp that hangs `drop` metres from the origin, which is on the ceiling."""
    kind = pick(rng, ("drum", "dome", "globe", "cone"))
    color = pick(rng, (*SHADES, style.metal))
    radius = between(rng, 0.16, 0.26)
    emission = between(rng, 0.8, 1.3) if on else 0.0
    if kind == "globe":
        radius *= 0.75
        angles = np.linspace(-1.45, 1.45, 11)
        profile = [(radius * math.cos(a), -drop + radius * (1 + math.sin(a))) for a in angles]
        body = turned(profile, (250, 242, 226), emission=emission, segments=24, casts_shadow=False)
        top = -drop + 2 * radius
    elif kind == "drum":
        tall = radius * between(rng, 0.7, 1.2)
        body = turned(
            [(radius, -drop), (radius, -drop + tall)],
            pick(rng, SHADES[:3]),
            emission=emission * 0.9,
            segments=24,
            casts_shadow=False,
        )
        top = -drop + tall
    else:
        tall = radius * (0.75 if kind == "dome" else 1.1)
        angles = np.linspace(0, 1.35, 7)
        profile = (
            [(radius * math.cos(a), -drop + tall * math.sin(a)) for a in angles]
            if kind == "dome"
            else [(radius, -drop), (0.04, -drop + tall)]
        )
        body = turned(profile, color, segments=24, casts_shadow=False, emission=0.25 * emission)
        top = -drop + tall
    parts = [body, rod((0.0, 0.0, top - 0.02), (0.0, 0.0, 0.0), 0.006, (40, 38, 38), segments=5)]
    parts.append(turned([(0.05, -0.03), (0.05, 0.0)], style.metal))
    if kind in ("dome", "cone"):  # the bulb looks out below
        parts.append(
            turned([(0.03, -drop - 0.03), (0.05, -drop), (0.03, -drop + 0.03)], (255, 240, 210), emission=2.0 * on)
        )
    light = _light((0.0, 0.0, -drop - 0.1), between(rng, 0.65, 1.2))
    return Item(tuple(parts), "Lamp", (light,) if on else ())


def _shade(rng: np.random.Generator, top: float, radius: float, *, on: bool) -> tuple[Part, float]:
    """Returns a lamp shade whose upper edge is at `top`, and the height of its lower edge."""
    kind = pick(rng, ("drum", "cone", "cone", "globe", "bell"))
    color = jitter(rng, pick(rng, SHADES), 8)
    tall = radius * between(rng, 1.0, 1.5)
    if kind == "globe":
        half = radius * 0.8
        angles = np.linspace(-1.4, 1.4, 10)
        profile = [(half * math.cos(a), top - half + half * math.sin(a)) for a in angles]
        tall, color = 2 * half, (248, 240, 224)
    elif kind == "drum":
        profile = [(radius, top - tall), (radius * 0.94, top)]
    elif kind == "bell":
        profile = [
            (radius, top - tall),
            (radius * 0.74, top - tall * 0.7),
            (radius * 0.55, top - tall * 0.3),
            (radius * 0.42, top),
        ]
    else:
        profile = [(radius, top - tall), (radius * between(rng, 0.5, 0.75), top)]
    glow = between(rng, 0.9, 1.35) if on else 0.0
    color = mix(color, (255, 214, 150), 0.35) if on else color
    return turned(profile, color, segments=24, emission=glow, casts_shadow=False), top - tall


def _light(position: tuple[float, float, float], strength: float) -> Light:
    return Light(np.array(position), WARM, strength)
