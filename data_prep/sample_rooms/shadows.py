"""Shadows on the room's floor and walls, drawn on flat maps of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from data_prep.sample_rooms.room import Plane
from data_prep.sample_rooms.shapes import BOX_FACES, Part

MAP_PIXELS_PER_METRE = 34


def map_size(plane: Plane) -> tuple[int, int]:
    """Returns the columns and rows of a plane's maps."""
    return max(1, round(plane.size[0] * MAP_PIXELS_PER_METRE)), max(1, round(plane.size[1] * MAP_PIXELS_PER_METRE))


def box_corners(parts: Sequence[Part]) -> np.ndarray:
    """Returns the corners [P, 8, 3] of the upright boxes around the parts that cast shadows."""
    boxes = []
    for part in parts:
        if part.casts_shadow:
            low, high = part.vertices.min(axis=0), part.vertices.max(axis=0)
            boxes.append([(x, y, z) for z in (low[2], high[2]) for y in (low[1], high[1]) for x in (low[0], high[0])])
    return np.array(boxes).reshape(-1, 8, 3)


def contact_map(plane: Plane, corners: np.ndarray) -> np.ndarray:
    """Returns how much things close to a plane keep the light from everywhere off it, 0..1, [rows, columns].

    Args:
        plane: A side of the room.
        corners: [P, 8, 3] see `box_corners`.
    """
    image = Image.new("L", map_size(plane), 0)
    draw = ImageDraw.Draw(image)
    distance = np.abs(corners[:, :, plane.axis] - plane.at).min(axis=1)
    darkness = 205 * np.exp(-distance / 0.16)
    pixels = (corners[:, :, [plane.across, plane.along]] - np.array(plane.low)) * MAP_PIXELS_PER_METRE
    low, high = pixels.min(axis=1), pixels.max(axis=1)
    for index in np.argsort(darkness):  # the darkest on top
        if darkness[index] > 8:
            draw.rectangle((*low[index], *high[index]), fill=int(darkness[index]))
    near = np.asarray(image.filter(ImageFilter.GaussianBlur(0.035 * MAP_PIXELS_PER_METRE)), dtype=np.float32)
    far = np.asarray(image.filter(ImageFilter.GaussianBlur(0.14 * MAP_PIXELS_PER_METRE)), dtype=np.float32)
    return (near + far) / np.float32(2 * 255)


def shadow_map(plane: Plane, source: np.ndarray, corners: np.ndarray, *, blur_metres: float) -> np.ndarray | None:
    """Returns where the shadows of one light fall on a plane, 0..1, [rows, columns]; None where it lights no shadow.

    Args:
        plane: A side of the room.
        source: [3] where the light is, in metres.
        corners: [P, 8, 3] see `box_corners`.
        blur_metres: How soft the shadows' edges are.
    """
    reach = plane.at - source[plane.axis]
    if abs(reach) < 0.05:
        return None
    towards = (corners[:, :, plane.axis] - source[plane.axis]) * np.sign(reach)
    in_between = (towards.max(axis=1) > 0.05) & (towards.min(axis=1) < abs(reach) + 0.01)
    # The shadow of what surrounds a lamp, such as its own foot, would cover half the room.
    away = np.linalg.norm(corners.mean(axis=1) - source, axis=1) > 0.25
    axes = [plane.across, plane.along]
    stretch = abs(reach) / np.maximum(towards, 0.05)
    hits = source[axes] + (corners[:, :, axes] - source[axes]) * stretch[:, :, None]
    hits = (hits - np.array(plane.low)) * MAP_PIXELS_PER_METRE
    size = np.array(map_size(plane))
    on_map = np.all((hits.max(axis=1) > 0) & (hits.min(axis=1) < size), axis=1)
    image = Image.new("L", map_size(plane), 0)
    draw = ImageDraw.Draw(image)
    for index in np.flatnonzero(in_between & away & on_map):
        points = [tuple(point) for point in hits[index].tolist()]
        for side in BOX_FACES.values():
            draw.polygon([points[corner] for corner in side], fill=255)
    blurred = image.filter(ImageFilter.GaussianBlur(blur_metres * MAP_PIXELS_PER_METRE))
    return np.asarray(blurred, dtype=np.float32) / np.float32(255)
