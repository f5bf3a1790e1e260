"""Potted plants of several habits."""

from __future__ import annotations

import math

import numpy as np

from data_prep.sample_rooms.item import Item
from data_prep.sample_rooms.shapes import Color, Part, leaf, rod, rotation, turned
from data_prep.sample_rooms.style import LEAVES, POTS, between, jitter, pick, shade


def houseplant(rng: np.random.Generator, height: float) -> Item:
    """Returns a potted plant about `height` metres tall."""
    pot_radius = max(0.06, height * between(rng, 0.12, 0.18))
    pot_height = pot_radius * between(rng, 1.3, 2.0)
    pot = jitter(rng, pick(rng, POTS), 12)
    taper = between(rng, 0.6, 0.95)
    profile = [(pot_radius * taper, 0.0), (pot_radius, pot_height * 0.85), (pot_radius * 1.06, pot_height * 0.86)]
    parts = [
        turned([*profile, (pot_radius * 1.06, pot_height)], pot),
        turned([(pot_radius * 0.95, pot_height), (pot_radius * 0.9, pot_height + 0.006)], (70, 52, 40), segments=14),
    ]
    green = jitter(rng, pick(rng, LEAVES), 14)
    kind = pick(rng, ("fan", "fan", "blades", "stems", "bush"))
    top = np.array([0.0, 0.0, pot_height])
    rise = height - pot_height
    if kind == "fan":
        parts += _fan(rng, green, top, rise)
    elif kind == "blades":
        parts += _blades(rng, green, top, rise, pot_radius)
    elif kind == "stems":
        parts += _stems(rng, green, top, rise, pot_radius)
    else:
        parts += _bush(rng, green, top, rise)
    return Item(tuple(parts), "Houseplant")


def _fan(rng: np.random.Generator, green: Color, top: np.ndarray, rise: float) -> list[Part]:
    """Long leaves that rise and bend outwards."""
    parts = []
    count = int(rng.integers(12, 22))
    for i in range(count):
        angle = 2.4 * i + between(rng, -0.3, 0.3)
        reach, lift = rise * between(rng, 0.3, 0.62), rise * between(rng, 0.7, 1.15)
        t = np.linspace(0, 1, 7)
        out = reach * t**1.4
        up = lift * (1.35 * t - 0.62 * t**2.6)
        spine = top + np.stack([out * math.cos(angle), out * math.sin(angle), up], axis=1)
        parts.append(leaf(spine, rise * between(rng, 0.1, 0.2), jitter(rng, green, 16)))
    return parts


def _blades(rng: np.random.Generator, green: Color, top: np.ndarray, rise: float, radius: float) -> list[Part]:
    """Stiff upright leaves, as a snake plant's."""
    parts = []
    for _ in range(int(rng.integers(7, 13))):
        angle, off = between(rng, 0, 6.3), radius * between(rng, 0.0, 0.7)
        lean = rise * between(rng, 0.02, 0.22)
        t = np.linspace(0, 1, 5)
        start = top + np.array([off * math.cos(angle), off * math.sin(angle), 0.0])
        tall = rise * between(rng, 0.6, 1.0)
        side = rotation("z", between(rng, 0, 180)) @ np.array([1.0, 0.0, 0.0])
        spine = start + np.outer(t**1.6 * lean, (math.cos(angle), math.sin(angle), 0.0)) + np.outer(t * tall, (0, 0, 1))
        spine = spine + np.outer(0.02 * rise * np.sin(5 * t), side)
        parts.append(leaf(spine, rise * between(rng, 0.09, 0.14), jitter(rng, green, 14), widest=0.45))
    return parts


def _stems(rng: np.random.Generator, green: Color, top: np.ndarray, rise: float, radius: float) -> list[Part]:
    """A few stems with broad leaves, as a rubber plant's."""
    parts: list[Part] = []
    for _ in range(int(rng.integers(1, 4))):
        lean = np.array(
            [between(rng, -0.22, 0.22) * rise, between(rng, -0.2, 0.2) * rise, rise * between(rng, 0.75, 0.98)]
        )
        start = top + np.array([between(rng, -0.4, 0.4) * radius, between(rng, -0.4, 0.4) * radius, 0.0])
        parts.append(rod(tuple(start), tuple(start + lean), 0.012, (104, 84, 58), segments=5))
        for i in range(int(rng.integers(7, 13))):
            share = 0.25 + 0.75 * i / 11
            angle = 2.4 * i + between(rng, -0.4, 0.4)
            length = rise * between(rng, 0.2, 0.34)
            t = np.linspace(0, 1, 5)
            up = length * (0.45 * t - 0.55 * t**2)
            spine = start + lean * min(share, 1.0)
            spine = spine + np.stack([length * t * math.cos(angle), length * t * math.sin(angle), up], axis=1)
            parts.append(leaf(spine, length * between(rng, 0.5, 0.75), jitter(rng, green, 18), widest=0.5))
    return parts


def _bush(rng: np.random.Generator, green: Color, top: np.ndarray, rise: float) -> list[Part]:
    """Many small leaves in a ball."""
    parts = []
    center = top + np.array([0.0, 0.0, rise * 0.45])
    for _ in range(46):
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        base = center + direction * rise * 0.3 * between(rng, 0.3, 1.0)
        length = rise * between(rng, 0.16, 0.28)
        t = np.linspace(0, 1, 4)
        spine = base + np.outer(t * length, direction) - np.outer(t**2 * length * 0.3, (0, 0, 1))
        parts.append(leaf(spine, length * 0.6, jitter(rng, green, 22)))
    parts.append(rod(tuple(top), tuple(center), 0.012, shade(green, 0.6), segments=5))
    return parts
