"""One furnished room: what stands where, what lights it, and who looks at it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from data_prep.sample_rooms import furniture, lamps, pictures, small_things, wall_objects
from data_prep.sample_rooms.camera import Camera, look
from data_prep.sample_rooms.item import Item, Light
from data_prep.sample_rooms.layout import Layout
from data_prep.sample_rooms.lighting import Illumination, WindowLight
from data_prep.sample_rooms.room import SIDES, Room, shell
from data_prep.sample_rooms.shapes import Part
from data_prep.sample_rooms.style import Style, between, chance, pick, random_style

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


@dataclass(frozen=True)
class _Setting:
    """What all the furnishing of one room shares."""

    rng: np.random.Generator
    style: Style
    night: bool

    def lamp_is_on(self) -> bool:
        return chance(self.rng, 0.88 if self.night else 0.3)


def random_scene(rng: np.random.Generator, size: tuple[int, int]) -> Scene:
    """Returns a furnished room; `size` (width, height) in pixels is that of the camera."""
    setting = _Setting(rng, random_style(rng), chance(rng, 0.3))
    room = Room(between(rng, 3.6, 5.2), between(rng, 3.7, 4.9), between(rng, 2.45, 2.8))
    camera = _camera(rng, room, size)
    layout = Layout(room, camera)
    bedroom = chance(rng, 0.5)
    windows = _hang_windows(layout, setting)
    if bedroom:
        _furnish_bedroom(layout, setting)
    else:
        _furnish_living_room(layout, setting)
    _furnish_any(layout, setting, bedroom=bedroom)
    _decorate_walls(layout, setting)
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
        illumination=_illumination(layout, setting, windows),
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


def _hang_windows(layout: Layout, setting: _Setting) -> list[tuple[Item, str]]:
    """Hangs up to two windows, some with curtains; returns each with its wall."""
    rng = setting.rng
    hung = []
    outlook = pictures.random_outlook(rng, night=setting.night)
    for _ in range(int(rng.choice([0, 1, 2], p=[0.25, 0.55, 0.2]))):
        width, height = between(rng, 0.75, 1.7), between(rng, 0.85, 1.4)
        window = wall_objects.window(rng, setting.style, width, height, outlook)
        sill = between(rng, 0.8, 1.05)
        heights = (sill, sill)
        placed = layout.on_wall(rng, window, heights=heights, sides=("back", "back", "left", "right"), margin=0.25)
        if placed is None:
            continue
        hung.append(placed)
        if chance(rng, 0.55):
            curtains = wall_objects.curtains(rng, setting.style, width, height, to_floor=sill)
            low, high = placed[0].bounds()
            along = (low + high) / 2
            depth = layout.room.depth
            position = {
                "back": (along[0], depth - 0.002, sill),
                "left": (-layout.room.width / 2 + 0.002, along[1], sill),
                "right": (layout.room.width / 2 - 0.002, along[1], sill),
            }[placed[1]]
            layout.items.append(curtains.placed(position, layout.room.wall_turn(placed[1])))
    return hung


def _furnish_bedroom(layout: Layout, setting: _Setting) -> None:
    rng, style = setting.rng, setting.style
    bed = None
    for _ in range(3):  # a narrower one may find its place where the first did not
        bed = bed or layout.against_wall(rng, furniture.bed(rng, style), ("back", "back", "left", "right"))
    if bed is not None:
        _bedside(layout, setting, bed)
    if chance(rng, 0.35):
        _desk(layout, setting)
    if chance(rng, 0.5):
        _television(layout, setting, largest=1.0)
    if chance(rng, 0.45):
        _rug(layout, setting)


def _bedside(layout: Layout, setting: _Setting, bed: Item) -> None:
    """Puts a nightstand or a small table on one or both sides of the bed's head."""
    rng, style = setting.rng, setting.style
    low, high = bed.bounds()
    along_back = high[1] > layout.room.depth - 0.15
    on_left_wall = not along_back and low[0] < -layout.room.width / 2 + 0.15
    for direction in (-1, 1):
        if chance(rng, 0.4):
            continue
        stand: Item
        if chance(rng, 0.4):
            stand, height, _ = furniture.table(rng, style, "side")
        else:
            stand, height = furniture.nightstand(rng, style)
        size = stand.bounds()[1]
        if along_back:
            x = low[0] - size[0] - 0.06 if direction < 0 else high[0] + size[0] + 0.06
            placed = stand.placed((x, layout.room.depth - size[1] - 0.03, 0.0))
        else:
            y = low[1] - size[0] - 0.06 if direction < 0 else high[1] + size[0] + 0.06
            x = layout.room.width / 2 - size[1] - 0.03
            placed = stand.placed((-x if on_left_wall else x, y, 0.0), 90 if on_left_wall else -90)
        if not layout.settle(rng, placed):
            continue
        if chance(rng, 0.55):
            lamp = lamps.table_lamp(rng, style, on=setting.lamp_is_on())
            layout.on_top(rng, lamp, placed, height, reach=(0.05, 0.05))
        elif chance(rng, 0.5):
            layout.on_top(rng, small_things.small_thing(rng, style), placed, height, reach=(0.05, 0.05))


