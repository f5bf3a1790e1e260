"""Furnishing of a room as a bedroom or a living room: its furniture, its walls and its clutter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_prep.sample_rooms import (
    beds,
    houseplants,
    lamps,
    pictures,
    seats,
    small_things,
    soft_things,
    tables,
    televisions,
    wall_objects,
    windows,
)
from data_prep.sample_rooms.item import Item
from data_prep.sample_rooms.layout import Layout
from data_prep.sample_rooms.room import SIDES, Room
from data_prep.sample_rooms.style import Style, between, chance, pick


@dataclass(frozen=True)
class Setting:
    """Shared properties of a room's furnishing: its random generator, its colours, and whether it is dark."""

    rng: np.random.Generator
    style: Style
    night: bool

    def lamp_is_on(self) -> bool:
        """Returns whether the next lamp is lit."""
        return chance(self.rng, 0.88 if self.night else 0.3)


def hang_windows(layout: Layout, setting: Setting) -> list[tuple[Item, str]]:
    """Hangs up to two windows, some with curtains; returns each with its wall."""
    rng = setting.rng
    hung = []
    outlook = pictures.random_outlook(rng, night=setting.night)
    for _ in range(int(rng.choice([0, 1, 2], p=[0.25, 0.55, 0.2]))):
        width, height = between(rng, 0.75, 1.7), between(rng, 0.85, 1.4)
        window = windows.window(rng, setting.style, width, height, outlook)
        sill = between(rng, 0.8, 1.05)
        heights = (sill, sill)
        placed = layout.on_wall(rng, window, heights=heights, sides=("back", "back", "left", "right"), margin=0.25)
        if placed is None:
            continue
        hung.append(placed)
        if chance(rng, 0.55):
            curtains = windows.curtains(rng, setting.style, width, height, to_floor=sill)
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


def furnish(layout: Layout, setting: Setting) -> None:
    """Furnishes a bedroom or a living room, and decorates its walls."""
    bedroom = chance(setting.rng, 0.5)
    if bedroom:
        _furnish_bedroom(layout, setting)
    else:
        _furnish_living_room(layout, setting)
    _furnish_any(layout, setting, bedroom=bedroom)
    _decorate_walls(layout, setting)


def _furnish_bedroom(layout: Layout, setting: Setting) -> None:
    rng, style = setting.rng, setting.style
    bed = None
    for _ in range(3):  # a narrower one may find its place where the first did not
        bed = bed or layout.against_wall(rng, beds.bed(rng, style), ("back", "back", "left", "right"))
    if bed is not None:
        _bedside(layout, setting, bed)
    if chance(rng, 0.35):
        _desk(layout, setting)
    if chance(rng, 0.5):
        _television(layout, setting, largest=1.0)
    if chance(rng, 0.45):
        _rug(layout, setting)


def _bedside(layout: Layout, setting: Setting, bed: Item) -> None:
    """Puts a nightstand or a small table on one or both sides of the bed's head."""
    rng, style = setting.rng, setting.style
    low, high = bed.bounds()
    along_back = high[1] > layout.room.depth - 0.15
    on_left_wall = not along_back and low[0] < -layout.room.width / 2 + 0.15
    for direction in (-1, 1):
        if chance(rng, 0.4):
            continue
        if chance(rng, 0.4):
            stand, height, _ = tables.table(rng, style, "side")
        else:
            stand, height = tables.nightstand(rng, style)
        size = stand.bounds()[1]
        if along_back:
            x = low[0] - size[0] - 0.06 if direction < 0 else high[0] + size[0] + 0.06
            position, turn = (float(x), layout.room.depth - float(size[1]) - 0.03, 0.0), 0.0
        else:
            y = low[1] - size[0] - 0.06 if direction < 0 else high[1] + size[0] + 0.06
            x = layout.room.width / 2 - size[1] - 0.03
            position, turn = (float(-x if on_left_wall else x), float(y), 0.0), 90.0 if on_left_wall else -90.0
        placed = layout.settle(rng, stand, position, turn)
        if placed is None:
            continue
        if chance(rng, 0.55):
            lamp = lamps.table_lamp(rng, style, on=setting.lamp_is_on())
            layout.on_top(rng, lamp, placed, height, reach=(0.05, 0.05))
        elif chance(rng, 0.5):
            layout.on_top(rng, small_things.small_thing(rng, style), placed, height, reach=(0.05, 0.05))


