"""One furnished room: what stands where, what lights it, and who looks at it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from data_prep.sample_rooms.camera import Camera, look
from data_prep.sample_rooms.furnishing import Setting, furnish, hang_windows
from data_prep.sample_rooms.item import Item, Light
from data_prep.sample_rooms.layout import Layout
from data_prep.sample_rooms.lighting import Illumination, WindowLight
from data_prep.sample_rooms.room import Room, shell
from data_prep.sample_rooms.shapes import Part
from data_prep.sample_rooms.style import between, chance, random_style

# What is annotated, by its Open Images name; all else in a room is clutter.
CLASS_MIDS: dict[str, str] = {
    "Bed": "/m/03ssj5",
    "Couch": "/m/02crq1",
    "Houseplant": "/m/03fp41",
    "Lamp": "/m/0dtln",
    "Table": "/m/04bcr3",
    "Television": "/m/07c52",
    "Wall clock": "/m/0h8mzrc",
    "Window": "/m/0d4v4",
}


@dataclass(frozen=True)
class Scene:
    """A room ready to be photographed.

    Attributes:
        room: Its size.
        camera: Where it is seen from.
        items: What is in it, in no order.
        parts: The room's own parts, then those of the items.
        item_of_part: For each part the index of its item, -1 for the room's own.
        plane_of_part: Which parts lie in which of the room's planes.
        illumination: What lights it.
        night: Whether it is dark outside.
    """

    room: Room
    camera: Camera
    items: tuple[Item, ...]
    parts: tuple[Part, ...]
    item_of_part: tuple[int, ...]
    plane_of_part: dict[int, str]
    illumination: Illumination
    night: bool


def random_scene(rng: np.random.Generator, size: tuple[int, int]) -> Scene:
    """Returns a furnished room; `size` (width, height) in pixels is that of the camera."""
    setting = Setting(rng, random_style(rng), chance(rng, 0.3))
    room = Room(between(rng, 3.6, 5.2), between(rng, 3.7, 4.9), between(rng, 2.45, 2.8))
    camera = _camera(rng, room, size)
    layout = Layout(room, camera)
    hung = hang_windows(layout, setting)
    furnish(layout, setting)
    shell_parts, plane_of_part = shell(rng, room, setting.style)
    parts, item_of_part = list(shell_parts), [-1] * len(shell_parts)
    for index, item in enumerate(layout.items):
        parts += item.parts
        item_of_part += [index] * len(item.parts)
    for index, part in enumerate(parts):
        if index not in plane_of_part and not part.casts_shadow and part.vertices[:, 2].max() < 0.02:
            plane_of_part[index] = "floor"  # a rug takes shadows as the floor does
    return Scene(
        room=room,
        camera=camera,
        items=tuple(layout.items),
        parts=tuple(parts),
        item_of_part=tuple(item_of_part),
        plane_of_part=plane_of_part,
        illumination=_illumination(layout, setting, hung),
        night=setting.night,
    )


def _camera(rng: np.random.Generator, room: Room, size: tuple[int, int]) -> Camera:
    x = between(rng, -0.36, 0.36) * room.width
    y = between(rng, 0.08, 0.5)
    height = between(rng, 1.15, 1.85)
    target = np.array([between(rng, -0.22, 0.22) * room.width, room.depth * between(rng, 0.75, 1.0)])
    yaw = math.degrees(math.atan2(target[0] - x, target[1] - y)) + between(rng, -5, 5)
    return look(
        np.array([x, y, height]),
        yaw_degrees=yaw,
        pitch_degrees=between(rng, -5, 2) - 9 * (height - 1.1),
        roll_degrees=float(rng.normal(0, 0.9)),
        horizontal_view_degrees=between(rng, 58, 80),
        size=size,
    )


def _illumination(layout: Layout, setting: Setting, windows: list[tuple[Item, str]]) -> Illumination:
    """Returns the room's light: daylight through its windows and from behind the camera, or lamps and the moon."""
    rng = setting.rng
    lit = [light for item in layout.items for light in item.lights]
    # Each light costs time, and beyond two more of them change little.
    strongest = tuple(sorted(lit, key=lambda light: -light.strength)[:2])
    daylight: list[WindowLight] = []
    if not setting.night:
        for item, side in windows:
            low, high = item.bounds()
            middle, half = (low + high) / 2, (high - low) / 2
            inward = {"back": (0.0, -1.0, 0.0), "left": (1.0, 0.0, 0.0), "right": (-1.0, 0.0, 0.0)}[side]
            width = half[0] if side == "back" else half[1]
            sun, strength = None, 0.0
            if not daylight and chance(rng, 0.6):
                along = between(rng, -0.9, 0.9)
                ways = {"back": (along, 1.0), "left": (-1.0, along), "right": (1.0, along)}[side]
                sun = np.array([*ways, between(rng, 0.55, 1.3)])
                sun, strength = sun / np.linalg.norm(sun), between(rng, 1.8, 3.4)
            daylight.append(
                WindowLight(
                    center=middle,
                    inward=np.array(inward),
                    color=np.array([0.92, 0.97, 1.0]) if sun is None else np.array([1.0, 0.97, 0.92]),
                    strength=between(rng, 2.2, 4.0) * 4 * width * half[2],
                    half_size=(float(width) - 0.04, float(half[2]) - 0.04),
                    sun=sun,
                    sun_strength=strength,
                )
            )
    tone = np.array([0.62, 0.72, 1.0]) if setting.night and strongest else np.array([1.0, 0.985, 0.96])
    level = between(rng, 0.05, 0.12) if setting.night and strongest else between(rng, 0.26, 0.42)
    floor_tone = np.asarray(setting.style.floor_wood) / 255.0
    return Illumination(
        lamps=(*strongest, _behind_camera(layout, setting, weak=setting.night and bool(strongest))),
        windows=tuple(daylight[:2]),
        from_above=level * 1.15 * tone,
        from_below=level * (0.45 + 0.5 * floor_tone) * tone,
    )


def _behind_camera(layout: Layout, setting: Setting, *, weak: bool) -> Light:
    """Returns the light of what is not in the image: a ceiling lamp or another window."""
    rng, room = setting.rng, layout.room
    position = np.array(
        [between(rng, -0.35, 0.35) * room.width, room.depth * between(rng, 0.15, 0.45), room.height - 0.25]
    )
    warmth = between(rng, 0.0, 0.3)
    color = np.array([1.0, 1.0 - 0.4 * warmth, 1.0 - warmth])
    strength = between(rng, 0.05, 0.2) if weak else between(rng, 0.8, 2.0)
    return Light(position, color, strength)