def _furnish_living_room(layout: Layout, setting: _Setting) -> None:
    rng, style = setting.rng, setting.style
    couch = furniture.couch(rng, style)
    placed = None
    if chance(rng, 0.25):  # in the middle of the room, towards the camera or half turned
        half = layout.room.width / 2
        area = (-half * 0.5, layout.room.depth * 0.55, half * 0.5, layout.room.depth - 0.6)
        placed = layout.standing_free(rng, couch, area=area, turns=(-40, 40))
    for _ in range(3):
        placed = placed or layout.against_wall(rng, couch, ("back", "left", "right"), gap=0.05)
        couch = furniture.couch(rng, style)
    if chance(rng, 0.6):
        _rug(layout, setting)
    if chance(rng, 0.78):
        _television(layout, setting, largest=1.4)
    kind = pick(rng, ("coffee", "coffee", "dining"))
    if chance(rng, 0.85):
        _free_table(layout, setting, kind)
    if chance(rng, 0.3):
        _free_table(layout, setting, "side")


def _free_table(layout: Layout, setting: _Setting, kind: str) -> None:
    rng, style = setting.rng, setting.style
    table, height, reach = furniture.table(rng, style, kind)
    placed = layout.standing_free(rng, table, turns=(-12, 12) if chance(rng, 0.7) else (-60, 60))
    if placed is None:
        return
    _things_on(layout, setting, placed, height, reach, most=3)
    if kind == "dining":
        low, high = placed.bounds()
        for turn, x, y in ((180, 0, -1), (0, 0, 1), (90, -1, 0), (-90, 1, 0)):
            if chance(rng, 0.55):
                chair = furniture.wooden_chair(rng, style)
                middle = (low + high) / 2
                position = (
                    middle[0] + x * ((high[0] - low[0]) / 2 + 0.1),
                    middle[1] + y * ((high[1] - low[1]) / 2 + 0.1),
                    0.0,
                )
                layout.settle(rng, chair.placed(position, turn + between(rng, -12, 12)), clearance=-0.25)


def _desk(layout: Layout, setting: _Setting) -> None:
    rng, style = setting.rng, setting.style
    desk, height, reach = furniture.table(rng, style, "desk")
    placed = layout.against_wall(rng, desk)
    if placed is None:
        return
    _things_on(layout, setting, placed, height, (reach[0], 0.05), most=3)