def _furnish_living_room(layout: Layout, setting: Setting) -> None:
    rng, style = setting.rng, setting.style
    couch = seats.couch(rng, style)
    placed = None
    if chance(rng, 0.25):  # in the middle of the room, towards the camera or half turned
        half = layout.room.width / 2
        area = (-half * 0.5, layout.room.depth * 0.55, half * 0.5, layout.room.depth - 0.6)
        placed = layout.standing_free(rng, couch, area=area, turns=(-40, 40))
    for _ in range(3):
        placed = placed or layout.against_wall(rng, couch, ("back", "left", "right"), gap=0.05)
        couch = seats.couch(rng, style)
    if chance(rng, 0.6):
        _rug(layout, setting)
    if chance(rng, 0.78):
        _television(layout, setting, largest=1.4)
    kind = pick(rng, ("coffee", "coffee", "dining"))
    if chance(rng, 0.85):
        _free_table(layout, setting, kind)
    if chance(rng, 0.3):
        _free_table(layout, setting, "side")


def _free_table(layout: Layout, setting: Setting, kind: str) -> None:
    rng, style = setting.rng, setting.style
    table, height, reach = tables.table(rng, style, kind)
    placed = layout.standing_free(rng, table, turns=(-12, 12) if chance(rng, 0.7) else (-60, 60))
    if placed is None:
        return
    _things_on(layout, setting, placed, height, reach, most=3)
    if kind == "dining":
        low, high = placed.bounds()
        for turn, x, y in ((180, 0, -1), (0, 0, 1), (90, -1, 0), (-90, 1, 0)):
            if chance(rng, 0.55):
                chair = seats.wooden_chair(rng, style)
                middle = (low + high) / 2
                position = (
                    middle[0] + x * ((high[0] - low[0]) / 2 + 0.1),
                    middle[1] + y * ((high[1] - low[1]) / 2 + 0.1),
                    0.0,
                )
                layout.settle(rng, chair, position, turn + between(rng, -12, 12), clearance=-0.25)


def _desk(layout: Layout, setting: Setting) -> None:
    rng, style = setting.rng, setting.style
    desk, height, reach = tables.table(rng, style, "desk")
    placed = layout.against_wall(rng, desk)
    if placed is None:
        return
    _things_on(layout, setting, placed, height, (reach[0], 0.05), most=3)


def _things_on(
    layout: Layout, setting: Setting, support: Item, height: float, reach: tuple[float, float], *, most: int
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
            thing = houseplants.houseplant(rng, between(rng, 0.26, 0.5))
        else:
            thing = small_things.small_thing(rng, style)
        offset = (0.0, place, 0.0) if sideways else (place, 0.0, 0.0)
        layout.on_top(rng, thing.placed(offset), support, height, reach=(0.02, 0.02))


def _television(layout: Layout, setting: Setting, *, largest: float) -> None:
    rng, style = setting.rng, setting.style
    width = between(rng, 0.62, largest)
    on = chance(rng, 0.6)
    if chance(rng, 0.4):
        screen = televisions.television(rng, width, on=on, stand=False)
        layout.on_wall(rng, screen, heights=(0.95, 1.4), sides=("back", "back", "left", "right"))
        return
    height = between(rng, 0.42, 0.8)
    cabinet = tables.cabinet(rng, style, width + between(rng, 0.1, 0.7), height)
    screen = televisions.television(rng, width, on=on, stand=True)
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


def _rug(layout: Layout, setting: Setting) -> None:
    rng = setting.rng
    rug = soft_things.rug(rng, setting.style, between(rng, 1.4, 2.4), between(rng, 1.0, 1.6))
    x = between(rng, -0.15, 0.15) * layout.room.width
    y = layout.room.depth * between(rng, 0.5, 0.62)
    layout.items.append(rug.placed((x, y, 0.001), between(rng, -8, 8)))


def _furnish_any(layout: Layout, setting: Setting, *, bedroom: bool) -> None:
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
            hung = lamp.placed((x, y, room.height))
            if layout.share_in_view(*hung.bounds()) > 0.6:
                layout.items.append(hung)
                break
    for _ in range(int(rng.choice([0, 1, 2], p=[0.4, 0.45, 0.15]))):
        plant = houseplants.houseplant(rng, between(rng, 0.55, 1.35))
        layout.standing_free(rng, plant, area=_edge(rng, room), turns=(0, 360))
    if chance(rng, 0.3):
        layout.against_wall(rng, tables.bookcase(rng, style))
    if chance(rng, 0.35):
        height = between(rng, 0.6, 1.0)
        placed = layout.against_wall(rng, tables.cabinet(rng, style, between(rng, 0.7, 1.3), height))
        if placed is not None:
            _things_on(layout, setting, placed, height, (0.25, 0.0), most=3)
    if chance(rng, 0.3):
        layout.standing_free(rng, seats.pouf(rng, style))
    if chance(rng, 0.25):
        layout.standing_free(rng, seats.wooden_chair(rng, style), turns=(-180, 180))
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


def _decorate_walls(layout: Layout, setting: Setting) -> None:
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
