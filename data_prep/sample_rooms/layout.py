"""The layout of a room: which places on the floor and the walls are taken, and what the camera would see of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from data_prep.sample_rooms.camera import Camera
from data_prep.sample_rooms.item import Item
from data_prep.sample_rooms.room import SIDES, Room
from data_prep.sample_rooms.style import between, chance, pick

TRIES = 30
NEAREST_FURNITURE = 0.75  # metres from the camera: what is nearer fills the image
FREE_CLEARANCE = 0.08  # metres around what stands free
SMALLEST_SHARE_IN_VIEW = 0.6  # of what hangs on a wall
SMALLEST_SHARE = 0.0007  # of the image's area


@dataclass
class Layout:
    """A room that is being furnished.

    Attributes:
        room: The room.
        camera: The camera that photographs it.
        items: What has been placed.
        floor_taken: (x low, y low, x high, y high) in metres.
        wall_taken: By wall: (along low, z low, along high, z high) in metres from the wall's middle.
    """

    room: Room
    camera: Camera
    items: list[Item] = field(default_factory=list)
    floor_taken: list[tuple[float, float, float, float]] = field(default_factory=list)
    wall_taken: dict[str, list[tuple[float, float, float, float]]] = field(
        default_factory=lambda: {side: [] for side in SIDES}
    )

    def against_wall(
        self, rng: np.random.Generator, item: Item, sides: tuple[str, ...] = SIDES, *, gap: float = 0.02
    ) -> Item | None:
        """Places an item with its back at a wall; returns it as placed, or None where there is no room in view."""
        low, high = item.bounds()
        for _ in range(TRIES):
            side = pick(rng, sides)
            reach = self.room.wall_length(side) / 2
            if 2 * reach < high[0] - low[0] + 0.1:
                continue
            along = between(rng, -reach - low[0] + 0.03, reach - high[0] - 0.03)
            taken = (along + low[0], 0.0, along + high[0], high[2] + 0.05)
            if self._is_taken(self.wall_taken[side], taken):
                continue
            position = self.room.wall_position(side, along, high[1] + gap, 0.0)
            placed = self.settle(rng, item, position, self.room.wall_turn(side))
            if placed is not None:
                self.wall_taken[side].append(taken)
                return placed
        return None

    def standing_free(
        self,
        rng: np.random.Generator,
        item: Item,
        *,
        area: tuple[float, float, float, float] | None = None,
        turns: tuple[float, float] = (-20, 20),
    ) -> Item | None:
        """Places an item on the floor, in `area` (x low, y low, x high, y high), turned by some degrees."""
        half = self.room.width / 2
        x_low, y_low, x_high, y_high = area or (-half + 0.3, 0.8, half - 0.3, self.room.depth - 0.3)
        for _ in range(TRIES):
            position = (between(rng, x_low, x_high), between(rng, y_low, y_high), 0.0)
            placed = self.settle(rng, item, position, between(rng, *turns), clearance=FREE_CLEARANCE)
            if placed is not None:
                return placed
        return None

    def on_wall(
        self,
        rng: np.random.Generator,
        item: Item,
        *,
        heights: tuple[float, float],
        sides: tuple[str, ...] = SIDES,
        margin: float = 0.08,
    ) -> tuple[Item, str] | None:
        """Hangs an item, its origin `heights` metres above the floor; returns it as placed and its wall."""
        low, high = item.bounds()
        for _ in range(TRIES):
            side = pick(rng, sides)
            reach = self.room.wall_length(side) / 2
            if 2 * reach < high[0] - low[0] + 0.2:
                continue
            along = between(rng, -reach - low[0] + 0.05, reach - high[0] - 0.05)
            z = between(rng, *heights)
            taken = (along + low[0] - margin, z + low[2] - margin, along + high[0] + margin, z + high[2] + margin)
            if self._is_taken(self.wall_taken[side], taken) or z + high[2] > self.room.height - 0.05:
                continue
            position, turn = self.room.wall_position(side, along, 0.002, z), self.room.wall_turn(side)
            if self.share_in_view(*item.bounds_if_placed(position, turn)) < SMALLEST_SHARE_IN_VIEW:
                continue
            placed = item.placed(position, turn)
            self.wall_taken[side].append(taken)
            self.items.append(placed)
            return placed, side
        return None

    def on_top(
        self,
        rng: np.random.Generator,
        item: Item,
        support: Item,
        height: float,
        *,
        reach: tuple[float, float] = (0.0, 0.0),
        turn: float = 0.0,
    ) -> Item:
        """Places an item on a support's top, up to `reach` (x, y) metres from its middle."""
        low, high = support.bounds()
        middle = (low + high) / 2
        position = (
            middle[0] + between(rng, -reach[0], reach[0]),
            middle[1] + between(rng, -reach[1], reach[1]),
            height,
        )
        placed = item.placed(position, turn)
        self.items.append(placed)
        return placed

    def share_in_view(self, low: np.ndarray, high: np.ndarray) -> float:
        """Returns which share of a thing's rectangle is inside the image; 0 where it is behind or too small.

        Args:
            low: [3] the lowest x, y, z of the thing.
            high: [3] the highest.
        """
        corners = np.array([(x, y, z) for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
        in_camera = self.camera.to_camera_axes(corners)
        if in_camera[:, 2].min() < 0.35:
            return 0.0
        pixels = self.camera.to_pixels(in_camera)
        left, top = pixels.min(axis=0)
        right, bottom = pixels.max(axis=0)
        inside_width = min(right, self.camera.width) - max(left, 0)
        inside_height = min(bottom, self.camera.height) - max(top, 0)
        if inside_width <= 0 or inside_height <= 0:
            return 0.0
        inside = inside_width * inside_height
        if inside < SMALLEST_SHARE * self.camera.width * self.camera.height:
            return 0.0
        return float(inside / ((right - left) * (bottom - top)))

    def settle(
        self,
        rng: np.random.Generator,
        item: Item,
        position: tuple[float, float, float],
        turn_degrees: float,
        *,
        clearance: float = 0.03,
    ) -> Item | None:
        """Places an item on the floor, if the floor is free and the camera sees it; returns it as placed, or None."""
        low, high = item.bounds_if_placed(position, turn_degrees)
        footprint = (low[0] - clearance, low[1] - clearance, high[0] + clearance, high[1] + clearance)
        half = self.room.width / 2
        if low[0] < -half - 0.01 or high[0] > half + 0.01 or low[1] < 0 or high[1] > self.room.depth + 0.01:
            return None
        if self._is_taken(self.floor_taken, footprint):
            return None
        nearest = np.clip(self.camera.position[:2], low[:2], high[:2])
        if np.linalg.norm(nearest - self.camera.position[:2]) < NEAREST_FURNITURE:
            return None
        # Most things are to be seen whole; some are cut off by the image's edge.
        if self.share_in_view(low, high) < (0.35 if chance(rng, 0.25) else 0.7):
            return None
        self.floor_taken.append((float(low[0]), float(low[1]), float(high[0]), float(high[1])))
        placed = item.placed(position, turn_degrees)
        self.items.append(placed)
        return placed

    @staticmethod
    def _is_taken(taken: list[tuple[float, float, float, float]], wanted: tuple[float, float, float, float]) -> bool:
        return any(
            wanted[0] < right and wanted[2] > left and wanted[1] < top and wanted[3] > bottom
            for left, bottom, right, top in taken
        )