def _things_on(
    layout: Layout, setting: _Setting, support: Item, height: float, reach: tuple[float, float], *, most: int
) -> None:
    """Puts a lamp, a plant or small things next to each other on a support."""
    rng, style = setting.rng, setting.style
    low, high = support.bounds()
    sideways = high[0] - low[0] < high[1] - low[1]
    places = list(np.linspace(-1, 1, most) * reach[0]) if most > 1 else [0.0]
    rng.shuffle(places)
    for place in places[: int(rng.integers(0, most + 1))]:
        kind = rng.random()
        if kind < 0.22:
            thing = lamps.table_lamp(rng, style, on=setting.lamp_is_on())
        elif kind < 0.4:
            thing = small_things.houseplant(rng, between(rng, 0.26, 0.5))
        else:
            thing = small_things.small_thing(rng, style)
        offset = (0.0, place, 0.0) if sideways else (place, 0.0, 0.0)
        layout.on_top(rng, thing.placed(offset), support, height, reach=(0.02, 0.02))


def _television(layout: Layout, setting: _Setting, *, largest: float) -> None:
    rng, style = setting.rng, setting.style
    width = between(rng, 0.62, largest)
    on = chance(rng, 0.6)
    if chance(rng, 0.4):
        screen = wall_objects.television(rng, width, on=on, stand=False)
        layout.on_wall(rng, screen, heights=(0.95, 1.4), sides=("back", "back", "left", "right"))
        return
    height = between(rng, 0.42, 0.8)
    cabinet = furniture.cabinet(rng, style, width + between(rng, 0.1, 0.7), height)
    screen = wall_objects.television(rng, width, on=on, stand=True)
    tall = screen.bounds()[1][2] + height
    low, high = cabinet.bounds()
    for _ in range(3):
        placed = layout.against_wall(rng, cabinet, ("back", "back", "left", "right"))
        if placed is None:
            continue
        side = _wall_of(layout, placed)
        turn = layout.room.wall_turn(side)
        layout.on_top(rng, screen, placed, height, turn=turn)
        layout.wall_taken[side][-1] = (*layout.wall_taken[side][-1][:3], tall + 0.05)
        if high[0] - low[0] > width + 0.45 and chance(rng, 0.5):
            shift = ((high[0] - low[0]) / 2 - 0.14) * pick(rng, (-1, 1))
            offset = (shift, 0.0, 0.0) if side == "back" else (0.0, shift, 0.0)
            thing = small_things.small_thing(rng, style)
            layout.on_top(rng, thing.placed(offset), placed, height)
        return


def _wall_of(layout: Layout, placed: Item) -> str:
    """Returns the wall that an item has its back at."""
    low, high = placed.bounds()
    gaps = {
        "back": layout.room.depth - high[1],
        "left": low[0] + layout.room.width / 2,
        "right": layout.room.width / 2 - high[0],
    }
    return min(SIDES, key=gaps.__getitem__)


def _rug(layout: Layout, setting: _Setting) -> None:
    rng = setting.rng
    rug = furniture.rug(rng, setting.style, between(rng, 1.4, 2.4), between(rng, 1.0, 1.6))
    x = between(rng, -0.15, 0.15) * layout.room.width
    y = layout.room.depth * between(rng, 0.5, 0.62)
    layout.items.append(rug.placed((x, y, 0.001), between(rng, -8, 8)))


