"""The empty room: a floor, a ceiling and walls, their materials, and where on them light is looked up."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from data_prep.sample_rooms import textures
from data_prep.sample_rooms.shapes import Color, Part, Texture, box
from data_prep.sample_rooms.style import Style, chance, mix, pick, shade

SIDES = ("back", "left", "right")


@dataclass(frozen=True)
class Plane:
    """A flat side of the room.

    Attributes:
        axis: Which coordinate is the same all over it: 0, 1 or 2 for x, y, z.
        at: That coordinate, in metres.
        across: The coordinate that runs along a light map's columns.
        along: The coordinate that runs along its rows.
        low: (across, along) of its first corner.
        size: Its extent (across, along), in metres.
    """

    axis: int
    at: float
    across: int
    along: int
    low: tuple[float, float]
    size: tuple[float, float]


@dataclass(frozen=True)
class Room:
    """An empty room; x from -width/2 to width/2, y from 0 to depth, z from 0 to height, in metres."""

    width: float
    depth: float
    height: float

    def planes(self) -> dict[str, Plane]:
        """Returns the sides that shadows fall on, by name."""
        half = self.width / 2
        return {
            "floor": Plane(2, 0.0, 0, 1, (-half, 0.0), (self.width, self.depth)),
            "back": Plane(1, self.depth, 0, 2, (-half, 0.0), (self.width, self.height)),
            "left": Plane(0, -half, 1, 2, (0.0, 0.0), (self.depth, self.height)),
            "right": Plane(0, half, 1, 2, (0.0, 0.0), (self.depth, self.height)),
        }

    def wall_length(self, side: str) -> float:
        """Returns how wide a wall is, in metres."""
        return self.width if side == "back" else self.depth

    def wall_position(self, side: str, along: float, from_wall: float, z: float) -> tuple[float, float, float]:
        """Returns the point `along` metres from the wall's middle (seen from inside, to the right) and off the wall."""
        half = self.width / 2
        if side == "back":
            return along, self.depth - from_wall, z
        if side == "left":
            return -half + from_wall, self.depth / 2 + along, z
        return half - from_wall, self.depth / 2 - along, z

    def wall_turn(self, side: str) -> float:
        """Returns the degrees by which an item is turned so that its back is at the wall."""
        return {"back": 0.0, "left": 90.0, "right": -90.0}[side]


def shell(rng: np.random.Generator, room: Room, style: Style) -> tuple[list[Part], dict[int, str]]:
    """Returns the room's own parts, and for some of them (by index) the name of the plane they lie in."""
    half, depth, height = room.width / 2, room.depth, room.height
    kinds = ("plain", "plain", "plain", "stripes", "dots", "panels", "diamonds", "bricks")
    kind = pick(rng, kinds)
    # Often one wall alone is papered, and the others stay plain.
    side_kind = kind if chance(rng, 0.45) or kind == "panels" else "plain"
    back_style = style
    if kind == "plain" and chance(rng, 0.3):
        back_style = replace(style, wall=mix(style.accent_wall, style.wall, 0.2))
    ground = textures.floor(rng, style, room.width, depth)
    parts = [
        _sheet([(-half, 0, 0), (half, 0, 0), (half, depth, 0), (-half, depth, 0)], style.floor_wood, ground),
        _wall(rng, [(-half, depth), (half, depth)], height, back_style, kind),
        _wall(rng, [(-half, 0), (-half, depth)], height, style, side_kind),
        _wall(rng, [(half, depth), (half, 0)], height, style, side_kind),
        _wall(rng, [(half, 0), (-half, 0)], height, style, "plain"),
        _sheet(
            [(-half, depth, height), (half, depth, height), (half, 0, height), (-half, 0, height)],
            mix(style.wall, (250, 250, 248), 0.75),
        ),
    ]
    names = {0: "floor", 1: "back", 2: "left", 3: "right"}
    tall = float(rng.uniform(0.06, 0.13))
    trim = style.trim if chance(rng, 0.8) else shade(style.wall, 0.85)
    parts += [
        box((-half, depth - 0.018, 0), (half, depth, tall), trim, casts_shadow=False),
        box((-half, 0, 0), (-half + 0.018, depth, tall), trim, casts_shadow=False),
        box((half - 0.018, 0, 0), (half, depth, tall), trim, casts_shadow=False),
    ]
    if chance(rng, 0.3):
        moulding = mix(style.trim, (250, 250, 248), 0.5)
        parts += [
            box((-half, depth - 0.05, height - 0.07), (half, depth, height), moulding, casts_shadow=False),
            box((-half, 0, height - 0.07), (-half + 0.05, depth, height), moulding, casts_shadow=False),
            box((half - 0.05, 0, height - 0.07), (half, depth, height), moulding, casts_shadow=False),
        ]
    return parts, names


def _wall(rng: np.random.Generator, base: list[tuple[float, float]], height: float, style: Style, kind: str) -> Part:
    """Returns a wall over the line between two points (x, y) of the floor: its left and right end, seen from inside."""
    left, right = base
    length = abs(right[0] - left[0]) + abs(right[1] - left[1])
    paper = None if kind == "plain" else textures.wall(rng, style, length, height, kind)
    return _sheet([(*left, 0.0), (*right, 0.0), (*right, height), (*left, height)], style.wall, paper)


def _sheet(corners: list[tuple[float, float, float]], color: Color, image: Image.Image | None = None) -> Part:
    """Returns a four-cornered side: bottom left, bottom right, top right, top left, as seen from inside."""
    points = np.array(corners, dtype=np.float64)
    laid = {} if image is None else {0: Texture(image, points[[3, 2, 0]])}
    return Part(points, ((0, 1, 2, 3),), color, textures=laid, casts_shadow=False)
