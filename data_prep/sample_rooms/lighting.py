"""Brightness of each pixel: lamps, windows and sunbeams, their shadows, and the dimness of corners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data_prep.sample_rooms.camera import Camera
from data_prep.sample_rooms.item import Light
from data_prep.sample_rooms.rasterizer import Faces, Visible
from data_prep.sample_rooms.room import Plane, Room
from data_prep.sample_rooms.shadows import MAP_PIXELS_PER_METRE, box_corners, contact_map, map_size, shadow_map
from data_prep.sample_rooms.shapes import Part

LIGHTEST_SHADOW = 0.14  # what a shadow leaves of a light, for light goes round corners
SUN_COLOR = np.array([1.0, 0.86, 0.66])


@dataclass(frozen=True)
class WindowLight:
    """A window by day.

    Attributes:
        center: [3] in metres.
        inward: [3] unit vector into the room.
        color: [3] linear.
        strength: See `Light`.
        half_size: Half its width and height in metres.
        sun: [3] unit vector towards the sun, or None where it does not shine in.
        sun_strength: How bright the sunbeam is.
    """

    center: np.ndarray
    inward: np.ndarray
    color: np.ndarray
    strength: float
    half_size: tuple[float, float]
    sun: np.ndarray | None = None
    sun_strength: float = 0.0


@dataclass(frozen=True)
class Illumination:
    """All light in a room; colours are linear.

    Attributes:
        lamps: Points of light.
        windows: Daylight.
        from_above: [3] light on surfaces that face up, from everywhere.
        from_below: [3] light on surfaces that face down.
    """

    lamps: tuple[Light, ...]
    windows: tuple[WindowLight, ...]
    from_above: np.ndarray
    from_below: np.ndarray


@dataclass(frozen=True)
class _Source:
    """One light, and what of each plane its shadows leave lit, by plane name."""

    kind: str  # point, window or sun
    position: np.ndarray
    color: np.ndarray
    strength: float
    window: WindowLight | None
    lit: dict[str, np.ndarray]


class Lighting:
    """The light on what a camera sees, asked for in bands of rows: small arrays stay in the processor's cache."""

    def __init__(
        self,
        camera: Camera,
        faces: Faces,
        visible: Visible,
        *,
        room: Room,
        parts: Sequence[Part],
        plane_of_part: dict[int, str],
        illumination: Illumination,
    ) -> None:
        """Draws the shadows.

        Args:
            camera: As given to the rasterizer.
            faces: The rasterizer's.
            visible: The rasterizer's.
            room: Its sides receive shadows.
            parts: As given to the rasterizer.
            plane_of_part: Which parts, by index, lie in which of the room's planes.
            illumination: The lights.
        """
        self._camera, self._visible, self._room = camera, visible, room
        self._normals = [np.ascontiguousarray(faces.normals[:, axis]) for axis in range(3)]
        self._planes = room.planes()
        names = list(self._planes)
        self._plane_of_face = np.zeros(len(faces.part), np.int8)
        for part, name in plane_of_part.items():
            self._plane_of_face[faces.part == part] = names.index(name) + 1
        corners = box_corners(parts)
        self._contact = {name: 1 - contact_map(plane, corners) for name, plane in self._planes.items()}
        self._ambient = illumination.from_below, illumination.from_above
        self._sources = [
            self._source("point", lamp.position, lamp.color, lamp.strength, corners) for lamp in illumination.lamps
        ]
        for window in illumination.windows:
            behind = window.center - 0.45 * window.inward
            self._sources.append(self._source("window", behind, window.color, window.strength, corners, window))
            if window.sun is not None:
                sun = window.center + 30 * window.sun
                self._sources.append(self._source("sun", sun, SUN_COLOR, window.sun_strength, corners, window))

    def on_rows(self, top: int, bottom: int) -> np.ndarray:
        """Returns the light that falls on what the pixels of some rows show, [3, rows, width] float32, linear."""
        face = self._visible.face[top:bottom]
        position = _positions(self._camera, self._visible.inverse_depth[top:bottom], top)
        normal = [component[face] for component in self._normals]
        receivers = self._receivers(face, position)
        dimming = _corner_dimming(position, normal, self._room)
        for name, (pixels, texels) in receivers.items():
            dimming.ravel()[pixels] *= self._contact[name].ravel()[texels]
        upward = 0.5 + 0.5 * normal[2]
        below, above = self._ambient
        total = np.empty((3, *face.shape), np.float32)
        for channel in range(3):
            total[channel] = np.float32(below[channel]) + np.float32(above[channel] - below[channel]) * upward
            total[channel] *= dimming
        dimming *= np.float32(0.55)
        dimming += np.float32(0.45)
        for source in self._sources:
            if source.kind == "sun":
                assert source.window is not None
                received = _sunbeam(position, normal, source.window)
            else:
                inward = source.window.inward if source.window is not None else None
                received = _point_light(position, normal, source.position, inward)
                received *= dimming
            received *= np.float32(source.strength)
            for name, (pixels, texels) in receivers.items():
                if name in source.lit:
                    received.ravel()[pixels] *= source.lit[name].ravel()[texels]
            for channel in range(3):
                total[channel] += received * np.float32(source.color[channel])
        return total

    def _source(
        self,
        kind: str,
        position: np.ndarray,
        color: np.ndarray,
        strength: float,
        corners: np.ndarray,
        window: WindowLight | None = None,
    ) -> _Source:
        lit = {}
        for name, plane in self._planes.items():
            shadow = shadow_map(plane, position, corners, blur_metres=0.02 if kind == "sun" else 0.09)
            if shadow is not None:
                lit[name] = 1 - (1 - LIGHTEST_SHADOW) * shadow
        return _Source(kind, position, color, strength, window, lit)

    def _receivers(self, face: np.ndarray, position: list[np.ndarray]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Returns for each plane in view its pixels, and where on the plane's maps they fall."""
        of_pixel = self._plane_of_face[face].ravel()
        result = {}
        for index, (name, plane) in enumerate(self._planes.items(), start=1):
            pixels = np.flatnonzero(of_pixel == index)
            if len(pixels):
                result[name] = pixels, _texels(plane, position, pixels)
        return result


def _texels(plane: Plane, position: list[np.ndarray], pixels: np.ndarray) -> np.ndarray:
    columns, rows = map_size(plane)
    u = (position[plane.across].ravel()[pixels] - np.float32(plane.low[0])) * np.float32(MAP_PIXELS_PER_METRE)
    v = (position[plane.along].ravel()[pixels] - np.float32(plane.low[1])) * np.float32(MAP_PIXELS_PER_METRE)
    return v.astype(np.int32).clip(0, rows - 1) * columns + u.astype(np.int32).clip(0, columns - 1)


def _positions(camera: Camera, inverse_depth: np.ndarray, top: int) -> list[np.ndarray]:
    """Returns x, y, z in metres of what each pixel of some rows from `top` shows, each [rows, width] float32."""
    depth = 1 / np.maximum(inverse_depth, np.float32(1e-3))
    columns, rows = np.arange(camera.width), np.arange(top, top + len(inverse_depth))
    across = ((columns + 0.5 - camera.width / 2) / camera.focal_pixels).astype(np.float32)
    upwards = ((camera.height / 2 - rows - 0.5) / camera.focal_pixels).astype(np.float32)[:, None]
    result = []
    for axis in range(3):
        ray = np.float32(camera.right[axis]) * across + np.float32(camera.up[axis]) * upwards
        ray += np.float32(camera.forward[axis])
        ray *= depth
        ray += np.float32(camera.position[axis])
        result.append(ray)
    return result


def _point_light(
    position: list[np.ndarray], normal: list[np.ndarray], source: np.ndarray, direction: np.ndarray | None
) -> np.ndarray:
    """Returns what a source of strength 1 gives each pixel; `direction` makes it shine to one side only."""
    to_light = [np.float32(source[axis]) - position[axis] for axis in range(3)]
    squared = to_light[0] * to_light[0] + to_light[1] * to_light[1] + to_light[2] * to_light[2]
    facing = to_light[0] * normal[0] + to_light[1] * normal[1] + to_light[2] * normal[2]
    distance = np.sqrt(squared)
    # A source has an extent: its light reaches a little round the edge of what it shines on.
    received = np.maximum(facing / distance * np.float32(0.85) + np.float32(0.15), 0)
    if direction is not None:
        outgoing = -sum(np.float32(direction[axis]) * to_light[axis] for axis in range(3))
        received *= np.clip(outgoing / distance * np.float32(1.25), 0, 1)
    squared += np.float32(0.35)
    received /= squared
    return received


def _sunbeam(position: list[np.ndarray], normal: list[np.ndarray], window: WindowLight) -> np.ndarray:
    """Returns how much of the sun each pixel gets through a window, whose edges are a little soft."""
    assert window.sun is not None
    sun, inward = window.sun, window.inward
    offset = [position[axis] - np.float32(window.center[axis]) for axis in range(3)]
    distance = offset[0] * np.float32(inward[0]) + offset[1] * np.float32(inward[1])
    # Back along the sun's direction to the window's plane.
    steps = distance / np.float32(-(sun @ inward))
    across_axis = 0 if abs(inward[1]) > 0.5 else 1
    across = np.abs(offset[across_axis] + steps * np.float32(sun[across_axis]))
    upwards = np.abs(offset[2] + steps * np.float32(sun[2]))
    softness = np.float32(0.03) + np.float32(0.02) * np.maximum(steps, 0)
    inside = np.clip((np.float32(window.half_size[0]) - across) / softness, 0, 1)
    inside *= np.clip((np.float32(window.half_size[1]) - upwards) / softness, 0, 1)
    inside *= np.clip(across / softness - np.float32(0.6), 0, 1)  # the bar in the middle
    facing = normal[0] * np.float32(sun[0]) + normal[1] * np.float32(sun[1]) + normal[2] * np.float32(sun[2])
    inside *= np.maximum(facing, 0)
    return inside


def _corner_dimming(position: list[np.ndarray], normal: list[np.ndarray], room: Room) -> np.ndarray:
    """Returns how much of the light from everywhere reaches each pixel, less near the room's other sides."""
    half = room.width / 2
    result = np.ones_like(position[0])
    for axis, at, strength, reach in (
        (2, 0.0, 0.5, 0.5),
        (2, room.height, 0.25, 0.8),
        (1, room.depth, 0.35, 0.6),
        (0, -half, 0.35, 0.6),
        (0, half, 0.35, 0.6),
    ):
        nearness = 1 - np.abs(position[axis] - np.float32(at)) * np.float32(1 / reach)
        np.maximum(nearness, 0, out=nearness)
        nearness *= nearness
        nearness *= np.float32(-strength)
        nearness *= 1 - np.abs(normal[axis])
        nearness += 1
        result *= nearness
    return result
