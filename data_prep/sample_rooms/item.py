"""An object in a room: its solids, the light it gives, and the Open Images class it is annotated as."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from data_prep.sample_rooms.shapes import Part, rotation


@dataclass(frozen=True)
class Light:
    """A small source of light.

    Attributes:
        position: [3] in metres.
        color: [3] red, green, blue, linear, around 1.
        strength: Its irradiance at 1 metre, where 1 shows a white wall as white.
    """

    position: np.ndarray
    color: np.ndarray
    strength: float


@dataclass(frozen=True)
class Item:
    """An object, built around the origin with its back towards +y and its lowest point at z = 0 (unless it hangs).

    Attributes:
        parts: Its solids.
        class_name: The Open Images name that it is annotated as; None is clutter, which is not annotated.
        lights: What it lights the room with.
    """

    parts: tuple[Part, ...]
    class_name: str | None = None
    lights: tuple[Light, ...] = ()

    def placed(self, position: Sequence[float], turn_degrees: float = 0.0) -> Item:
        """Returns the item turned about its vertical axis, counter-clockwise from above, and then moved."""
        turn = rotation("z", turn_degrees)
        shift = np.asarray(position, dtype=np.float64)
        return replace(
            self,
            parts=tuple(part.moved(shift, turn) for part in self.parts),
            lights=tuple(replace(light, position=turn @ light.position + shift) for light in self.lights),
        )

    def bounds_if_placed(self, position: Sequence[float], turn_degrees: float) -> tuple[np.ndarray, np.ndarray]:
        """Returns about what `placed(...).bounds()` would, at a fraction of the cost; turned askew, a little more."""
        low, high = self.bounds()
        corners = np.array([(x, y) for x in (low[0], high[0]) for y in (low[1], high[1])])
        turned = corners @ rotation("z", turn_degrees)[:2, :2].T
        lowest = np.array([*turned.min(axis=0), low[2]]) + position
        highest = np.array([*turned.max(axis=0), high[2]]) + position
        return lowest, highest

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the lowest and the highest x, y, z in metres."""
        vertices = np.concatenate([part.vertices for part in self.parts])
        return vertices.min(axis=0), vertices.max(axis=0)