def _furnish_any(layout: Layout, setting: _Setting, *, bedroom: bool) -> None:
    """Adds what any room may have: lamps, plants, cabinets, seats."""
    rng, style = setting.rng, setting.style
    room = layout.room
    if chance(rng, 0.46):
        layout.standing_free(rng, lamps.floor_lamp(rng, style, on=setting.lamp_is_on()), area=_edge(rng, room))
    if chance(rng, 0.38):
        drop = between(rng, 0.35, 0.9)
        lamp = lamps.pendant_lamp(rng, style, on=setting.lamp_is_on(), drop=drop)
        for _ in range(4):
            x, y = between(rng, -0.3, 0.3) * room.width, room.depth * between(rng, 0.5, 0.8)
            placed = lamp.placed((x, y, room.height))
            if layout.share_in_view(placed) > 0.6:
                layout.items.append(placed)
                break
    for _ in range(int(rng.choice([0, 1, 2], p=[0.4, 0.45, 0.15]))):
        plant = small_things.houseplant(rng, between(rng, 0.55, 1.35))
        layout.standing_free(rng, plant, area=_edge(rng, room), turns=(0, 360))
    if chance(rng, 0.3):
        layout.against_wall(rng, furniture.bookcase(rng, style))
    if chance(rng, 0.35):
        height = between(rng, 0.6, 1.0)
        placed = layout.against_wall(rng, furniture.cabinet(rng, style, between(rng, 0.7, 1.3), height))
        if placed is not None:
            _things_on(layout, setting, placed, height, (0.25, 0.0), most=3)
    if chance(rng, 0.3):
        layout.standing_free(rng, furniture.pouf(rng, style))
    if chance(rng, 0.25):
        layout.standing_free(rng, furniture.wooden_chair(rng, style), turns=(-180, 180))
    if bedroom and chance(rng, 0.15):
        _free_table(layout, setting, "side")


def _edge(rng: np.random.Generator, room: Room) -> tuple[float, float, float, float]:
    """Returns a strip of floor along one of the walls."""
    half = room.width / 2
    side = pick(rng, ("back", "back", "left", "right"))
    if side == "back":
        return -half + 0.35, room.depth - 0.6, half - 0.35, room.depth - 0.4
    if side == "left":
        return -half + 0.35, 1.6, -half + 0.55, room.depth - 0.4
    return half - 0.55, 1.6, half - 0.35, room.depth - 0.4


def _decorate_walls(layout: Layout, setting: _Setting) -> None:
    rng, style = setting.rng, setting.style
    if chance(rng, 0.6):
        clock = wall_objects.wall_clock(rng, between(rng, 0.32, 0.56))
        layout.on_wall(rng, clock, heights=(1.55, 2.1), sides=("back", "back", "left", "right"))
    for _ in range(int(rng.integers(0, 4))):
        wide = between(rng, 0.3, 1.0)
        picture = wall_objects.picture(rng, style, wide, wide * between(rng, 0.6, 1.35))
        layout.on_wall(rng, picture, heights=(1.35, 1.8))
    if chance(rng, 0.15):
        layout.on_wall(rng, wall_objects.mirror(rng, style, between(rng, 0.2, 0.38)), heights=(1.4, 1.75))
    if chance(rng, 0.25):
        layout.on_wall(rng, wall_objects.shelf(rng, style, between(rng, 0.5, 1.1)), heights=(1.3, 1.75))
    if chance(rng, 0.25):
        layout.on_wall(rng, wall_objects.door(rng, style), heights=(0.0, 0.0), sides=("left", "right"))


def _illumination(layout: Layout, setting: _Setting, windows: list[tuple[Item, str]]) -> Illumination:
    """Returns the room's light: daylight through its windows and from behind the camera, or lamps and the moon."""
    rng = setting.rng
    lit = [light for item in layout.items for light in item.lights]
    # Each light costs time, and beyond three more of them change little.
    strongest = tuple(sorted(lit, key=lambda light: -light.strength)[:3])
    daylight = []
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


def _behind_camera(layout: Layout, setting: _Setting, *, weak: bool) -> Light:
    """Returns the light of what is not in the picture: a ceiling lamp or another window."""
    rng, room = setting.rng, layout.room
    position = np.array(
        [between(rng, -0.35, 0.35) * room.width, room.depth * between(rng, 0.15, 0.45), room.height - 0.25]
    )
    warmth = between(rng, 0.0, 0.3)
    color = np.array([1.0, 1.0 - 0.4 * warmth, 1.0 - warmth])
    strength = between(rng, 0.05, 0.2) if weak else between(rng, 0.8, 2.0)
    return Light(position, color, strength)
